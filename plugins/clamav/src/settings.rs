//! The settings as they are written.

use portcullis_plugin::{Refusal, Verdict};
use serde::{Deserialize, Deserializer, de};
use terms::Span;

/// The settings of `clamav`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<String>,
    pub(crate) timeout: Span,
    #[serde(deserialize_with = "size")]
    pub(crate) max_size: u32,
    pub(crate) infected: Infected,
    pub(crate) reply: Refusal,
    pub(crate) suspicious: Vec<Pattern>,
    pub(crate) header: bool,
    pub(crate) on_error: OnError,
    pub(crate) store: Option<String>,
    pub(crate) defer_for: Span,
    pub(crate) scores: Points,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Where Debian's clamav-daemon listens.
            servers: vec!["unix:/run/clamav/clamd.ctl".to_owned()],
            timeout: Span::seconds(20),
            // clamd's own StreamMaxLength, if nobody has changed it.
            max_size: 25 << 20,
            infected: Infected::Reject,
            reply: "550 5.7.1 malware found: {signature}".parse().expect("this is a refusal"),
            suspicious: ["PUA.*", "Heuristics.*"].map(Pattern::of).into(),
            header: false,
            on_error: OnError::Defer,
            store: None,
            defer_for: Span::hours(4),
            scores: Points::default(),
        }
    }
}

impl Settings {
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.servers.is_empty() {
            return Err("servers: at least one, such as unix:/run/clamav/clamd.ctl".to_owned());
        }
        if let Some(at) = self.servers.iter().position(|server| !server.contains(':')) {
            return Err(format!(
                "servers[{at}]: `{}` is neither host:port nor unix:/path",
                self.servers[at]
            ));
        }
        if !(1..=60).contains(&self.timeout.as_seconds()) {
            return Err("timeout: from 1s to 60s, and less than the plugin's time_limit".to_owned());
        }
        for (key, points) in self.scores.all() {
            if !(points.is_finite() && points.abs() <= 100.0) {
                return Err(format!("scores.{key}: {points} is not from -100 to 100"));
            }
        }
        Ok(())
    }

    /// What an infected message is answered with.
    pub(crate) fn refusal(&self, signature: &str) -> Verdict {
        let mut reply = self.reply.reply().clone();
        reply.text = reply.text.replace("{signature}", signature);
        reply.into()
    }

    /// Whether a signature is no proof.
    pub(crate) fn is_suspicious(&self, signature: &str) -> bool {
        self.suspicious.iter().any(|pattern| pattern.fits(signature))
    }
}

/// What becomes of an infected message.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Infected {
    Reject,
    Quarantine,
    Score,
}

/// What becomes of a message that could not be scanned.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnError {
    Pass,
    Defer,
    Score,
}

/// What is added to the score; 0 adds nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Points {
    pub(crate) infected: f64,
    pub(crate) suspicious: f64,
    pub(crate) unscanned: f64,
}

impl Default for Points {
    fn default() -> Self {
        Self { infected: 20.0, suspicious: 4.0, unscanned: 1.0 }
    }
}

impl Points {
    fn all(&self) -> [(&'static str, f64); 3] {
        [
            ("infected", self.infected),
            ("suspicious", self.suspicious),
            ("unscanned", self.unscanned),
        ]
    }
}

/// The name of a signature; `*` at its beginning or end stands for anything.
#[derive(Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Pattern {
    text: String,
    before: bool,
    behind: bool,
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::of(&text)
    }
}

impl Pattern {
    fn of(text: &str) -> Self {
        let (before, text) = text.strip_prefix('*').map_or((false, text), |rest| (true, rest));
        let (behind, text) = text.strip_suffix('*').map_or((false, text), |rest| (true, rest));
        Self { text: text.to_ascii_lowercase(), before, behind }
    }

    fn fits(&self, signature: &str) -> bool {
        let signature = signature.to_ascii_lowercase();
        match (self.before, self.behind) {
            (false, false) => signature == self.text,
            (true, false) => signature.ends_with(&self.text),
            (false, true) => signature.starts_with(&self.text),
            (true, true) => signature.contains(&self.text),
        }
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let text = String::deserialize(deserializer)?;
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20)];
    let parsed = units.iter().find_map(|(unit, factor)| {
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*factor)
    });
    let fits = parsed.filter(|octets| (1..=2_000 << 20).contains(octets));
    fits.ok_or_else(|| {
        de::Error::custom(format!("`{text}` is not a size as in `25MiB`, to 2000MiB"))
    })
}
