//! SHA-256, as files are pinned by it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a file; 64 hexadecimal digits to people.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these octets.
    #[must_use]
    pub fn of(octets: &[u8]) -> Self {
        Self(Sha256::digest(octets).into())
    }

    /// As it is written of keys: in hexadecimal, as DANE does, or in base64, as curl does.
    pub(super) fn from_hex_or_base64(text: &str) -> Option<Self> {
        let text = text.strip_prefix("sha256//").unwrap_or(text);
        if let Ok(digest) = text.parse() {
            return Some(digest);
        }
        BASE64_STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl FromStr for Digest {
    /// What to write instead.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
            return Err("it is 64 hexadecimal digits, as \"sha256sum FILE\" prints them");
        }
        for (octet, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = pair.iter().filter_map(|digit| char::from(*digit).to_digit(16));
            *octet = digits.fold(0, |sum, digit| sum << 4 | digit as u8);
        }
        Ok(Self(digest))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_s_digest_is_read_in_base64_too() {
        let abc = Digest::of(b"abc");
        for text in [
            "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            "sha256//ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            &abc.to_string(),
        ] {
            assert_eq!(Digest::from_hex_or_base64(text), Some(abc), "{text}");
        }
        for text in ["", "ungW", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa", "sha256//"] {
            assert_eq!(Digest::from_hex_or_base64(text), None, "{text}");
        }
    }

    #[test]
    fn a_digest_is_read_as_it_is_written_in_either_case() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse(), Ok(Digest::of(b"abc")));
        assert_eq!(abc.to_uppercase().parse(), Ok(Digest::of(b"abc")));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in ["", "ba78", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
    }
}
