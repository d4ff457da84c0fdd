//! What happens on a listener.

use std::time::Duration;

use portcullis_smtp::sasl::Mechanism;
use portcullis_smtp::server::{Limit, Verb};
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::delay::{DelayFamilies, DelayMetrics};
use super::family::{MESSAGE_BYTES, counters, gauges, histograms};
use super::label::{
    AuthResult, Bound, Codes, Each, HandshakeFailure, Label, Outcome, ProxyHeader, Refused,
    ScoreAction,
};
use super::session::{SessionFamilies, SessionMetrics};
use super::tls::{TlsFamilies, TlsMetrics};
use super::transaction::{TransactionFamilies, TransactionMetrics};

/// The codes that the gateway itself says; plugins and upstreams may add others.
const USUAL_CODES: &[u16] =
    &[220, 221, 250, 354, 421, 450, 451, 452, 454, 500, 501, 502, 503, 504, 550, 552, 554, 555];

/// The families that have a `listener` label.
#[derive(Debug)]
pub(super) struct ListenerFamilies {
    auth: IntCounterVec,
    commands: IntCounterVec,
    connections: IntCounterVec,
    connections_open: IntGaugeVec,
    connections_refused: IntCounterVec,
    delay: DelayFamilies,
    duplicates_avoided: IntCounterVec,
    limits: IntCounterVec,
    message_bytes: HistogramVec,
    outcomes: IntCounterVec,
    proxy_headers: IntCounterVec,
    replies: IntCounterVec,
    score_actions: IntCounterVec,
    sessions: SessionFamilies,
    tls: TlsFamilies,
    transactions: TransactionFamilies,
    transactions_in_flight: IntGaugeVec,
    transactions_started: IntCounterVec,
}

impl ListenerFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name, help, labels: &[&str]| counters(registry, name, help, labels);
        let counter = |name, help| counters(name, help, &["listener"]);
        let gauge = |name, help| gauges(registry, name, help, &["listener"]);
        let by = |label, name, help| counters(name, help, &["listener", label]);
        Self {
            auth: counters(
                "portcullis_auth_total",
                "Attempts to log in, by the mechanisms that the listener offers; what the client \
                 broke off or garbled is none",
                &["listener", "mechanism", "result"],
            ),
            commands: by("command", "portcullis_commands_total", "Commands read from clients"),
            connections: counter(
                "portcullis_connections_total",
                "Connections that were given a session; a trusted proxy's after its header",
            ),
            connections_open: gauge(
                "portcullis_connections_open",
                "Connections with a session now",
            ),
            connections_refused: counters(
                "portcullis_connections_refused_total",
                "Connections that were turned away before a session",
                &["listener", "reason"],
            ),
            delay: DelayFamilies::new(registry),
            duplicates_avoided: counter(
                "portcullis_duplicates_avoided_total",
                "Recipients of messages that came again, whose upstream had them already: \
                 answered from memory",
            ),
            limits: counters(
                "portcullis_limit_reached_total",
                "Clients that reached a limit, by its name in the configuration",
                &["listener", "limit"],
            ),
            message_bytes: histograms(
                registry,
                "portcullis_message_size_bytes",
                "Sizes of messages as they came, dots unstuffed",
                &["listener"],
                MESSAGE_BYTES,
            ),
            outcomes: counters(
                "portcullis_transactions_total",
                "Transactions that ended, each with its one outcome. started = sum + in flight",
                &["listener", "outcome"],
            ),
            proxy_headers: counters(
                "portcullis_proxy_headers_total",
                "Connections of trusted proxies, by how they said whose connection it is",
                &["listener", "result"],
            ),
            replies: by("code", "portcullis_replies_total", "Replies to clients"),
            score_actions: counters(
                "portcullis_score_actions_total",
                "Complete messages that plugins let pass at a listener with `scores`, by what \
                 their score made of them",
                &["listener", "action"],
            ),
            sessions: SessionFamilies::new(registry),
            tls: TlsFamilies::new(registry),
            transactions: TransactionFamilies::new(registry),
            transactions_in_flight: gauge(
                "portcullis_transactions_in_flight",
                "Transactions that have begun and not ended",
            ),
            transactions_started: counter(
                "portcullis_transactions_started_total",
                "Transactions that began: a MAIL that was in order",
            ),
        }
    }

    pub(super) fn resolve(&self, listener: &str) -> ListenerMetrics {
        let owner = &[listener];
        let replies = Codes::new(&self.replies, owner);
        replies.initialize(USUAL_CODES);
        ListenerMetrics {
            auth: self.auth.clone(),
            name: listener.to_owned(),
            commands: Each::new(&self.commands, listener),
            connections: self.connections.with_label_values(owner),
            connections_open: self.connections_open.with_label_values(owner),
            connections_refused: Each::new(&self.connections_refused, listener),
            delay: self.delay.resolve(listener),
            duplicates_avoided: self.duplicates_avoided.with_label_values(owner),
            bounds: Each::new(&self.limits, listener),
            limits: Each::new(&self.limits, listener),
            message_bytes: self.message_bytes.with_label_values(owner),
            outcomes: Each::new(&self.outcomes, listener),
            proxy_headers: Each::new(&self.proxy_headers, listener),
            replies,
            score_actions: Each::new(&self.score_actions, listener),
            session: self.sessions.resolve(listener),
            tls: self.tls.resolve(listener),
            transaction: self.transactions.resolve(listener),
            transactions_in_flight: self.transactions_in_flight.with_label_values(owner),
            transactions_started: self.transactions_started.with_label_values(owner),
        }
    }
}

/// The metrics of one listener, resolved once: each call is an atomic addition or two.
#[derive(Debug)]
pub struct ListenerMetrics {
    /// Resolved when they are needed: a login is rare, and takes longer than this.
    auth: IntCounterVec,
    name: String,
    bounds: Each<Bound, IntCounter>,
    commands: Each<Verb, IntCounter>,
    connections: IntCounter,
    connections_open: IntGauge,
    connections_refused: Each<Refused, IntCounter>,
    pub(super) delay: DelayMetrics,
    duplicates_avoided: IntCounter,
    limits: Each<Limit, IntCounter>,
    message_bytes: Histogram,
    outcomes: Each<Outcome, IntCounter>,
    proxy_headers: Each<ProxyHeader, IntCounter>,
    replies: Codes,
    score_actions: Each<ScoreAction, IntCounter>,
    pub(super) session: SessionMetrics,
    tls: TlsMetrics,
    pub(super) transaction: TransactionMetrics,
    transactions_in_flight: IntGauge,
    transactions_started: IntCounter,
}

impl ListenerMetrics {
    /// A connection got its session.
    pub fn connection_opened(&self) {
        self.connections.inc();
        self.connections_open.inc();
    }

    /// That session is over.
    pub fn connection_closed(&self) {
        self.connections_open.dec();
    }

    /// Connections with a session now.
    #[must_use]
    pub fn connections_open(&self) -> u64 {
        u64::try_from(self.connections_open.get()).unwrap_or_default()
    }

    /// A connection got no session.
    pub fn connection_refused(&self, reason: Refused) {
        self.connections_refused.inc(reason);
        if let Some(bound) = reason.bound() {
            self.bound_reached(bound);
        }
    }

    /// A TLS handshake ended, well or not.
    pub fn tls_handshake(&self, ended: Result<(), HandshakeFailure>, took: Duration) {
        self.tls.handshake(ended, took);
    }

    /// When a certificate ends, in seconds since 1970; it is known by its file.
    pub fn certificate_ends(&self, file: &str, not_after: i64) {
        self.tls.certificate_ends(file, not_after);
    }

    /// A certificate is not shown to clients any more.
    pub fn certificate_gone(&self, file: &str) {
        self.tls.certificate_gone(file);
    }

    /// A certificate's files have changed, and are used now or refused.
    pub fn certificate_reloaded(&self, used: bool) {
        self.tls.certificate_reloaded(used);
    }

    /// These mechanisms are offered.
    pub fn auth_offered(&self, mechanisms: &[Mechanism]) {
        for mechanism in mechanisms {
            for result in AuthResult::ALL {
                let _ =
                    self.auth.with_label_values(&[&*self.name, mechanism.name(), result.label()]);
            }
        }
    }

    /// An attempt to log in ended.
    pub fn auth(&self, mechanism: Mechanism, result: AuthResult) {
        self.auth.with_label_values(&[&*self.name, mechanism.name(), result.label()]).inc();
    }

    /// A client reached a limit that is kept around its session.
    pub fn bound_reached(&self, bound: Bound) {
        self.bounds.inc(bound);
    }

    /// A client reached a limit of its session.
    pub fn limited(&self, limit: Limit) {
        self.limits.inc(limit);
    }

    /// A trusted proxy said whose connection it is, or did not.
    pub fn proxy_header(&self, result: ProxyHeader) {
        self.proxy_headers.inc(result);
    }

    /// A command was read.
    pub fn command(&self, verb: Verb) {
        self.commands.inc(verb);
    }

    /// A reply was sent.
    pub fn reply(&self, code: u16) {
        self.replies.inc(code);
    }

    /// A message's score was looked at.
    pub fn scored(&self, action: ScoreAction) {
        self.score_actions.inc(action);
    }

    /// So many recipients were not sent a message again.
    pub fn duplicates_avoided(&self, recipients: u64) {
        self.duplicates_avoided.inc_by(recipients);
    }

    /// MAIL was accepted.
    pub fn transaction_started(&self) {
        self.transactions_started.inc();
        self.transactions_in_flight.inc();
    }

    /// That transaction ended.
    pub fn transaction_ended(&self, outcome: Outcome) {
        self.transactions_in_flight.dec();
        self.outcomes.inc(outcome);
    }

    /// A message arrived to its end.
    pub fn message_octets(&self, octets: u64) {
        self.message_bytes.observe(octets as f64);
    }
}
