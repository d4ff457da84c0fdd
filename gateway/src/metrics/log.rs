//! What became of lines of the log.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use prometheus::{IntCounter, IntCounterVec, Registry};

use super::family::counters;

/// Lines, by level, and those that were dropped.
pub type LogLines = (Vec<(&'static str, u64)>, u64);

/// The log counts by itself; it is asked at each scrape.
pub(super) struct LogMetrics {
    records: IntCounterVec,
    dropped: IntCounter,
    counts: OnceLock<Box<dyn Fn() -> LogLines + Send + Sync>>,
    /// Two scrapes at once must not add the same lines twice.
    updating: Mutex<()>,
}

impl LogMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let records = counters(
            registry,
            "portcullis_log_records_total",
            "Lines of the log, those that were dropped, too",
            &["level"],
        );
        for level in LEVELS {
            records.with_label_values(&[level]);
        }
        let dropped = counters(
            registry,
            "portcullis_log_dropped_total",
            "Lines that had no room, as nobody read the others fast enough, or that could not be \
             written",
            &[],
        );
        Self {
            records,
            dropped: dropped.with_label_values::<&str>(&[]),
            counts: OnceLock::new(),
            updating: Mutex::new(()),
        }
    }

    pub(super) fn watch(&self, counts: impl Fn() -> LogLines + Send + Sync + 'static) {
        // The first one: there is one log in a process.
        let _ = self.counts.set(Box::new(counts));
    }

    /// Brings the counters up to now.
    pub(super) fn update(&self) {
        let Some(counts) = self.counts.get() else { return };
        let _guard = self.updating.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, dropped) = counts();
        for (level, lines) in records {
            let counter = self.records.with_label_values(&[level]);
            counter.inc_by(lines.saturating_sub(counter.get()));
        }
        self.dropped.inc_by(dropped.saturating_sub(self.dropped.get()));
    }
}

impl fmt::Debug for LogMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogMetrics").field("records", &self.records).finish_non_exhaustive()
    }
}

const LEVELS: [&str; 5] = ["debug", "error", "info", "trace", "warn"];
