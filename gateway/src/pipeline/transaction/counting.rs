//! What is counted of a transaction, beside its outcome.

use std::time::Instant;

use portcullis_smtp::Reply;

use super::Transaction;
use crate::metrics::{RefusedAt, RefusedBy};

/// What the metrics need and nobody else remembers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    begun: Instant,
    /// An upstream refused a recipient when it had the message, or could not be asked.
    refused_by_upstream: bool,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), refused_by_upstream: false }
    }

    /// What an upstream said of one recipient at the end.
    pub(super) fn delivered(&mut self, reply: &Reply) {
        self.refused_by_upstream |= !reply.is_positive();
    }
}

impl Transaction {
    /// A recipient is somebody's to whom mail can go.
    pub(super) fn count_recipient(&self) {
        self.house.metrics.recipient(250);
    }

    /// A recipient is refused.
    pub(super) fn count_refused_recipient(&self, by: RefusedBy, reply: &Reply) {
        self.house.metrics.recipient(reply.code());
        self.house.metrics.refused(RefusedAt::Rcpt, by, reply.code());
    }

    /// The client got its answer for the whole message, or for DATA.
    pub(in crate::pipeline) fn count_answer(&self, reply: &Reply) {
        if reply.is_positive() {
            return;
        }
        let by = match self.record.decider() {
            _ if self.counts.refused_by_upstream => RefusedBy::Upstream,
            Some(_) => RefusedBy::Plugin,
            None => RefusedBy::Gateway,
        };
        self.house.metrics.refused(RefusedAt::Message, by, reply.code());
    }

    /// It has ended.
    pub(super) fn count_end(&self) {
        self.house.metrics.transaction_lasted(self.counts.begun.elapsed());
        if self.complete {
            let recipients = self.case.envelope.as_ref().map_or(0, |it| it.recipients.len());
            self.house.metrics.message_recipients(recipients);
            self.house.metrics.message_octets(self.record.octets);
        }
    }
}
