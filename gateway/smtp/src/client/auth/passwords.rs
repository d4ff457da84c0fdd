//! PLAIN and LOGIN: the password itself, for channels that nobody else reads.

use zeroize::Zeroizing;

use super::{Machine, Octets};

/// PLAIN (RFC 4616): everything at once.
pub(super) struct Plain {
    message: Octets,
    said: bool,
}

impl Plain {
    pub(super) fn new(user: &str, password: &str) -> Self {
        let message = Zeroizing::new(format!("\0{user}\0{password}").into_bytes());
        Self { message, said: false }
    }
}

impl Machine for Plain {
    fn begin(&mut self) -> Option<Octets> {
        self.said = true;
        Some(self.message.clone())
    }

    fn answer(&mut self, _: &[u8]) -> Option<Octets> {
        None
    }

    fn is_complete(&self) -> bool {
        self.said
    }
}

/// LOGIN (draft-murchison-sasl-login): the name, then the password. What the server calls them does
/// not count: every server calls them something else.
pub(super) struct InTurn {
    /// What is left, the last first.
    rest: Vec<Octets>,
}

impl InTurn {
    pub(super) fn new(user: &str, password: &str) -> Self {
        let octets = |text: &str| Zeroizing::new(text.as_bytes().to_owned());
        Self { rest: vec![octets(password), octets(user)] }
    }
}

impl Machine for InTurn {
    fn begin(&mut self) -> Option<Octets> {
        None
    }

    fn answer(&mut self, _: &[u8]) -> Option<Octets> {
        self.rest.pop()
    }

    fn is_complete(&self) -> bool {
        self.rest.is_empty()
    }
}
