//! The settings as they are written.

use portcullis_plugin::Refusal;
use serde::{Deserialize, Deserializer, de};
use terms::{Exempt, Prefixes, Span};

/// The settings of `greylist`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) store: String,
    pub(crate) delay: Span,
    pub(crate) retry_window: Span,
    pub(crate) known_for: Span,
    pub(crate) network: Prefixes<24, 64>,
    pub(crate) spf: bool,
    pub(crate) auto_allow: u32,
    pub(crate) only_if: OnlyIf,
    pub(crate) ask_at: Ask,
    pub(crate) null_sender: Ask,
    #[serde(deserialize_with = "deferral")]
    pub(crate) reply: Refusal,
    pub(crate) header: bool,
    pub(crate) on_error: OnError,
    pub(crate) exempt: Exempt,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            store: "greylist".to_owned(),
            // Longer than what sends once and again from the same list; shorter than the first retry
            // of most queues (RFC 5321 4.5.4.1 asks for 30 minutes, Postfix takes 5).
            delay: Span::seconds(300),
            retry_window: Span::hours(24),
            // Who writes once a month is known.
            known_for: Span::days(35),
            network: Prefixes::default(),
            spf: true,
            auto_allow: 5,
            only_if: OnlyIf::default(),
            ask_at: Ask::Rcpt,
            null_sender: Ask::Data,
            reply: "451 4.7.1 greylisted, come again in {seconds} seconds"
                .parse()
                .expect("this is a refusal"),
            header: false,
            on_error: OnError::Pass,
            exempt: Exempt::default(),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.delay.as_seconds() == 0 {
            return Err("delay: at least 1s; without any, leave the plugin out".to_owned());
        }
        if self.retry_window <= self.delay {
            return Err(format!(
                "retry_window: {} is not longer than the delay of {}, so that no retry would count",
                self.retry_window, self.delay
            ));
        }
        if self.known_for <= self.delay {
            return Err(format!(
                "known_for: {} is not longer than the delay of {}",
                self.known_for, self.delay
            ));
        }
        self.network.check("network")?;
        if self.ask_at == Ask::Never {
            return Err("ask_at: rcpt or data; to ask nobody, leave the plugin out".to_owned());
        }
        Ok(())
    }
}

/// What makes a stranger suspicious; one is enough. Without any, everybody is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OnlyIf {
    pub(crate) score: Option<f64>,
    pub(crate) symbols: Vec<String>,
    pub(crate) spf: Vec<Outcome>,
    pub(crate) iprev: Vec<Outcome>,
}

impl OnlyIf {
    pub(crate) fn always(&self) -> bool {
        self.score.is_none() && self.symbols.is_empty() && !self.findings()
    }

    pub(crate) fn findings(&self) -> bool {
        !self.spf.is_empty() || !self.iprev.is_empty()
    }
}

/// What RFC 8601 section 2.7 calls a result.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    Pass,
    Fail,
    Softfail,
    Neutral,
    None,
    Temperror,
    Permerror,
}

impl Outcome {
    pub(crate) fn is(self, text: &str) -> bool {
        let own = match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Softfail => "softfail",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::Temperror => "temperror",
            Self::Permerror => "permerror",
        };
        own == text
    }
}

/// Where a stranger is deferred.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ask {
    Rcpt,
    Data,
    Never,
}

/// What is said while the store is away.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnError {
    Pass,
    Defer,
}

fn deferral<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Refusal, D::Error> {
    let refusal = Refusal::deserialize(deserializer)?;
    if !(400..=499).contains(&refusal.reply().code) {
        return Err(de::Error::custom("who is to come again needs a code from 400 to 499"));
    }
    Ok(refusal)
}
