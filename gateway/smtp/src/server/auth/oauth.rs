//! OAUTHBEARER (RFC 7628) and XOAUTH2, its forerunner: a token that somebody else issued.

use std::str;

use super::gs2::{self, Flag};
use super::{Claim, Heard, Machine, Next, Scene, identity};
use crate::sasl::Secret;

/// The two dialects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Oauth {
    Bearer,
    Xoauth2,
}

impl Machine for Oauth {
    fn hear(&mut self, heard: Heard<'_>, _: &Scene<'_>) -> Next {
        let Heard::Response(message) = heard else { return Next::Malformed };
        let claim = match self {
            Self::Bearer => read_bearer(message),
            Self::Xoauth2 => read_xoauth2(message),
        };
        claim.map_or(Next::Malformed, Next::Decide)
    }

    fn regret(&self) -> Option<&'static str> {
        Some(match self {
            Self::Bearer => r#"{"status":"invalid_token"}"#,
            Self::Xoauth2 => r#"{"status":"401","schemes":"bearer"}"#,
        })
    }
}

/// `n,a=user@example.com,^Ahost=server.example.com^Aauth=Bearer token^A^A` (RFC 7628 section 3.1).
fn read_bearer(message: &[u8]) -> Option<Claim> {
    let text = str::from_utf8(message).ok()?;
    // No way of binding is defined for it.
    let (Flag::No | Flag::NotOffered, authorization, header) = gs2::header(text)? else {
        return None;
    };
    let pairs = text[header.len()..].strip_prefix(SEPARATOR)?;
    let token = read_token(pairs)?;
    Some(Claim { user: authorization.unwrap_or_default(), authorization: None, secret: token })
}

/// `user=someuser@example.com^Aauth=Bearer token^A^A`.
fn read_xoauth2(message: &[u8]) -> Option<Claim> {
    let text = str::from_utf8(message).ok()?;
    let (user, pairs) = text.strip_prefix("user=")?.split_once(SEPARATOR)?;
    let user = identity::name(user.as_bytes())?.to_owned();
    Some(Claim { user, authorization: None, secret: read_token(pairs)? })
}

/// The token of `auth=Bearer`, the only pair that matters here, out of all pairs.
fn read_token(pairs: &str) -> Option<Secret> {
    let mut auth = None;
    for pair in pairs.strip_suffix("\u{1}\u{1}")?.split(SEPARATOR) {
        let (key, value) = pair.split_once('=')?;
        let is_key = !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_alphabetic());
        if !is_key || (key == "auth" && auth.replace(value).is_some()) {
            return None;
        }
    }
    let (scheme, token) = auth?.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    // RFC 6750 section 2.1; what is no token can be no header field either.
    let is_token = !token.is_empty() && token.bytes().all(|octet| octet.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("Bearer") && is_token).then(|| Secret::Token(token.to_owned()))
}

/// `kvsep`.
const SEPARATOR: char = '\u{1}';

#[cfg(test)]
mod tests {
    use super::*;

    /// User and token.
    fn told(claim: Option<Claim>) -> Option<(String, String)> {
        let claim = claim?;
        let Secret::Token(token) = &claim.secret else { return None };
        Some((claim.user.clone(), token.clone()))
    }

    #[test]
    fn the_examples_of_the_rfc() {
        let token = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";
        let message = format!(
            "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer {token}\u{1}\u{1}"
        );
        let want = Some(("user@example.com".to_owned(), token.to_owned()));
        assert_eq!(told(read_bearer(message.as_bytes())), want, "RFC 7628 section 4.1");
        let message = format!("n,,\u{1}auth=bearer {token}\u{1}\u{1}");
        let want = Some((String::new(), token.to_owned()));
        assert_eq!(told(read_bearer(message.as_bytes())), want, "nobody is named");
    }

    #[test]
    fn the_example_of_its_forerunner() {
        let message = b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3\x01\x01";
        let want = Some(("someuser@example.com".to_owned(), "ya29.vF9dft4qmTc2Nvb3".to_owned()));
        assert_eq!(told(read_xoauth2(message)), want);
    }

    #[test]
    fn messages_that_bring_no_token() {
        for pairs in [
            "",
            "\u{1}\u{1}",
            "auth=\u{1}\u{1}",
            "auth=Bearer\u{1}\u{1}",
            "auth=Bearer \u{1}\u{1}",
            "auth=Bearer a b\u{1}\u{1}",
            "auth=Bearer a\n\u{1}\u{1}",
            "auth=Bearer a\u{1}",
            "auth=Bearer a\u{1}\u{1}\u{1}",
            "auth=Bearer a\u{1}host\u{1}\u{1}",
            "auth=Bearer a\u{1}=x\u{1}\u{1}",
            "auth=Bearer a\u{1}auth=Bearer a\u{1}\u{1}",
            "Auth=Bearer a\u{1}\u{1}",
            "auth=MAC a\u{1}\u{1}",
        ] {
            assert!(read_token(pairs).is_none(), "{pairs:?}");
        }
    }
}
