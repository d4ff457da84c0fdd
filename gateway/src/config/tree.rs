//! The file as a tree that knows where everything stands.
//!
//! serde stops at the first mistake and keeps one of two duplicate keys; we want all mistakes, so
//! the tree is built from the parser's events and decoded by hand.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_yaml::granit_parser::{
    ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag, options,
};

use super::mistake::{Mistakes, Place};

/// A stretch of the file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mark {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Mark {
    fn new(span: &Span, text: &str) -> Self {
        let range = span.byte_range().unwrap_or_default();
        // A block collection's span may lie before its first key; an empty one is a point.
        let start = range.start.min(text.len());
        Self {
            start,
            end: range.end.clamp(start, text.len()),
            line: span.start.line(),
            column: span.start.col() + 1,
        }
    }
}

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) mark: Mark,
    pub(crate) value: Value,
    /// What leads to it, such as `listeners[0].limits.message`; given by [`Node::settle`].
    pub(crate) path: Arc<str>,
    /// How it is written in the file, where that is not its value.
    pub(crate) written: Option<Arc<Written>>,
}

/// A value that refers to others, which stand elsewhere.
#[derive(Debug)]
pub(crate) struct Written {
    /// What stands in the file.
    pub(crate) text: String,
    /// Where the rest stands: files, and names of environment variables.
    pub(crate) sources: Vec<Elsewhere>,
}

/// Where a value stands that is not in the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Elsewhere {
    Environment(String),
    File(PathBuf),
}

/// The kinds of values that YAML has.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Already complained about; whoever meets it says nothing more.
    Broken,
    /// In the order of the file, duplicates kept.
    Mapping(Vec<(Node, Node)>),
    /// Text, and whether it is without quotes (and so may be a number, a boolean or nothing).
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
}

impl Node {
    pub(crate) fn new(mark: Mark, value: Value) -> Self {
        Self { mark, value, path: Arc::default(), written: None }
    }

    /// Tells it and all that it holds what leads to them.
    pub(crate) fn settle(&mut self, path: &str) {
        self.path = path.into();
        match &mut self.value {
            Value::Broken | Value::Scalar { .. } => {}
            Value::Sequence(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.settle(&format!("{path}[{index}]"));
                }
            }
            Value::Mapping(entries) => {
                for (key, value) in entries {
                    let Value::Scalar { text, .. } = &key.value else { continue };
                    value.settle(&below(path, text));
                }
            }
        }
    }

    /// The lines that it takes; of a section and a list, all that they hold.
    pub(crate) fn lines(&self) -> RangeInclusive<usize> {
        let last = match &self.value {
            Value::Broken | Value::Scalar { .. } => self.mark.line,
            Value::Sequence(items) => {
                items.iter().map(|item| *item.lines().end()).max().unwrap_or(0)
            }
            Value::Mapping(entries) => {
                let ends =
                    entries.iter().map(|(key, value)| *value.lines().end().max(key.lines().end()));
                ends.max().unwrap_or(0)
            }
        };
        self.mark.line..=last.max(self.mark.line)
    }

    /// Whether there is nothing: `key:` or `key: null`.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if is_null(text))
    }
}

/// What leads to a key of a section.
pub(crate) fn below(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// YAML's core schema for null.
pub(crate) fn is_null(plain: &str) -> bool {
    matches!(plain, "" | "~" | "null" | "Null" | "NULL")
}

/// The text of a file.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: PathBuf,
    pub(crate) text: String,
}

impl Source {
    /// Takes the octets of a file; they must be UTF-8.
    pub(crate) fn new(file: &Path, octets: Vec<u8>) -> Result<Self, Mistakes> {
        let file = file.to_owned();
        match String::from_utf8(octets) {
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
                Ok(Self { file, text })
            }
            Err(error) => {
                let start = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let source = Self { file, text };
                let before = &source.text[..start];
                let line_start = line_start(before, start);
                let mark = Mark {
                    start,
                    end: start + 1,
                    line: before.split('\n').count(),
                    column: before[line_start..].chars().count() + 1,
                };
                let mut mistakes = Mistakes::default();
                let help = "save the file as UTF-8";
                mistakes.at(&source.place(mark), "not UTF-8", Some(help));
                Err(mistakes)
            }
        }
    }

    /// A tab among the spaces at the beginning of a line or of the next: where the parser stumbles
    /// over it, it stands at the word before.
    fn indenting_tab(&self, line: usize) -> Option<Mark> {
        let mut start = 0;
        for (index, text) in self.text.split('\n').enumerate() {
            let indentation = text.len() - text.trim_start_matches([' ', '\t']).len();
            if let Some(tab) = text[..indentation].find('\t')
                && (line..=line + 1).contains(&(index + 1))
            {
                let start = start + tab;
                return Some(Mark { start, end: start + 1, line: index + 1, column: tab + 1 });
            }
            start += text.len() + 1;
        }
        None
    }

    /// The part of a value at an octet of its text, up to the next brace: where the value is written
    /// as it is, else all of it.
    pub(crate) fn within(&self, mark: Mark, text: &str, offset: usize) -> Mark {
        let verbatim = self.text.get(mark.start..mark.end).unwrap_or_default();
        let Some(found) = verbatim.find(text) else { return mark };
        let length = text[offset..].find('}').map_or(text.len() - offset, |end| end + 1);
        let start = mark.start + found + offset;
        let before = verbatim[..found + offset].chars().count();
        let lines = verbatim[..found + offset].contains('\n');
        if lines {
            mark
        } else {
            Mark { start, end: start + length, column: mark.column + before, ..mark }
        }
    }

    /// The place of a mark, with the line's text.
    pub(crate) fn place(&self, mark: Mark) -> Place {
        let start = line_start(&self.text, mark.start);
        let rest = self.text.get(start..).unwrap_or_default();
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let meant = self.text.get(mark.start..mark.end).unwrap_or_default();
        let meant = meant.split(['\n', '\r']).next().unwrap_or_default();
        Place {
            file: self.file.clone(),
            line: mark.line,
            column: mark.column,
            width: meant.trim_end().chars().count(),
            excerpt: masked(line),
        }
    }
}

/// A line without the secrets of its URLs, and no shorter.
fn masked(line: &str) -> String {
    let mut shown = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find([' ', '"', '\'', ',', '/']).unwrap_or(after.len());
        let secret = after[..end].rfind('@').unwrap_or(0);
        shown += before;
        shown += "://";
        shown.extend(after[..secret].chars().map(|_| '*'));
        rest = &after[secret..];
    }
    shown + rest
}

/// Where the line begins that holds an octet.
fn line_start(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().rposition(|octet| matches!(octet, b'\n' | b'\r')).map_or(0, |at| at + 1)
}

/// Reads the one document of a file; none if it is empty or not YAML.
pub(crate) fn parse(source: &Source, mistakes: &mut Mistakes) -> Option<Node> {
    let options = options! {
        emit_unresolved_aliases: true,
        emit_comments: false,
        flow_nesting_limit: NESTING,
        block_nesting_limit: NESTING,
    };
    let mut builder = Builder::new(source, mistakes);
    for event in Parser::new_from_str_with_options(&source.text, options) {
        match event {
            Ok((event, span)) => builder.take(event, &span)?,
            Err(error) => {
                builder.syntax(&error);
                return None;
            }
        }
    }
    builder.root
}

/// Puts events together. [`None`] from any of its methods: enough, stop reading.
struct Builder<'a> {
    source: &'a Source,
    mistakes: &'a mut Mistakes,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    /// Values that aliases have copied so far.
    copied: usize,
    documents: usize,
    root: Option<Node>,
}

/// A collection whose end has not come yet.
struct Open {
    mark: Mark,
    anchor: usize,
    items: Items,
}

enum Items {
    Mapping { entries: Vec<(Node, Node)>, key: Option<Node> },
    Sequence(Vec<Node>),
}

impl<'a> Builder<'a> {
    fn new(source: &'a Source, mistakes: &'a mut Mistakes) -> Self {
        Self {
            source,
            mistakes,
            open: Vec::new(),
            anchors: HashMap::new(),
            copied: 0,
            documents: 0,
            root: None,
        }
    }

    fn take(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let mark = Mark::new(span, &self.source.text);
        match event {
            Event::DocumentStart(..) => return self.document(mark),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let value = Value::Scalar { text: text.into_owned(), plain };
                let value = self.untagged(tag.as_deref(), span, value);
                self.complete(Node::new(mark, value), anchor);
            }
            Event::MappingStart(_, anchor, tag) => {
                self.untagged(tag.as_deref(), span, Value::Broken);
                let items = Items::Mapping { entries: Vec::new(), key: None };
                self.open.push(Open { mark, anchor, items });
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.untagged(tag.as_deref(), span, Value::Broken);
                self.open.push(Open { mark, anchor, items: Items::Sequence(Vec::new()) });
            }
            Event::MappingEnd | Event::SequenceEnd => self.close(),
            Event::Alias(anchor) => return self.alias(anchor, mark),
            Event::UnresolvedAlias(name) => {
                let text = format!("\"*{name}\" refers to nothing");
                let help = "an anchor, \"&name\", stands before the value to repeat, further up";
                self.error(mark, text, Some(help));
                self.complete(Node::new(mark, Value::Broken), 0);
            }
            // The ends of the document and of the stream, and what carries no value.
            _ => {}
        }
        Some(())
    }

    fn document(&mut self, mark: Mark) -> Option<()> {
        self.documents += 1;
        if self.documents == 1 {
            return Some(());
        }
        let help = "put everything before the first \"---\" or into a file of its own";
        self.error(mark, "a second document begins here", Some(help));
        None
    }

    fn untagged(&mut self, tag: Option<&Tag>, span: &Span, value: Value) -> Value {
        let Some(tag) = tag else { return value };
        let span = span.tag_span().unwrap_or(*span);
        let mark = Mark::new(&span, &self.source.text);
        let text = format!("tags are not known here, and this value has \"{}\"", tag.original());
        self.error(mark, text, Some("leave the tag out; quotes make text of anything"));
        Value::Broken
    }

    fn close(&mut self) {
        let Some(Open { mark, anchor, items }) = self.open.pop() else { return };
        let value = match items {
            Items::Mapping { entries, .. } => Value::Mapping(entries),
            Items::Sequence(items) => Value::Sequence(items),
        };
        self.complete(Node::new(mark, value), anchor);
    }

    fn complete(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.items) {
            None => self.root = Some(node),
            Some(Items::Sequence(items)) => items.push(node),
            Some(Items::Mapping { entries, key }) => match key.take() {
                None => *key = Some(node),
                Some(key) => entries.push((key, node)),
            },
        }
    }

    fn alias(&mut self, anchor: usize, mark: Mark) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor) else {
            let help = "an alias repeats a value that is complete, further up";
            self.error(mark, "a value cannot hold itself", Some(help));
            return None;
        };
        self.copied += size(node);
        if self.copied > COPIED {
            let text = format!("aliases repeat more than {COPIED} values");
            self.error(mark, text, Some("write fewer aliases of aliases"));
            return None;
        }
        let node = node.clone();
        self.complete(node, 0);
        Some(())
    }

    fn syntax(&mut self, error: &ScanError) {
        let marker = error.marker();
        if let Some(tab) = self.source.indenting_tab(marker.line()) {
            let help = "YAML is indented with spaces, never with tabs";
            return self.error(tab, "not YAML: a tab in the indentation", Some(help));
        }
        let start = marker.byte_offset().unwrap_or(self.source.text.len());
        let start = start.min(self.source.text.len());
        let mark = Mark { start, end: start, line: marker.line(), column: marker.col() + 1 };
        let help = match error.kind() {
            ErrorKind::RecursionLimitExceeded => {
                Some("lists and sections stand within each other 64 deep; is a bracket left open?")
            }
            _ if self.line(marker.line()).contains("${") => Some(UNQUOTED),
            _ => Some("what is wrong may begin further up: a quote or bracket, the indentation"),
        };
        self.error(mark, format!("not YAML: {}", error.kind()), help);
    }

    fn line(&self, number: usize) -> &str {
        self.source.text.lines().nth(number.saturating_sub(1)).unwrap_or_default()
    }

    fn error(&mut self, mark: Mark, text: impl Into<String>, help: Option<&str>) {
        let place = self.source.place(mark);
        self.mistakes.at(&place, text, help);
    }
}

const UNQUOTED: &str =
    "a brace begins a section here: put the reference into quotes, as \"${env:NAME}\"";

/// How many values a tree holds.
fn size(node: &Node) -> usize {
    match &node.value {
        Value::Broken | Value::Scalar { .. } => 1,
        Value::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Mapping(entries) => {
            1 + entries.iter().map(|(key, value)| size(key) + size(value)).sum::<usize>()
        }
    }
}

/// Collections within collections: nobody writes sixteen by hand, and each costs stack.
const NESTING: usize = 64;

/// Values that aliases may repeat: more than anybody shares by hand, and little enough that a
/// few lines of aliases of aliases do not fill the memory.
const COPIED: usize = 10_000;
