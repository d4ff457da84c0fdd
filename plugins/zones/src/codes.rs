//! What the addresses that lists answer with mean.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A pattern of answers: `127.0.0.2`, `127.0.0.4-7`, `127.0.*.3`, or `&2` for a bit of the last
/// octet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pattern(Shape);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// The lowest and the highest value of each octet.
    Octets([(u8, u8); 4]),
    Bits(u8),
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Code {
    /// Points: below zero for lists of good senders.
    pub score: f64,
    /// For the reply, where the list tells no reason.
    pub meaning: Option<String>,
    /// Who has this answer is not held to what other lists say.
    pub allow: bool,
}

impl Pattern {
    /// Whether an answer fits.
    pub(crate) fn fits(self, answer: Ipv4Addr) -> bool {
        let octets = answer.octets();
        match self.0 {
            Shape::Bits(mask) => octets[..3] == [127, 0, 0] && octets[3] & mask != 0,
            Shape::Octets(ranges) => {
                octets.iter().zip(ranges).all(|(octet, (low, high))| (low..=high).contains(octet))
            }
        }
    }

    /// How many answers fit.
    pub(crate) fn width(self) -> u32 {
        match self.0 {
            Shape::Bits(_) => u32::MAX,
            Shape::Octets(ranges) => {
                let widths = ranges.map(|(low, high)| u32::from(high - low) + 1);
                widths.into_iter().product()
            }
        }
    }

    /// Whether it names this answer and no other.
    pub(crate) fn names(self, answer: Ipv4Addr) -> bool {
        self.0 == Shape::Octets(answer.octets().map(|octet| (octet, octet)))
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        shape(text).map(Self).ok_or_else(|| {
            format!(
                "`{text}` is not an answer as in `127.0.0.2`, `127.0.0.4-7`, `127.0.*.3` or `&2`"
            )
        })
    }
}

fn shape(text: &str) -> Option<Shape> {
    if let Some(mask) = text.strip_prefix('&') {
        return mask.parse().ok().filter(|mask| *mask != 0).map(Shape::Bits);
    }
    let mut octets = text.split('.').map(|octet| match octet.split_once('-') {
        _ if octet == "*" => Some((0, 255)),
        Some((low, high)) => {
            let (low, high) = (low.parse().ok()?, high.parse().ok()?);
            (low <= high).then_some((low, high))
        }
        None => octet.parse().ok().map(|octet| (octet, octet)),
    });
    let ranges = [octets.next()??, octets.next()??, octets.next()??, octets.next()??];
    // What is outside of it is never an answer of a list (RFC 5782 section 2.1).
    (octets.next().is_none() && ranges[0] == (127, 127)).then_some(Shape::Octets(ranges))
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CodeVisitor)
    }
}

/// Not an untagged enum: that one forgets where in a mapping the mistake is.
struct CodeVisitor;

impl<'de> Visitor<'de> for CodeVisitor {
    type Value = Code;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("points, or a mapping of `score`, `meaning` and `allow`")
    }

    fn visit_f64<E: Error>(self, score: f64) -> Result<Code, E> {
        Ok(Code { score: points(score)?, meaning: None, allow: false })
    }

    fn visit_i64<E: Error>(self, score: i64) -> Result<Code, E> {
        self.visit_f64(score as f64)
    }

    fn visit_u64<E: Error>(self, score: u64) -> Result<Code, E> {
        self.visit_f64(score as f64)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Code, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            score: f64,
            meaning: Option<String>,
            #[serde(default)]
            allow: bool,
        }
        let Written { score, meaning, allow } =
            Written::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Code { score: points(score)?, meaning, allow })
    }
}

/// Points as the gateway takes them.
pub(crate) fn points<E: Error>(score: f64) -> Result<f64, E> {
    if score.is_finite() && score.abs() <= MOST { Ok(score) } else { Err(E::custom(RANGE)) }
}

const MOST: f64 = 1_000.0;
const RANGE: &str = "points are from -1000 to 1000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, fits, others) in [
            ("127.0.0.2", &["127.0.0.2"][..], &["127.0.0.3", "127.0.1.2"][..]),
            ("127.0.0.4-7", &["127.0.0.4", "127.0.0.7"], &["127.0.0.3", "127.0.0.8"]),
            ("127.0.*.3", &["127.0.0.3", "127.0.15.3"], &["127.0.15.2", "127.1.15.3"]),
            ("&6", &["127.0.0.2", "127.0.0.5"], &["127.0.0.1", "127.0.0.8", "127.0.1.2"]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert!(fits.iter().all(|answer| pattern.fits(answer.parse().unwrap())), "{pattern:?}");
            assert!(!others.iter().any(|answer| pattern.fits(answer.parse().unwrap())));
        }
    }

    #[test]
    fn patterns_that_are_not() {
        for pattern in
            ["", "2", "&0", "&256", "127.0.0", "127.0.0.2.1", "127.0.0.9-2", "1.2.3.4", "*.0.0.2"]
        {
            assert!(pattern.parse::<Pattern>().is_err(), "{pattern}");
        }
    }
}
