//! The settings as they are written.
//!
//! Each entry goes into its index as it is read: what a hundred thousand entries would need besides
//! would stay in the image that every transaction gets a copy of.

use std::fmt;

use portcullis_plugin::Refusal;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::names::Names;
use crate::networks::Networks;
use crate::senders::Senders;

/// The settings of `access`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) allow: Lists,
    pub(crate) deny: Lists,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Lists {
    pub(crate) clients: List<Networks>,
    pub(crate) helo: List<Names>,
    pub(crate) senders: List<Senders>,
}

/// Indexed patterns, each with the number of its refusal.
#[derive(Debug, Default)]
pub(crate) struct List<P> {
    pub(crate) patterns: P,
    /// Those that differ from the usual one, whose number is 0.
    pub(crate) replies: Vec<Refusal>,
}

/// A set of patterns of one kind.
pub(crate) trait Patterns: Default {
    /// Adds a pattern. One that is there already keeps its number.
    fn insert(&mut self, pattern: &str, number: u32) -> Result<(), String>;
}

impl<P: Patterns> List<P> {
    fn number(&mut self, reply: Option<Refusal>) -> u32 {
        let Some(reply) = reply else { return 0 };
        let place = self.replies.iter().position(|known| *known == reply);
        let place = place.unwrap_or_else(|| {
            self.replies.push(reply);
            self.replies.len() - 1
        });
        u32::try_from(place + 1).unwrap_or_default()
    }
}

impl<'de, P: Patterns> Deserialize<'de> for List<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut list = Self { patterns: P::default(), replies: Vec::new() };
        deserializer.deserialize_seq(Entries(&mut list))?;
        Ok(list)
    }
}

struct Entries<'a, P>(&'a mut List<P>);

impl<'de, P: Patterns> Visitor<'de> for Entries<'_, P> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        while entries.next_element_seed(Entry(self.0))?.is_some() {}
        Ok(())
    }
}

/// One pattern; or `match` with one or several of them and the `reply` for all of these. Not an
/// untagged enum: that one forgets where in a mapping the mistake is.
struct Entry<'a, P>(&'a mut List<P>);

impl<'de, P: Patterns> DeserializeSeed<'de> for Entry<'_, P> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, P: Patterns> Visitor<'de> for Entry<'_, P> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a pattern, or a mapping of `match` and `reply`")
    }

    fn visit_str<E: Error>(self, pattern: &str) -> Result<(), E> {
        self.0.patterns.insert(pattern, 0).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Group {
            r#match: OneOrMore,
            reply: Option<Refusal>,
        }
        let group = Group::deserialize(MapAccessDeserializer::new(map))?;
        let number = self.0.number(group.reply);
        for pattern in &group.r#match.0 {
            self.0.patterns.insert(pattern, number).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

struct OneOrMore(Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor)
    }
}

struct OneOrMoreVisitor;

impl<'de> Visitor<'de> for OneOrMoreVisitor {
    type Value = OneOrMore;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a pattern or a list of them")
    }

    fn visit_str<E>(self, pattern: &str) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![pattern.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
        let mut patterns = Vec::new();
        while let Some(pattern) = list.next_element()? {
            patterns.push(pattern);
        }
        Ok(OneOrMore(patterns))
    }
}
