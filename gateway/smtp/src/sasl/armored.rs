//! Base64 from a peer.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::{Zeroize, Zeroizing};

/// Base64 that a peer sent within an exchange: it may hold a password.
#[derive(Clone, Eq, PartialEq)]
pub struct Armored(String);

impl Armored {
    /// Keeps the text as it is; whether it is base64 turns out when it is read.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The octets, if it is base64. `=` alone is no octets at all (RFC 4954 section 4).
    pub(crate) fn open(&self) -> Option<Zeroizing<Vec<u8>>> {
        if self.0 == "=" { Some(Zeroizing::default()) } else { open(self.0.as_bytes()) }
    }
}

impl Drop for Armored {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Armored {
    /// Never what it holds: what is debugged ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Armored(..)")
    }
}

/// The octets, if it is base64 as RFC 4648 section 4 has it.
pub(crate) fn open(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    BASE64_STANDARD.decode(text).ok().map(Zeroizing::new)
}

/// Base64 for the peer.
pub(crate) fn close(octets: &[u8]) -> String {
    BASE64_STANDARD.encode(octets)
}
