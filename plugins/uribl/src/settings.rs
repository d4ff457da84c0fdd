//! The settings as they are written.

use serde::{Deserialize, Deserializer, de::Error};
use terms::Exempt;
use zones::{Form, Kind, List, OnError, Subject};

/// The settings of `uribl`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(deserialize_with = "lists")]
    pub(crate) lists: Vec<List<Of>>,
    pub(crate) refuse: Option<Refuse>,
    /// Our own domains.
    #[serde(default)]
    own: Vec<String>,
    /// Domains that everybody links to.
    never: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) exempt: Exempt,
    #[serde(default = "domains")]
    pub(crate) domains: usize,
    #[serde(default = "bytes")]
    pub(crate) bytes: usize,
    #[serde(default = "flood_score")]
    pub(crate) flood_score: f64,
    #[serde(default)]
    pub(crate) on_error: OnError,
    #[serde(default = "flood_score")]
    pub(crate) error_score: f64,
    pub(crate) store: Option<String>,
}

/// What a list is asked about.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Of {
    /// What somebody has registered, by the public suffix list.
    Domain,
    /// The whole name.
    Host,
    /// IPv4 addresses in place of names.
    Address,
}

impl Subject for Of {
    fn usual(kind: Kind) -> Vec<Self> {
        match kind {
            Kind::Addresses => vec![Self::Address],
            Kind::Domains => vec![Self::Domain],
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refuse {
    pub(crate) score: f64,
    #[serde(default = "usual_reply", deserialize_with = "reply")]
    pub(crate) reply: Form,
}

impl Settings {
    /// Domains that are not asked about, sorted.
    pub(crate) fn silent(&mut self) -> Vec<String> {
        let own = std::mem::take(&mut self.own);
        let usual = || EVERYBODYS.map(str::to_owned).to_vec();
        let never = self.never.take().unwrap_or_else(usual);
        let mut all: Vec<_> = own.into_iter().chain(never).collect();
        for domain in &mut all {
            domain.make_ascii_lowercase();
        }
        all.sort_unstable();
        all
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let finite =
            [self.flood_score, self.error_score, self.refuse.as_ref().map_or(0.0, |r| r.score)];
        if !finite.iter().all(|points| points.is_finite()) {
            return Err("points are finite numbers".to_owned());
        }
        let most = MOST_QUESTIONS / self.lists.len();
        if !(1..=most).contains(&self.domains) {
            let lists = self.lists.len();
            return Err(format!("domains: from 1 to {most} with {lists} lists"));
        }
        if !(1..=MOST_BYTES).contains(&self.bytes) {
            return Err(format!("bytes: from 1 to {MOST_BYTES}"));
        }
        if self.on_error == OnError::Defer && self.refuse.is_none() {
            return Err("on_error: `defer` is a refusal; say `refuse`, too".to_owned());
        }
        Ok(())
    }
}

fn lists<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<List<Of>>, D::Error> {
    let lists = zones::lists(deserializer, "dbl.spamhaus.org")?;
    if lists.len() > MOST_LISTS {
        return Err(D::Error::custom(format!("at most {MOST_LISTS} lists")));
    }
    Ok(lists)
}

fn reply<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Form, D::Error> {
    Form::deserialize(deserializer, &PLACES)
}

fn usual_reply() -> Form {
    let usual = "550 5.7.1 this message leads to {subject}, which is listed by {list}: {reason}";
    Form::read(usual, &PLACES).expect("the usual reply has only known places")
}

fn domains() -> usize {
    20
}

fn bytes() -> usize {
    256 * 1024
}

fn flood_score() -> f64 {
    1.0
}

const PLACES: [&str; 3] = ["subject", "list", "reason"];

/// The gateway takes 100 questions at once.
pub(crate) const MOST_QUESTIONS: usize = 100;
const MOST_LISTS: usize = 10;
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What nearly every newsletter has a link to, and no list will ever have.
const EVERYBODYS: [&str; 24] = [
    "amazon.com",
    "apple.com",
    "debian.org",
    "facebook.com",
    "fbcdn.net",
    "github.com",
    "google.com",
    "googleapis.com",
    "gstatic.com",
    "ietf.org",
    "instagram.com",
    "kernel.org",
    "linkedin.com",
    "microsoft.com",
    "mozilla.org",
    "office.com",
    "outlook.com",
    "paypal.com",
    "twitter.com",
    "w3.org",
    "whatsapp.com",
    "wikipedia.org",
    "x.com",
    "youtube.com",
];
