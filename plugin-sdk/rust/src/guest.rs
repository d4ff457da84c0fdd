//! What the generated exports call.

use std::cell::RefCell;

use crate::bindings::smtp::filter::log;
use crate::exports::lifecycle::Subscription;
use crate::exports::{on_auth, on_outcome};
use crate::{Authentication, Credentials, Outcome, Plugin, Question, Session, Verdict};

/// Where a plugin lives between `configure` and its hooks.
#[derive(Debug)]
pub struct Slot<P>(RefCell<Option<P>>);

impl<P: Plugin> Slot<P> {
    /// Before `configure`.
    pub const fn empty() -> Self {
        Self(RefCell::new(None))
    }

    /// Makes the plugin and says which hooks it leaves out.
    pub fn configure(&self, settings: &str) -> Result<Subscription, String> {
        log_panics();
        let plugin = P::configure(settings)?;
        let skip = plugin.skip().iter().map(ToString::to_string).collect();
        self.0.replace(Some(plugin));
        Ok(Subscription { skip })
    }

    /// Asks the plugin.
    pub fn ask(&self, question: Question<'_>) -> Verdict {
        let mut plugin = self.0.borrow_mut();
        let plugin = plugin.as_mut().expect("the gateway configures a plugin before any hook");
        plugin.ask(question)
    }

    /// Tells the plugin what became of it.
    pub fn outcome(&self, events: Vec<on_outcome::Outcome>) {
        let events: Vec<_> = events.into_iter().map(Outcome::from).collect();
        let mut plugin = self.0.borrow_mut();
        let plugin = plugin.as_mut().expect("the gateway configures a plugin before any hook");
        plugin.outcome(&events);
    }

    /// Asks the plugin who a client is.
    pub fn authenticate(&self, session: &Session, given: on_auth::Credentials) -> on_auth::Answer {
        let on_auth::Credentials { mechanism, user, authorization, secret } = given;
        let credentials = Credentials { mechanism, user, authorization, secret };
        let mut plugin = self.0.borrow_mut();
        let plugin = plugin.as_mut().expect("the gateway configures a plugin before any hook");
        match plugin.authenticate(session, &credentials) {
            Authentication::Next => on_auth::Answer::Next,
            Authentication::Authenticated(identity) => on_auth::Answer::Authenticated(identity),
            Authentication::Refused(reply) => on_auth::Answer::Refused(reply),
            Authentication::Unavailable(reply) => on_auth::Answer::Unavailable(reply),
        }
    }
}

impl From<on_outcome::Outcome> for Outcome {
    fn from(event: on_outcome::Outcome) -> Self {
        Self {
            session: event.session,
            transaction: event.transaction,
            listener: event.listener,
            client_address: event.client_address,
            stage: event.stage,
            sender: event.sender,
            recipient: event.recipient,
            by: event.by,
            code: event.code,
            text: event.text,
            time: event.time,
        }
    }
}

/// A panic is a trap, which carries no text: the operator reads the text in the log.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        log::write(log::Level::Error, &panic.to_string(), &[]);
    }));
}
