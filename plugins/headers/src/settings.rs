//! The settings as they are written.

use portcullis_plugin::Refusal;
use regex_lite::Regex;
use serde::{Deserialize, Deserializer, de};
use terms::{Addresses, Networks};

use crate::template::Template;

/// The settings of `headers`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) rules: Vec<Entry>,
    pub(crate) drop: Vec<String>,
    pub(crate) set: Vec<Set>,
    pub(crate) add: Vec<Add>,
    pub(crate) rename: Vec<Rename>,
    pub(crate) rewrite: Vec<Rewrite>,
    /// Whether conditions that do not say see values with encoded words decoded.
    pub(crate) decoded: bool,
}

/// A rule, or a condition within one, which has no action.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Entry {
    header: Option<String>,
    contains: Option<String>,
    equals: Option<String>,
    matches: Option<String>,
    present: Option<bool>,
    more_than: Option<usize>,
    fewer_than: Option<usize>,
    differs_from: Option<String>,
    poses_as: Option<Addresses>,
    of: Option<Of>,
    decoded: Option<bool>,
    all: Option<Vec<Self>>,
    any: Option<Vec<Self>>,
    not: Option<Box<Self>>,
    section_larger_than: Option<usize>,
    from: Option<Addresses>,
    to: Option<Addresses>,
    clients: Option<Networks>,
    authenticated: Option<bool>,
    discard: Option<String>,
    quarantine: Option<String>,
    refuse: Option<Refusal>,
    route: Option<String>,
    score: Option<f64>,
    symbol: Option<String>,
}

/// What an entry asks of one field.
#[derive(Debug)]
pub(crate) struct FieldSettings {
    pub(crate) header: Option<String>,
    pub(crate) contains: Option<String>,
    pub(crate) equals: Option<String>,
    pub(crate) matches: Option<String>,
    pub(crate) present: Option<bool>,
    pub(crate) more_than: Option<usize>,
    pub(crate) fewer_than: Option<usize>,
    pub(crate) differs_from: Option<String>,
    pub(crate) poses_as: Option<Addresses>,
    pub(crate) of: Option<Of>,
    pub(crate) decoded: Option<bool>,
}

/// What an entry asks of the envelope and the client.
#[derive(Debug)]
pub(crate) struct MailSettings {
    pub(crate) section_larger_than: Option<usize>,
    pub(crate) senders: Option<Addresses>,
    pub(crate) recipients: Option<Addresses>,
    pub(crate) clients: Option<Networks>,
    pub(crate) authenticated: Option<bool>,
}

/// What an entry asks.
#[derive(Debug)]
pub(crate) struct ConditionSettings {
    pub(crate) all: Option<Vec<Entry>>,
    pub(crate) any: Option<Vec<Entry>>,
    pub(crate) not: Option<Box<Entry>>,
    pub(crate) field: FieldSettings,
    pub(crate) mail: MailSettings,
}

/// What an entry does.
#[derive(Debug, Default)]
pub(crate) struct ActionSettings {
    pub(crate) discard: Option<String>,
    pub(crate) quarantine: Option<String>,
    pub(crate) refuse: Option<Refusal>,
    pub(crate) route: Option<String>,
    pub(crate) score: Option<f64>,
    pub(crate) symbol: Option<String>,
}

/// Which part of each address in a field.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Of {
    Address,
    Domain,
    LocalPart,
    DisplayName,
}

impl Entry {
    pub(crate) fn parts(self) -> (ConditionSettings, ActionSettings) {
        let Self { header, contains, equals, matches, present, more_than, fewer_than, .. } = self;
        let Self { differs_from, poses_as, of, decoded, all, any, not, .. } = self;
        let field = FieldSettings {
            header,
            contains,
            equals,
            matches,
            present,
            more_than,
            fewer_than,
            differs_from,
            poses_as,
            of,
            decoded,
        };
        let mail = MailSettings {
            section_larger_than: self.section_larger_than,
            senders: self.from,
            recipients: self.to,
            clients: self.clients,
            authenticated: self.authenticated,
        };
        let Self { discard, quarantine, refuse, route, score, symbol, .. } = self;
        let condition = ConditionSettings { all, any, not, field, mail };
        (condition, ActionSettings { discard, quarantine, refuse, route, score, symbol })
    }
}

impl ActionSettings {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { discard, quarantine, refuse, route, score, symbol } = self;
        let texts = [discard, quarantine, route, symbol];
        texts.iter().all(|text| text.is_none()) && refuse.is_none() && score.is_none()
    }
}

/// Another name for a header.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rename {
    #[serde(deserialize_with = "name")]
    pub(crate) from: String,
    #[serde(deserialize_with = "name")]
    pub(crate) to: String,
}

/// Another value for a header, made of what a pattern captures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rewrite {
    #[serde(deserialize_with = "name")]
    pub(crate) name: String,
    pub(crate) matches: Pattern,
    pub(crate) value: String,
}

/// A regular expression.
#[derive(Debug)]
pub(crate) struct Pattern(pub(crate) Regex);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pattern = String::deserialize(deserializer)?;
        Regex::new(&pattern).map(Self).map_err(de::Error::custom)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Set {
    #[serde(deserialize_with = "name")]
    pub(crate) name: String,
    pub(crate) value: Template,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Add {
    #[serde(deserialize_with = "name")]
    pub(crate) name: String,
    pub(crate) value: Template,
    #[serde(default)]
    pub(crate) at: Place,
}

/// The top is where trace headers go (RFC 5321 4.4).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    #[default]
    Top,
    Bottom,
}

/// RFC 5322 3.6.8: printable ASCII without the colon.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(format!("`{name}` is not the name of a header"));
    }
    Ok(())
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    check_name(&name).map_err(de::Error::custom)?;
    Ok(name)
}
