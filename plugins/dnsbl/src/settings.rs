//! The settings as they are written.

use serde::{Deserialize, Deserializer, de::Error};
use terms::Exempt;
use zones::{Form, Kind, List, OnError, Subject};

/// The settings of `dnsbl`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(deserialize_with = "lists")]
    pub(crate) lists: Vec<List<Of>>,
    #[serde(default)]
    pub(crate) refuse: Refuse,
    #[serde(default)]
    pub(crate) exempt: Exempt,
    #[serde(default)]
    pub(crate) on_error: OnError,
    #[serde(default = "error_score")]
    pub(crate) error_score: f64,
    /// Remembers what was told of lists that are in trouble.
    pub(crate) store: Option<String>,
}

/// What a list is asked about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Of {
    /// The client's address.
    Client,
    /// The domain of the reverse-path.
    Sender,
    /// The name that the client gave.
    Helo,
    /// The names that its address has.
    Ptr,
}

impl Subject for Of {
    fn usual(kind: Kind) -> Vec<Self> {
        match kind {
            Kind::Addresses => vec![Self::Client],
            Kind::Domains => vec![Self::Sender, Self::Helo],
        }
    }
}

impl Of {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::Client => Kind::Addresses,
            Self::Sender | Self::Helo | Self::Ptr => Kind::Domains,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Refuse {
    /// From how many points on.
    pub(crate) score: f64,
    pub(crate) at: Stage,
    #[serde(deserialize_with = "reply")]
    pub(crate) reply: Form,
    /// Local parts that are always reachable.
    pub(crate) except: Vec<String>,
}

/// Where the refusal is told.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    Connect,
    Mail,
    #[default]
    Rcpt,
    Never,
}

impl Default for Refuse {
    fn default() -> Self {
        let usual = "550 5.7.1 {subject} is listed by {list}: {reason}";
        Self {
            score: 5.0,
            at: Stage::default(),
            reply: Form::read(usual, &PLACES).expect("the usual reply has only known places"),
            except: ["postmaster", "abuse"].map(str::to_owned).to_vec(),
        }
    }
}

fn reply<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Form, D::Error> {
    Form::deserialize(deserializer, &PLACES)
}

fn lists<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<List<Of>>, D::Error> {
    let lists = zones::lists::<_, Of>(deserializer, "zen.spamhaus.org")?;
    if lists.len() > MOST_LISTS || lists.iter().map(|list| list.of.len()).sum::<usize>() > MOST {
        return Err(D::Error::custom(format!(
            "at most {MOST_LISTS} lists, with {MOST} things of which they are asked"
        )));
    }
    Ok(lists)
}

fn error_score() -> f64 {
    1.0
}

/// What a reply may tell.
const PLACES: [&str; 4] = ["client", "subject", "list", "reason"];

/// As many as a metric has values of a label.
const MOST_LISTS: usize = 32;

/// A second batch asks twice about each, and has at most 100 questions.
const MOST: usize = 48;
