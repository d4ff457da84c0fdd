//! What a delivery leaves behind for records.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::address::Address;

/// Where a delivery got to, and how long it waited for that. Known while it is on its way.
#[derive(Debug, Default)]
pub struct Trail {
    waited_micros: AtomicU64,
    address: Mutex<Option<Arc<Address>>>,
}

impl Trail {
    /// The time that was spent waiting for connections.
    #[must_use]
    pub fn waited(&self) -> Duration {
        Duration::from_micros(self.waited_micros.load(Ordering::Relaxed))
    }

    /// The address of the last of them.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let address = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        address.as_ref().map(|address| address.endpoint.to_string())
    }

    pub(super) fn waiting(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.waited_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(super) fn reached(&self, address: &Arc<Address>) {
        *self.address.lock().unwrap_or_else(PoisonError::into_inner) = Some(address.clone());
    }
}
