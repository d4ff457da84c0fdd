//! The `message` resource: what arrived, and edits of it.

use portcullis_smtp::parameter::value_of;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::transaction::EDIT_OCTETS;
use super::writer::{LineEnds, not_kept};
use super::{MessageHandle, Reader, Staged, Writer};
use crate::config::Grant;
use crate::message::{Content, ContentWriter, Edit, HeaderEdit, Message, Splice};
use crate::plugins::bindings::EditError;
use crate::plugins::bindings::types::{HostMessage, Part};
use crate::plugins::convert;
use crate::plugins::state::{Call, State};
use crate::policy::Hook;

impl HostMessage for State {
    fn size(&mut self, _: Resource<MessageHandle>) -> Result<u64> {
        Ok(self.call()?.message()?.octets())
    }

    fn header_section(&mut self, _: Resource<MessageHandle>) -> Result<Vec<u8>> {
        Ok(self.call()?.message()?.header.fields_as_bytes().to_vec())
    }

    fn header(&mut self, _: Resource<MessageHandle>, name: String) -> Result<Vec<Vec<u8>>> {
        Ok(self.call()?.message()?.header.values(&name).collect())
    }

    fn read_all(&mut self, _: Resource<MessageHandle>) -> Result<Resource<Reader>> {
        let reader = Reader::all(self.call()?.message()?);
        Ok(self.table.push(reader)?)
    }

    fn read_body(&mut self, _: Resource<MessageHandle>) -> Result<Resource<Reader>> {
        let reader = Reader::body(self.call()?.message()?);
        Ok(self.table.push(reader)?)
    }

    async fn parts(&mut self, _: Resource<MessageHandle>) -> Result<Vec<Part>> {
        let Some(message) = self.call()?.whole_message()? else { return Ok(Vec::new()) };
        let parts = message.parts(&self.facts.budget).await?;
        Ok((0..).zip(parts.iter()).map(|(index, part)| convert::part(index, part)).collect())
    }

    async fn read_part(
        &mut self,
        _: Resource<MessageHandle>,
        index: u32,
    ) -> Result<Option<Resource<Reader>>> {
        let Some(message) = self.call()?.whole_message()? else { return Ok(None) };
        let budget = &self.facts.budget;
        let Some(content) = message.parts(budget).await?.content(index, budget).await? else {
            return Ok(None);
        };
        Ok(Some(self.table.push(Reader::content(content))?))
    }

    fn add_header(
        &mut self,
        _: Resource<MessageHandle>,
        at: Option<u32>,
        name: String,
        value: Vec<u8>,
    ) -> Staged<()> {
        let fields = self.call()?.message()?.header.len();
        self.stage(Grant::RewriteHeaders, |_| {
            if at.is_some_and(|at| at as usize > fields) {
                return Err(EditError::OutOfRange);
            }
            HeaderEdit::validate(&name, &value).map_err(|_| EditError::Malformed)?;
            Ok((Edit::Header(HeaderEdit::Add { at, name, value }), ()))
        })
    }

    fn set_header(
        &mut self,
        _: Resource<MessageHandle>,
        name: String,
        nth: u32,
        value: Vec<u8>,
    ) -> Staged<()> {
        let count = self.call_mut()?.count(&name)?;
        self.stage(Grant::RewriteHeaders, |_| {
            HeaderEdit::validate(&name, &value).map_err(|_| EditError::Malformed)?;
            if nth as usize >= count {
                return Err(EditError::OutOfRange);
            }
            Ok((Edit::Header(HeaderEdit::Set { name, nth, value }), ()))
        })
    }

    fn drop_header(&mut self, _: Resource<MessageHandle>, name: String, nth: u32) -> Staged<()> {
        let count = self.call_mut()?.count(&name)?;
        self.stage(Grant::RewriteHeaders, |_| {
            if nth as usize >= count {
                return Err(EditError::OutOfRange);
            }
            Ok((Edit::Header(HeaderEdit::Drop { name, nth }), ()))
        })
    }

    fn replace_body(&mut self, _: Resource<MessageHandle>) -> Staged<Resource<Writer>> {
        if let Err(refused) = self.may_rewrite_body()? {
            return Ok(Err(refused));
        }
        let call = self.call()?;
        if call.splices().next().is_some() {
            return Ok(Err(EditError::OutOfRange));
        }
        let (room, binary) = (call.body_room()?, call.is_binary());
        let writer = Writer::new(self.facts.budget.clone(), self.calls, room, binary);
        Ok(Ok(self.table.push(writer)?))
    }

    async fn splice_body(
        &mut self,
        _: Resource<MessageHandle>,
        at: u64,
        length: u64,
        replacement: Vec<u8>,
    ) -> Staged<()> {
        if let Err(refused) = self.may_rewrite_body()? {
            return Ok(Err(refused));
        }
        let call = self.call()?;
        let lines = !call.is_binary();
        let replacement = if lines { LineEnds::of(&replacement) } else { replacement };
        let octets = replacement.len() as u64;
        if octets > EDIT_OCTETS as u64 || !call.may_splice(at, length, octets)? {
            return Ok(Err(EditError::OutOfRange));
        }
        let mut kept = ContentWriter::new(self.facts.budget.clone());
        if octets > 0
            && let Err(error) = kept.write(replacement).await
        {
            return Ok(Err(not_kept(&error)));
        }
        let replacement = match kept.finish().await {
            Ok(replacement) => replacement,
            Err(error) => return Ok(Err(not_kept(&error))),
        };
        self.stage(None, |_| Ok((Edit::SpliceBody(Splice { at, length, replacement, lines }), ())))
    }

    fn drop(&mut self, _: Resource<MessageHandle>) -> Result<()> {
        Ok(())
    }
}

impl State {
    fn may_rewrite_body(&self) -> Staged<()> {
        if !self.granted(Grant::RewriteBody) {
            return Ok(Err(EditError::Denied));
        }
        if self.call()?.given.hook != Hook::Message {
            return Ok(Err(EditError::TooLate));
        }
        Ok(Ok(()))
    }
}

impl Call {
    /// How large the body may be.
    fn body_room(&self) -> Result<u64> {
        Ok(self.given.message_octets.saturating_sub(self.message()?.header.octets()))
    }

    /// How many fields have this name. Counted once a call: of as many fields as a client may send, a
    /// plugin may drop one by one.
    fn count(&mut self, name: &str) -> Result<usize> {
        let known = self.counted.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some((_, count)) = known {
            return Ok(*count);
        }
        let count = self.message()?.header.count(name);
        if self.counted.len() < COUNTED && name.len() <= NAME_OCTETS {
            self.counted.push((name.to_owned(), count));
        }
        Ok(count)
    }

    /// Whether the body is not made of lines.
    fn is_binary(&self) -> bool {
        let parameters = self.given.envelope.iter().map(|envelope| &envelope.parameters);
        parameters.into_iter().any(|given| value_of(given, "BODY") == Some("BINARYMIME"))
    }

    pub(super) fn splices(&self) -> impl Iterator<Item = &Splice> {
        self.edits.iter().filter_map(|edit| match edit {
            Edit::SpliceBody(splice) => Some(splice),
            _ => None,
        })
    }

    /// Whether these octets of the body can be replaced by so many others.
    fn may_splice(&self, at: u64, length: u64, octets: u64) -> Result<bool> {
        let body = self.message()?.body.octets();
        let within = at.checked_add(length).is_some_and(|end| end <= body);
        let replaced = self.edits.iter().any(|edit| matches!(edit, Edit::ReplaceBody(_)));
        let replacement = Content::from_bytes(Vec::new());
        let wanted = Splice { at, length, replacement, lines: false };
        if !within || replaced || self.splices().any(|splice| splice.overlaps(&wanted)) {
            return Ok(false);
        }
        let all = self.splices().map(|splice| (splice.length, splice.replacement.octets()));
        let (cut, put) = all.fold((length, octets), |(cut, put), (length, octets)| {
            (cut + length, put.saturating_add(octets))
        });
        // A message that was taken may always become shorter.
        Ok(put <= cut || (body - cut).saturating_add(put) <= self.body_room()?)
    }

    /// The message, once it is complete.
    fn whole_message(&self) -> Result<Option<Message>> {
        let message = self.message()?;
        Ok((self.given.hook == Hook::Message).then(|| message.clone()))
    }

    fn message(&self) -> Result<&Message> {
        let message = self.given.message.as_ref();
        message.ok_or_else(|| wasmtime::Error::msg("there is no message yet"))
    }
}

/// Names of fields whose number is remembered in a call, and their length: a plugin asks for as many as it
/// likes.
const COUNTED: usize = 64;
const NAME_OCTETS: usize = 100;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message::{HeaderSection, SessionFacts};
    use crate::policy::HookCall;

    #[test]
    fn fields_are_counted_once_whatever_their_names() {
        let header = HeaderSection::parse(b"A: 1\r\nB: 2\r\na: 3\r\n\r\n".to_vec());
        let message = Message::new(header.into(), Content::from_bytes(Vec::new()));
        let session = SessionFacts::new("s1".into(), "mx", "192.0.2.1:4025".parse().unwrap());
        let mut call = Call::new(HookCall {
            hook: Hook::Message,
            session: session.into(),
            credentials: None,
            envelope: None,
            recipient: None,
            next_index: 0,
            message: Some(message),
            saved: None,
            notes: Arc::default(),
            message_octets: 0,
            findings: Arc::default(),
            upstreams: None,
        });
        assert_eq!(["A", "a", "b", "c"].map(|name| call.count(name).unwrap()), [2, 2, 1, 0]);
        assert_eq!(call.counted.len(), 3);
        for number in 0..1000 {
            assert_eq!(call.count(&format!("{number}")).unwrap(), 0);
        }
        assert_eq!(call.count(&"x".repeat(10_000)).unwrap(), 0);
        assert_eq!(call.counted.len(), COUNTED);
    }
}
