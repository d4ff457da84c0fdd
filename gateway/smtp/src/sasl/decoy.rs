//! What users look like who are not there.

use std::fmt;

use super::keys::hmac_sha256;
use super::{Mechanism, Verifier};

/// Makes verifiers for users who are not there, so that nobody can ask who is.
///
/// A SCRAM client is told the user's salt and iterations before it proves anything. A user who is
/// unknown must have some, too, the same at every attempt and no different in kind from real ones
/// (RFC 5802 section 9).
#[derive(Clone, Eq, PartialEq)]
pub struct Decoy {
    key: [u8; 32],
    iterations: u32,
}

impl Decoy {
    /// `key` is secret and random; `iterations` are those of the real users.
    #[must_use]
    pub fn new(key: [u8; 32], iterations: u32) -> Self {
        Self { key, iterations }
    }

    /// What no secret goes with.
    pub(crate) fn verifier(&self, mechanism: Mechanism, user: &str) -> Verifier {
        let derive = |purpose: &[u8]| hmac_sha256(&self.key, &[purpose, b"\0", user.as_bytes()]);
        match mechanism {
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => Verifier::Scram {
                salt: derive(b"salt")[..SALT_OCTETS].to_vec(),
                iterations: self.iterations,
                stored_key: derive(b"stored key"),
                server_key: derive(b"server key"),
            },
            Mechanism::CramMd5
            | Mechanism::Login
            | Mechanism::OauthBearer
            | Mechanism::Plain
            | Mechanism::Xoauth2 => Verifier::Password(super::armored::close(&derive(b"password"))),
        }
    }
}

impl Default for Decoy {
    /// With a key that everybody knows: users who are not there can be told from others.
    fn default() -> Self {
        Self::new([0; 32], 4096)
    }
}

impl fmt::Debug for Decoy {
    /// Never the key: what is debugged ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoy").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// As long as the salts of most servers.
const SALT_OCTETS: usize = 16;
