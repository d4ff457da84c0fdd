//! The `session` resource.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::{SessionHandle, Staged};
use crate::plugins::bindings::EditError;
use crate::plugins::bindings::types::{Host, HostSession, TlsInfo};
use crate::plugins::state::State;

impl Host for State {}

impl HostSession for State {
    fn id(&mut self, _: Resource<SessionHandle>) -> Result<String> {
        Ok(self.call()?.given.session.id.clone())
    }

    fn listener(&mut self, _: Resource<SessionHandle>) -> Result<String> {
        Ok(self.call()?.given.session.listener.clone())
    }

    fn client_address(&mut self, _: Resource<SessionHandle>) -> Result<String> {
        // A v4 address that came in over a v6 socket is still the v4 address that lists name.
        Ok(self.call()?.given.session.client.ip().to_canonical().to_string())
    }

    fn client_port(&mut self, _: Resource<SessionHandle>) -> Result<u16> {
        Ok(self.call()?.given.session.client.port())
    }

    fn helo(&mut self, _: Resource<SessionHandle>) -> Result<Option<String>> {
        Ok(self.call()?.given.session.helo.clone())
    }

    fn esmtp(&mut self, _: Resource<SessionHandle>) -> Result<bool> {
        Ok(self.call()?.given.session.esmtp)
    }

    fn tls(&mut self, _: Resource<SessionHandle>) -> Result<Option<TlsInfo>> {
        Ok(self.call()?.given.session.tls.clone().map(|tls| TlsInfo {
            version: tls.version,
            cipher: tls.cipher,
            server_name: tls.server_name,
        }))
    }

    fn load(&mut self, _: Resource<SessionHandle>) -> Result<Option<Vec<u8>>> {
        let call = self.call()?;
        Ok(call.saved.clone().or_else(|| call.given.saved.as_deref().cloned()))
    }

    fn save(&mut self, _: Resource<SessionHandle>, state: Vec<u8>) -> Staged<()> {
        if state.len() > SAVED_OCTETS {
            return Ok(Err(EditError::OutOfRange));
        }
        self.call_mut()?.saved = Some(state);
        Ok(Ok(()))
    }

    fn note(&mut self, _: Resource<SessionHandle>, name: String) -> Result<Option<String>> {
        let call = self.call()?;
        let own = name.strip_prefix(&self.facts.name).and_then(|rest| rest.strip_prefix('.'));
        let new = own.and_then(|key| call.notes.iter().find(|(known, _)| known == key));
        let note = new.map(|(_, value)| value).or_else(|| call.given.notes.get(&name));
        Ok(note.cloned())
    }

    fn set_note(&mut self, _: Resource<SessionHandle>, key: String, value: String) -> Staged<()> {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Err(EditError::Malformed));
        }
        let name = format!("{}.{key}", self.facts.name);
        let call = self.call_mut()?;
        let staged = call.notes.iter().position(|(known, _)| *known == key);
        let others = call.notes.iter().filter(|(known, _)| *known != key);
        let plugin = name.len() - key.len();
        let new = others
            .filter(|(known, _)| {
                !call.given.notes.contains_key(&format!("{}{known}", &name[..plugin]))
            })
            .count();
        let known = usize::from(call.given.notes.contains_key(&name));
        let notes = call.given.notes.len() + new + 1 - known;
        if key.len() + value.len() > NOTE_OCTETS || notes > NOTES {
            return Ok(Err(EditError::OutOfRange));
        }
        match staged {
            Some(at) => call.notes[at].1 = value,
            None => call.notes.push((key, value)),
        }
        Ok(Ok(()))
    }

    fn drop(&mut self, _: Resource<SessionHandle>) -> Result<()> {
        Ok(())
    }
}

/// State that a plugin may keep for a session: enough for counters and names, and 1,000 sessions
/// still take no more than 64 MiB.
const SAVED_OCTETS: usize = 64 << 10;

/// Notes of a session, those of all plugins together.
const NOTES: usize = 64;

/// Key and value of one note.
const NOTE_OCTETS: usize = 1 << 10;
