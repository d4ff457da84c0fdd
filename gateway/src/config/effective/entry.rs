//! The effective configuration as a list: one entry a key, for machines and for comparing.

use serde_json::{Map, Value as Json, json};

use super::{Effective, Origin, Scalar, Setting, Value, masking};
use crate::config::reading::Source;
use crate::config::settings::plain_to_json;
use crate::config::tree::{Elsewhere, below};

/// One key that has a value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What leads to it, such as `listeners[inbound].limits.message`. What is in a list without names
    /// has no entry of its own, and of a list with names there is one entry, with the names.
    pub key: String,
    /// What it is; of secrets `***`.
    pub value: Json,
    /// Where that comes from.
    pub from: From,
    secret: Option<Secret>,
}

/// Where the value of an entry comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum From {
    /// It is what it is where nothing is given.
    Default,
    /// The file, in this line; and what it refers to.
    File {
        /// Counted from 1.
        line: u64,
        /// Environment variables.
        environment: Vec<String>,
        /// Files.
        files: Vec<String>,
    },
    /// What another key says, or what the machine does.
    Other(String),
}

#[derive(Clone)]
struct Secret(zeroize::Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Entry {
    /// Whether it has something that is not shown.
    pub(super) fn is_secret(&self) -> bool {
        self.secret.is_some() || hides(&self.value)
    }

    /// Whether what it does not show is the same; none if one of them came without it.
    pub(super) fn same_secret(&self, other: &Self) -> Option<bool> {
        match (&self.secret, &other.secret) {
            (Some(one), Some(other)) => Some(one.0 == other.0),
            _ => None,
        }
    }

    fn to_json(&self) -> Json {
        let mut entry = json!({"key": self.key, "value": self.value});
        let from = match &self.from {
            From::Default => json!({"from": "default"}),
            From::Other(what) => json!({"from": what}),
            From::File { line, environment, files } => {
                let mut from = json!({"from": "file", "line": line});
                for (name, list) in [("environment", environment), ("files", files)] {
                    if !list.is_empty() {
                        from[name] = json!(list);
                    }
                }
                from
            }
        };
        if let (Json::Object(entry), Json::Object(from)) = (&mut entry, from) {
            entry.extend(from);
        }
        entry
    }

    fn of_json(entry: &Json) -> Option<Self> {
        let words = |key: &str| {
            let list = entry.get(key).and_then(Json::as_array);
            let word = |word: &Json| word.as_str().map(str::to_owned);
            list.map(|list| list.iter().filter_map(word).collect()).unwrap_or_default()
        };
        let from = match entry.get("from")?.as_str()? {
            "default" => From::Default,
            "file" => From::File {
                line: entry.get("line")?.as_u64()?,
                environment: words("environment"),
                files: words("files"),
            },
            other => From::Other(other.to_owned()),
        };
        let key = entry.get("key")?.as_str()?.to_owned();
        Some(Self { key, value: entry.get("value")?.clone(), from, secret: None })
    }
}

impl Effective {
    /// All keys that have a value, in the order in which they are described.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        flatten("", &self.settings, &mut entries);
        entries
    }

    /// As `config show --format json` and `GET /api/config` have it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let settings: Vec<_> = self.entries().iter().map(Entry::to_json).collect();
        json!({"file": self.file.to_string_lossy(), "settings": settings})
    }
}

/// Reads what [`Effective::to_json`] has written; none if it is something else.
#[must_use]
pub fn entries(json: &Json) -> Option<Vec<Entry>> {
    json.get("settings")?.as_array()?.iter().map(Entry::of_json).collect()
}

fn flatten(path: &str, settings: &[Setting], entries: &mut Vec<Entry>) {
    for Setting { key, value, origin } in settings {
        let path = below(path, key);
        match value {
            Value::Unset => {}
            Value::Section(settings) if !settings.is_empty() => {
                flatten(&path, settings, entries);
            }
            Value::List(items) if items.iter().any(|(name, _)| name.is_some()) => {
                let names = items.iter().map(|(name, _)| json!(name)).collect();
                entries.push(Entry { key: path.clone(), value: names, ..entry(origin) });
                for (name, item) in items {
                    let Value::Section(settings) = item else { continue };
                    let name = name.as_deref().unwrap_or_default();
                    flatten(&format!("{path}[{name}]"), settings, entries);
                }
            }
            value => {
                let secret = match value {
                    Value::Scalar(scalar) => scalar.secret.clone().map(Secret),
                    _ => None,
                };
                entries.push(Entry { key: path, value: json_of(value), secret, ..entry(origin) });
            }
        }
    }
}

fn entry(origin: &Origin) -> Entry {
    let from = match origin {
        Origin::LeftOut(Source::Default) => From::Default,
        Origin::LeftOut(Source::Key(key)) => From::Other(key.clone()),
        Origin::LeftOut(Source::System(what)) => From::Other((*what).to_owned()),
        Origin::File { line, elsewhere } => {
            let (mut environment, mut files) = (Vec::new(), Vec::new());
            for source in elsewhere {
                match source {
                    Elsewhere::Environment(name) => environment.push(name.clone()),
                    Elsewhere::File(path) => files.push(path.to_string_lossy().into_owned()),
                }
            }
            From::File { line: *line as u64, environment, files }
        }
    };
    Entry { key: String::new(), value: Json::Null, from, secret: None }
}

fn json_of(value: &Value) -> Json {
    match value {
        Value::Unset => Json::Null,
        Value::List(items) => items.iter().map(|(_, item)| json_of(item)).collect(),
        Value::Section(settings) => {
            let set = settings.iter().filter(|one| !matches!(one.value, Value::Unset));
            let entry = |one: &Setting| (one.key.clone(), json_of(&one.value));
            Json::Object(set.map(entry).collect::<Map<_, _>>())
        }
        Value::Scalar(Scalar { shown, typed: true, .. }) => {
            plain_to_json(shown).unwrap_or_else(|| shown.as_str().into())
        }
        // A default that is a list.
        Value::Scalar(Scalar { shown, plain: true, .. }) if shown.starts_with(['[', '{']) => {
            serde_yaml::from_str(shown).unwrap_or_else(|_| shown.as_str().into())
        }
        Value::Scalar(Scalar { shown, .. }) => shown.as_str().into(),
    }
}

/// Whether something in a value is masked.
fn hides(value: &Json) -> bool {
    match value {
        Json::String(text) => text == masking::MASK || text.contains("://***@"),
        Json::Array(items) => items.iter().any(hides),
        Json::Object(entries) => entries.values().any(hides),
        _ => false,
    }
}
