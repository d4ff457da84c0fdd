//! The settings as they are written.

use std::fmt;

use portcullis_plugin::Refusal;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use terms::{Exempt, Span};

/// The settings of `ratelimit`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default = "rates")]
    pub(crate) store: String,
    #[serde(default)]
    pub(crate) network: Prefixes,
    pub(crate) rules: Vec<RuleSettings>,
    #[serde(default)]
    pub(crate) exempt: Exempt,
    #[serde(default)]
    pub(crate) on_error: OnError,
}

fn rates() -> String {
    "rates".to_owned()
}

/// How much of an address is the network.
pub(crate) type Prefixes = terms::Prefixes<24, 48>;

/// One rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSettings {
    pub(crate) name: String,
    pub(crate) count: Count,
    pub(crate) key: Vec<Part>,
    pub(crate) limit: Limit,
    pub(crate) window: Span,
    pub(crate) refuse: Option<Refusal>,
    pub(crate) score: Option<f64>,
    pub(crate) delay: Option<Span>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Count {
    Connections,
    Messages,
    Recipients,
    Octets,
    Refused,
}

/// Of whom, or for whom.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    Listener,
    Client,
    Network,
    Helo,
    User,
    Sender,
    SenderDomain,
    Recipient,
    RecipientDomain,
}

impl Count {
    /// Whether it is known of whom, when this is counted. What `outcome` is told has neither the
    /// HELO name nor the user, and a recipient that was refused is seldom asked for again.
    pub(crate) fn knows(self, part: Part) -> bool {
        match part {
            Part::Listener | Part::Client | Part::Network => true,
            Part::Sender | Part::SenderDomain => self != Self::Connections,
            Part::Helo | Part::User => !matches!(self, Self::Connections | Self::Refused),
            Part::Recipient | Part::RecipientDomain => self == Self::Recipients,
        }
    }

    pub(crate) fn refusal(self) -> &'static str {
        match self {
            // RFC 5321 3.8: 421 closes the connection.
            Self::Connections => "421 4.7.0 too many connections, come again later",
            Self::Messages => "451 4.7.1 too many messages, come again later",
            Self::Recipients => "451 4.7.1 too many recipients, come again later",
            Self::Octets => "451 4.7.1 too much mail, come again later",
            Self::Refused => "451 4.7.1 too many recipients that are not here, come again later",
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Connections => "connections",
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::Octets => "octets",
            Self::Refused => "refused",
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Listener => "listener",
            Self::Client => "client",
            Self::Network => "network",
            Self::Helo => "helo",
            Self::User => "user",
            Self::Sender => "sender",
            Self::SenderDomain => "sender-domain",
            Self::Recipient => "recipient",
            Self::RecipientDomain => "recipient-domain",
        })
    }
}

/// What is said while the store is away.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnError {
    #[default]
    Pass,
    Defer,
}

/// A number, or octets as in `50MiB`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Limit(pub(crate) u32);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Amount)
    }
}

struct Amount;

impl Visitor<'_> for Amount {
    type Value = Limit;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(AMOUNT)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Limit, E> {
        match u32::try_from(number) {
            Ok(number) if number > 0 => Ok(Limit(number)),
            _ => Err(E::custom(format!("{number} is not from 1 to {}", u32::MAX))),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Limit, E> {
        let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
        let found = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
        let octets = found.and_then(|(digits, size)| digits.parse::<u64>().ok()?.checked_mul(size));
        self.visit_u64(octets.ok_or_else(|| E::custom(format!("`{text}` is not {AMOUNT}")))?)
    }
}

const AMOUNT: &str = "a number, or octets as in `50MiB`";
