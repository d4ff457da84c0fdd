//! The settings as they are written.

use std::collections::BTreeMap;

use serde::Deserialize;
use terms::Span;

/// The settings of `milter`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) server: String,
    #[serde(default = "timeout")]
    pub(crate) timeout: Span,
    #[serde(default = "edits")]
    pub(crate) edits: Vec<Edits>,
    #[serde(default)]
    pub(crate) macros: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) on_error: OnError,
    #[serde(default = "points")]
    pub(crate) score: f64,
}

/// What a filter may change.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Edits {
    Headers,
    Body,
    Envelope,
}

/// What becomes of a message that a filter did not judge.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnError {
    #[default]
    Defer,
    Pass,
    Score,
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), String> {
        if !self.server.contains(':') {
            return Err(format!(
                "server: `{}` is neither host:port nor unix:/path; `inet:port@host` is `host:port` here",
                self.server
            ));
        }
        for scheme in ["inet:", "inet6:", "local:"] {
            if let Some(rest) = self.server.strip_prefix(scheme) {
                let meant = match rest.split_once('@') {
                    Some((port, host)) => format!("{host}:{port}"),
                    None => format!("unix:{rest}"),
                };
                return Err(format!("server: did you mean `{meant}`?"));
            }
        }
        if !(1..=60).contains(&self.timeout.as_seconds()) {
            return Err("timeout: from 1s to 60s, and less than the plugin's time_limit".to_owned());
        }
        for (name, value) in &self.macros {
            let fits = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_control());
            if !fits(name) || !fits(value) || name.contains(['{', '}']) {
                return Err(format!("macros.{name}: a name without braces, and one line of text"));
            }
        }
        if !(self.score.is_finite() && self.score.abs() <= 100.0) {
            return Err(format!("score: {} is not from -100 to 100", self.score));
        }
        Ok(())
    }
}

fn timeout() -> Span {
    Span::seconds(10)
}

fn edits() -> Vec<Edits> {
    vec![Edits::Headers]
}

fn points() -> f64 {
    1.0
}
