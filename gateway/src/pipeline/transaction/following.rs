//! What a transaction shows of itself to those who follow it.

use std::time::Duration;

use portcullis_smtp::Reply;

use super::super::following::show;
use super::Transaction;
use crate::live::What;

impl Transaction {
    /// What plugins have said since the last time.
    pub(super) fn show_calls(&mut self) {
        let new = self.case.calls.after_the_first(self.calls_shown);
        new.iter().for_each(|call| show(&self.presence, call));
        self.calls_shown += new.len();
    }

    /// What an upstream said of a recipient; without a reply it was a yes.
    pub(super) fn show_upstream(
        &self,
        upstream: &str,
        recipient: &str,
        reply: Option<&Reply>,
        took: Option<Duration>,
    ) {
        self.presence.step(|| What::Upstream {
            upstream: upstream.to_owned(),
            recipient: recipient.to_owned(),
            text: reply.map_or_else(|| "accepted".to_owned(), ToString::to_string),
            seconds: took.map(|took| took.as_secs_f64()),
        });
    }
}
