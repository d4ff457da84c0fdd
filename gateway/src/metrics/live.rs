//! Who watches, and what they were too slow for.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use prometheus::{IntCounter, IntGauge, Registry};

use super::family::{counters, gauges};

/// What is to be known of those who watch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Watched {
    /// Transactions whose records are kept.
    pub kept: u64,
    /// Those who subscribe to news now.
    pub subscribers: u64,
    /// News that they were too slow for, since the start.
    pub dropped: u64,
}

/// Asked for at each scrape.
pub(super) struct LiveMetrics {
    kept: IntGauge,
    subscribers: IntGauge,
    dropped: IntCounter,
    watched: OnceLock<Box<dyn Fn() -> Watched + Send + Sync>>,
    /// Two scrapes at once must not add the same news twice.
    updating: Mutex<()>,
}

impl LiveMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let gauge = |name, help| gauges(registry, name, help, &[]).with_label_values::<&str>(&[]);
        let dropped = counters(
            registry,
            "portcullis_watch_dropped_total",
            "Events that those who watch were too slow for",
            &[],
        );
        Self {
            kept: gauge(
                "portcullis_history_transactions",
                "Transactions whose records are kept for those who look",
            ),
            subscribers: gauge("portcullis_watch_subscribers", "Those who watch events now"),
            dropped: dropped.with_label_values::<&str>(&[]),
            watched: OnceLock::new(),
            updating: Mutex::new(()),
        }
    }

    pub(super) fn watch(&self, watched: impl Fn() -> Watched + Send + Sync + 'static) {
        // The first one: there is one of them in a process.
        let _ = self.watched.set(Box::new(watched));
    }

    /// Brings all up to now.
    pub(super) fn update(&self) {
        let Some(watched) = self.watched.get() else { return };
        let _guard = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let Watched { kept, subscribers, dropped } = watched();
        self.kept.set(i64::try_from(kept).unwrap_or(i64::MAX));
        self.subscribers.set(i64::try_from(subscribers).unwrap_or(i64::MAX));
        self.dropped.inc_by(dropped.saturating_sub(self.dropped.get()));
    }
}

impl fmt::Debug for LiveMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveMetrics").field("kept", &self.kept).finish_non_exhaustive()
    }
}
