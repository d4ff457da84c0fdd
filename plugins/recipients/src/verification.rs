//! Call-ahead: the upstream says who exists.

use portcullis_plugin::kv::{Entry, Store};
use portcullis_plugin::upstreams::{self, UpstreamError};
use portcullis_plugin::{Refusal, Reply, Verdict, log, metrics};

use crate::domains::Domain;
use crate::settings::{OnError, Verified, Verify};

/// What is known of a recipient.
enum Known {
    Yes,
    No(Refusal),
    /// The upstream is away, and that is known.
    Away,
    Nothing,
}

impl Verify {
    /// The upstream to ask about a domain, if it is one to ask about.
    fn upstream<'a>(&'a self, domain: &'a Domain) -> Option<&'a str> {
        match &domain.verify {
            Some(Verified::Switch(false)) => None,
            Some(Verified::Switch(true)) => Some(&self.upstream),
            Some(Verified::Upstream(upstream)) => Some(upstream),
            None => domain.takes_any().then_some(&*self.upstream),
        }
    }

    /// What is to be said of a recipient, if it is not yes.
    pub(crate) fn refusal(&self, domain: &Domain, address: &str) -> Option<Verdict> {
        let upstream = self.upstream(domain)?;
        let store = self.store.as_deref().and_then(|name| Store::open(name).ok());
        let key = format!("{upstream} {}", address.to_ascii_lowercase());
        let known = store.as_ref().map_or(Known::Nothing, |store| known(store, &key, upstream));
        match known {
            Known::Yes => counted("known", None),
            Known::No(refusal) => counted("known-unknown", Some(self.no(&refusal))),
            Known::Away => counted("away", self.error(None)),
            Known::Nothing => self.ask(upstream, address, |key_of, value, seconds| {
                let key = if key_of == Of::Upstream { away_key(upstream) } else { key.clone() };
                // What cannot be kept is asked for again.
                let _ = store.as_ref().map(|store| store.put_for(&key, value, seconds));
            }),
        }
    }

    fn ask(&self, upstream: &str, address: &str, keep: impl Fn(Of, &[u8], u32)) -> Option<Verdict> {
        match upstreams::verify_one(upstream, self.sender.as_deref(), address) {
            Ok(reply) if reply.code < 400 => {
                keep(Of::Recipient, b"+", self.positive.as_seconds());
                counted("accepted", None)
            }
            Ok(reply) if reply.code >= 500 => {
                let refusal = as_refusal(&reply);
                keep(Of::Recipient, line(refusal.reply()).as_bytes(), self.negative.as_seconds());
                let reply = line(&reply);
                log::info(
                    "the upstream knows no such recipient",
                    &[("recipient", address), ("reply", &reply)],
                );
                counted("refused", Some(self.no(&refusal)))
            }
            // Of this recipient, and for now: neither yes nor no.
            Ok(reply) => counted("deferred", self.error(Some(&reply))),
            Err(failure) => {
                let away =
                    matches!(failure, UpstreamError::TimedOut | UpstreamError::Unavailable(_));
                if away {
                    keep(Of::Upstream, b"away", self.away.as_seconds());
                }
                let why = match failure {
                    UpstreamError::Denied => "not granted: grants: [{upstreams: [...]}]".to_owned(),
                    UpstreamError::TimedOut => "no answer in time".to_owned(),
                    UpstreamError::TooMany => "too many at once".to_owned(),
                    UpstreamError::Unavailable(why) => why,
                    UpstreamError::Unsupported => "it is no server that could be asked".to_owned(),
                };
                log::warn(
                    "recipients cannot be verified",
                    &[("upstream", upstream), ("why", &why)],
                );
                counted("failed", self.error(None))
            }
        }
    }

    fn no(&self, refusal: &Refusal) -> Verdict {
        self.refusal.as_ref().unwrap_or(refusal).verdict()
    }

    /// What is said where it is neither yes nor no; in the upstream's words, if it has said any.
    fn error(&self, said: Option<&Reply>) -> Option<Verdict> {
        match (self.on_error, said) {
            (OnError::Pass, _) => None,
            (OnError::Defer, Some(reply)) => Some(as_refusal(reply).verdict()),
            (OnError::Defer, None) => Some(self.defer.verdict()),
        }
    }
}

/// What is remembered.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Of {
    Recipient,
    Upstream,
}

fn known(store: &Store, key: &str, upstream: &str) -> Known {
    let Ok(found) = store.get(&[key.to_owned(), away_key(upstream)]) else { return Known::Nothing };
    let text = |entry: &Entry| String::from_utf8_lossy(&entry.value).into_owned();
    match &found[..] {
        [Some(entry), ..] if entry.value == b"+" => Known::Yes,
        [Some(entry), ..] => text(entry).parse().map_or(Known::Nothing, Known::No),
        [None, Some(_), ..] => Known::Away,
        _ => Known::Nothing,
    }
}

fn away_key(upstream: &str) -> String {
    format!("{upstream} is away")
}

/// The reply of an upstream as one line of ASCII, which a refusal has to be.
fn as_refusal(reply: &Reply) -> Refusal {
    let usual = if reply.code < 500 { "451 4.3.0 try again later" } else { UNKNOWN };
    line(reply).parse().unwrap_or_else(|_| usual.parse().expect("a refusal"))
}

fn line(reply: &Reply) -> String {
    let status =
        reply.status.map(|(class, subject, detail)| format!("{class}.{subject}.{detail} "));
    let text: String =
        reply.text.chars().map(|c| if matches!(c, ' '..='~') { c } else { ' ' }).collect();
    format!("{} {}{text}", reply.code, status.unwrap_or_default())
}

fn counted(result: &str, verdict: Option<Verdict>) -> Option<Verdict> {
    metrics::add("verified", 1, Some(("result", result)));
    verdict
}

const UNKNOWN: &str = "550 5.1.1 no such recipient here";
