//! The settings as they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use portcullis_plugin::Refusal;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The settings of `recipients`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) domains: BTreeMap<String, Mailboxes>,
    #[serde(default)]
    pub(crate) addresses: BTreeMap<String, Address>,
    #[serde(default)]
    pub(crate) subaddress: Subaddress,
    #[serde(default = "unknown")]
    pub(crate) unknown: Refusal,
    #[serde(default = "relay_denied")]
    pub(crate) relay_denied: Refusal,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Subaddress {
    pub(crate) separator: Option<char>,
    pub(crate) rewrite: bool,
}

/// `any`, a list of local parts, or a mapping of `recipients` and `route`.
#[derive(Debug)]
pub(crate) struct Mailboxes {
    pub(crate) recipients: Known,
    pub(crate) route: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Known {
    Any,
    List(Vec<String>),
}

/// `accept`, a refusal, or a mapping with a `route`.
#[derive(Debug, Default)]
pub(crate) struct Address {
    pub(crate) refuse: Option<Refusal>,
    pub(crate) route: Option<String>,
}

/// What can be written as a word, a list or a mapping. Not an untagged enum: that one forgets where
/// in a mapping the mistake is.
trait Shapes: Sized {
    const EXPECTED: &'static str;

    fn from_word<E: Error>(word: &str) -> Result<Self, E>;

    fn from_list(_: Vec<String>) -> Option<Self> {
        None
    }

    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

impl Shapes for Known {
    const EXPECTED: &'static str = "`any` or a list of local parts";

    fn from_word<E: Error>(word: &str) -> Result<Self, E> {
        match word {
            "any" => Ok(Self::Any),
            _ => Err(E::custom(format_args!("expected {}", Self::EXPECTED))),
        }
    }

    fn from_list(list: Vec<String>) -> Option<Self> {
        Some(Self::List(list))
    }

    fn from_map<'de, A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format_args!("expected {}", Self::EXPECTED)))
    }
}

impl Shapes for Mailboxes {
    const EXPECTED: &'static str =
        "`any`, a list of local parts, or a mapping of `recipients` and `route`";

    fn from_word<E: Error>(word: &str) -> Result<Self, E> {
        match word {
            "any" => Ok(Self { recipients: Known::Any, route: None }),
            _ => Err(E::custom(format_args!("expected {}", Self::EXPECTED))),
        }
    }

    fn from_list(list: Vec<String>) -> Option<Self> {
        Some(Self { recipients: Known::List(list), route: None })
    }

    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            recipients: Known,
            route: Option<String>,
        }
        let whole = Whole::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Self { recipients: whole.recipients, route: whole.route })
    }
}

impl Shapes for Address {
    const EXPECTED: &'static str =
        "`accept`, a refusal as in `550 5.1.1 text`, or a mapping with `route`";

    fn from_word<E: Error>(word: &str) -> Result<Self, E> {
        match word {
            "accept" => Ok(Self::default()),
            _ => Ok(Self { refuse: Some(word.parse().map_err(E::custom)?), route: None }),
        }
    }

    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            route: String,
        }
        let whole = Whole::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Self { refuse: None, route: Some(whole.route) })
    }
}

struct ShapesVisitor<S>(PhantomData<S>);

impl<'de, S: Shapes> Visitor<'de> for ShapesVisitor<S> {
    type Value = S;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(S::EXPECTED)
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<S, E> {
        S::from_word(word)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<S, A::Error> {
        let list = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        S::from_list(list).ok_or_else(|| A::Error::custom(format_args!("expected {}", S::EXPECTED)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<S, A::Error> {
        S::from_map(map)
    }
}

macro_rules! deserialize_shapes {
    ($($shapes:ty),*) => {$(
        impl<'de> Deserialize<'de> for $shapes {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(ShapesVisitor(PhantomData))
            }
        }
    )*};
}

deserialize_shapes!(Address, Known, Mailboxes);

fn unknown() -> Refusal {
    "550 5.1.1 no such recipient here".parse().expect("a refusal")
}

fn relay_denied() -> Refusal {
    "550 5.7.1 relaying denied".parse().expect("a refusal")
}
