//! Upstreams that are not there, and what they say when a plugin asks.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_smtp::{EnhancedStatus, Mailbox, Reply};

use crate::config::section::{Entry, Reader, Section, distinct};
use crate::config::spelling;
use crate::config::tree::{Node, Value};
use crate::policy::{BoxFuture, CallAhead, Destinations, Unverified};

/// The upstreams of a scenario, by name.
#[derive(Clone, Debug, Default)]
pub struct Doubles(BTreeMap<String, Double>);

/// What stands for one upstream. It takes everybody of whom nothing else is said.
#[derive(Clone, Debug, Default)]
struct Double {
    /// An address, `@domain`, or `*` for all others.
    answers: BTreeMap<String, Reply>,
    /// What it comes to instead, if it cannot be asked.
    failure: Option<Unverified>,
    state: Vec<(&'static str, u64)>,
}

impl Doubles {
    /// Reads `upstreams`: a list of names, or names with what is said there.
    pub(super) fn read(section: &Section<'_>) -> Self {
        let Some(entry) = section.entry("upstreams") else { return Self::default() };
        let Value::Mapping(entries) = &entry.node.value else {
            let words = section.words("upstreams").unwrap_or_default().into_iter();
            return Self(words.map(|word| (word.text.to_owned(), Double::default())).collect());
        };
        let reader = section.reader;
        let double = |Entry { key, node }| (key.text.to_owned(), Double::read(reader, node));
        Self(distinct(reader, entries).into_iter().map(double).collect())
    }

    /// Their names.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.0.keys().cloned().collect()
    }
}

impl Destinations for Doubles {
    fn verify<'a>(
        &'a self,
        upstream: &'a str,
        asked: &'a CallAhead,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Unverified>> {
        let said = match self.0.get(upstream) {
            None => Err(Unverified::Unsupported),
            Some(Double { failure: Some(failure), .. }) => Err(failure.clone()),
            Some(double) => Ok(asked.recipients.iter().map(|one| double.answer(one)).collect()),
        };
        Box::pin(async { said })
    }

    fn state(&self, upstream: &str) -> Option<Vec<(&'static str, u64)>> {
        Some(self.0.get(upstream)?.state.clone())
    }
}

impl Double {
    fn read(reader: &Reader<'_>, node: &Node) -> Self {
        let mut double = Self::default();
        match &node.value {
            Value::Mapping(entries) => {
                for entry in distinct(reader, entries) {
                    double.add(reader, &entry);
                }
            }
            Value::Scalar { text, .. } if !node.is_null() => {
                match FAILURES.iter().find(|(word, _)| word == text) {
                    Some((_, failure)) => double.failure = Some(failure()),
                    None => {
                        let words = FAILURES.iter().map(|(word, _)| *word);
                        let help = format!(
                            "{{unknown@example.org: 550 5.1.1 no such user}}, or one word: {}",
                            spelling::help(text, words)
                        );
                        let text = format!("\"{text}\" is nothing that an upstream says");
                        reader.error(node.mark, text, Some(&help));
                    }
                }
            }
            Value::Broken | Value::Scalar { .. } => {}
            Value::Sequence(_) => {
                let help = "{unknown@example.org: 550 5.1.1 no such user}";
                reader.error(node.mark, "an answer is somebody's", Some(help));
            }
        }
        double
    }

    fn add(&mut self, reader: &Reader<'_>, entry: &Entry<'_>) {
        let Entry { key, node } = entry;
        if key.text == "state" {
            let state = Section::open(reader, "\"state\"", entry);
            self.state = state.entries.iter().filter_map(|one| number(reader, one)).collect();
            return;
        }
        if key.text != "*" && !key.text.contains('@') {
            let help = "an address, \"@example.org\", \"*\" for all others, or \"state\"";
            return reader.error(key.mark, format!("\"{}\" is nobody", key.text), Some(help));
        }
        let reply = match &node.value {
            Value::Scalar { text, .. } => reply(text),
            _ => None,
        };
        match reply {
            Some(reply) => drop(self.answers.insert(key.text.to_owned(), reply)),
            None => reader.error(node.mark, "this is no reply", Some("550 5.1.1 no such user")),
        }
    }

    fn answer(&self, recipient: &Mailbox) -> Reply {
        let domain = recipient.as_str().rsplit_once('@').map(|(_, domain)| format!("@{domain}"));
        let said = self.answers.get(recipient.as_str());
        let said = said.or_else(|| self.answers.get(&domain?)).or_else(|| self.answers.get("*"));
        said.cloned().unwrap_or_else(|| Reply::fixed(250, (2, 1, 5), "ok"))
    }
}

fn number(reader: &Reader<'_>, Entry { key, node }: &Entry<'_>) -> Option<(&'static str, u64)> {
    let name = NUMBERS.iter().find(|name| **name == key.text);
    if name.is_none() {
        let help = spelling::help(key.text, NUMBERS.iter().copied());
        let text = format!("\"{}\" is no number of an upstream's", key.text);
        reader.error(key.mark, text, Some(&help));
    }
    let number = match &node.value {
        Value::Scalar { text, .. } => text.parse().ok(),
        _ => None,
    };
    if number.is_none() {
        reader.error(node.mark, "a whole number is expected here", None);
    }
    Some((name?, number?))
}

/// As it is on the wire.
fn reply(text: &str) -> Option<Reply> {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (status, text) = EnhancedStatus::strip(rest).unzip();
    Reply::new(code.parse().ok()?, status, text.unwrap_or(rest)).ok()
}

type Failure = (&'static str, fn() -> Unverified);

const FAILURES: &[Failure] = &[
    ("timeout", || Unverified::TimedOut),
    ("unavailable", || Unverified::Unavailable("upstream cannot be reached".to_owned())),
    ("unsupported", || Unverified::Unsupported),
];

const NUMBERS: &[&str] = &["available", "busy", "connections", "limit", "waiting"];
