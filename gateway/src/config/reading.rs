//! What the decoder asks of the file: for each key what may stand there, whether it has to, and what it
//! means where it is left out.
//!
//! Those who read a key leave it here by reading it, so that `config schema` and `config show` know
//! what they know and cannot fall out of step. A new key needs nothing else than
//!
//! 1. a place in the KEYS of its section (and a new section one in [`KEYS`](super::KEYS)),
//! 2. the call that reads it: `count`, `size`, `duration`, `number`, `choice_or`, `words`, `file` and their
//!    like tell by themselves what may stand there and what the default is,
//! 3. its place, default and reason in `config/portcullis.yaml`, whose comment is its description.
//!
//! What is decoded by hand from [`Section::text`] says the rest itself:
//! [`by_default`](Section::by_default) what it is where it is left out (a text has no default
//! otherwise), [`or_word`](Section::or_word) a word that goes beside numbers, such as `none`, and
//! [`shaped`](Section::shaped) what is neither one value nor a list of words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::section::Section;
use super::tree::below;

/// What may stand at a key, as far as those who read it have said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) shape: Option<Shape>,
    pub(crate) content: Option<Content>,
    /// What it means where it is left out, if that is always the same.
    pub(crate) default: Option<String>,
    /// Of a choice all; beside other content what is understood besides.
    pub(crate) words: Vec<&'static str>,
}

/// How many values a key has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Whatever its owner takes; JSON Schema tells.
    Any(fn() -> serde_json::Value),
    /// A list: of sections where there are keys for its items, else of values.
    List,
    /// A list of sections or of values.
    ListOfEither,
    /// A section whose keys are names.
    Names,
    One,
    OneOrList,
    Section,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Content {
    /// One of a few words.
    Choice,
    Count {
        from: u64,
        to: u64,
    },
    Digest,
    Duration {
        from: Duration,
        to: Duration,
    },
    Number {
        from: f64,
        to: f64,
    },
    /// A file.
    Path,
    Size {
        from: u64,
        to: u64,
    },
}

/// Where the value of a key comes from that is left out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    /// It is always so.
    Default,
    /// What another key says, or would say.
    Key(String),
    /// What the machine or its environment says.
    System(&'static str),
}

/// All that was asked of one file.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    /// By section, as [`KEYS`](super::KEYS) has it, and key.
    pub(crate) keys: BTreeMap<(String, String), Reading>,
    /// What keys mean that are left out, by what leads to them.
    pub(crate) defaults: BTreeMap<String, (String, Source)>,
    /// What leads to keys that had to be there.
    pub(crate) required: BTreeSet<String>,
    /// What leads to the sections that were read, even if nothing stands there.
    pub(crate) sections: BTreeSet<String>,
}

impl Readings {
    fn at(&mut self, section: &Section<'_>, key: &str) -> &mut Reading {
        self.keys.entry((section.pattern.clone(), key.to_owned())).or_default()
    }
}

impl Section<'_> {
    /// Says what a key means where it is left out.
    pub(crate) fn by_default(&self, key: &str, value: impl Into<String>) {
        self.otherwise(key, value, Source::Default);
    }

    /// The same, where the machine or its environment says it.
    pub(crate) fn by_system(&self, key: &str, value: impl Into<String>, what: &'static str) {
        self.otherwise(key, value, Source::System(what));
    }

    fn otherwise(&self, key: &str, value: impl Into<String>, source: Source) {
        let value = value.into();
        if source == Source::Default {
            let mut readings = self.reader.readings.borrow_mut();
            readings.at(self, key).default.get_or_insert_with(|| value.clone());
        }
        if self.entry(key).is_none() {
            let source = match (&self.deferring_to, source) {
                (Some(section), Source::Default) => Source::Key(below(section, key)),
                (_, source) => source,
            };
            let mut readings = self.reader.readings.borrow_mut();
            readings.defaults.insert(below(&self.path, key), (value, source));
        }
    }

    /// Has another section say what its keys mean where they are left out.
    pub(crate) fn deferring_to(mut self, section: &'static str) -> Self {
        self.deferring_to = Some(section);
        self
    }

    /// Says that a key may also have this word.
    pub(crate) fn or_word(&self, key: &str, word: &'static str) {
        let mut readings = self.reader.readings.borrow_mut();
        let words = &mut readings.at(self, key).words;
        if !words.contains(&word) {
            words.push(word);
        }
    }

    /// Says how many values a key may have, where that is not plain from how it is read.
    pub(crate) fn shaped(&self, key: &str, shape: Shape) {
        self.reader.readings.borrow_mut().at(self, key).shape = Some(shape);
    }

    pub(super) fn note_shape(&self, key: &str, shape: Shape) {
        self.reader.readings.borrow_mut().at(self, key).shape.get_or_insert(shape);
    }

    pub(super) fn note_content(&self, key: &str, content: Content) {
        self.reader.readings.borrow_mut().at(self, key).content = Some(content);
    }

    pub(super) fn note_required(&self, key: &str) {
        self.reader.readings.borrow_mut().required.insert(below(&self.path, key));
    }

    pub(super) fn note_section(&self) {
        self.reader.readings.borrow_mut().sections.insert(self.path.clone());
    }
}

/// The section of [`KEYS`](super::KEYS) that something belongs to: `listeners[0].limits` is
/// `listeners[].limits`, and `upstreams.next` is `upstreams.*`.
pub(crate) fn pattern(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let name = part.split('[').next().unwrap_or(part);
        let named = below(&pattern, "*");
        let holds_names = super::KEYS.iter().any(|(section, _)| *section == named);
        pattern = below(&pattern, if holds_names { "*" } else { name });
        for _ in part.matches('[') {
            pattern.push_str("[]");
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_a_section_tells_which_one_it_is() {
        for (path, section) in [
            ("", ""),
            ("limits", "limits"),
            ("listeners[12].tls.certificates[0]", "listeners[].tls.certificates[]"),
            ("upstreams.next", "upstreams.*"),
            ("upstreams.limits.addresses[3]", "upstreams.*.addresses[]"),
            ("stores.greylist", "stores.*"),
        ] {
            assert_eq!(pattern(path), section);
        }
    }
}
