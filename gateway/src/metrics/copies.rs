//! How many copies of plugins there are, of all engines that there are.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::Registry;

use super::family::pulled;

/// Those who can say it. A reload may bring another engine, while the one before it still has
/// transactions.
#[derive(Clone, Default)]
pub(super) struct Copies(Arc<Mutex<Vec<Count>>>);

/// How many copies an engine has; none if it is gone.
type Count = Box<dyn Fn() -> Option<usize> + Send + Sync>;

impl Copies {
    pub(super) fn watch(&self, registry: &Registry, count: Count) {
        let is_first = {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            counts.push(count);
            counts.len() == 1
        };
        let copies = self.clone();
        if is_first {
            pulled(
                registry,
                "portcullis_plugin_copies",
                "Copies of plugins that there are, those of pools that wait for their next transaction, too",
                move || copies.count() as f64,
            );
        }
    }

    fn count(&self) -> usize {
        let mut sum = 0;
        // A list that a panic left behind is still a list.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|count| count().inspect(|count| sum += count).is_some());
        sum
    }
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Copies").finish_non_exhaustive()
    }
}
