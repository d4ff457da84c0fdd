//! The settings as they are written.

use std::collections::BTreeMap;

use portcullis_plugin::Refusal;
use serde::{Deserialize, Deserializer, de};
use terms::{Addresses, Exempt};

use crate::action::Action;
use crate::kind::Kind;

/// The settings of `content`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) checks: BTreeMap<String, Action>,
    pub(crate) rules: Vec<RuleSettings>,
    pub(crate) sizes: Vec<SizeSettings>,
    pub(crate) extensions: Extensions,
    pub(crate) help: Option<String>,
    pub(crate) tag_header: Option<String>,
    pub(crate) exempt: Exempt,
    pub(crate) limits: Limits,
}

/// Lists that take the place of the built-in ones.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Extensions {
    pub(crate) program: Option<Vec<String>>,
    pub(crate) script: Option<Vec<String>>,
    pub(crate) risky: Option<Vec<String>>,
}

/// A rule of the operator's, about parts and what archives hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RuleSettings {
    pub(crate) name: Option<Words>,
    pub(crate) extension: Option<Words>,
    pub(crate) kind: Option<OneOrMore<Kind>>,
    pub(crate) declared: Option<Words>,
    pub(crate) larger_than: Option<Size>,
    pub(crate) recipients: Option<Addresses>,
    pub(crate) senders: Option<Addresses>,
    pub(crate) symbol: Option<String>,
    pub(crate) allow: bool,
    pub(crate) refuse: Option<Refusal>,
    pub(crate) quarantine: Option<String>,
    pub(crate) strip: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) score: Option<f64>,
}

/// How large a message may be, for whom.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SizeSettings {
    pub(crate) larger_than: Size,
    pub(crate) recipients: Option<Addresses>,
    pub(crate) refuse: Option<Refusal>,
}

/// How much is looked at.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Parts of a message that are opened.
    pub(crate) parts: usize,
    /// Names of an archive.
    pub(crate) entries: usize,
    /// What is read into the plugin of one message.
    pub(crate) read: Size,
    /// How far scripts are looked for in pages.
    pub(crate) search: Size,
}

impl Default for Limits {
    fn default() -> Self {
        Self { parts: 200, entries: 5_000, read: Size(4 * MEBI), search: Size(MEBI) }
    }
}

/// One text or several.
pub(crate) type Words = OneOrMore<String>;

/// One value, or a list.
#[derive(Debug)]
pub(crate) struct OneOrMore<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written<T> {
            More(Vec<T>),
            One(T),
        }
        let written = Written::deserialize(deserializer)
            .map_err(|_| de::Error::custom("not a value that is known here, or a list of such"))?;
        let values = match written {
            Written::More(values) => values,
            Written::One(value) => vec![value],
        };
        if values.is_empty() {
            return Err(de::Error::custom("an empty list never fits"));
        }
        Ok(Self(values))
    }
}

/// Octets: `10MiB`, `500 KB`, `1000`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size(pub(crate) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Octets(u64),
            Text(String),
        }
        let form =
            || de::Error::custom("a size is a number of octets, or as in `10MiB` or `500KB`");
        match Written::deserialize(deserializer).map_err(|_| form())? {
            Written::Octets(octets) => Ok(Self(octets)),
            Written::Text(text) => size(&text).map(Self).ok_or_else(form),
        }
    }
}

fn size(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => KIBI,
        "MiB" => MEBI,
        "GiB" => KIBI * MEBI,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

const KIBI: u64 = 1024;
const MEBI: u64 = KIBI * KIBI;
