//! Decodes the tree and gathers what is wrong with it, instead of stopping at the first mistake.
//!
//! After a mistake the decoder goes on with the default: the configuration is lost anyway, and
//! the operator learns all that is wrong with it at once.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::mistake::{Mistakes, Place};
use super::reading::{Content, Readings, Shape, pattern};
use super::tree::{Mark, Node, Source, Value, below, is_null};
use super::{Digest, quantity, spelling};

/// The file and what was found wrong with it so far.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Source,
    pub(crate) mistakes: RefCell<Mistakes>,
    pub(crate) warnings: RefCell<Mistakes>,
    pub(crate) readings: RefCell<Readings>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Source, mistakes: Mistakes) -> Self {
        Self {
            source,
            mistakes: mistakes.into(),
            warnings: RefCell::default(),
            readings: RefCell::default(),
        }
    }

    pub(crate) fn error(&self, mark: Mark, text: impl Into<String>, help: Option<&str>) {
        self.mistakes.borrow_mut().at(&self.place(mark), text, help);
    }

    pub(crate) fn warn(&self, mark: Mark, text: impl Into<String>, help: Option<&str>) {
        self.warnings.borrow_mut().warn(&self.place(mark), text, help);
    }

    /// An error at a place that was kept.
    pub(crate) fn error_at(&self, place: &Place, text: impl Into<String>, help: Option<&str>) {
        self.mistakes.borrow_mut().at(place, text, help);
    }

    /// A warning at a place that was kept.
    pub(crate) fn warn_at(&self, place: &Place, text: impl Into<String>, help: Option<&str>) {
        self.warnings.borrow_mut().warn(place, text, help);
    }

    pub(crate) fn place(&self, mark: Mark) -> Place {
        self.source.place(mark)
    }

    /// A path as it is meant: relative to the file's directory, so that a configuration means the
    /// same wherever the gateway is started.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        let directory = self.source.file.parent().unwrap_or_else(|| "".as_ref());
        directory.join(text)
    }
}

/// A scalar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    pub(crate) mark: Mark,
}

/// A key and its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) key: Text<'a>,
    pub(crate) node: &'a Node,
}

impl Entry<'_> {
    fn place(&self) -> (Mark, &str) {
        (self.key.mark, &self.node.path)
    }
}

/// A mapping whose keys are known (or, of names that the operator chose, any).
#[derive(Debug)]
pub(crate) struct Section<'a> {
    pub(crate) reader: &'a Reader<'a>,
    pub(crate) mark: Mark,
    pub(crate) entries: Vec<Entry<'a>>,
    known: &'static [&'static str],
    /// What leads to it.
    pub(super) path: String,
    /// Which one of [`KEYS`](super::KEYS) it is.
    pub(super) pattern: String,
    /// The section that says what is left out here.
    pub(super) deferring_to: Option<&'static str>,
    /// Already complained about: what is missing is not missing.
    broken: bool,
}

impl<'a> Section<'a> {
    /// The document, or an item of a list.
    pub(crate) fn of(
        reader: &'a Reader<'a>,
        what: &str,
        node: &'a Node,
        known: &'static [&'static str],
    ) -> Self {
        let section = Self::any(reader, what, (node.mark, &node.path), Some(node), known);
        section.refuse_unknown();
        section
    }

    /// A mapping of which others read other keys.
    pub(crate) fn part(
        reader: &'a Reader<'a>,
        what: &str,
        node: &'a Node,
        known: &'static [&'static str],
    ) -> Self {
        Self::any(reader, what, (node.mark, &node.path), Some(node), known)
    }

    /// The value of a name, whose keys are names, too.
    pub(crate) fn open(reader: &'a Reader<'a>, what: &str, entry: &Entry<'a>) -> Self {
        Self::any(reader, what, entry.place(), Some(entry.node), &[])
    }

    /// The value of a name that the operator chose.
    pub(crate) fn under(
        reader: &'a Reader<'a>,
        what: &str,
        entry: &Entry<'a>,
        known: &'static [&'static str],
    ) -> Self {
        let section = Self::any(reader, what, entry.place(), Some(entry.node), known);
        section.refuse_unknown();
        section
    }

    fn any(
        reader: &'a Reader<'a>,
        what: &str,
        (mark, path): (Mark, &str),
        node: Option<&'a Node>,
        known: &'static [&'static str],
    ) -> Self {
        let mut section = Self {
            reader,
            mark,
            entries: Vec::new(),
            known,
            path: path.to_owned(),
            pattern: pattern(path),
            deferring_to: None,
            broken: false,
        };
        section.note_section();
        match node.map(|node| (node, &node.value)) {
            None => {}
            Some((_, Value::Broken)) => section.broken = true,
            Some((_, Value::Mapping(entries))) => {
                section.entries = distinct(reader, entries);
                section.broken = section.entries.len() < entries.len();
            }
            Some((node, _)) if node.is_null() => {}
            Some((node, _)) => {
                let text = format!("{what} must be a section, not {}", kind(node));
                reader.error(node.mark, text, Some("a section is lines of \"key: value\""));
                section.broken = true;
            }
        }
        section
    }

    fn refuse_unknown(&self) {
        for Entry { key, .. } in &self.entries {
            if !self.known.contains(&key.text) {
                let help = if key.text == "<<" {
                    "merge keys are not known here; an alias can repeat a whole value".to_owned()
                } else {
                    spelling::help(key.text, self.known.iter().copied())
                };
                let text = format!("unknown key \"{}\"", key.text);
                self.reader.error(key.mark, text, Some(&help));
            }
        }
    }

    /// A section within; empty if it is not given.
    pub(crate) fn section(&self, key: &str, known: &'static [&'static str]) -> Self {
        self.note_shape(key, Shape::Section);
        let section = self.within(key, known);
        section.refuse_unknown();
        section
    }

    /// A section within whose keys are names.
    pub(crate) fn names(&self, key: &str, known: &'static [&'static str]) -> Self {
        self.note_shape(key, Shape::Names);
        self.within(key, known)
    }

    fn within(&self, key: &str, known: &'static [&'static str]) -> Self {
        let entry = self.entry(key);
        let mark = entry.map_or(self.mark, |entry| entry.key.mark);
        let (what, path) = (format!("\"{key}\""), below(&self.path, key));
        Self::any(self.reader, &what, (mark, &path), entry.map(|entry| entry.node), known)
    }

    /// Whether nothing is given, and nothing was wrong with it either.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.broken
    }

    /// A key and its value, whatever it is.
    pub(crate) fn entry(&self, key: &str) -> Option<Entry<'a>> {
        debug_assert!(self.known.contains(&key), "\"{key}\" is missing in the list of keys");
        self.entries.iter().find(|entry| entry.key.text == key).copied()
    }

    /// Where a key stands, or its section if it is not given.
    pub(crate) fn mark_of(&self, key: &str) -> Mark {
        self.entry(key).map_or(self.mark, |entry| entry.key.mark)
    }

    /// A value that is neither a list nor a section.
    pub(crate) fn text(&self, key: &str) -> Option<Text<'a>> {
        self.note_shape(key, Shape::One);
        let Entry { key, node } = self.entry(key)?;
        match &node.value {
            Value::Broken => None,
            Value::Scalar { text, plain: true } if is_null(text) => {
                let text = format!("\"{}\" has no value", key.text);
                let help = "leave the key out, and it has its default";
                self.reader.error(key.mark, text, Some(help));
                None
            }
            Value::Scalar { text, .. } => Some(Text { text, mark: node.mark }),
            Value::Mapping(_) | Value::Sequence(_) => {
                let text = format!("\"{}\" must be one value, not {}", key.text, kind(node));
                let help = "one value stands behind the colon, without brackets, braces or dashes";
                self.reader.error(node.mark, text, Some(help));
                None
            }
        }
    }

    /// A value that has no default.
    pub(crate) fn required(&self, key: &str, help: &str) -> Option<Text<'a>> {
        self.demand(key, help);
        self.text(key)
    }

    /// A key that has to be there.
    pub(crate) fn demand(&self, key: &str, help: &str) {
        self.note_required(key);
        if self.entry(key).is_none() {
            self.missing(key, help);
        }
    }

    /// Says that a key is missing.
    pub(crate) fn missing(&self, key: &str, help: &str) {
        if !self.broken {
            self.reader.error(self.mark, format!("missing key \"{key}\""), Some(help));
        }
    }

    /// A list, of anything.
    pub(crate) fn list(&self, key: &str) -> Option<&'a [Node]> {
        self.note_shape(key, Shape::List);
        let Entry { key, node } = self.entry(key)?;
        match &node.value {
            Value::Broken => None,
            Value::Sequence(items) => Some(items),
            Value::Mapping(_) | Value::Scalar { .. } => {
                let text = format!("\"{}\" must be a list, not {}", key.text, kind(node));
                let mark = if node.is_null() { key.mark } else { node.mark };
                let help = "a list is lines of \"- item\", or [item, item]; the empty one is []";
                self.reader.error(mark, text, Some(help));
                None
            }
        }
    }

    /// A list of distinct words.
    pub(crate) fn words(&self, key: &str) -> Option<Vec<Text<'a>>> {
        let mut words: Vec<Text<'a>> = Vec::new();
        for node in self.list(key)? {
            match &node.value {
                Value::Scalar { text, .. } if !node.is_null() => {
                    if let Some(first) = words.iter().find(|word| word.text == text) {
                        let help = format!("the first one is in line {}", first.mark.line);
                        let text = format!("\"{text}\" is listed twice");
                        self.reader.error(node.mark, text, Some(&help));
                    }
                    words.push(Text { text, mark: node.mark });
                }
                Value::Broken => {}
                _ => {
                    let text = format!("\"{key}\" must be a list of words, not of {}", kind(node));
                    let help = "such as [one, two], or lines of \"- word\"";
                    self.reader.error(node.mark, text, Some(help));
                }
            }
        }
        Some(words)
    }

    /// A whole number.
    pub(crate) fn count(&self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        let show = |count: u64| count.to_string();
        self.note_content(key, Content::Count { from: *range.start(), to: *range.end() });
        self.bounded(key, range, default, show, |text| {
            let help = "a number is digits only, such as 1000";
            let digits = text.bytes().all(|octet| octet.is_ascii_digit());
            text.parse().ok().filter(|_| digits).ok_or_else(|| help.to_owned())
        })
    }

    /// A number that may have a fraction; none if it is not given or is none.
    pub(crate) fn number(&self, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
        self.note_content(key, Content::Number { from: *range.start(), to: *range.end() });
        self.note_shape(key, Shape::One);
        let given = self.text(key)?;
        let show = |number: f64| number.to_string();
        self.judged(key, given, range, show, |text| {
            let help = "a number such as 5 or 7.5";
            let digits = |octet: u8| octet.is_ascii_digit() || octet == b'.' || octet == b'-';
            let plain = text.bytes().all(digits);
            text.parse().ok().filter(|_| plain).ok_or_else(|| help.to_owned())
        })
    }

    /// The same, and what it is where none is given.
    pub(crate) fn number_or(&self, key: &str, range: RangeInclusive<f64>, default: f64) -> f64 {
        self.by_default(key, default.to_string());
        self.number(key, range).unwrap_or(default)
    }

    /// Octets.
    pub(crate) fn size(&self, key: &str, range: RangeInclusive<u64>, default: u64) -> u64 {
        self.note_content(key, Content::Size { from: *range.start(), to: *range.end() });
        self.bounded(key, range, default, quantity::show_size, quantity::size)
    }

    /// Time.
    pub(crate) fn duration(
        &self,
        key: &str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        self.note_content(key, Content::Duration { from: *range.start(), to: *range.end() });
        self.bounded(key, range, default, quantity::show_duration, quantity::duration)
    }

    fn bounded<T: Copy + PartialOrd>(
        &self,
        key: &str,
        range: RangeInclusive<T>,
        default: T,
        show: impl Fn(T) -> String,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> T {
        self.by_default(key, show(default));
        let given = self.text(key);
        given.and_then(|text| self.judged(key, text, range, show, read)).unwrap_or(default)
    }

    fn judged<T: Copy + PartialOrd>(
        &self,
        key: &str,
        Text { text, mark }: Text<'a>,
        range: RangeInclusive<T>,
        show: impl Fn(T) -> String,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, help) = match read(text) {
            Ok(value) if range.contains(&value) => return Some(value),
            Ok(_) => {
                let help = format!("from {} to {}", show(*range.start()), show(*range.end()));
                (format!("{text} is out of range for \"{key}\""), help)
            }
            Err(help) => (format!("\"{key}\" cannot be \"{text}\""), help),
        };
        self.reader.error(mark, text, Some(&help));
        None
    }

    /// The SHA-256 of a file.
    pub(super) fn digest(&self, key: &str, help: Option<&str>) -> Option<(Digest, Place)> {
        self.note_content(key, Content::Digest);
        let Text { text, mark } = self.text(key)?;
        match text.parse() {
            Ok(digest) => Some((digest, self.reader.place(mark))),
            Err(usual) => {
                let text = format!("\"{key}\" is no SHA-256: \"{text}\"");
                self.reader.error(mark, text, help.or(Some(usual)));
                None
            }
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(&self, key: &str, choices: &[(&'static str, T)]) -> Option<T> {
        self.note_choices(key, choices);
        let word = self.text(key)?;
        self.chosen(key, word, choices)
    }

    /// One of a few words, and what it is where none is given.
    pub(crate) fn choice_or<T: Copy + PartialEq>(
        &self,
        key: &str,
        choices: &[(&'static str, T)],
        default: T,
    ) -> T {
        if let Some((word, _)) = choices.iter().find(|(_, choice)| *choice == default) {
            self.by_default(key, *word);
        }
        self.choice(key, choices).unwrap_or(default)
    }

    fn note_choices<T>(&self, key: &str, choices: &[(&'static str, T)]) {
        self.note_content(key, Content::Choice);
        for (word, _) in choices {
            self.or_word(key, word);
        }
    }

    /// What a word stands for.
    pub(crate) fn chosen<T: Copy>(
        &self,
        key: &str,
        Text { text, mark }: Text<'a>,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        self.note_choices(key, choices);
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if chosen.is_none() {
            let help = spelling::help(text, choices.iter().map(|(word, _)| *word));
            let text = format!("\"{key}\" cannot be \"{text}\"");
            self.reader.error(mark, text, Some(&help));
        }
        chosen
    }

    /// A name of something that is defined elsewhere in the file. Returned even if it is not, so
    /// that one slip is one mistake.
    pub(crate) fn known_name(&self, what: &str, name: Text<'a>, known: &[&str]) -> String {
        let Text { text, mark } = name;
        if !known.contains(&text) {
            let help = spelling::help(text, known.iter().copied());
            self.reader.error(mark, format!("there is no {what} \"{text}\""), Some(&help));
        }
        text.to_owned()
    }

    /// A file that must be there and readable.
    pub(crate) fn file(&self, key: &str, help: &str) -> Option<PathBuf> {
        self.read_file(key, help).map(|(path, ..)| path)
    }

    /// A PEM file that must hold something.
    pub(crate) fn pem(&self, key: &str, label: &str, help: &str) -> Option<PathBuf> {
        let (path, file, given) = self.read_file(key, help)?;
        let mut text = String::new();
        let read = file.take(PEM_OCTETS).read_to_string(&mut text);
        let mut ends = text.lines().filter(|line| line.starts_with("-----BEGIN "));
        if read.is_ok() && ends.any(|line| line.contains(label)) {
            return Some(path);
        }
        let text = format!("\"{}\" holds no {} in PEM", given.text, label.to_lowercase());
        self.reader.error(given.mark, text, Some(help));
        None
    }

    /// A secret that is alone in a file: its first line.
    pub(crate) fn secret(&self, key: &str, help: &str) -> Option<(Zeroizing<String>, Mark)> {
        let (path, file, given) = self.read_file(key, help)?;
        let mut text = Zeroizing::new(String::new());
        if let Err(error) = file.take(SECRET_OCTETS).read_to_string(&mut text) {
            let text = format!("cannot read \"{}\": {error}", given.text);
            self.reader.error(given.mark, text, Some(help));
            return None;
        }
        self.warn_if_shared(&path, given.mark);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        Some((Zeroizing::new(line.to_owned()), given.mark))
    }

    /// A file with a secret in it is for the gateway alone.
    pub(crate) fn warn_if_shared(&self, file: &Path, mark: Mark) {
        if file.metadata().is_ok_and(|file| file.mode() & 0o004 != 0) {
            let text = format!("every user of this machine can read {}", file.display());
            let help = format!("there is a password in it: chmod o-rwx {}", file.display());
            self.reader.warn(mark, text, Some(&help));
        }
    }

    fn read_file(&self, key: &str, help: &str) -> Option<(PathBuf, File, Text<'a>)> {
        self.note_content(key, Content::Path);
        let given = self.required(key, help)?;
        let path = self.reader.path(given.text);
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?.is_file(), file)));
        let (error, mut help) = match opened {
            Ok((true, file)) => return Some((path, file, given)),
            Ok((false, _)) => ("it is not a file".to_owned(), vec![help.to_owned()]),
            Err(error) => (error.to_string(), vec![absence(&path, given.text, &error)]),
        };
        if path.extension().is_some_and(|extension| extension == "wasm") {
            help.push(
                "\"make plugins\" makes the bundled ones, \"portcullis plugin build\" your own in the \
                 folder of its project"
                    .to_owned(),
            );
        }
        let text = format!("cannot read \"{}\": {error}", given.text);
        self.reader.error(given.mark, text, Some(&help.join("; ")));
        None
    }
}

/// What may be the matter with a file that cannot be read.
pub(super) fn absence(path: &Path, given: &str, error: &io::Error) -> String {
    let relative = path.as_os_str() != given;
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let near = || {
        let entries = std::fs::read_dir(full.parent()?).ok()?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let names: Vec<String> = names.collect();
        let name = full.file_name()?.to_str()?;
        let near = spelling::nearest(name, names.iter().map(String::as_str))?;
        Some(format!("did you mean \"{}\"?", Path::new(given).with_file_name(near).display()))
    };
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("the user who runs this may not read {}", full.display())
        }
        io::ErrorKind::NotFound if let Some(near) = near() => near,
        _ if relative => {
            format!("looked for {}; paths are relative to this file", full.display())
        }
        _ => format!("is {} there, and a file?", full.display()),
    }
}

/// Larger than any password.
const SECRET_OCTETS: u64 = 64 << 10;

/// Larger than all authorities of the world together.
const PEM_OCTETS: u64 = 4 << 20;

/// The entries of a mapping without the wrong ones: keys that are no text, and duplicates.
pub(crate) fn distinct<'a>(reader: &Reader<'_>, entries: &'a [(Node, Node)]) -> Vec<Entry<'a>> {
    let mut distinct: Vec<Entry<'a>> = Vec::with_capacity(entries.len());
    let mut lines = std::collections::HashMap::new();
    for (key, node) in entries {
        let Value::Scalar { text, .. } = &key.value else {
            let help = "brackets and braces begin lists and sections; text that begins with them is quoted";
            let text = format!("a key must be a word, not {}", kind(key));
            reader.error(key.mark, text, Some(help));
            continue;
        };
        if let Some(line) = lines.get(text) {
            let help = format!("the first one is in line {line}");
            reader.error(key.mark, format!("duplicate key \"{text}\""), Some(&help));
            continue;
        }
        lines.insert(text, key.mark.line);
        distinct.push(Entry { key: Text { text, mark: key.mark }, node });
    }
    distinct
}

/// A value's kind, in words.
pub(super) fn kind(node: &Node) -> &'static str {
    match &node.value {
        Value::Broken => "this",
        Value::Mapping(_) => "a section",
        Value::Scalar { .. } if node.is_null() => "nothing",
        Value::Scalar { .. } => "a single value",
        Value::Sequence(_) => "a list",
    }
}
