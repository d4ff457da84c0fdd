//! A span of time as operators write it.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// Whole seconds, written as `90s`, `5m`, `4h` or `35d`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Span(u32);

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// So many hours.
    pub const fn hours(hours: u32) -> Self {
        Self(hours * 3600)
    }

    /// So many days.
    pub const fn days(days: u32) -> Self {
        Self(days * 86_400)
    }

    /// How many seconds it is.
    pub const fn as_seconds(self) -> u32 {
        self.0
    }

    fn parse(text: &str) -> Option<Self> {
        let factor = match text.bytes().last()? {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            _ => return None,
        };
        let number = &text[..text.len() - 1];
        if !number.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        // Ten years are more than anybody remembers a stranger.
        let seconds = number.parse::<u32>().ok()?.checked_mul(factor)?;
        (seconds <= 3650 * 86_400).then_some(Self(seconds))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(86_400, 'd'), (3600, 'h'), (60, 'm')];
        let unit = units.into_iter().find(|(size, _)| self.0 > 0 && self.0.is_multiple_of(*size));
        let (size, unit) = unit.unwrap_or((1, 's'));
        write!(out, "{}{unit}", self.0 / size)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Span;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a time as in `90s`, `5m`, `4h` or `35d`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
        Span::parse(text).ok_or_else(|| {
            E::custom(format!("`{text}` is not a time as in `90s`, `5m`, `4h` or `35d`"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        for (text, seconds) in [("0s", 0), ("90s", 90), ("5m", 300), ("4h", 14_400), ("1d", 86_400)]
        {
            let span: Span = serde_json::from_value(text.into()).unwrap();
            assert_eq!((span.as_seconds(), &*span.to_string()), (seconds, text));
        }
        for text in
            ["", "s", "5", "5 m", "-5m", "+5m", "1.5h", "5w", "99999999999s", "49999d", "5µ"]
        {
            assert!(serde_json::from_value::<Span>(text.into()).is_err(), "{text}");
        }
    }
}
