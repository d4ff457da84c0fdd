//! CRAM-MD5 (RFC 2195): the password proves itself on a challenge that is used once.

use subtle::ConstantTimeEq;

use super::{Claim, Heard, Machine, Next, Scene, identity};
use crate::sasl::{Secret, Verifier, close, keys};

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct CramMd5 {
    challenge: Vec<u8>,
    user: String,
    /// In hexadecimal digits, as the client wrote it.
    digest: Vec<u8>,
}

impl Machine for CramMd5 {
    fn hear(&mut self, heard: Heard<'_>, scene: &Scene<'_>) -> Next {
        match heard {
            Heard::Begin => Next::Nonce,
            Heard::Nonce(octets) => {
                self.challenge = format!("<{}@{}>", close(&octets), scene.hostname).into_bytes();
                Next::Challenge(self.challenge.clone())
            }
            Heard::Response(message) => match read(message) {
                Some((user, digest)) => {
                    user.clone_into(&mut self.user);
                    digest.clone_into(&mut self.digest);
                    Next::Verifier(self.user.clone())
                }
                None => Next::Malformed,
            },
            Heard::Verifier(verifier) => self.judge(&verifier),
        }
    }
}

impl CramMd5 {
    fn judge(&mut self, verifier: &Verifier) -> Next {
        let user = std::mem::take(&mut self.user);
        let Verifier::Password(password) = verifier else { return Next::Disproved(user) };
        let digest = keys::hmac_md5(password.as_bytes(), &self.challenge);
        let digits: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        if bool::from(digits.as_bytes().ct_eq(&self.digest)) {
            Next::Decide(Claim { user, authorization: None, secret: Secret::Proved })
        } else {
            Next::Disproved(user)
        }
    }
}

/// The name, which may hold spaces, and the digest.
fn read(message: &[u8]) -> Option<(&str, &[u8])> {
    let at = message.iter().rposition(|&octet| octet == b' ')?;
    Some((identity::name(&message[..at])?, &message[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let message = b"tim b913a602c7eda7a495b4e6e7334d3890";
        let (user, digest) = read(message).expect("RFC 2195 section 2");
        let said = |digest: &[u8], password: &str| {
            let challenge = b"<1896.697170952@postoffice.reston.mci.net>".to_vec();
            let mut exchange =
                CramMd5 { challenge, user: user.to_owned(), digest: digest.to_owned() };
            match exchange.judge(&Verifier::Password(password.to_owned())) {
                Next::Decide(claim) => claim.secret == Secret::Proved && claim.user == "tim",
                _ => false,
            }
        };
        assert!(said(digest, "tanstaaftanstaaf"));
        assert!(!said(digest, "tanstaaftanstaa"));
        assert!(!said(&digest[1..], "tanstaaftanstaaf"));
        assert!(!said(b"", "tanstaaftanstaaf"));
    }

    #[test]
    fn a_name_may_hold_spaces() {
        assert_eq!(read(b"Tim Tester 0123"), Some(("Tim Tester", &b"0123"[..])));
        for message in [&b""[..], b"tim", b" 0123", b"\xff 0123", b"t\0im 0123"] {
            assert_eq!(read(message), None, "{}", message.escape_ascii());
        }
    }
}
