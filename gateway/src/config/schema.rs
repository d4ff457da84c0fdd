//! The configuration as JSON Schema, for editors: `portcullis config schema`.
//!
//! Made from what the readers say when they read `config/portcullis.yaml`, so that it cannot say
//! anything else than they do. It is no more than a schema can be: names that refer to others, files
//! and what several keys mean together are for `portcullis check`.

use serde_json::{Map, Value, json};

use super::KEYS;
use super::quantity::{show_duration, show_size};
use super::reading::{Content, Reading, Shape, pattern};
use super::reference::Reference;
use super::tree::below;

/// The schema (draft 2020-12).
#[must_use]
pub fn schema() -> Value {
    let reference = Reference::get();
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Portcullis",
        "description": "The configuration of the SMTP gateway Portcullis.",
    });
    merge(&mut schema, section(reference, ""));
    merge(
        &mut schema,
        json!({"$defs": {"reference": {
            "description": "A value that stands in a file or in the environment.",
            "type": "string",
            "pattern": "\\$\\{(env|file):[^}]+\\}",
        }}}),
    );
    schema
}

fn section(reference: &Reference, path: &str) -> Value {
    let mut properties = Map::new();
    for key in reference.keys_of(path) {
        let known = (path.to_owned(), key.to_owned());
        let reading = reference.readings.keys.get(&known).cloned().unwrap_or_default();
        properties.insert(key.to_owned(), property(reference, path, key, &reading));
    }
    let required: Vec<_> =
        properties.keys().filter(|key| is_required(reference, path, key)).collect();
    let mut section = json!({"type": ["object", "null"], "additionalProperties": false});
    if !required.is_empty() {
        merge(&mut section, json!({"required": required}));
    }
    merge(&mut section, json!({"properties": properties}));
    section
}

/// Whether every section of its kind in the reference had to have it.
fn is_required(reference: &Reference, path: &str, key: &str) -> bool {
    let readings = &reference.readings;
    let mut sections =
        readings.sections.iter().filter(|section| pattern(section) == path).peekable();
    sections.peek().is_some()
        && sections.all(|section| readings.required.contains(&below(section, key)))
}

fn property(reference: &Reference, path: &str, key: &str, reading: &Reading) -> Value {
    let within = below(path, key);
    let sub = |suffix: &str| {
        let path = format!("{within}{suffix}");
        let known = KEYS.iter().any(|(section, _)| *section == path);
        known.then(|| section(reference, &path))
    };
    let mut property = match reading.shape.unwrap_or(Shape::One) {
        Shape::Any(schema) => schema(),
        Shape::Section => sub("").unwrap_or_else(|| json!({"type": "object"})),
        Shape::Names => json!({
            "type": ["object", "null"],
            "additionalProperties": sub(".*").unwrap_or(Value::Bool(true)),
        }),
        Shape::One => scalar(reading),
        Shape::OneOrList => json!({"anyOf": [scalar(reading), list(scalar(reading))]}),
        Shape::List => list(sub("[]").unwrap_or_else(|| scalar(reading))),
        Shape::ListOfEither => {
            let items = sub("[]").into_iter().chain([scalar(reading)]).collect::<Vec<_>>();
            list(json!({"anyOf": items}))
        }
    };
    if let Some(about) = reference.about(path, key) {
        let range = range(reading).map_or(String::new(), |range| format!(" ({range})"));
        merge(&mut property, json!({"description": format!("{about}{range}")}));
    }
    if let Some(default) = default(reference, path, key) {
        merge(&mut property, json!({"default": default}));
    }
    property
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// What may stand where one value does: what is meant, words beside it, or a reference.
fn scalar(reading: &Reading) -> Value {
    let content = match reading.content {
        None if reading.words.is_empty() => return json!({"type": ["string", "number", "boolean"]}),
        None | Some(Content::Choice) => None,
        Some(Content::Digest | Content::Path) => return json!({"type": "string"}),
        Some(Content::Count { from, to }) => {
            Some(json!({"type": "integer", "minimum": from, "maximum": to}))
        }
        Some(Content::Number { from, to }) => {
            Some(json!({"type": "number", "minimum": from, "maximum": to}))
        }
        Some(Content::Size { .. }) => Some(json!({"anyOf": [
            {"type": "integer", "minimum": 0},
            {"type": "string", "pattern": "^[0-9]+ *(B|[kK]B|KiB|MB|MiB|GB|GiB)?$"},
        ]})),
        Some(Content::Duration { .. }) => {
            Some(json!({"type": "string", "pattern": "^[0-9]+ *(ms|s|m|h)$"}))
        }
    };
    let words: Vec<Value> = reading.words.iter().flat_map(|word| written(word)).collect();
    let words = (!words.is_empty()).then(|| json!({"enum": words}));
    let reference = json!({"$ref": "#/$defs/reference"});
    let ways: Vec<_> = content.into_iter().chain(words).chain([reference]).collect();
    json!({"anyOf": ways})
}

/// A word as YAML may read it: `true` without quotes is no text, and neither is `1.2`.
fn written(word: &str) -> Vec<Value> {
    let plain = serde_json::from_str(word).unwrap_or(Value::Null);
    let text = Value::String(word.to_owned());
    if plain.is_boolean() || plain.is_number() { vec![plain, text] } else { vec![text] }
}

fn range(reading: &Reading) -> Option<String> {
    match reading.content? {
        Content::Size { from, to } => Some(format!("{} to {}", show_size(from), show_size(to))),
        Content::Duration { from, to } => {
            Some(format!("{} to {}", show_duration(from), show_duration(to)))
        }
        _ => None,
    }
}

/// What it is where it is left out.
fn default(reference: &Reference, path: &str, key: &str) -> Option<Value> {
    let reading = reference.readings.keys.get(&(path.to_owned(), key.to_owned()))?;
    reading.default.as_deref().map(plain)
}

fn plain(value: &str) -> Value {
    serde_yaml::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()))
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
