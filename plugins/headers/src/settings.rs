//! The settings as they are written.

use portcullis_plugin::Refusal;
use serde::{Deserialize, Deserializer, de};

use crate::template::Template;

/// The settings of `headers`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) rules: Vec<RuleSettings>,
    pub(crate) drop: Vec<String>,
    pub(crate) set: Vec<Set>,
    pub(crate) add: Vec<Add>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSettings {
    pub(crate) header: String,
    pub(crate) contains: Option<String>,
    pub(crate) equals: Option<String>,
    pub(crate) matches: Option<String>,
    pub(crate) present: Option<bool>,
    pub(crate) discard: Option<String>,
    pub(crate) quarantine: Option<String>,
    pub(crate) refuse: Option<Refusal>,
    pub(crate) route: Option<String>,
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
