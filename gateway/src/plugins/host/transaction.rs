//! The `transaction` resource: the envelope, and edits of it.

use std::collections::HashSet;

use portcullis_smtp::{Mailbox, ReversePath};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::{Staged, TransactionHandle};
use crate::config::Grant;
use crate::message::{Edit, Envelope, HeaderEdit, Recipient, Score, ScoreError};
use crate::plugins::bindings::types::{self, HostTransaction};
use crate::plugins::bindings::{EditError, Reply};
use crate::plugins::convert;
use crate::plugins::state::{Call, State};
use crate::policy::Hook;

impl HostTransaction for State {
    fn id(&mut self, _: Resource<TransactionHandle>) -> Result<String> {
        Ok(self.call()?.envelope()?.id.clone())
    }

    fn sender(&mut self, _: Resource<TransactionHandle>) -> Result<Option<String>> {
        Ok(self.call()?.envelope()?.reverse_path.mailbox().map(ToString::to_string))
    }

    fn parameters(&mut self, _: Resource<TransactionHandle>) -> Result<Vec<types::Parameter>> {
        Ok(convert::parameters(&self.call()?.envelope()?.parameters))
    }

    fn recipients(&mut self, _: Resource<TransactionHandle>) -> Result<Vec<types::Recipient>> {
        Ok(self.call()?.envelope()?.recipients.iter().map(convert::recipient).collect())
    }

    fn set_sender(
        &mut self,
        _: Resource<TransactionHandle>,
        address: Option<String>,
    ) -> Staged<()> {
        self.stage(Grant::RewriteEnvelope, |_| {
            let path = match address {
                Some(address) => ReversePath::Mailbox(mailbox(&address)?),
                None => ReversePath::Null,
            };
            Ok((Edit::SetSender(path), ()))
        })
    }

    fn add_recipient(&mut self, _: Resource<TransactionHandle>, address: String) -> Staged<u32> {
        self.stage(Grant::RewriteEnvelope, |call| {
            if call.given.hook < Hook::Data {
                return Err(EditError::TooLate);
            }
            let address = mailbox(&address)?;
            let index = call.next_index;
            call.next_index = index.checked_add(1).ok_or(EditError::OutOfRange)?;
            let recipient = Recipient { index, address, parameters: Vec::new(), route: None };
            Ok((Edit::AddRecipient(recipient), index))
        })
    }

    fn set_recipient(
        &mut self,
        _: Resource<TransactionHandle>,
        index: u32,
        address: String,
    ) -> Staged<()> {
        self.stage(Grant::RewriteEnvelope, |call| {
            call.known(index)?;
            Ok((Edit::SetRecipient(index, mailbox(&address)?), ()))
        })
    }

    fn drop_recipient(&mut self, _: Resource<TransactionHandle>, index: u32) -> Staged<()> {
        self.stage(Grant::RewriteEnvelope, |call| {
            call.known(index)?;
            Ok((Edit::DropRecipient(index), ()))
        })
    }

    fn refuse_recipient(
        &mut self,
        _: Resource<TransactionHandle>,
        index: u32,
        answer: Reply,
    ) -> Staged<()> {
        self.stage(None, |call| {
            if call.given.hook < Hook::Headers {
                return Err(EditError::TooLate);
            }
            call.known(index)?;
            let reply = convert::reply(&answer).map_err(|_| EditError::Malformed)?;
            if reply.is_positive() {
                return Err(EditError::Malformed);
            }
            Ok((Edit::RefuseRecipient(index, reply), ()))
        })
    }

    fn route(
        &mut self,
        _: Resource<TransactionHandle>,
        upstream: String,
        index: Option<u32>,
    ) -> Staged<()> {
        let exists = self.facts.upstreams.contains(&upstream);
        self.stage(Grant::Route, |call| {
            // At MAIL there is nobody yet who could be sent anywhere.
            if call.given.hook < Hook::Rcpt {
                return Err(EditError::TooLate);
            }
            if !exists {
                return Err(EditError::OutOfRange);
            }
            if let Some(index) = index {
                call.known(index)?;
            }
            Ok((Edit::Route { upstream, index }, ()))
        })
    }

    fn score(&mut self, _: Resource<TransactionHandle>, symbol: String, points: f64) -> Staged<()> {
        self.call()?.envelope()?;
        let facts = self.facts.clone();
        self.stage(None, |call| {
            let score = Score::new(&facts.name, &symbol, points).map_err(|error| match error {
                ScoreError::Symbol | ScoreError::NotFinite => EditError::Malformed,
                ScoreError::TooMany => EditError::OutOfRange,
            })?;
            call.edits
                .retain(|edit| !matches!(edit, Edit::Score(staged) if staged.symbol == symbol));
            if call.symbols(&facts.name, &symbol) >= SYMBOLS {
                return Err(EditError::OutOfRange);
            }
            Ok((Edit::Score(score), ()))
        })
    }

    fn scores(&mut self, _: Resource<TransactionHandle>) -> Result<Vec<(String, f64)>> {
        let scores = self.call()?.envelope()?.scores.iter();
        Ok(scores.map(|score| (score.symbol.clone(), score.points.get())).collect())
    }

    fn drop(&mut self, _: Resource<TransactionHandle>) -> Result<()> {
        Ok(())
    }
}

impl State {
    /// Stages what `edit` makes, if the plugin has the grant and has not staged too much.
    pub(super) fn stage<T>(
        &mut self,
        grant: impl Into<Option<Grant>>,
        edit: impl FnOnce(&mut Call) -> Result<(Edit, T), EditError>,
    ) -> Staged<T> {
        if grant.into().is_some_and(|grant| !self.granted(grant)) {
            return Ok(Err(EditError::Denied));
        }
        let call = self.call_mut()?;
        if call.edits.len() >= EDITS {
            return Ok(Err(EditError::OutOfRange));
        }
        Ok(edit(call).and_then(|(edit, answer)| {
            call.staged += octets(&edit);
            if call.staged > EDIT_OCTETS {
                return Err(EditError::OutOfRange);
            }
            call.edits.push(edit);
            Ok(answer)
        }))
    }
}

impl Call {
    fn envelope(&self) -> Result<&Envelope> {
        let envelope = self.given.envelope.as_deref();
        envelope.ok_or_else(|| wasmtime::Error::msg("there is no transaction yet"))
    }

    /// How many symbols a plugin has scored besides this one.
    fn symbols(&self, plugin: &str, symbol: &str) -> usize {
        let before = self.given.envelope.iter().flat_map(|of| of.scores.symbols_of(plugin));
        let staged = self.edits.iter().filter_map(|edit| match edit {
            Edit::Score(score) => Some(&*score.symbol),
            _ => None,
        });
        before.chain(staged).filter(|other| *other != symbol).collect::<HashSet<_>>().len()
    }

    /// Whether an edit may name this recipient: accepted, judged now, or added in this call.
    fn known(&self, index: u32) -> Result<(), EditError> {
        let accepted = self.given.envelope.iter().flat_map(|envelope| &envelope.recipients);
        let added = self.edits.iter().filter_map(|edit| match edit {
            Edit::AddRecipient(recipient) => Some(recipient),
            _ => None,
        });
        let mut all = accepted.chain(&self.given.recipient).chain(added);
        all.any(|recipient| recipient.index == index).then_some(()).ok_or(EditError::OutOfRange)
    }
}

fn mailbox(address: &str) -> Result<Mailbox, EditError> {
    Mailbox::parse(address).ok_or(EditError::Malformed)
}

/// What an edit takes in memory. A body counts against the budget of all content.
fn octets(edit: &Edit) -> usize {
    match edit {
        Edit::AddRecipient(recipient) => recipient.address.as_str().len(),
        Edit::Delay(_) | Edit::DropRecipient(_) | Edit::ReplaceBody(_) => 0,
        Edit::Score(score) => score.symbol.len(),
        Edit::SpliceBody(splice) => splice.replacement.octets() as usize,
        Edit::Header(HeaderEdit::Add { name, value, .. } | HeaderEdit::Set { name, value, .. }) => {
            name.len() + value.len()
        }
        Edit::Header(HeaderEdit::Drop { name, .. }) => name.len(),
        Edit::RefuseRecipient(_, reply) => reply.lines().iter().map(String::len).sum(),
        Edit::Route { upstream, .. } => upstream.len(),
        Edit::SetRecipient(_, address) => address.as_str().len(),
        Edit::SetSender(path) => path.mailbox().map_or(0, |mailbox| mailbox.as_str().len()),
    }
}

/// Edits of one call: as many as a message has recipients, and then some.
const EDITS: usize = 1_000;

/// Symbols of one plugin in one transaction: more than large rule sets find in one message.
const SYMBOLS: usize = 100;

/// What they take together: as much as a large header section.
pub(super) const EDIT_OCTETS: usize = 1 << 20;
