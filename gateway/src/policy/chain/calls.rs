//! What plugins said, for records: each call, and an end to them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Answer, Case, Hook, HookFailure, Opinion};
use crate::telemetry::CallRecord;

/// What plugins said in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    before: SessionCalls,
    told: Vec<CallRecord>,
    left_out: u64,
}

/// What they said of a session before there was one. Of an idle connection that nobody was asked
/// about, it is a pointer.
#[derive(Clone, Debug, Default)]
pub struct SessionCalls(Option<Arc<Vec<CallRecord>>>);

impl Calls {
    /// None yet, but those of the session.
    #[must_use]
    pub fn after(before: SessionCalls) -> Self {
        Self { before, ..Self::default() }
    }

    /// Those of the session, and then those of the transaction.
    pub fn iter(&self) -> impl Iterator<Item = &CallRecord> {
        self.before.0.iter().flat_map(|calls| calls.iter()).chain(&self.told)
    }

    /// The same, for the record: what is told of the transaction is told once.
    #[must_use]
    pub fn take(&mut self) -> Vec<CallRecord> {
        let told = std::mem::take(&mut self.told);
        match &self.before.0 {
            Some(before) => before.iter().cloned().chain(told).collect(),
            None => told,
        }
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<&CallRecord> {
        self.told.last()
    }

    /// Those of the transaction, without so many of the first.
    #[must_use]
    pub fn after_the_first(&self, count: usize) -> &[CallRecord] {
        self.told.get(count..).unwrap_or_default()
    }

    /// How many there were beyond those.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// A client decides how often plugins are asked about recipients; what is said of its message has
    /// room whatever it does.
    fn push(&mut self, hook: Hook, call: CallRecord) {
        let room = if hook == Hook::Rcpt { RCPT_CALLS } else { CALLS };
        if self.told.len() < room {
            self.told.push(call);
        } else {
            self.left_out += 1;
        }
    }
}

impl SessionCalls {
    /// With those of a case that was about the session alone.
    pub fn add(&mut self, calls: Calls) {
        if calls.told.is_empty() {
            return;
        }
        let known = Arc::make_mut(self.0.get_or_insert_default());
        let room = SESSION_CALLS.saturating_sub(known.len());
        known.extend(calls.told.into_iter().take(room));
        known.shrink_to_fit();
    }
}

impl Case {
    /// Writes down what a plugin said, and how long it took; it was not called if it took nothing.
    pub(super) fn record_call(
        &mut self,
        (hook, plugin): (Hook, &str),
        (started, took): (Instant, Duration),
        answer: &Result<Answer, HookFailure>,
    ) {
        let (verdict, text, failure) = match answer {
            Ok(answer) => (answer.opinion.label(), said(&answer.opinion), None),
            Err(HookFailure { reason, detail }) => {
                let text = (!detail.is_empty()).then(|| shortened(detail));
                ("failure", text, Some(reason.label()))
            }
        };
        let at = hook.in_transaction().then(|| started.saturating_duration_since(self.began));
        let recipient = (hook == Hook::Rcpt).then_some(self.recipient.as_ref()).flatten();
        let recipient = recipient.map(|recipient| recipient.address.as_str().into());
        let (hook_label, plugin, duration) = (hook.label(), plugin.into(), took);
        let call = CallRecord {
            hook: hook_label,
            plugin,
            recipient,
            verdict,
            text,
            failure,
            at,
            duration,
        };
        self.calls.push(hook, call);
    }
}

/// The reply, or the words for the log.
fn said(opinion: &Opinion) -> Option<Box<str>> {
    match opinion {
        Opinion::Accept | Opinion::Authenticated(_) | Opinion::Next => None,
        Opinion::Defer(reply) | Opinion::Disconnect(reply) | Opinion::Reject(reply) => {
            Some(shortened(&reply.to_string()))
        }
        Opinion::Discard(why) | Opinion::Quarantine(why) => Some(shortened(why)),
    }
}

fn shortened(text: &str) -> Box<str> {
    text[..text.floor_char_boundary(TEXT)].into()
}

/// Calls in one record, without those of the session: more than a person reads.
const CALLS: usize = 400;

/// Of these, the most that recipients can take up.
const RCPT_CALLS: usize = 300;

/// Calls before MAIL that an idle connection keeps.
const SESSION_CALLS: usize = 32;

/// Octets of what a plugin said.
const TEXT: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    fn call(hook: Hook) -> CallRecord {
        CallRecord {
            hook: hook.label(),
            plugin: "a".into(),
            recipient: None,
            verdict: "next",
            text: None,
            failure: None,
            at: None,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn recipients_leave_room_for_what_is_said_of_the_message() {
        let mut calls = Calls::default();
        (0..1000).for_each(|_| calls.push(Hook::Rcpt, call(Hook::Rcpt)));
        calls.push(Hook::Message, call(Hook::Message));
        assert_eq!((calls.iter().count(), calls.left_out()), (RCPT_CALLS + 1, 700));
        assert_eq!(calls.last().expect("one").hook, "message");
    }

    #[test]
    fn a_client_that_says_hello_for_ever_fills_no_session() {
        let mut session = SessionCalls::default();
        for _ in 0..1000 {
            let mut calls = Calls::default();
            calls.push(Hook::Helo, call(Hook::Helo));
            session.add(calls);
        }
        assert_eq!(Calls::after(session).iter().count(), SESSION_CALLS);
    }

    #[test]
    fn a_session_that_nobody_was_asked_about_keeps_a_pointer() {
        assert_eq!(size_of::<SessionCalls>(), size_of::<usize>());
        assert!(size_of::<CallRecord>() <= 160, "{}", size_of::<CallRecord>());
    }
}
