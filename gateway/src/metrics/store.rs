//! What plugins do with stores.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::family::{CALL_SECONDS, counters, gauges, histograms};
use super::label::{Each, Label, labels};

labels! {
    /// What a plugin asks of a store.
    StoreOperation {
        /// Adding to a counter.
        Add = "add",
        /// Deleting keys.
        Delete = "delete",
        /// Reading keys.
        Get = "get",
        /// Writing a key.
        Put = "put",
    }
}

labels! {
    /// What comes of it.
    StoreResult {
        /// The stored version was another one.
        Conflict = "conflict",
        /// What was to be added to is no number, or the sum is none.
        NotACounter = "not-a-counter",
        /// Done.
        Ok = "ok",
        /// Larger than the contract allows.
        TooLarge = "too-large",
        /// Full, failed, or too late.
        Unavailable = "unavailable",
    }
}

/// The families that have a `store` label.
#[derive(Debug)]
pub(super) struct StoreFamilies {
    evicted: IntCounterVec,
    octets: IntGaugeVec,
    operations: IntCounterVec,
    operation_seconds: HistogramVec,
    up: IntGaugeVec,
}

impl StoreFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            evicted: counters(
                registry,
                "portcullis_store_evicted_total",
                "Entries that made room for others before their time was over",
                &["store"],
            ),
            octets: gauges(
                registry,
                "portcullis_store_bytes",
                "What a store of kind memory or redb holds",
                &["store"],
            ),
            operations: counters(
                registry,
                "portcullis_store_operations_total",
                "What plugins asked of stores, and what came of it",
                &["store", "operation", "result"],
            ),
            operation_seconds: histograms(
                registry,
                "portcullis_store_operation_duration_seconds",
                "How long operations took",
                &["store", "operation"],
                CALL_SECONDS,
            ),
            up: gauges(
                registry,
                "portcullis_store_up",
                "1 if the store could be used when it was last asked",
                &["store"],
            ),
        }
    }

    pub(super) fn resolve(&self, store: &str) -> StoreMetrics {
        let results = |operation: &StoreOperation| {
            let of = |result: &StoreResult| {
                let labels = [store, operation.label(), result.label()];
                self.operations.with_label_values(&labels)
            };
            StoreResult::ALL.iter().map(of).collect()
        };
        StoreMetrics {
            evicted: self.evicted.with_label_values(&[store]),
            octets: self.octets.with_label_values(&[store]),
            operations: StoreOperation::ALL.iter().map(results).collect(),
            operation_seconds: Each::new(&self.operation_seconds, store),
            up: self.up.with_label_values(&[store]),
        }
    }
}

/// The metrics of one store, resolved once.
#[derive(Debug)]
pub struct StoreMetrics {
    evicted: IntCounter,
    octets: IntGauge,
    /// By operation, then by result.
    operations: Vec<Vec<IntCounter>>,
    operation_seconds: Each<StoreOperation, Histogram>,
    up: IntGauge,
}

impl StoreMetrics {
    /// An operation ended.
    pub fn operation(&self, operation: StoreOperation, result: StoreResult, took: Duration) {
        self.operation_seconds.observe(operation, took.as_secs_f64());
        let results = self.operations.get(operation.position());
        if let Some(counter) = results.and_then(|results| results.get(result.position())) {
            counter.inc();
        }
    }

    /// Entries had to make room.
    pub fn evicted(&self, entries: u64) {
        self.evicted.inc_by(entries);
    }

    /// What it holds now.
    pub fn holds(&self, octets: u64) {
        self.octets.set(i64::try_from(octets).unwrap_or(i64::MAX));
    }

    /// Whether it can be used.
    pub fn up(&self, up: bool) {
        self.up.set(i64::from(up));
    }
}
