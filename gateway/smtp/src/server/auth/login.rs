//! LOGIN (draft-murchison-sasl-login): a question for the name, a question for the password.

use std::mem;

use super::{Claim, Heard, Machine, Next, Scene, identity};
use crate::sasl::Secret;

/// The name, when it was said.
#[derive(Debug, Default)]
pub(super) struct Login {
    user: String,
}

impl Machine for Login {
    fn hear(&mut self, heard: Heard<'_>, _: &Scene<'_>) -> Next {
        match heard {
            Heard::Begin => Next::Challenge(b"Username:".to_vec()),
            Heard::Response(octets) if self.user.is_empty() => match identity::name(octets) {
                Some(user) => {
                    user.clone_into(&mut self.user);
                    Next::Challenge(b"Password:".to_vec())
                }
                None => Next::Malformed,
            },
            Heard::Response(octets) => match identity::text(octets) {
                Some(password) => Next::Decide(Claim {
                    user: mem::take(&mut self.user),
                    authorization: None,
                    secret: Secret::Password(password.to_owned()),
                }),
                None => Next::Malformed,
            },
            Heard::Nonce(_) | Heard::Verifier(_) => Next::Malformed,
        }
    }
}
