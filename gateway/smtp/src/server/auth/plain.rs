//! PLAIN (RFC 4616): everything in one message.

use super::{Claim, Heard, Machine, Next, Scene, identity};
use crate::sasl::Secret;

#[derive(Debug)]
pub(super) struct Plain;

impl Machine for Plain {
    fn hear(&mut self, heard: Heard<'_>, _: &Scene<'_>) -> Next {
        match heard {
            Heard::Response(message) => read(message).map_or(Next::Malformed, Next::Decide),
            Heard::Begin | Heard::Nonce(_) | Heard::Verifier(_) => Next::Malformed,
        }
    }
}

/// `[authzid] NUL authcid NUL passwd`.
fn read(message: &[u8]) -> Option<Claim> {
    let mut fields = message.split(|&octet| octet == 0);
    let authorization = identity::optional_name(fields.next()?)?;
    let user = identity::name(fields.next()?)?;
    let password = identity::text(fields.next()?)?;
    fields.next().is_none().then(|| Claim {
        user: user.to_owned(),
        authorization: identity::other(authorization, user),
        secret: Secret::Password(password.to_owned()),
    })
}
