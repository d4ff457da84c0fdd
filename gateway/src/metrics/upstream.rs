//! What happens towards an upstream.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::family::{NETWORK_SECONDS, counters, gauges, histograms};
use super::label::{Codes, Connect, Each, Label, Probe, Retry, Stage, TurnedAway};

/// The families that have an `upstream` label.
#[derive(Debug)]
pub(super) struct UpstreamFamilies {
    address_up: IntGaugeVec,
    ambiguous: IntCounterVec,
    connections: IntGaugeVec,
    connects: IntCounterVec,
    probes: IntCounterVec,
    replies: IntCounterVec,
    reply_seconds: HistogramVec,
    retries: IntCounterVec,
    turned_away: IntCounterVec,
    up: IntGaugeVec,
}

impl UpstreamFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            address_up: gauges(
                registry,
                "portcullis_upstream_address_up",
                "Whether an address of the configuration can get mail",
                &["upstream", "address"],
            ),
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
            probes: counters(
                registry,
                "portcullis_upstream_probes_total",
                "Looks at addresses that are down",
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
            retries: counters(
                registry,
                "portcullis_upstream_retries_total",
                "Transactions that went on over another connection, unheard by the client",
                &["upstream", "reason"],
            ),
            turned_away: counters(
                registry,
                "portcullis_upstream_turned_away_total",
                "Transactions that got no connection, without an attempt to connect",
                &["upstream", "reason"],
            ),
            up: gauges(
                registry,
                "portcullis_upstream_up",
                "Whether any address of the upstream can get mail",
                &["upstream"],
            ),
        }
    }

    pub(super) fn resolve(&self, upstream: &str) -> UpstreamMetrics {
        let up = self.up.with_label_values(&[upstream]);
        up.set(1);
        UpstreamMetrics {
            name: upstream.to_owned(),
            address_up: self.address_up.clone(),
            addresses: Mutex::default(),
            ambiguous: self.ambiguous.with_label_values(&[upstream]),
            connections: self.connections.with_label_values(&[upstream]),
            connects: Each::new(&self.connects, upstream),
            probes: Each::new(&self.probes, upstream),
            replies: Stage::ALL
                .iter()
                .map(|stage| Codes::new(&self.replies, &[upstream, stage.label()]))
                .collect(),
            reply_seconds: Each::new(&self.reply_seconds, upstream),
            retries: Each::new(&self.retries, upstream),
            turned_away: Each::new(&self.turned_away, upstream),
            up,
        }
    }
}

/// The metrics of one upstream, resolved once: each call is an atomic addition or two.
#[derive(Debug)]
pub struct UpstreamMetrics {
    name: String,
    address_up: IntGaugeVec,
    /// Those that are shown.
    addresses: Mutex<Vec<String>>,
    ambiguous: IntCounter,
    connections: IntGauge,
    connects: Each<Connect, IntCounter>,
    probes: Each<Probe, IntCounter>,
    replies: Vec<Codes>,
    reply_seconds: Each<Stage, Histogram>,
    retries: Each<Retry, IntCounter>,
    turned_away: Each<TurnedAway, IntCounter>,
    up: IntGauge,
}

/// Whether one address is up.
#[derive(Debug)]
pub struct AddressUp(IntGauge);

impl AddressUp {
    /// It is, or it is not.
    pub fn set(&self, up: bool) {
        self.0.set(up.into());
    }
}

impl UpstreamMetrics {
    /// Shows these addresses of the configuration from now on, and no others.
    pub fn addresses(&self, addresses: Vec<String>) -> Vec<AddressUp> {
        // A list that a panic left behind is still a list.
        let mut shown = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.iter().filter(|address| !addresses.contains(address)) {
            let _ = self.address_up.remove_label_values(&[&self.name, gone]);
        }
        let gauge =
            |address: &String| AddressUp(self.address_up.with_label_values(&[&self.name, address]));
        let gauges = addresses.iter().map(gauge).collect();
        *shown = addresses;
        gauges
    }

    /// Whether mail can go anywhere.
    pub fn set_up(&self, up: bool) {
        self.up.set(up.into());
    }

    /// Whether all addresses are down.
    pub(super) fn is_down(&self) -> bool {
        self.up.get() == 0
    }

    /// Somebody looked at an address that is down.
    pub fn probed(&self, result: Probe) {
        self.probes.inc(result);
    }

    /// A transaction goes on over another connection.
    pub fn retried(&self, reason: Retry) {
        self.retries.inc(reason);
    }

    /// A transaction got no connection.
    pub fn turned_away(&self, reason: TurnedAway) {
        self.turned_away.inc(reason);
    }

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
