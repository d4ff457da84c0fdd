//! The `session` resource.

use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::Resource;

use super::{SessionHandle, Staged};
use crate::message::Edit;
use crate::plugins::bindings::EditError;
use crate::plugins::bindings::types::{self, Host, HostSession, TlsInfo};
use crate::plugins::convert;
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
        Ok(self.call()?.given.session.client.host())
    }

    fn client_port(&mut self, _: Resource<SessionHandle>) -> Result<u16> {
        Ok(self.call()?.given.session.client.port().unwrap_or_default())
    }

    fn client_name(&mut self, _: Resource<SessionHandle>) -> Result<Option<String>> {
        Ok(self.call()?.given.session.client_name.clone())
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
            client_subject: tls.client_subject,
        }))
    }

    fn tls_at_proxy(&mut self, _: Resource<SessionHandle>) -> Result<bool> {
        Ok(self.call()?.given.session.tls.as_ref().is_some_and(|tls| tls.at_proxy))
    }

    fn user(&mut self, _: Resource<SessionHandle>) -> Result<Option<String>> {
        Ok(self.call()?.given.session.user.clone())
    }

    fn mechanism(&mut self, _: Resource<SessionHandle>) -> Result<Option<String>> {
        Ok(self.call()?.given.session.mechanism.clone())
    }

    fn forwarded(&mut self, _: Resource<SessionHandle>) -> Result<Option<types::Forwarded>> {
        Ok(self.call()?.given.session.forwarded.as_deref().map(convert::forwarded))
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
        let own = format!("{}.", self.facts.name);
        let call = self.call_mut()?;
        let is_new = |key: &str| !call.given.notes.contains_key(&format!("{own}{key}"));
        let staged = call.notes.iter().position(|(known, _)| *known == key);
        let new = call.notes.iter().filter(|(known, _)| is_new(known)).count();
        let more = usize::from(staged.is_none() && is_new(&key));
        let notes = call.given.notes.len() + new + more;
        if key.len() + value.len() > NOTE_OCTETS || notes > NOTES {
            return Ok(Err(EditError::OutOfRange));
        }
        match staged {
            Some(at) => call.notes[at].1 = value,
            None => call.notes.push((key, value)),
        }
        Ok(Ok(()))
    }

    fn conduct(&mut self, _: Resource<SessionHandle>) -> Result<Vec<(String, u32)>> {
        let conduct = self.call()?.given.session.conduct.iter();
        Ok(conduct.map(|(lapse, count)| (lapse.label().to_owned(), count)).collect())
    }

    fn delay(&mut self, _: Resource<SessionHandle>, milliseconds: u32) -> Staged<()> {
        let wanted = Duration::from_millis(milliseconds.into());
        if wanted > LONGEST_DELAY {
            return Ok(Err(EditError::OutOfRange));
        }
        self.stage(None, |call| {
            let mut longest = wanted;
            call.edits.retain(|edit| match edit {
                Edit::Delay(staged) => {
                    longest = longest.max(*staged);
                    false
                }
                _ => true,
            });
            Ok((Edit::Delay(longest), ()))
        })
    }

    fn drop(&mut self, _: Resource<SessionHandle>) -> Result<()> {
        Ok(())
    }
}

/// State that a plugin may keep for a session: enough for counters and names, and 1,000 sessions
/// still take no more than 64 MiB.
const SAVED_OCTETS: usize = 64 << 10;

/// How long one reply may be held back: a fifth of what a client waits for it (RFC 5321 section
/// 4.5.3.2).
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Notes of a session, those of all plugins together.
const NOTES: usize = 64;

/// Key and value of one note.
const NOTE_OCTETS: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Instant;

    use portcullis_smtp::server::Lapse;

    use super::*;
    use crate::message::{Budget, SessionFacts};
    use crate::metrics::{Metrics, Names};
    use crate::plugins::Services;
    use crate::plugins::state::{Call, Facts};
    use crate::policy::{Hook, HookCall};

    fn call(notes: BTreeMap<String, String>) -> Call {
        let session = SessionFacts::new("s1".into(), "mx", "192.0.2.1:4025".parse().unwrap());
        Call::new(HookCall {
            hook: Hook::Connect,
            session: session.into(),
            credentials: None,
            envelope: None,
            recipient: None,
            next_index: 0,
            message: None,
            saved: None,
            notes: notes.into(),
            message_octets: 0,
            findings: Arc::default(),
            upstreams: None,
        })
    }

    fn state(given: Call) -> wasmtime::Store<State> {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let engine = wasmtime::Engine::new(&config).unwrap();
        let metrics = Metrics::new(&Names::default());
        let facts = Facts {
            name: "me".into(),
            grants: Vec::new(),
            upstreams: Arc::default(),
            stores: BTreeMap::new(),
            origins: Arc::default(),
            asks: Arc::default(),
            streams: Arc::default(),
            memory_limit: 0,
            budget: Budget::new(0, 0, 0, std::env::temp_dir()),
            metrics: metrics.plugin("me"),
            services: Services::nowhere(&metrics).unwrap(),
        };
        let mut store = State::store(&engine, facts.into(), Instant::now());
        store.data_mut().call = Some(given);
        store
    }

    #[test]
    fn the_longest_delay_counts_and_there_is_an_end_to_it() {
        let mut store = state(call(BTreeMap::new()));
        let state = store.data_mut();
        for (milliseconds, allowed) in [(500, true), (2_000, true), (60_001, false), (0, true)] {
            assert_eq!(state.delay(handle(), milliseconds).unwrap().is_ok(), allowed);
        }
        let edits = &state.call.as_ref().unwrap().edits;
        let [Edit::Delay(delay)] = &edits[..] else { panic!("{edits:?}") };
        assert_eq!(*delay, Duration::from_secs(2));
    }

    #[test]
    fn conduct_is_what_the_client_has_done_and_no_more() {
        let mut given = call(BTreeMap::new());
        let mut store = state(Call::new(given.given.clone()));
        assert_eq!(store.data_mut().conduct(handle()).unwrap(), []);
        let session = Arc::make_mut(&mut given.given.session);
        session.conduct.set(Lapse::EarlyTalker, 1);
        session.conduct.set(Lapse::UnknownCommand, 3);
        store.data_mut().call = Some(given);
        let told = [("early-talker".to_owned(), 1), ("unknown-commands".to_owned(), 3)];
        assert_eq!(store.data_mut().conduct(handle()).unwrap(), told);
    }

    fn handle() -> Resource<SessionHandle> {
        Resource::new_borrow(0)
    }

    #[test]
    fn notes_are_bounded_for_the_session_and_may_be_replaced() {
        let mut notes: BTreeMap<_, _> =
            (0..NOTES - 2).map(|n| (format!("other.{n}"), String::new())).collect();
        notes.insert("me.old".into(), "old".into());
        let mut store = state(call(notes));
        let state = store.data_mut();
        let mut set = |key: &str, value: &str| {
            state.set_note(handle(), key.into(), value.into()).unwrap().is_ok()
        };
        assert!(set("old", "new"), "replaces one of an earlier call");
        assert!(set("first", "1"), "the last one");
        assert!(set("first", "2"), "replaces one of this call");
        assert!(!set("second", "1"), "one too many");
        assert!(!set("old", &"x".repeat(NOTE_OCTETS)), "too large");
        assert!(!set("two words", "x") && !set("", "x"));
        let mut note = |name: &str| state.note(handle(), name.into()).unwrap();
        assert_eq!(note("me.old").as_deref(), Some("new"));
        assert_eq!(note("me.first").as_deref(), Some("2"));
        assert_eq!(note("other.0").as_deref(), Some(""));
        assert_eq!(note("first"), None);
    }
}
