//! What rspamd answers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::settings::{By, Score, is_symbol};

/// The answer to `/checkv2`, as far as it is of interest; whatever else there is may come and go.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) score: f64,
    pub(crate) required_score: Option<f64>,
    pub(crate) action: String,
    #[serde(default)]
    symbols: BTreeMap<String, Symbol>,
    #[serde(default)]
    pub(crate) messages: Value,
    #[serde(default)]
    pub(crate) milter: Value,
    #[serde(default, rename = "dkim-signature")]
    pub(crate) dkim_signature: Value,
    pub(crate) subject: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Symbol {
    #[serde(default)]
    score: f64,
}

/// What rspamd advises.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    None,
    Greylist,
    AddHeader,
    RewriteSubject,
    SoftReject,
    Reject,
    Discard,
    Quarantine,
    /// One of the operator's own.
    Other,
}

impl Action {
    fn of(name: &str) -> Self {
        match name {
            "no action" | "accept" => Self::None,
            "greylist" => Self::Greylist,
            "add header" => Self::AddHeader,
            "rewrite subject" => Self::RewriteSubject,
            "soft reject" => Self::SoftReject,
            "reject" => Self::Reject,
            "discard" => Self::Discard,
            "quarantine" => Self::Quarantine,
            _ => Self::Other,
        }
    }

    pub(crate) const ALL: [Self; 9] = [
        Self::None,
        Self::Greylist,
        Self::AddHeader,
        Self::RewriteSubject,
        Self::SoftReject,
        Self::Reject,
        Self::Discard,
        Self::Quarantine,
        Self::Other,
    ];

    /// Its name in settings and metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::None => "no_action",
            Self::Greylist => "greylist",
            Self::AddHeader => "add_header",
            Self::RewriteSubject => "rewrite_subject",
            Self::SoftReject => "soft_reject",
            Self::Reject => "reject",
            Self::Discard => "discard",
            Self::Quarantine => "quarantine",
            Self::Other => "other",
        }
    }
}

impl Answer {
    /// Nothing but an object with score and action is one.
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| {
            // The text of a type error has a piece of what came, which may be anything.
            format!("{:?} error in line {}", error.classify(), error.line())
        })
    }

    /// The action, after what a rule of rspamd has to say about it for milters.
    pub(crate) fn action(&self) -> Action {
        let action = Action::of(&self.action);
        if self.milter.get("no_action").and_then(Value::as_bool) == Some(true) {
            return Action::None;
        }
        match self.milter.get("reject").and_then(Value::as_str) {
            Some("discard") if action == Action::Reject => Action::Discard,
            Some("quarantine") if action == Action::Reject => Action::Quarantine,
            _ => action,
        }
    }

    /// What is to be told to the client.
    pub(crate) fn words(&self) -> Option<&str> {
        self.messages.get("smtp_message").and_then(Value::as_str)
    }

    /// Its points as ours.
    pub(crate) fn points(&self, by: By, score: &Score) -> Vec<(String, f64)> {
        let required = self.required_score.filter(|required| *required > 0.0);
        let scale = score.scale.unwrap_or_else(|| score.reject / required.unwrap_or(RSPAMDS));
        match by {
            By::Action => Vec::new(),
            By::Score => {
                let points = (self.score * scale).clamp(score.least, score.most);
                Vec::from_iter((points != 0.0).then(|| (score.symbol.clone(), points)))
            }
            By::Symbols => self.symbol_points(scale, score),
        }
    }

    /// Those that weigh most, in the order of their names; those beyond the cap of all are left out.
    fn symbol_points(&self, scale: f64, score: &Score) -> Vec<(String, f64)> {
        let known = self.symbols.iter().filter(|(_, symbol)| symbol.score != 0.0);
        let mut all: Vec<_> = known
            .map(|(name, symbol)| {
                let points = (symbol.score * scale).clamp(-score.each, score.each);
                (format!("{}_{}", score.symbol, clean(name)), points)
            })
            .filter(|(name, _)| is_symbol(name))
            .collect();
        all.sort_by(|one, other| other.1.abs().total_cmp(&one.1.abs()));
        all.truncate(MOST_SYMBOLS);
        let sum: f64 = all.iter().map(|(_, points)| points).sum();
        let fits = sum.clamp(score.least, score.most);
        if fits != sum {
            all.push((format!("{}.cap", score.symbol), fits - sum));
        }
        all
    }
}

/// A name as symbols have them here.
fn clean(name: &str) -> String {
    let fit =
        |char: char| if char.is_ascii_alphanumeric() || "_-.".contains(char) { char } else { '_' };
    name.chars().map(fit).take(40).collect()
}

/// The gateway takes 100 of a plugin.
const MOST_SYMBOLS: usize = 90;
/// Its threshold to reject as it is shipped.
const RSPAMDS: f64 = 15.0;
