//! Replies that plugins hold back.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::family::{counters, gauges};
use super::label::{Delayed, Each};
use super::listener::ListenerMetrics;

/// The families.
#[derive(Debug)]
pub(super) struct DelayFamilies {
    connections: IntGaugeVec,
    delays: IntCounterVec,
}

impl DelayFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            connections: gauges(
                registry,
                "portcullis_connections_delayed",
                "Connections that wait for a reply that a plugin holds back",
                &["listener"],
            ),
            delays: counters(
                registry,
                "portcullis_delays_total",
                "Replies that plugins wanted to hold back, by how that ended",
                &["listener", "result"],
            ),
        }
    }

    pub(super) fn resolve(&self, listener: &str) -> DelayMetrics {
        DelayMetrics {
            connections: self.connections.with_label_values(&[listener]),
            delays: Each::new(&self.delays, listener),
        }
    }
}

/// Those of one listener.
#[derive(Debug)]
pub(super) struct DelayMetrics {
    connections: IntGauge,
    delays: Each<Delayed, IntCounter>,
}

impl ListenerMetrics {
    /// A reply is held back.
    pub fn delay_begins(&self) {
        self.delay.connections.inc();
    }

    /// It is not, any more.
    pub fn delay_ends(&self) {
        self.delay.connections.dec();
    }

    /// How the holding back ended, or that it did not begin.
    pub fn delayed(&self, how: Delayed) {
        self.delay.delays.inc(how);
    }
}
