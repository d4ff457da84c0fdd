//! The `message` resource: what arrived, and edits of it.

use portcullis_smtp::parameter::value_of;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::{MessageHandle, Reader, Staged, Writer};
use crate::config::Grant;
use crate::message::{Edit, Envelope, HeaderEdit, Message};
use crate::plugins::bindings::EditError;
use crate::plugins::bindings::types::{HostMessage, Part};
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
        Ok(Vec::new())
    }

    async fn read_part(
        &mut self,
        _: Resource<MessageHandle>,
        _index: u32,
    ) -> Result<Option<Resource<Reader>>> {
        Ok(None)
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
        let count = self.call()?.message()?.header.count(&name);
        self.stage(Grant::RewriteHeaders, |_| {
            HeaderEdit::validate(&name, &value).map_err(|_| EditError::Malformed)?;
            if nth as usize >= count {
                return Err(EditError::OutOfRange);
            }
            Ok((Edit::Header(HeaderEdit::Set { name, nth, value }), ()))
        })
    }

    fn drop_header(&mut self, _: Resource<MessageHandle>, name: String, nth: u32) -> Staged<()> {
        let count = self.call()?.message()?.header.count(&name);
        self.stage(Grant::RewriteHeaders, |_| {
            if nth as usize >= count {
                return Err(EditError::OutOfRange);
            }
            Ok((Edit::Header(HeaderEdit::Drop { name, nth }), ()))
        })
    }

    fn replace_body(&mut self, _: Resource<MessageHandle>) -> Staged<Resource<Writer>> {
        if !self.granted(Grant::RewriteBody) {
            return Ok(Err(EditError::Denied));
        }
        let call = self.call()?;
        if call.given.hook != Hook::Message {
            return Ok(Err(EditError::TooLate));
        }
        let room = call.given.message_octets.saturating_sub(call.message()?.header.octets());
        let body =
            |envelope: &Envelope| value_of(&envelope.parameters, "BODY") == Some("BINARYMIME");
        let binary = call.given.envelope.as_deref().is_some_and(body);
        let writer = Writer::new(self.facts.budget.clone(), self.calls, room, binary);
        Ok(Ok(self.table.push(writer)?))
    }

    fn splice_body(
        &mut self,
        _: Resource<MessageHandle>,
        _at: u64,
        _length: u64,
        _replacement: Vec<u8>,
    ) -> Staged<()> {
        Ok(Err(EditError::Denied))
    }

    fn drop(&mut self, _: Resource<MessageHandle>) -> Result<()> {
        Ok(())
    }
}

impl Call {
    fn message(&self) -> Result<&Message> {
        let message = self.given.message.as_ref();
        message.ok_or_else(|| wasmtime::Error::msg("there is no message yet"))
    }
}
