//! The settings as they are written.

use std::collections::BTreeMap;

use portcullis_plugin::Refusal;
use serde::{Deserialize, Deserializer, de};
use terms::Clients;

use crate::domain::Pattern;

/// The settings of `authentication`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) authserv_id: Option<Name>,
    #[serde(default)]
    pub(crate) remove: Vec<Pattern>,
    #[serde(default)]
    pub(crate) help: Option<Link>,
    #[serde(default)]
    pub(crate) exempt: Clients,
    #[serde(default)]
    pub(crate) spf: Spf,
    #[serde(default)]
    pub(crate) dmarc: Dmarc,
    #[serde(default)]
    pub(crate) from: From,
    #[serde(default)]
    pub(crate) arc: Arc,
    #[serde(default)]
    pub(crate) scores: Scores,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Spf {
    pub(crate) refuse: Vec<Refused>,
    pub(crate) reply: Refusal,
    pub(crate) broken: Refusal,
    pub(crate) early: bool,
    pub(crate) on_error: OnError,
}

/// What SPF may say and be refused for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Refused {
    Fail,
    SoftFail,
    PermError,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Dmarc {
    pub(crate) reject: Action,
    pub(crate) quarantine: Action,
    pub(crate) none: Action,
    pub(crate) pct: bool,
    pub(crate) reply: Refusal,
    pub(crate) domains: BTreeMap<Pattern, Local>,
    pub(crate) lists: Vec<Pattern>,
    pub(crate) on_error: OnError,
    pub(crate) in_doubt: OnError,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Ignore,
    Score,
    Quarantine,
    Refuse,
}

/// What holds for a domain here, whatever it publishes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Local {
    Ignore,
    Quarantine,
    Reject,
}

/// Where nobody knows now.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnError {
    Pass,
    Score,
    Defer,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct From {
    pub(crate) missing: Action,
    pub(crate) several: Action,
    pub(crate) reply: Refusal,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Arc {
    pub(crate) trusted: Vec<Pattern>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) struct Scores {
    #[serde(deserialize_with = "points")]
    pub(crate) auth_pass: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) auth_temperror: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) spf_fail: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) spf_softfail: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) spf_permerror: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) dkim_fail: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) dmarc_reject: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) dmarc_quarantine: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) dmarc_none: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) from_missing: f64,
    #[serde(deserialize_with = "points")]
    pub(crate) from_several: f64,
}

impl Default for Spf {
    fn default() -> Self {
        Self {
            refuse: Vec::new(),
            // RFC 7372 section 3.2.
            reply: usual("550 5.7.23 {client} may not send mail for {domain} (SPF)"),
            broken: usual("550 5.7.24 the SPF record of {domain} cannot be understood"),
            early: false,
            on_error: OnError::Pass,
        }
    }
}

impl Default for Dmarc {
    fn default() -> Self {
        Self {
            reject: Action::Refuse,
            quarantine: Action::Score,
            none: Action::Score,
            pct: true,
            reply: usual(
                "550 5.7.1 {domain} wants mail refused that neither SPF nor DKIM shows to be its own (DMARC)",
            ),
            domains: BTreeMap::new(),
            lists: Vec::new(),
            on_error: OnError::Score,
            in_doubt: OnError::Defer,
        }
    }
}

impl Default for From {
    fn default() -> Self {
        Self {
            missing: Action::Score,
            several: Action::Refuse,
            reply: usual(
                "550 5.7.1 a message has one From field, and an author in it (RFC 5322 3.6)",
            ),
        }
    }
}

impl Default for Scores {
    fn default() -> Self {
        Self {
            auth_pass: -0.5,
            auth_temperror: 0.5,
            spf_fail: 3.0,
            spf_softfail: 1.0,
            spf_permerror: 0.5,
            dkim_fail: 0.5,
            dmarc_reject: 6.0,
            dmarc_quarantine: 5.0,
            dmarc_none: 1.0,
            from_missing: 3.0,
            from_several: 5.0,
        }
    }
}

/// Where senders read what they can do.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Link(pub(crate) String);

impl TryFrom<String> for Link {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = text.len() <= LINK_OCTETS && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits && (text.starts_with("https://") || text.starts_with("http://")) {
            return Ok(Self(text));
        }
        Err(format!("a link begins with https:// and has at most {LINK_OCTETS} letters of ASCII"))
    }
}

/// By which a reader knows whose word a field is (RFC 8601 section 2.5).
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(pub(crate) String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if !text.is_empty() && text.len() <= NAME_OCTETS && text.bytes().all(fits) {
            return Ok(Self(text));
        }
        Err(format!("`{text}` is not a host name; beyond ASCII it is written as `xn--`"))
    }
}

fn usual(line: &str) -> Refusal {
    line.parse().expect("the defaults are refusals")
}

/// More than the gateway takes is told now, not at the first message.
fn points<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let points = f64::deserialize(deserializer)?;
    if points.abs() > POINTS {
        return Err(de::Error::custom("points are from -10000 to 10000"));
    }
    Ok(points)
}

/// RFC 1035 section 2.3.4.
const NAME_OCTETS: usize = 255;
const LINK_OCTETS: usize = 200;
const POINTS: f64 = 10_000.0;
