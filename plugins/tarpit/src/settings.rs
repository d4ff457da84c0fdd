//! The settings as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;
use terms::{Exempt, Span};

/// The settings of `tarpit`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) greeting: Span,
    pub(crate) steps: Vec<Step>,
    pub(crate) conduct: BTreeMap<String, Span>,
    pub(crate) refused_recipients: Refused,
    pub(crate) score: Score,
    pub(crate) notes: BTreeMap<String, Span>,
    pub(crate) most: Span,
    pub(crate) session: Span,
    pub(crate) exempt: Exempt,
}

/// Where what is known of a client costs it time.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Step {
    Mail,
    Rcpt,
    Data,
    Message,
}

impl Step {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Message => "message",
        }
    }
}

/// What a client does against the manners of the protocol, in the gateway's words. Of refused recipients
/// there are settings of their own.
const LAPSES: [&str; 8] = [
    "auth-failures",
    "bare-newlines",
    "early-talker",
    "out-of-sequence",
    "pipelined-out-of-turn",
    "repeated-helo",
    "syntax-errors",
    "unknown-commands",
];

/// Delays at RCPT that grow with the recipients that were refused.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Refused {
    /// So many cost nothing: an old address in a list is no crime.
    pub(crate) free: u32,
    /// For the next one; twice as long for each further one. None without it.
    pub(crate) delay: Span,
}

impl Default for Refused {
    fn default() -> Self {
        Self { free: 2, delay: Span::seconds(1) }
    }
}

/// Delays for what other plugins have found.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Score {
    pub(crate) from: f64,
    pub(crate) delay: Span,
    /// For each whole point above that.
    pub(crate) point: Span,
}

impl Default for Score {
    fn default() -> Self {
        Self { from: 4.0, delay: Span::seconds(5), point: Span::seconds(2) }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            greeting: Span::seconds(0),
            steps: vec![Step::Mail],
            conduct: [
                ("auth-failures", 5),
                ("early-talker", 10),
                ("out-of-sequence", 2),
                ("pipelined-out-of-turn", 5),
                ("syntax-errors", 1),
                ("unknown-commands", 2),
            ]
            .map(|(lapse, seconds)| (lapse.to_owned(), Span::seconds(seconds)))
            .into(),
            refused_recipients: Refused::default(),
            score: Score::default(),
            notes: BTreeMap::new(),
            most: Span::seconds(30),
            session: Span::seconds(300),
            exempt: Exempt::default(),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), String> {
        let longest = Span::seconds(60);
        for (key, span) in [("greeting", self.greeting), ("most", self.most)] {
            if span > longest {
                return Err(format!("{key}: {span} is longer than 60s, the most of one reply"));
            }
        }
        if self.most == Span::seconds(0) || self.session == Span::seconds(0) {
            return Err("most, session: at least 1s; without any, leave the plugin out".to_owned());
        }
        let instead = "whoever waits waits for all of them; leave out senders or clients instead";
        self.exempt.without(&["recipients"], instead)?;
        if let Some(lapse) = self.conduct.keys().find(|key| !LAPSES.contains(&key.as_str())) {
            return Err(format!("conduct.{lapse}: no such lapse; there are {}", LAPSES.join(", ")));
        }
        if !self.score.from.is_finite() || self.score.from <= 0.0 {
            return Err("score.from: more than 0, or everybody would wait".to_owned());
        }
        match self.notes.keys().find(|name| !name.contains('.')) {
            Some(name) => Err(format!("notes: `{name}` is not a whole name as in `dnsbl.listed`")),
            None => Ok(()),
        }
    }

    /// Whether anything but refused recipients costs time.
    pub(crate) fn asks_at(&self, step: Step) -> bool {
        self.steps.contains(&step)
    }
}
