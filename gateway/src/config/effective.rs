//! The configuration as it is served: every key, its value, and where that comes from.
//!
//! What the file says is taken from its tree, what it leaves out from what the readers said they took
//! instead (see [`reading`](super::reading)), so that a new key needs nothing here. Secrets are not in it.

mod diff;
mod entry;
mod masking;
mod yaml;

use std::path::{Path, PathBuf};

use super::quantity::{duration, show_duration, show_size, size};
use super::reading::{Content, Reading, Readings, Source, pattern};
use super::reference::Reference;
use super::tree::{self, Elsewhere, Node, below};

pub use diff::{Change, changes};
pub use entry::{Entry, From, entries};

/// What a configuration amounts to.
#[derive(Clone, Default)]
pub struct Effective {
    file: PathBuf,
    settings: Vec<Setting>,
}

impl std::fmt::Debug for Effective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Effective(..)")
    }
}

/// One key.
#[derive(Clone)]
struct Setting {
    key: String,
    value: Value,
    origin: Origin,
}

/// What a key is set to.
#[derive(Clone)]
enum Value {
    /// Items, and what each is called.
    List(Vec<(Option<String>, Self)>),
    Scalar(Scalar),
    Section(Vec<Setting>),
    /// Nothing, and there is no default.
    Unset,
}

#[derive(Clone)]
struct Scalar {
    /// What may be shown.
    shown: String,
    /// Whether it needs no quotes to be what it is.
    plain: bool,
    /// Whether it is what YAML says it is, a number or a truth, and not always text.
    typed: bool,
    /// What must not be shown.
    secret: Option<zeroize::Zeroizing<String>>,
}

/// Where a value comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Origin {
    /// The file, and what it refers to.
    File { line: usize, elsewhere: Vec<Elsewhere> },
    /// It is not in the file.
    LeftOut(Source),
}

impl Effective {
    /// Puts together what a file says and what its readers took where it says nothing.
    pub(super) fn of(file: &Path, root: &Node, readings: &Readings) -> Self {
        let builder = Builder { readings, reference: Reference::get() };
        Self { file: file.to_owned(), settings: builder.section("", Some(root)) }
    }

    /// The file that it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

struct Builder<'a> {
    readings: &'a Readings,
    reference: &'static Reference,
}

impl Builder<'_> {
    fn section(&self, path: &str, node: Option<&Node>) -> Vec<Setting> {
        let pattern = pattern(path);
        let given = match node.map(|node| &node.value) {
            Some(tree::Value::Mapping(entries)) => &entries[..],
            _ => &[],
        };
        let of = |key: &str| {
            given.iter().find(
                |(known, _)| matches!(&known.value, tree::Value::Scalar { text, .. } if text == key),
            )
        };
        let keys = self.reference.keys_of(&pattern);
        keys.into_iter().map(|key| self.setting(path, &pattern, key, of(key))).collect()
    }

    fn setting(
        &self,
        section: &str,
        pattern: &str,
        key: &str,
        given: Option<&(Node, Node)>,
    ) -> Setting {
        let path = below(section, key);
        let (value, origin) = match given {
            Some((name, node)) if node.is_null() && self.readings.sections.contains(&path) => {
                (Value::Section(self.section(&path, None)), origin(name, node))
            }
            Some((name, node)) => (self.value(pattern, key, node), origin(name, node)),
            None if self.readings.sections.contains(&path) => {
                let settings = self.section(&path, None);
                (Value::Section(settings), Origin::LeftOut(Source::Default))
            }
            None => match self.readings.defaults.get(&path) {
                Some((value, source)) => {
                    let typed = self.is_typed(pattern, key, value);
                    let shown = value.clone();
                    let scalar = Scalar { shown, plain: true, typed, secret: None };
                    (Value::Scalar(scalar), Origin::LeftOut(source.clone()))
                }
                None => (Value::Unset, Origin::LeftOut(Source::Default)),
            },
        };
        Setting { key: key.to_owned(), value, origin }
    }

    fn value(&self, section: &str, key: &str, node: &Node) -> Value {
        let within = below(section, key);
        let known = |path: &str| super::KEYS.iter().any(|(section, _)| *section == path);
        match &node.value {
            tree::Value::Mapping(_) if known(&within) => {
                Value::Section(self.section(&node.path, Some(node)))
            }
            tree::Value::Mapping(entries) => {
                let names = known(&format!("{within}.*"));
                let setting = |(name, node): &(Node, Node)| {
                    let tree::Value::Scalar { text, .. } = &name.value else { return None };
                    let value = match names {
                        true => Value::Section(self.section(&node.path, Some(node))),
                        false => free(text, node),
                    };
                    Some(Setting { key: text.clone(), value, origin: origin(name, node) })
                };
                Value::Section(entries.iter().filter_map(setting).collect())
            }
            tree::Value::Sequence(items) if known(&format!("{within}[]")) => {
                let item = |node: &Node| match &node.value {
                    tree::Value::Mapping(_) => {
                        let settings = self.section(&node.path, Some(node));
                        (name_of(node), Value::Section(settings))
                    }
                    _ => (None, free(key, node)),
                };
                Value::List(items.iter().map(item).collect())
            }
            tree::Value::Scalar { .. } => {
                let Value::Scalar(scalar) = free(key, node) else { return Value::Unset };
                let content = self.reading(section, key).and_then(|reading| reading.content);
                let shown = match content.filter(|_| scalar.secret.is_none()) {
                    Some(content) => canonical(content, scalar.shown),
                    None => scalar.shown,
                };
                let typed = scalar.secret.is_none() && self.is_typed(section, key, &shown);
                Value::Scalar(Scalar { shown, typed, ..scalar })
            }
            _ => free(key, node),
        }
    }

    fn reading(&self, section: &str, key: &str) -> Option<&Reading> {
        self.readings.keys.get(&(section.to_owned(), key.to_owned()))
    }

    /// Whether the value of a key is a number or a truth.
    fn is_typed(&self, section: &str, key: &str, value: &str) -> bool {
        match self.reading(section, key).and_then(|reading| reading.content) {
            Some(Content::Count { .. } | Content::Number { .. }) => true,
            Some(Content::Choice) => matches!(value, "true" | "false"),
            _ => false,
        }
    }
}

fn origin(key: &Node, value: &Node) -> Origin {
    let mut elsewhere = Vec::new();
    collect(value, &mut elsewhere);
    Origin::File { line: key.mark.line, elsewhere }
}

/// What a value refers to, itself or in a list.
fn collect(value: &Node, elsewhere: &mut Vec<Elsewhere>) {
    elsewhere.extend(value.written.iter().flat_map(|written| written.sources.clone()));
    if let tree::Value::Sequence(items) = &value.value {
        items.iter().for_each(|item| collect(item, elsewhere));
    }
}

/// The name that an item of a list goes by.
fn name_of(node: &Node) -> Option<String> {
    super::names::declared(node).map(|name| name.text.to_owned())
}

/// What is shown as it is written.
fn free(key: &str, node: &Node) -> Value {
    match &node.value {
        tree::Value::Broken => Value::Unset,
        tree::Value::Sequence(items) => {
            Value::List(items.iter().map(|item| (None, free(key, item))).collect())
        }
        tree::Value::Mapping(entries) => {
            let setting = |(name, node): &(Node, Node)| {
                let tree::Value::Scalar { text, .. } = &name.value else { return None };
                let value = free(text, node);
                Some(Setting { key: text.clone(), value, origin: origin(name, node) })
            };
            Value::Section(entries.iter().filter_map(setting).collect())
        }
        tree::Value::Scalar { text, plain } => {
            let written = node.written.as_ref().map(|written| written.text.as_str());
            let shown = masking::shown(key, written.unwrap_or(text));
            let escaped = node.written.as_ref().is_some_and(|written| written.sources.is_empty());
            let hides = shown != *text && !(escaped && Some(&*shown) == written);
            Value::Scalar(Scalar {
                plain: *plain && written.is_none() && !hides,
                typed: *plain && !hides,
                secret: hides.then(|| text.clone().into()),
                shown,
            })
        }
    }
}

/// One way to write what can be written in several.
fn canonical(content: Content, text: String) -> String {
    match content {
        Content::Size { .. } => size(&text).map(show_size).unwrap_or(text),
        Content::Duration { .. } => duration(&text).map(show_duration).unwrap_or(text),
        _ => text,
    }
}
