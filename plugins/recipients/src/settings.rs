//! The settings as they are written.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use portcullis_plugin::{Files, Refusal};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use terms::{Addresses, Span};

/// The settings of `recipients`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) domains: BTreeMap<String, Mailboxes>,
    pub(crate) domains_from: Option<String>,
    #[serde(default)]
    pub(crate) addresses: BTreeMap<String, Address>,
    pub(crate) addresses_from: Option<String>,
    #[serde(default)]
    pub(crate) aliases: BTreeMap<String, Targets>,
    pub(crate) aliases_from: Option<String>,
    #[serde(default)]
    pub(crate) subaddress: Subaddress,
    #[serde(default = "unknown")]
    pub(crate) unknown: Refusal,
    #[serde(default = "relay_denied")]
    pub(crate) relay_denied: Refusal,
    pub(crate) verify: Option<Verify>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    pub(crate) never_send: NeverSend,
    #[serde(default)]
    pub(crate) files: Files,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Subaddress {
    pub(crate) separator: Option<char>,
    pub(crate) rewrite: bool,
}

/// Whom an upstream is asked for before it gets mail.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    pub(crate) upstream: String,
    /// Where it is remembered; not at all without it.
    pub(crate) store: Option<String>,
    #[serde(default = "day")]
    pub(crate) positive: Span,
    #[serde(default = "hour")]
    pub(crate) negative: Span,
    /// How long an upstream that is away is not asked again.
    #[serde(default = "half_a_minute")]
    pub(crate) away: Span,
    #[serde(default)]
    pub(crate) on_error: OnError,
    pub(crate) sender: Option<String>,
    /// Said instead of what the upstream says.
    pub(crate) refusal: Option<Refusal>,
    #[serde(default = "not_now")]
    pub(crate) defer: Refusal,
}

/// What happens while an upstream cannot be asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnError {
    Defer,
    #[default]
    Pass,
}

/// How many recipients a message may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// 0 is any number.
    pub(crate) recipients: usize,
    pub(crate) too_many: Refusal,
    /// The same for the null reverse-path.
    pub(crate) null_sender: usize,
    pub(crate) null_sender_too_many: Refusal,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            recipients: 0,
            too_many: refusal("452 4.5.3 too many recipients for one message"),
            null_sender: 1,
            null_sender_too_many: refusal("550 5.5.3 a report has one recipient"),
        }
    }
}

/// Addresses that send no mail, and so get no reports of any.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NeverSend {
    pub(crate) addresses: Addresses,
    pub(crate) from: Option<String>,
    pub(crate) refusal: Refusal,
}

impl Default for NeverSend {
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            from: None,
            refusal: refusal("550 5.7.1 this address sends no mail, and gets no reports of any"),
        }
    }
}

/// One address or several.
#[derive(Clone, Debug)]
pub(crate) struct Targets(pub(crate) Vec<String>);

/// `any`, a list of local parts, or a mapping.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    pub(crate) recipients: Known,
    pub(crate) route: Option<String>,
    pub(crate) catch_all: Option<String>,
    pub(crate) verify: Option<Verified>,
}

/// Whether an upstream is asked for who is in a domain.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Verified {
    Switch(bool),
    Upstream(String),
}

#[derive(Debug, Default)]
pub(crate) enum Known {
    #[default]
    Any,
    File(String),
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
    const EXPECTED: &'static str = "`any`, a list of local parts, or a mapping with `file`";

    fn from_word<E: Error>(word: &str) -> Result<Self, E> {
        match word {
            "any" => Ok(Self::Any),
            _ => Err(E::custom(format_args!("expected {}", Self::EXPECTED))),
        }
    }

    fn from_list(list: Vec<String>) -> Option<Self> {
        Some(Self::List(list))
    }

    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            file: String,
        }
        Ok(Self::File(Whole::deserialize(MapAccessDeserializer::new(map))?.file))
    }
}

impl Shapes for Mailboxes {
    const EXPECTED: &'static str = "`any`, a list of local parts, or a mapping of `recipients`, `route`, `catch_all` and `verify`";

    fn from_word<E: Error>(word: &str) -> Result<Self, E> {
        match word {
            "any" => Ok(Self::default()),
            _ => Err(E::custom(format_args!("expected {}", Self::EXPECTED))),
        }
    }

    fn from_list(list: Vec<String>) -> Option<Self> {
        Some(Self { recipients: Known::List(list), ..Self::default() })
    }

    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Whole {
            recipients: Known,
            route: Option<String>,
            catch_all: Option<String>,
            verify: Option<Verified>,
        }
        let Whole { recipients, route, catch_all, verify } =
            Whole::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Self { recipients, route, catch_all, verify })
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

impl Address {
    /// From a line of a file: nothing, `accept`, a refusal, or `route:` and an upstream.
    pub(crate) fn of_line(what: &str) -> Result<Self, String> {
        match what.split_once(':') {
            _ if matches!(what, "" | "accept") => Ok(Self::default()),
            Some(("route", upstream)) => {
                Ok(Self { refuse: None, route: Some(upstream.trim().to_owned()) })
            }
            _ => Ok(Self { refuse: Some(what.parse()?), route: None }),
        }
    }
}

impl Shapes for Targets {
    const EXPECTED: &'static str = "an address or a list of addresses";

    fn from_word<E: Error>(word: &str) -> Result<Self, E> {
        Ok(Self::parse(word))
    }

    fn from_list(list: Vec<String>) -> Option<Self> {
        Some(Self(list))
    }

    fn from_map<'de, A: MapAccess<'de>>(_: A) -> Result<Self, A::Error> {
        Err(A::Error::custom(format_args!("expected {}", Self::EXPECTED)))
    }
}

impl Targets {
    /// As in maps of Postfix: with commas or spaces between them.
    pub(crate) fn parse(text: &str) -> Self {
        let targets = text.split([',', ' ', '\t']).filter(|target| !target.is_empty());
        Self(targets.map(str::to_owned).collect())
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

deserialize_shapes!(Address, Known, Mailboxes, Targets);

fn unknown() -> Refusal {
    refusal("550 5.1.1 no such recipient here")
}

fn relay_denied() -> Refusal {
    refusal("550 5.7.1 relaying denied")
}

fn not_now() -> Refusal {
    refusal("451 4.3.0 recipients cannot be checked now, try again later")
}

fn refusal(text: &str) -> Refusal {
    text.parse().expect("a refusal")
}

fn day() -> Span {
    Span::days(1)
}

fn hour() -> Span {
    Span::hours(1)
}

fn half_a_minute() -> Span {
    Span::seconds(30)
}
