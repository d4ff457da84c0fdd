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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc() {
        let read = |message: &[u8]| read(message).map(|claim| (claim.user.clone(), claim));
        let (user, claim) = read(b"\0tim\0tanstaaftanstaaf").expect("RFC 4616 section 4");
        assert_eq!((&*user, claim.authorization), ("tim", None));
        assert!(claim.secret == Secret::Password("tanstaaftanstaaf".into()));
        let (user, claim) = read(b"Ursel\0Kurt\0xipj3plmq").expect("RFC 4616 section 4");
        assert_eq!((&*user, claim.authorization.as_deref()), ("Kurt", Some("Ursel")));
        assert!(claim.secret == Secret::Password("xipj3plmq".into()));
    }
}
