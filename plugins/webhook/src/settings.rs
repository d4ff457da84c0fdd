//! The settings as they are written.

use std::collections::BTreeMap;

use portcullis_plugin::Hook;
use serde::{Deserialize, Serialize};
use terms::{Exempt, OnError, Secret, Span};

/// The settings of `webhook`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) url: String,
    #[serde(default = "data")]
    pub(crate) stages: Vec<Stage>,
    #[serde(default = "contents")]
    pub(crate) contents: u32,
    #[serde(default = "timeout")]
    pub(crate) timeout: Span,
    pub(crate) authorization: Option<Secret>,
    pub(crate) secret: Option<Secret>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) exempt: Exempt,
    #[serde(default)]
    pub(crate) on_error: OnError,
    #[serde(default = "error_score")]
    pub(crate) error_score: f64,
    pub(crate) server_name: Option<String>,
}

/// When the service is asked; in the words of Stalwart, but for `headers`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stage {
    Connect,
    Ehlo,
    Mail,
    Rcpt,
    Headers,
    /// Of the complete message.
    Data,
}

impl Stage {
    const ALL: [(Self, Hook, &'static str); 6] = [
        (Self::Connect, Hook::Connect, "connect"),
        (Self::Ehlo, Hook::Helo, "ehlo"),
        (Self::Mail, Hook::Mail, "mail"),
        (Self::Rcpt, Hook::Rcpt, "rcpt"),
        (Self::Headers, Hook::Headers, "headers"),
        (Self::Data, Hook::Message, "data"),
    ];

    pub(crate) fn label(self) -> &'static str {
        Self::ALL.iter().find(|(stage, ..)| *stage == self).map_or("data", |(.., label)| label)
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), String> {
        let rest = self.url.strip_prefix("http://").or_else(|| self.url.strip_prefix("https://"));
        if !rest.is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|octet| octet.is_ascii_graphic())
        }) {
            return Err("url: as in `https://hooks.example.org/mail`".to_owned());
        }
        if self.stages.is_empty() {
            return Err("stages: name at least one, as in `[data]`".to_owned());
        }
        if self.contents > MOST_CONTENTS {
            return Err(format!("contents: at most {MOST_CONTENTS} octets"));
        }
        if !(1..=60).contains(&self.timeout.as_seconds()) {
            return Err("timeout: from `1s` to `60s`".to_owned());
        }
        if !(0.0..=1000.0).contains(&self.error_score) {
            return Err("error_score: from 0 to 1000".to_owned());
        }
        if self.secret.as_ref().is_some_and(|secret| secret.text().is_empty()) {
            return Err("secret: is empty".to_owned());
        }
        self.check_headers()
    }

    fn check_headers(&self) -> Result<(), String> {
        let is_name = |name: &String| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let authorization = self.authorization.iter().map(Secret::text);
        let mut values = self.headers.values().map(String::as_str).chain(authorization);
        if self.headers.keys().all(is_name)
            && values.all(|value| !value.is_empty() && !value.contains(char::is_control))
        {
            return Ok(());
        }
        Err("headers and authorization are sent as HTTP headers: no line ends, and names of letters, \
             digits and `-`"
            .to_owned())
    }

    /// The hooks of stages that nobody wants to hear of.
    pub(crate) fn skip(&self) -> Vec<Hook> {
        let unwanted = Stage::ALL.iter().filter(|(stage, ..)| !self.stages.contains(stage));
        unwanted.map(|(_, hook, _)| *hook).collect()
    }
}

fn data() -> Vec<Stage> {
    vec![Stage::Data]
}

fn contents() -> u32 {
    64 * 1024
}

fn timeout() -> Span {
    Span::seconds(4)
}

fn error_score() -> f64 {
    1.0
}

/// A request is at most 1 MiB, and JSON makes more of it.
const MOST_CONTENTS: u32 = 512 * 1024;
