//! What became of traces.

use prometheus::{IntCounter, Registry};

use super::family::counters;
use super::label::{Label, TraceResult};

/// The metrics of traces.
#[derive(Debug)]
pub struct TraceMetrics {
    traces: Vec<IntCounter>,
}

impl TraceMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let traces = counters(
            registry,
            "portcullis_traces_total",
            "Transactions that were to become traces: no room for them; the collector did not take them; it has \
             them",
            &["result"],
        );
        let count = |result: &TraceResult| traces.with_label_values(&[result.value()]);
        Self { traces: TraceResult::ALL.iter().map(count).collect() }
    }

    /// So many of them.
    pub fn traced(&self, result: TraceResult, transactions: u64) {
        if let Some(counter) = self.traces.get(result.position()) {
            counter.inc_by(transactions);
        }
    }
}
