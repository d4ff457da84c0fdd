//! What nobody is to read.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A text of at least so many octets that is never shown, in an error neither. A file ends in a newline,
/// which is not meant.
pub struct Secret<const LEAST: usize = 0>(String);

impl<const LEAST: usize> Secret<LEAST> {
    /// For the one who is to have it.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl<const LEAST: usize> fmt::Debug for Secret<LEAST> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}

impl<'de, const LEAST: usize> Deserialize<'de> for Secret<LEAST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

/// As it is written.
struct Text<const LEAST: usize>;

impl<const LEAST: usize> Visitor<'_> for Text<LEAST> {
    type Value = Secret<LEAST>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a secret is a text")?;
        if LEAST > 0 {
            write!(out, " of {LEAST} octets or more")?;
        }
        out.write_str(", best in a file: \"${file:secret.key}\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret<LEAST>, E> {
        let text = text.trim_end();
        if text.len() < LEAST { no(&self) } else { Ok(Secret(text.to_owned())) }
    }

    // What serde says of them has them in it.
    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret<LEAST>, E> {
        no(&self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret<LEAST>, E> {
        no(&self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret<LEAST>, E> {
        no(&self)
    }
}

fn no<E: Error, const LEAST: usize>(wanted: &Text<LEAST>) -> Result<Secret<LEAST>, E> {
    Err(E::custom(wanted as &dyn serde::de::Expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret: Secret = serde_json::from_str(r#""a b\n""#).unwrap();
        assert_eq!(secret.text(), "a b");
        assert_eq!(format!("{secret:?}"), "[secret]");
        for json in ["12345", "-12345", "12345.5", r#""12345""#] {
            let mistake = serde_json::from_str::<Secret<16>>(json).unwrap_err().to_string();
            assert!(mistake.starts_with("a secret is a text of 16 octets or more"), "{mistake}");
            assert!(!mistake.contains("12345"), "{mistake}");
        }
    }
}
