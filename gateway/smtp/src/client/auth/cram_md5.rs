//! CRAM-MD5 (RFC 2195): the password proves itself on the server's challenge.

use std::fmt::Write;

use zeroize::Zeroizing;

use super::{Machine, Octets};
use crate::sasl::keys;

pub(super) struct CramMd5 {
    user: String,
    password: Zeroizing<String>,
    answered: bool,
}

impl CramMd5 {
    pub(super) fn new(user: &str, password: &str) -> Self {
        let (user, password) = (user.to_owned(), Zeroizing::new(password.to_owned()));
        Self { user, password, answered: false }
    }
}

impl Machine for CramMd5 {
    fn begin(&mut self) -> Option<Octets> {
        None
    }

    fn answer(&mut self, challenge: &[u8]) -> Option<Octets> {
        // Without a challenge the digest would be good for ever.
        if challenge.is_empty() || self.answered {
            return None;
        }
        self.answered = true;
        let mut response = format!("{} ", self.user);
        for octet in keys::hmac_md5(self.password.as_bytes(), challenge) {
            // Writing to a string cannot fail.
            let _ = write!(response, "{octet:02x}");
        }
        Some(Zeroizing::new(response.into_bytes()))
    }

    fn is_complete(&self) -> bool {
        self.answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        let mut machine = CramMd5::new("tim", "tanstaaftanstaaf");
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        let response = machine.answer(challenge).expect("RFC 2195 section 2");
        assert_eq!(&**response, b"tim b913a602c7eda7a495b4e6e7334d3890");
        assert_eq!(machine.answer(challenge), None, "once is enough");
        assert_eq!(CramMd5::new("tim", "x").answer(b""), None);
    }
}
