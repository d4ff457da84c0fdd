//! What the gateway found out about who sent a message: SPF, DKIM, DMARC, ARC, iprev. Grant
//! `mail-auth`.

pub use crate::bindings::smtp::filter::mail_auth::{AuthError, Finding};

use crate::{Message, Session, Transaction};

/// iprev, and SPF of the reverse-path (of the HELO name, if that is null). From `mail` on.
pub fn sender(session: &Session, transaction: &Transaction) -> Result<Vec<Finding>, AuthError> {
    backend::sender(session, transaction)
}

/// DKIM, ARC and DMARC of the complete message. In `message`.
pub fn content(
    session: &Session,
    transaction: &Transaction,
    message: &Message,
) -> Result<Vec<Finding>, AuthError> {
    backend::content(session, transaction, message)
}

impl Finding {
    /// One finding, for tests.
    pub fn new(method: &str, outcome: &str) -> Self {
        Self {
            method: method.to_owned(),
            outcome: outcome.to_owned(),
            reason: None,
            properties: Vec::new(),
        }
    }

    /// One more property, for tests.
    pub fn with_property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The value of a property, such as `header.d`.
    pub fn property(&self, name: &str) -> Option<&str> {
        let mut named = self.properties.iter().filter(|(known, _)| known == name);
        named.next().map(|(_, value)| &**value)
    }
}

#[cfg(not(target_family = "wasm"))]
use crate::fakes::mail_auth as backend;

#[cfg(target_family = "wasm")]
use crate::bindings::smtp::filter::mail_auth as backend;
