//! The settings as they are written.

use std::collections::BTreeMap;

use portcullis_plugin::{Refusal, Reply};
use serde::{Deserialize, Deserializer, de};
use terms::{Exempt, OnError, Secret, Span};

use crate::answer::Action;

/// The settings of `rspamd`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) timeout: Span,
    pub(crate) max_size: u64,
    pub(crate) exempt: Exempt,
    pub(crate) on_error: OnError,
    pub(crate) error_score: f64,
    pub(crate) verdict: By,
    actions: BTreeMap<String, Deed>,
    pub(crate) score: Score,
    pub(crate) spam_header: String,
    pub(crate) edits: bool,
    pub(crate) flags: Vec<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) mta_name: Option<String>,
    pub(crate) settings_id: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: vec!["http://127.0.0.1:11333".to_owned()],
            password: None,
            timeout: Span::seconds(4),
            max_size: 20 << 20,
            exempt: Exempt::default(),
            on_error: OnError::Pass,
            error_score: 1.0,
            verdict: By::default(),
            actions: BTreeMap::new(),
            score: Score::default(),
            spam_header: "X-Spam".to_owned(),
            edits: true,
            flags: vec!["milter".to_owned()],
            headers: BTreeMap::new(),
            mta_name: None,
            settings_id: None,
        }
    }
}

/// Who says what becomes of a message.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum By {
    /// rspamd, by its action.
    #[default]
    Action,
    /// The listener's thresholds, by rspamd's score as one symbol of ours.
    Score,
    /// The same, by each of its symbols.
    Symbols,
}

/// How rspamd's points become ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Score {
    pub(crate) symbol: String,
    /// What rspamd's threshold to reject is on our scale; for `scale`, which goes before it.
    pub(crate) reject: f64,
    pub(crate) scale: Option<f64>,
    pub(crate) most: f64,
    pub(crate) least: f64,
    pub(crate) each: f64,
}

impl Default for Score {
    fn default() -> Self {
        Self {
            symbol: "RSPAMD".to_owned(),
            reject: 10.0,
            scale: None,
            most: 15.0,
            least: -3.0,
            each: 5.0,
        }
    }
}

/// What is done where rspamd advises something.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Deed {
    Pass,
    Tag,
    Subject,
    /// With rspamd's own words, if it has some.
    Defer,
    Reject,
    /// With these words whatever it says.
    Refuse(Refusal),
    Discard,
    Quarantine,
}

impl<'de> Deserialize<'de> for Deed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(match &*text {
            "pass" => Self::Pass,
            "tag" => Self::Tag,
            "subject" => Self::Subject,
            "defer" => Self::Defer,
            "reject" => Self::Reject,
            "discard" => Self::Discard,
            "quarantine" => Self::Quarantine,
            _ => Self::Refuse(text.parse().map_err(|mistake| {
                let words = "`pass`, `tag`, `subject`, `defer`, `reject`, `discard`, `quarantine`";
                de::Error::custom(format!("it is {words} or a refusal: {mistake}"))
            })?),
        })
    }
}

impl Settings {
    pub(crate) fn check(&mut self) -> Result<(), String> {
        if self.servers.is_empty() || self.servers.len() > MOST_SERVERS {
            return Err(format!("servers: name from 1 to {MOST_SERVERS}"));
        }
        for (number, server) in self.servers.iter_mut().enumerate() {
            let rest = server.strip_prefix("http://").or_else(|| server.strip_prefix("https://"));
            if !rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(is_graphic)) {
                return Err(format!(
                    "servers[{number}]: a URL as in `http://127.0.0.1:11333`, where the normal worker listens"
                ));
            }
            server.truncate(server.trim_end_matches('/').len());
        }
        let known = Action::ALL.map(Action::label);
        if let Some(action) = self.actions.keys().find(|action| !known.contains(&action.as_str())) {
            return Err(format!("actions.{action}: rspamd's actions are {}", known.join(", ")));
        }
        if !(1..=60).contains(&self.timeout.as_seconds()) {
            return Err("timeout: from `1s` to `60s`".to_owned());
        }
        let score = &self.score;
        let points = [score.reject, score.most, -score.least, score.each];
        if !points.iter().all(|points| (0.0..=1000.0).contains(points)) || score.reject == 0.0 {
            return Err("score: `reject`, `most` and `each` are up to 1000, `least` down to -1000"
                .to_owned());
        }
        if score.scale.is_some_and(|scale| !(scale > 0.0 && scale <= 100.0)) {
            return Err("score.scale: more than 0, and at most 100".to_owned());
        }
        if !is_symbol(&score.symbol) {
            return Err("score.symbol: 1 to 64 letters, digits, `_`, `-`, `.`".to_owned());
        }
        if !(0.0..=1000.0).contains(&self.error_score) {
            return Err("error_score: from 0 to 1000".to_owned());
        }
        self.check_headers()
    }

    fn check_headers(&self) -> Result<(), String> {
        if !is_name(&self.spam_header) {
            return Err("spam_header: the name of a header field, as in `X-Spam`".to_owned());
        }
        let values = self.headers.values().chain(&self.flags).chain(&self.mta_name);
        let mut values = values.chain(&self.settings_id);
        if !self.headers.keys().all(|name| is_name(name))
            || !values.all(|value| !value.is_empty() && !value.contains(char::is_control))
            || self.password.as_ref().is_some_and(|secret| secret.text().contains(char::is_control))
        {
            return Err(
                "headers, flags, mta_name, settings_id and password are sent as HTTP headers: no \
                        line ends, and names of letters, digits and `-`"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// What is done about this action.
    pub(crate) fn deed(&self, action: Action) -> Deed {
        if let Some(deed) = self.actions.get(action.label()) {
            return deed.clone();
        }
        // Thresholds of ours take the place of those of rspamd; what modules of it force stays.
        let ours = self.verdict != By::Action;
        match action {
            Action::AddHeader | Action::RewriteSubject | Action::Reject if ours => Deed::Pass,
            Action::None | Action::Greylist | Action::Other => Deed::Pass,
            Action::AddHeader => Deed::Tag,
            Action::RewriteSubject => Deed::Subject,
            Action::SoftReject => Deed::Defer,
            Action::Reject => Deed::Reject,
            Action::Discard => Deed::Discard,
            Action::Quarantine => Deed::Quarantine,
        }
    }

    /// What is said where rspamd says nothing.
    pub(crate) fn usual_reply(deed: &Deed) -> Reply {
        match deed {
            Deed::Defer => Reply::new(451, "4.7.1", "try again later"),
            _ => Reply::new(550, "5.7.1", "message refused as spam"),
        }
    }
}

fn is_graphic(octet: u8) -> bool {
    octet.is_ascii_graphic()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
}

/// As the gateway takes it.
pub(crate) fn is_symbol(name: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"_-.".contains(&octet);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

const MOST_SERVERS: usize = 8;
