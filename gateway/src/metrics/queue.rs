//! What becomes of what waits in the spool.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::family::{UNIQUE, counters, gauges};
use super::label::{Each, Label, labels};

labels! {
    /// What became of one recipient by one attempt.
    QueueResult {
        /// The upstream wants it later.
        Deferred = "deferred",
        /// The upstream has it.
        Delivered = "delivered",
        /// There is no time left for another attempt.
        Expired = "expired",
        /// 5xx.
        Failed = "failed",
        /// The upstream was not there to be asked.
        Unreached = "unreached",
    }
}

labels! {
    /// Which attempt it is.
    Attempt {
        /// The first one, as soon as the message was accepted.
        First = "first",
        /// A later one.
        Later = "later",
    }
}

labels! {
    /// What a report to a sender is about.
    ReportKind {
        /// Not delivered yet.
        Delayed = "delayed",
        /// Delivered, or passed on to where nobody sends reports.
        Delivered = "delivered",
        /// Given up.
        Failed = "failed",
    }
}

/// The families of the queue.
#[derive(Debug)]
pub(super) struct QueueFamilies {
    attempts: IntCounterVec,
    recipients: IntCounterVec,
    unreachable: IntGaugeVec,
    waiting: IntGaugeVec,
    /// Those without an upstream.
    own: OwnMetrics,
}

#[derive(Clone, Debug)]
struct OwnMetrics {
    held: IntGauge,
    reports: Vec<IntCounter>,
    unreported: IntCounter,
}

impl QueueFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let reports = counters(
            registry,
            "portcullis_queue_reports_total",
            "Reports to senders that were written",
            &["kind"],
        );
        let reports = ReportKind::ALL.iter().map(|kind| reports.with_label_values(&[kind.label()]));
        let held = IntGauge::new("portcullis_queue_held", "Messages that are kept back");
        let held = held.expect(UNIQUE);
        registry.register(Box::new(held.clone())).expect(UNIQUE);
        let unreported = IntCounter::new(
            "portcullis_queue_unreported_total",
            "Recipients that failed with no sender to be told: lost bounces",
        );
        let unreported = unreported.expect(UNIQUE);
        registry.register(Box::new(unreported.clone())).expect(UNIQUE);
        Self {
            attempts: counters(
                registry,
                "portcullis_queue_attempts_total",
                "Transactions with upstreams for messages of the spool",
                &["upstream", "attempt"],
            ),
            recipients: counters(
                registry,
                "portcullis_queue_recipients_total",
                "What became of recipients by those transactions; `unreached`: the upstream was \
                 not there to be asked",
                &["upstream", "result"],
            ),
            unreachable: gauges(
                registry,
                "portcullis_queue_unreachable",
                "1 while it cannot be reached, and one message after the other finds out whether \
                 it is back",
                &["upstream"],
            ),
            waiting: gauges(
                registry,
                "portcullis_queue_waiting",
                "Messages that wait for it and are not being tried",
                &["upstream"],
            ),
            own: OwnMetrics { held, reports: reports.collect(), unreported },
        }
    }

    pub(super) fn own(&self) -> QueueMetrics {
        QueueMetrics(self.own.clone())
    }

    pub(super) fn resolve(&self, upstream: &str) -> QueueUpstreamMetrics {
        QueueUpstreamMetrics {
            attempts: Each::new(&self.attempts, upstream),
            recipients: Each::new(&self.recipients, upstream),
            unreachable: self.unreachable.with_label_values(&[upstream]),
            waiting: self.waiting.with_label_values(&[upstream]),
        }
    }
}

/// The metrics of the queue as a whole.
#[derive(Debug)]
pub struct QueueMetrics(OwnMetrics);

impl QueueMetrics {
    /// So many messages are kept back.
    pub fn held(&self, messages: usize) {
        self.0.held.set(i64::try_from(messages).unwrap_or(i64::MAX));
    }

    /// A report was written.
    pub fn reported(&self, kind: ReportKind) {
        if let Some(counter) = self.0.reports.get(kind.position()) {
            counter.inc();
        }
    }

    /// A recipient failed, and there is no sender to be told.
    pub fn unreported(&self) {
        self.0.unreported.inc();
    }
}

/// What the queue does with one upstream, resolved once.
#[derive(Debug)]
pub struct QueueUpstreamMetrics {
    attempts: Each<Attempt, IntCounter>,
    recipients: Each<QueueResult, IntCounter>,
    unreachable: IntGauge,
    waiting: IntGauge,
}

impl QueueUpstreamMetrics {
    /// A transaction has ended.
    pub fn attempted(&self, attempt: Attempt) {
        self.attempts.inc(attempt);
    }

    /// What became of a recipient.
    pub fn recipient(&self, result: QueueResult) {
        self.recipients.inc(result);
    }

    /// How many messages wait, and whether they do because it cannot be reached.
    pub fn waits(&self, messages: usize, reachable: bool) {
        self.waiting.set(i64::try_from(messages).unwrap_or(i64::MAX));
        self.unreachable.set(i64::from(!reachable));
    }
}
