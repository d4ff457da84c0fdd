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
