//! What happens towards an upstream.

use std::time::Duration;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::family::{NETWORK_SECONDS, counters, gauges, histograms};
use super::label::{Codes, Connect, Each, Label, Stage};

/// The families that have an `upstream` label.
#[derive(Debug)]
pub(super) struct UpstreamFamilies {
    ambiguous: IntCounterVec,
    connections: IntGaugeVec,
    connects: IntCounterVec,
    replies: IntCounterVec,
    reply_seconds: HistogramVec,
}

impl UpstreamFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            ambiguous: counters(
                registry,
                "portcullis_upstream_ambiguous_total",
                "Messages whose final dot was sent and never answered: perhaps delivered",
                &["upstream"],
            ),
            connections: gauges(
                registry,
                "portcullis_upstream_connections",
                "Connections to upstreams at this moment",
                &["upstream"],
            ),
            connects: counters(
                registry,
                "portcullis_upstream_connects_total",
                "Attempts to connect to upstreams",
                &["upstream", "result"],
            ),
            replies: counters(
                registry,
                "portcullis_upstream_replies_total",
                "Replies of upstreams",
                &["upstream", "stage", "code"],
            ),
            reply_seconds: histograms(
                registry,
                "portcullis_upstream_reply_duration_seconds",
                "How long upstreams took to reply",
                &["upstream", "stage"],
                NETWORK_SECONDS,
            ),
        }
    }

    pub(super) fn resolve(&self, upstream: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            ambiguous: self.ambiguous.with_label_values(&[upstream]),
            connections: self.connections.with_label_values(&[upstream]),
            connects: Each::new(&self.connects, upstream),
            replies: Stage::ALL
                .iter()
                .map(|stage| Codes::new(&self.replies, &[upstream, stage.label()]))
                .collect(),
            reply_seconds: Each::new(&self.reply_seconds, upstream),
        }
    }
}

/// The metrics of one upstream, resolved once: each call is an atomic addition or two.
#[derive(Debug)]
pub struct UpstreamMetrics {
    ambiguous: IntCounter,
    connections: IntGauge,
    connects: Each<Connect, IntCounter>,
    replies: Vec<Codes>,
    reply_seconds: Each<Stage, Histogram>,
}

impl UpstreamMetrics {
    /// An attempt to connect ended.
    pub fn connect(&self, result: Connect) {
        self.connects.inc(result);
    }

    /// A connection is open; it need not be ready yet.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// That connection is closed.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// The upstream replied.
    pub fn reply(&self, stage: Stage, code: u16) {
        if let Some(codes) = self.replies.get(stage.position()) {
            codes.inc(code);
        }
    }

    /// How long it took to reply.
    pub fn reply_duration(&self, stage: Stage, duration: Duration) {
        self.reply_seconds.observe(stage, duration.as_secs_f64());
    }

    /// The final dot was sent, and nobody knows what became of the message.
    pub fn ambiguous(&self) {
        self.ambiguous.inc();
    }
}
