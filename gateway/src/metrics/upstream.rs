//! What happens towards an upstream.

use std::sync::{Mutex, OnceLock, PoisonError};
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
    connect_seconds: HistogramVec,
    connections: IntGaugeVec,
    connections_limit: IntGaugeVec,
    connects: IntCounterVec,
    delivery_seconds: HistogramVec,
    probes: IntCounterVec,
    replies: IntCounterVec,
    reply_seconds: HistogramVec,
    retries: IntCounterVec,
    turned_away: IntCounterVec,
    up: IntGaugeVec,
    wait_seconds: HistogramVec,
}

impl UpstreamFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, help| counters(registry, name, help, &["upstream"]);
        let gauge = |name, help| gauges(registry, name, help, &["upstream"]);
        let labelled = |name, help, labels: &[&str]| counters(registry, name, help, labels);
        let by_result = |name, help| labelled(name, help, &["upstream", "result"]);
        let seconds = |name, help| histograms(registry, name, help, &["upstream"], NETWORK_SECONDS);
        Self {
            address_up: gauges(
                registry,
                "portcullis_upstream_address_up",
                "1 if this address of the configuration can get mail; of a name or domain, if \
                 any address behind it can",
                &["upstream", "address"],
            ),
            ambiguous: counter(
                "portcullis_upstream_ambiguous_total",
                "Messages whose final dot was sent and never answered: perhaps delivered",
            ),
            connect_seconds: seconds(
                "portcullis_upstream_connect_duration_seconds",
                "How long it took to connect, with TLS, the greeting and the login; failed \
                 attempts, too",
            ),
            connections: gauge(
                "portcullis_upstream_connections",
                "Connections to it now, in use and idle",
            ),
            connections_limit: gauge(
                "portcullis_upstream_connections_limit",
                "Connections that it may have: `connections`",
            ),
            connects: by_result(
                "portcullis_upstream_connects_total",
                "Attempts to connect; `login`: the upstream did not accept the gateway's, or \
                 there was no safe way to log in",
            ),
            delivery_seconds: seconds(
                "portcullis_upstream_delivery_duration_seconds",
                "How long deliveries took: from the message that may leave to the last answer to \
                 it",
            ),
            probes: by_result(
                "portcullis_upstream_probes_total",
                "Looks at addresses that are down",
            ),
            replies: labelled(
                "portcullis_upstream_replies_total",
                "What upstreams said",
                &["upstream", "stage", "code"],
            ),
            reply_seconds: histograms(
                registry,
                "portcullis_upstream_reply_duration_seconds",
                "How long upstreams took to reply",
                &["upstream", "stage"],
                NETWORK_SECONDS,
            ),
            retries: labelled(
                "portcullis_upstream_retries_total",
                "Transactions that went on over another connection, unheard by the client: an \
                 address could not be talked to, or a connection was lost before there could be a \
                 message",
                &["upstream", "reason"],
            ),
            turned_away: labelled(
                "portcullis_upstream_turned_away_total",
                "Transactions that got no connection: all were in use, or all addresses were down",
                &["upstream", "reason"],
            ),
            up: gauge(
                "portcullis_upstream_up",
                "1 if any of its addresses can get mail; 0 is told in `/readyz`, too",
            ),
            wait_seconds: seconds(
                "portcullis_upstream_wait_seconds",
                "How long transactions waited until they might have a connection; 0 where one \
                 was free",
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
            connect_seconds: self.connect_seconds.with_label_values(&[upstream]),
            connections: self.connections.with_label_values(&[upstream]),
            connections_limit: self.connections_limit.with_label_values(&[upstream]),
            connects: Each::new(&self.connects, upstream),
            delivery_seconds: self.delivery_seconds.with_label_values(&[upstream]),
            probes: Each::new(&self.probes, upstream),
            replies: Stage::ALL
                .iter()
                .map(|stage| Codes::new(&self.replies, &[upstream, stage.label()]))
                .collect(),
            reply_seconds: Stages::new(&self.reply_seconds, upstream),
            retries: Each::new(&self.retries, upstream),
            turned_away: Each::new(&self.turned_away, upstream),
            up,
            wait_seconds: self.wait_seconds.with_label_values(&[upstream]),
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
    connect_seconds: Histogram,
    connections: IntGauge,
    connections_limit: IntGauge,
    connects: Each<Connect, IntCounter>,
    delivery_seconds: Histogram,
    probes: Each<Probe, IntCounter>,
    replies: Vec<Codes>,
    reply_seconds: Stages,
    retries: Each<Retry, IntCounter>,
    turned_away: Each<TurnedAway, IntCounter>,
    up: IntGauge,
    wait_seconds: Histogram,
}

/// How long replies took, by what was asked. What only some upstreams are asked comes up when it is:
/// a histogram is eighteen series.
#[derive(Debug)]
struct Stages {
    family: HistogramVec,
    upstream: String,
    histograms: Vec<OnceLock<Histogram>>,
}

impl Stages {
    fn new(family: &HistogramVec, upstream: &str) -> Self {
        let histograms = Stage::ALL.iter().map(|_| OnceLock::new()).collect();
        let stages = Self { family: family.clone(), upstream: upstream.to_owned(), histograms };
        for stage in USUAL_STAGES {
            let _ = stages.histogram(*stage);
        }
        stages
    }

    fn histogram(&self, stage: Stage) -> Option<&Histogram> {
        let labels = [&*self.upstream, stage.label()];
        let slot = self.histograms.get(stage.position())?;
        Some(slot.get_or_init(|| self.family.with_label_values(&labels)))
    }
}

/// What every message needs.
const USUAL_STAGES: &[Stage] =
    &[Stage::Banner, Stage::Hello, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Content];

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
    pub fn connect(&self, result: Connect, took: Duration) {
        self.connects.inc(result);
        self.connect_seconds.observe(took.as_secs_f64());
    }

    /// A name could not be looked up, so that nobody was there to connect to.
    pub fn unresolved(&self) {
        self.connects.inc(Connect::Resolve);
    }

    /// So many connections there may be.
    pub fn connections_limit(&self, connections: usize) {
        self.connections_limit.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// A transaction waited so long until it might have a connection.
    pub fn waited(&self, duration: Duration) {
        self.wait_seconds.observe(duration.as_secs_f64());
    }

    /// A message was delivered, or not.
    pub fn delivered(&self, took: Duration) {
        self.delivery_seconds.observe(took.as_secs_f64());
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
        if let Some(histogram) = self.reply_seconds.histogram(stage) {
            histogram.observe(duration.as_secs_f64());
        }
    }

    /// The final dot was sent, and nobody knows what became of the message.
    pub fn ambiguous(&self) {
        self.ambiguous.inc();
    }
}
