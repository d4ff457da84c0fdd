//! What becomes of recipients, for the record.

use portcullis_smtp::{Parameter, Reply};

use super::super::record::words;
use super::Transaction;
use crate::message::Recipient;
use crate::routing::{Asked, Way};
use crate::telemetry::{RecipientRecord, RouteRecord};

/// A recipient as the client named it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a> {
    pub(super) address: &'a str,
    pub(super) parameters: &'a [Parameter],
}

impl Transaction {
    /// What became of a recipient that was accepted; no reply where it got none of its own.
    pub(super) fn note(
        &mut self,
        recipient: &Recipient,
        upstream: Option<&str>,
        reply: Option<&Reply>,
    ) {
        let now = recipient.address.as_str();
        let said = self.record.name_of(recipient.index).unwrap_or(now);
        let told = RecipientRecord {
            address: said.to_owned(),
            changed_to: (said != now).then(|| now.to_owned()),
            parameters: words(&recipient.parameters),
            upstream: upstream.map(str::to_owned),
            route: upstream.and_then(|upstream| self.route_of(recipient, upstream)),
            refused_by: None,
            reply: reply.map(ToString::to_string),
        };
        self.record.recipient(told);
    }

    /// A recipient that the client was told of at RCPT, and who said so: an upstream or a plugin.
    pub(super) fn note_at_rcpt(
        &mut self,
        named: Named<'_>,
        upstream: Option<&str>,
        plugin: Option<&str>,
        reply: Option<&Reply>,
    ) {
        self.record.recipient(RecipientRecord {
            address: named.address.to_owned(),
            parameters: words(named.parameters),
            upstream: upstream.map(str::to_owned),
            refused_by: plugin.map(str::to_owned),
            reply: reply.map(ToString::to_string),
            ..RecipientRecord::default()
        });
    }

    /// Recipients that were accepted and got no answer after that.
    pub(super) fn note_waiting(&mut self) {
        if self.record.is_settled() {
            return;
        }
        let Some(envelope) = self.case.envelope.clone() else { return };
        for recipient in &envelope.recipients {
            let way = self.way_of(recipient);
            let upstream = way.map(|way| way.upstream.to_owned());
            self.note(recipient, upstream.as_deref(), None);
        }
    }

    /// Where the routes lead a recipient.
    pub(super) fn way_of<'a>(&'a self, recipient: &'a Recipient) -> Option<Way<'a>> {
        let session = &self.case.session;
        let envelope = self.case.envelope.as_ref()?;
        self.routes.way(&Asked {
            recipient,
            sender: &envelope.reverse_path,
            listener: &self.house.listener,
            listener_upstream: self.house.upstream.as_deref(),
            client: session.client.ip(),
            user: session.user.as_deref(),
        })
    }

    fn route_of(&self, recipient: &Recipient, upstream: &str) -> Option<RouteRecord> {
        match self.way_of(recipient) {
            Some(way) if way.upstream == upstream => Some(way.by.into()),
            _ => {
                let quarantine = self.house.quarantine.as_deref() == Some(upstream);
                quarantine.then_some(RouteRecord::Quarantine)
            }
        }
    }
}
