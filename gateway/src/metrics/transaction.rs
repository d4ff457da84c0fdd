//! What happens in transactions, beside how they end.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::family::{NETWORK_SECONDS, RECIPIENTS, counters, histogram, histograms};
use super::label::{Each, Label, labels};
use super::listener::ListenerMetrics;

labels! {
    /// What a client was told of a recipient, at RCPT.
    RecipientResult {
        /// 2xx.
        Accepted = "accepted",
        /// 4xx.
        Deferred = "deferred",
        /// 5xx.
        Rejected = "rejected",
    }
}

labels! {
    /// What was refused.
    RefusedAt {
        /// A client.
        Connect = "connect",
        /// A name.
        Helo = "helo",
        /// A sender.
        Mail = "mail",
        /// A message, or DATA.
        Message = "message",
        /// A recipient.
        Rcpt = "rcpt",
    }
}

labels! {
    /// Who refused it.
    RefusedBy {
        /// Its routes, bounds and room.
        Gateway = "gateway",
        /// A plugin, its failure, or the score that plugins gave.
        Plugin = "plugin",
        /// An upstream, or that it could not be reached.
        Upstream = "upstream",
    }
}

labels! {
    /// For how long.
    RefusedFor {
        /// 4xx.
        Now = "deferred",
        /// 5xx.
        Good = "rejected",
    }
}

/// The families of transactions.
#[derive(Debug)]
pub(super) struct TransactionFamilies {
    recipients: IntCounterVec,
    recipients_each: Histogram,
    refusals: Vec<IntCounter>,
    seconds: HistogramVec,
}

impl TransactionFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let refusals = counters(
            registry,
            "portcullis_refusals_total",
            "What policy refused, logins aside, and who did: the gateway for its routes, bounds and room, a plugin \
             (also one that failed, and scores), an upstream (also one that could not be reached). \
             What the session itself refuses is in `portcullis_replies_total` and \
             `portcullis_limit_reached_total`",
            &["stage", "by", "result"],
        );
        Self {
            recipients: counters(
                registry,
                "portcullis_recipients_total",
                "Recipients that were judged, by what was answered to RCPT",
                &["listener", "result"],
            ),
            recipients_each: histogram(
                registry,
                "portcullis_message_recipients",
                "Recipients of complete messages, as plugins left them",
                RECIPIENTS,
            ),
            refusals: cells().map(|cell| refusals.with_label_values(&cell)).collect(),
            seconds: histograms(
                registry,
                "portcullis_transaction_duration_seconds",
                "How long transactions lasted, from MAIL to the outcome; with the time that the client \
                 took",
                &["listener"],
                NETWORK_SECONDS,
            ),
        }
    }

    pub(super) fn resolve(&self, listener: &str) -> TransactionMetrics {
        TransactionMetrics {
            recipients: Each::new(&self.recipients, listener),
            recipients_each: self.recipients_each.clone(),
            refusals: self.refusals.clone(),
            seconds: self.seconds.with_label_values(&[listener]),
        }
    }
}

/// All labels of refusals, in the order of [`cell`].
fn cells() -> impl Iterator<Item = [&'static str; 3]> {
    RefusedAt::ALL.iter().flat_map(|at| {
        RefusedBy::ALL.iter().flat_map(move |by| {
            RefusedFor::ALL.iter().map(move |how| [at.label(), by.label(), how.label()])
        })
    })
}

fn cell(at: RefusedAt, by: RefusedBy, how: RefusedFor) -> usize {
    let row = at.position() * RefusedBy::ALL.len() + by.position();
    row * RefusedFor::ALL.len() + how.position()
}

/// The transactions of one listener.
#[derive(Debug)]
pub(super) struct TransactionMetrics {
    recipients: Each<RecipientResult, IntCounter>,
    recipients_each: Histogram,
    refusals: Vec<IntCounter>,
    seconds: Histogram,
}

impl ListenerMetrics {
    /// A recipient was judged, and this is the code of what the client was told.
    pub fn recipient(&self, code: u16) {
        self.transaction.recipients.inc(match code {
            ..400 => RecipientResult::Accepted,
            400..500 => RecipientResult::Deferred,
            500.. => RecipientResult::Rejected,
        });
    }

    /// Policy refused something with this code.
    pub fn refused(&self, at: RefusedAt, by: RefusedBy, code: u16) {
        let how = if code < 500 { RefusedFor::Now } else { RefusedFor::Good };
        if let Some(counter) = self.transaction.refusals.get(cell(at, by, how)) {
            counter.inc();
        }
    }

    /// A transaction lasted so long.
    pub fn transaction_lasted(&self, duration: Duration) {
        self.transaction.seconds.observe(duration.as_secs_f64());
    }

    /// A complete message has so many recipients.
    pub fn message_recipients(&self, count: usize) {
        self.transaction.recipients_each.observe(count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_counter_of_its_own() {
        let labels: Vec<_> = cells().collect();
        for at in RefusedAt::ALL {
            for by in RefusedBy::ALL {
                for how in RefusedFor::ALL {
                    let own = [at.label(), by.label(), how.label()];
                    assert_eq!(labels[cell(*at, *by, *how)], own);
                }
            }
        }
    }
}
