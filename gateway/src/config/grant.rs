//! What plugins may do.

use super::reading::Shape;
use super::section::{Section, Text, distinct, kind};
use super::spelling;
use super::tree::{Node, Value};
use super::{Origin, Service};

/// What a plugin may do beyond having an opinion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grant {
    /// `auth-secret`.
    AuthSecret,
    /// `dns`.
    Dns,
    /// `mail-auth`.
    MailAuth,
    /// `rewrite-body`.
    RewriteBody,
    /// `rewrite-envelope`.
    RewriteEnvelope,
    /// `rewrite-headers`.
    RewriteHeaders,
    /// `route`.
    Route,
}

/// All grants of a plugin.
#[derive(Clone, Debug, Default)]
pub(super) struct Grants {
    pub(super) words: Vec<Grant>,
    /// Names of stores, `kv`.
    pub(super) stores: Vec<String>,
    /// `http`.
    pub(super) origins: Vec<Origin>,
    /// `streams`.
    pub(super) services: Vec<Service>,
    /// Names of upstreams, `upstreams`.
    pub(super) upstreams: Vec<String>,
}

/// The names of what a grant may be for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Grantable<'a> {
    pub(crate) stores: &'a [&'a str],
    pub(crate) upstreams: &'a [&'a str],
}

impl Grants {
    /// Reads the list: words, and sections of one key with a list of what is granted.
    pub(super) fn read(section: &Section<'_>, names: Grantable<'_>) -> Self {
        section.shaped("grants", Shape::Any(schema));
        section.by_default("grants", "[]");
        let mut grants = Self::default();
        let mut seen: Vec<Text<'_>> = Vec::new();
        for node in section.list("grants").unwrap_or_default() {
            match &node.value {
                Value::Broken => {}
                Value::Scalar { text, .. } if !node.is_null() => {
                    let word = Text { text, mark: node.mark };
                    if once(section, &mut seen, word) {
                        grants.words.extend(plain(section, word));
                    }
                }
                Value::Mapping(entries) => {
                    for entry in distinct(section.reader, entries) {
                        if once(section, &mut seen, entry.key) {
                            grants.listed(section, entry.key, entry.node, names);
                        }
                    }
                }
                Value::Scalar { .. } | Value::Sequence(_) => {
                    let text = format!("\"grants\" must be a list of words, not of {}", kind(node));
                    section.reader.error(node.mark, text, None);
                }
            }
        }
        grants
    }

    /// A grant that names what it is for.
    fn listed(&mut self, section: &Section<'_>, key: Text<'_>, node: &Node, names: Grantable<'_>) {
        match key.text {
            "kv" => {
                for word in words(section, key, node) {
                    self.stores.push(section.known_name("store", word, names.stores));
                }
            }
            "upstreams" => {
                for word in words(section, key, node) {
                    self.upstreams.push(section.known_name("upstream", word, names.upstreams));
                }
            }
            "http" => {
                for item in items(section, key, node) {
                    self.origins.extend(origin(section, item));
                }
            }
            "streams" => {
                for item in items(section, key, node) {
                    self.services.extend(service(section, item));
                }
            }
            other => {
                let help = match PLAIN.iter().any(|(word, _)| *word == other) {
                    true => format!("it names nothing: grants: [{other}]"),
                    false => spelling::help(other, all()),
                };
                let text = format!("\"grants\" cannot be \"{other}\"");
                section.reader.error(key.mark, text, Some(&help));
            }
        }
    }
}

/// Whether a grant is there for the first time; says so if not.
fn once<'a>(section: &Section<'_>, seen: &mut Vec<Text<'a>>, word: Text<'a>) -> bool {
    let Some(first) = seen.iter().find(|known| known.text == word.text) else {
        seen.push(word);
        return true;
    };
    let help = format!("the first one is in line {}", first.mark.line);
    let text = format!("\"{}\" is listed twice", word.text);
    section.reader.error(word.mark, text, Some(&help));
    false
}

fn plain(section: &Section<'_>, Text { text, mark }: Text<'_>) -> Option<Grant> {
    if let Some((_, grant)) = PLAIN.iter().find(|(word, _)| *word == text) {
        return Some(*grant);
    }
    let help = match LISTED.iter().find(|(word, _)| *word == text) {
        Some((_, help)) => (*help).to_owned(),
        None => spelling::help(text, all()),
    };
    section.reader.error(mark, format!("\"grants\" cannot be \"{text}\""), Some(&help));
    None
}

/// What a grant is for.
fn items<'a>(section: &Section<'_>, key: Text<'_>, node: &'a Node) -> &'a [Node] {
    let Value::Sequence(items) = &node.value else {
        if !matches!(node.value, Value::Broken) {
            let text = format!("\"{}\" must be a list, not {}", key.text, kind(node));
            let help = LISTED.iter().find(|(word, _)| *word == key.text).map(|(_, help)| *help);
            section.reader.error(if node.is_null() { key.mark } else { node.mark }, text, help);
        }
        return &[];
    };
    items
}

/// An origin, or a section that says more of it.
fn origin(section: &Section<'_>, node: &Node) -> Option<Origin> {
    let example = "such as http://rspamd.internal:11333";
    let (text, private) = place(section, node, ("an origin", "origin", example), ORIGIN_KEYS)?;
    let origin = Origin::read(text.text, private);
    let refuse = |help: &String| {
        let what = format!("\"{}\" is no origin", text.text);
        section.reader.error(text.mark, what, Some(help));
    };
    origin.inspect_err(refuse).ok()
}

/// The address of a service, or a section that says more of it.
fn service(section: &Section<'_>, node: &Node) -> Option<Service> {
    let example = "such as clamd.internal:3310";
    let (text, private) = place(section, node, ("a service", "address", example), SERVICE_KEYS)?;
    Service::read(section.reader, text, private)
}

/// A text, or a section that has it under a key beside `private`.
fn place<'a>(
    section: &Section<'a>,
    node: &'a Node,
    (what, key, example): (&str, &'static str, &str),
    keys: &'static [&'static str],
) -> Option<(Text<'a>, bool)> {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => {
            Some((Text { text, mark: node.mark }, false))
        }
        _ => {
            let inner = Section::of(section.reader, what, node, keys);
            let private = inner.choice("private", super::SWITCH).unwrap_or(false);
            Some((inner.required(key, example)?, private))
        }
    }
}

/// The names that a grant is for.
fn words<'a>(section: &Section<'_>, key: Text<'_>, node: &'a Node) -> Vec<Text<'a>> {
    let items = items(section, key, node);
    let mut found: Vec<Text<'a>> = Vec::new();
    for node in items {
        match &node.value {
            Value::Broken => {}
            Value::Scalar { text, .. } if !node.is_null() => {
                let word = Text { text, mark: node.mark };
                once(section, &mut found, word);
            }
            _ => {
                let text =
                    format!("\"{}\" must be a list of words, not of {}", key.text, kind(node));
                section.reader.error(node.mark, text, None);
            }
        }
    }
    found
}

fn schema() -> serde_json::Value {
    let plain: Vec<_> = PLAIN.iter().map(|(word, _)| *word).collect();
    let place = |key: &str| {
        let section = serde_json::json!({
            "type": "object",
            "properties": {
                key: {"type": "string"},
                "private": {"type": "boolean"},
            },
            "required": [key],
            "additionalProperties": false,
        });
        serde_json::json!({"type": "array", "items": {"anyOf": [{"type": "string"}, section]}})
    };
    serde_json::json!({
        "type": "array",
        "items": {"anyOf": [
            {"enum": plain},
            {
                "type": "object",
                "properties": {
                    "kv": {"type": "array", "items": {"type": "string"}},
                    "upstreams": {"type": "array", "items": {"type": "string"}},
                    "http": place("origin"),
                    "streams": place("address"),
                },
                "additionalProperties": false,
            },
        ]},
    })
}

fn all() -> impl Iterator<Item = &'static str> + Clone {
    PLAIN.iter().map(|(word, _)| *word).chain(LISTED.iter().map(|(word, _)| *word))
}

const PLAIN: &[(&str, Grant)] = &[
    ("auth-secret", Grant::AuthSecret),
    ("dns", Grant::Dns),
    ("mail-auth", Grant::MailAuth),
    ("rewrite-body", Grant::RewriteBody),
    ("rewrite-envelope", Grant::RewriteEnvelope),
    ("rewrite-headers", Grant::RewriteHeaders),
    ("route", Grant::Route),
];

/// Grants that name what they are for, and how that is written.
const LISTED: &[(&str, &str)] = &[
    ("http", "name the origins: grants: [{http: [\"https://filter.example.org\"]}]"),
    ("kv", "name the stores: grants: [{kv: [greylist]}]"),
    ("upstreams", "name the upstreams: grants: [{upstreams: [store]}]"),
    ("streams", "name the services: grants: [{streams: [\"10.0.0.7:3310\"]}]"),
];

const ORIGIN_KEYS: &[&str] = &["origin", "private"];
const SERVICE_KEYS: &[&str] = &["address", "private"];
