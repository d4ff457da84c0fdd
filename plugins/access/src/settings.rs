//! The settings as they are written.

use std::fmt;

use portcullis_plugin::Refusal;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

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
    pub(crate) clients: Vec<Entry>,
    pub(crate) helo: Vec<Entry>,
    pub(crate) senders: Vec<Entry>,
}

/// One pattern; or `match` with one or several of them and the `reply` for all of these.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) matches: Vec<String>,
    pub(crate) reply: Option<Refusal>,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

/// Not an untagged enum: that one forgets where in a mapping the mistake is.
struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a pattern, or a mapping of `match` and `reply`")
    }

    fn visit_str<E>(self, pattern: &str) -> Result<Entry, E> {
        Ok(Entry { matches: vec![pattern.to_owned()], reply: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Entry, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Group {
            r#match: Patterns,
            reply: Option<Refusal>,
        }
        let group = Group::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Entry { matches: group.r#match.0, reply: group.reply })
    }
}

#[derive(Debug)]
struct Patterns(Vec<String>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PatternsVisitor)
    }
}

struct PatternsVisitor;

impl<'de> Visitor<'de> for PatternsVisitor {
    type Value = Patterns;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a pattern or a list of them")
    }

    fn visit_str<E>(self, pattern: &str) -> Result<Patterns, E> {
        Ok(Patterns(vec![pattern.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
        let mut patterns = Vec::with_capacity(list.size_hint().unwrap_or_default());
        while let Some(pattern) = list.next_element()? {
            patterns.push(pattern);
        }
        Ok(Patterns(patterns))
    }
}
