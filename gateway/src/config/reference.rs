//! `config/portcullis.yaml` as the one place that describes every key: its comments are the
//! descriptions, its order is the order in which keys are shown, and its keys, read like those of any
//! other configuration, tell what may stand there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use super::reading::{Readings, pattern};
use super::section::Reader;
use super::tree::{self, Node, Source, Value};
use super::{Config, Mistakes};

/// What is known of all keys.
#[derive(Debug)]
pub(crate) struct Reference {
    /// By section, as [`KEYS`](super::KEYS) has it, and key: in which order, and what it is about.
    keys: BTreeMap<(String, String), (usize, String)>,
    pub(crate) readings: Readings,
}

impl Reference {
    /// That of this version.
    pub(crate) fn get() -> &'static Self {
        static REFERENCE: LazyLock<Reference> = LazyLock::new(|| Reference::of(TEXT));
        &REFERENCE
    }

    fn of(text: &str) -> Self {
        let text = everything_on(text);
        // No file that it names is there: what may stand at a key does not depend on it.
        let path = Path::new("/dev/null/portcullis.yaml");
        let mut reference = Self { keys: BTreeMap::new(), readings: Readings::default() };
        let Ok(source) = Source::new(path, text.into_bytes()) else { return reference };
        let mut mistakes = Mistakes::default();
        let Some(mut root) = tree::parse(&source, &mut mistakes) else { return reference };
        root.settle("");
        let lines: Vec<&str> = source.text.lines().collect();
        reference.describe("", &root, &lines, None);
        let reader = Reader::new(&source, mistakes);
        Config::read(&reader, &root);
        reference.readings = reader.readings.into_inner();
        reference
    }

    /// `before` is the line before the first key, if it has a key, and what that is about.
    fn describe(
        &mut self,
        section: &str,
        node: &Node,
        lines: &[&str],
        mut before: Option<(usize, String)>,
    ) {
        match &node.value {
            Value::Sequence(items) => {
                let section = format!("{section}[]");
                for item in items {
                    self.describe(&section, item, lines, before.take());
                }
            }
            Value::Mapping(entries) => {
                for (key, value) in entries {
                    let Value::Scalar { text, .. } = &key.value else { continue };
                    let comment = comment_above(lines, key.mark.line);
                    let beside = before.filter(|(line, _)| line + 1 == key.mark.line);
                    let comment = comment.or_else(|| beside.map(|(_, comment)| comment));
                    let about = comment.unwrap_or_default();
                    let number = self.keys.len();
                    let known = (section.to_owned(), text.clone());
                    let entry = self.keys.entry(known).or_insert((number, String::new()));
                    if entry.1.is_empty() {
                        entry.1.clone_from(&about);
                    }
                    before = Some((key.mark.line, about));
                    self.describe(&pattern(&value.path), value, lines, before.clone());
                }
            }
            Value::Broken | Value::Scalar { .. } => {}
        }
    }

    /// What a key is about. What is said of all sessions holds for those of a listener, too.
    pub(crate) fn about(&self, section: &str, key: &str) -> Option<&str> {
        let known = |section: &str| self.keys.get(&(section.to_owned(), key.to_owned()));
        let own = known(section).map(|(_, about)| about.as_str()).filter(|about| !about.is_empty());
        own.or_else(|| {
            let general = section.replace("listeners[]", "session");
            known(&general).map(|(_, about)| about.as_str()).filter(|about| !about.is_empty())
        })
    }

    /// Where among the keys of its section a key is shown.
    pub(crate) fn order(&self, section: &str, key: &str) -> usize {
        let known = self.keys.get(&(section.to_owned(), key.to_owned()));
        known.map_or(usize::MAX, |(number, _)| *number)
    }

    /// The keys of a section in the order in which they are shown.
    pub(crate) fn keys_of(&self, section: &str) -> Vec<&'static str> {
        let all = super::KEYS.iter().find(|(known, _)| *known == section);
        let mut keys = all.map(|(_, keys)| keys.to_vec()).unwrap_or_default();
        keys.sort_by_key(|key| self.order(section, key));
        keys
    }
}

/// The file with everything in it that is off by default: lines that begin with "#" and no space.
fn everything_on(text: &str) -> String {
    let on = |line: &str| {
        let bare = line.trim_start();
        match bare.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => {
                format!("{}{rest}\n", &line[..line.len() - bare.len()])
            }
            _ => format!("{line}\n"),
        }
    };
    text.lines().map(on).collect::<String>().replace("routes: []", "routes:")
}

/// The comment that stands right above a line.
fn comment_above(lines: &[&str], line: usize) -> Option<String> {
    let above = lines.get(..line.checked_sub(1)?)?;
    let comment = |line: &&&str| {
        let line = line.trim_start();
        let line = line.strip_prefix("- ").unwrap_or(line);
        line.strip_prefix('#').map(str::to_owned)
    };
    let mut words: Vec<String> = above.iter().rev().map_while(|line| comment(&line)).collect();
    words.reverse();
    let text = words.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

const TEXT: &str = include_str!("../../../config/portcullis.yaml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;
    use crate::config::tree::below;

    #[test]
    fn every_key_is_described_and_read() {
        let reference = Reference::get();
        let mut missing = Vec::new();
        for (section, keys) in KEYS {
            for key in *keys {
                let path = below(section, key);
                let is_section = KEYS.iter().any(|(section, _)| *section == path);
                let described = is_section || reference.about(section, key).is_some();
                if !described {
                    missing.push(format!("config/portcullis.yaml has no comment on {path}"));
                }
                let known = ((*section).to_owned(), (*key).to_owned());
                let reading = reference.readings.keys.get(&known);
                if reading.and_then(|one| one.shape).is_none() {
                    missing.push(format!("nobody reads {path}"));
                }
            }
        }
        assert!(missing.is_empty(), "{missing:#?}");
    }

    /// Keys that make the file a starting point, and have no default.
    const STARTING_POINT: &[&str] = &["name", "address", "plugins", "default_upstream", "file"];

    #[test]
    fn what_is_said_to_be_the_default_is_the_default() {
        let root = serde_yaml::from_str::<serde_json::Value>(TEXT).expect("it is YAML");
        let reference = Reference::get();
        let mut pending = vec![(String::new(), &root)];
        while let Some((path, value)) = pending.pop() {
            match value {
                serde_json::Value::Object(entries) => {
                    let keys = KEYS.iter().find(|(section, _)| *section == pattern(&path));
                    for (key, value) in entries {
                        let leaf = !value.is_object() && !value.is_array() || key == "extensions";
                        let known = keys.is_some_and(|(_, keys)| keys.contains(&key.as_str()));
                        if known && leaf && !STARTING_POINT.contains(&key.as_str()) {
                            let plain = value.to_string().replace('"', "").replace(',', ", ");
                            let reading = &reference.readings.keys[&(pattern(&path), key.clone())];
                            assert_eq!(reading.default.as_ref(), Some(&plain), "{path}.{key}");
                        }
                        pending.push((below(&path, key), value));
                    }
                }
                serde_json::Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        pending.push((format!("{path}[{index}]"), item));
                    }
                }
                _ => {}
            }
        }
    }
}
