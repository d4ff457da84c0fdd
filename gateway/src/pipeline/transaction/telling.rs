//! What is told of a transaction to plugins that listen.

use portcullis_smtp::Reply;

use super::Transaction;
use crate::policy::{Event, Stage};

impl Transaction {
    /// What the client was told of a recipient; without a reply it was a yes.
    pub(super) fn tell_rcpt(&self, recipient: &str, by: Option<&str>, reply: Option<&Reply>) {
        self.tell(Stage::Rcpt, Some(recipient), by, reply);
    }

    /// What an upstream said of a recipient at the end.
    pub(super) fn tell_delivery(&self, recipient: &str, upstream: &str, reply: &Reply) {
        self.tell(Stage::Delivery, Some(recipient), Some(upstream), Some(reply));
    }

    /// What the client was told of the whole message.
    pub(in crate::pipeline) fn tell_message(&self, reply: &Reply) {
        self.tell(Stage::Message, None, self.record.decider(), Some(reply));
    }

    fn tell(&self, stage: Stage, recipient: Option<&str>, by: Option<&str>, reply: Option<&Reply>) {
        self.house.chain.tell(|| {
            let event = Event {
                recipient: recipient.map(str::to_owned),
                by: by.map(str::to_owned),
                ..Event::new(stage, &self.case.session, self.case.envelope.as_deref())
            };
            match reply {
                Some(reply) => event.said(reply),
                None => event,
            }
        });
    }
}
