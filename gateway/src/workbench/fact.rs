//! What happened, and what is expected to, in the words of a scenario file.

use std::fmt;

use portcullis_smtp::EnhancedStatus;

use crate::config::Place;
use crate::config::section::{Entry, Reader, Section, distinct};
use crate::config::spelling;
use crate::config::tree::{Node, Value};

/// Something that happened: its kind, and what is to be said about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fact {
    /// For example `reject` or `add-header`.
    pub kind: &'static str,
    /// For example `code` and `550`.
    pub fields: Vec<(&'static str, String)>,
}

impl Fact {
    /// Something of which its kind says all.
    #[must_use]
    pub fn bare(kind: &'static str) -> Self {
        Self { kind, fields: Vec::new() }
    }

    /// A field of it.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

impl fmt::Display for Fact {
    /// As it could stand in a scenario file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fields.is_empty() {
            return f.write_str(self.kind);
        }
        let fields = self.fields.iter().map(|(name, value)| format!("{name}: {}", quoted(value)));
        write!(f, "{}: {{{}}}", self.kind, fields.collect::<Vec<_>>().join(", "))
    }
}

/// What a fact has to be like.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    kind: &'static str,
    fields: Vec<(&'static str, Matcher)>,
    pub(crate) place: Place,
}

/// What a text has to be like.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Matcher {
    /// There is none.
    Absent,
    Contains(String),
    Exact(String),
}

/// A kind of fact that a scenario file knows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    pub(crate) kind: &'static str,
    pub(crate) keys: &'static [&'static str],
    pub(crate) short: Short,
}

/// What one value instead of a section means.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Short {
    Field(&'static str),
    Nothing,
    /// `550 5.7.1 text`, of which the end may be left out.
    Reply,
}

impl Pattern {
    /// Reads `kind`, `kind: value` or `kind: {field: value}`.
    pub(crate) fn read(
        reader: &Reader<'_>,
        what: &str,
        node: &Node,
        forms: &'static [Form],
    ) -> Option<Self> {
        let place = reader.place(node.mark);
        let pattern = |form: &Form, fields| Self { kind: form.kind, fields, place: place.clone() };
        match &node.value {
            Value::Broken => None,
            Value::Scalar { text, .. } => {
                let form = known(reader, what, text, node, forms)?;
                Some(pattern(form, Vec::new()))
            }
            Value::Mapping(entries) => {
                let entries = distinct(reader, entries);
                let [entry] = &entries[..] else {
                    let text = format!("{what} is one thing, and here are {}", entries.len());
                    reader.error(node.mark, text, Some("write \"kind: {field: value}\""));
                    return None;
                };
                let key = Node::new(entry.key.mark, Value::Broken);
                let form = known(reader, what, entry.key.text, &key, forms)?;
                let pattern = pattern(form, form.fields(reader, entry)?);
                Some(Self { place: reader.place(entry.key.mark), ..pattern })
            }
            Value::Sequence(_) => {
                reader.error(node.mark, format!("{what} is one thing, not a list"), None);
                None
            }
        }
    }

    /// A line of the log: `level: text`, or a text at any level.
    pub(crate) fn read_line(
        reader: &Reader<'_>,
        node: &Node,
        forms: &'static [Form],
    ) -> Option<Self> {
        let text = match &node.value {
            Value::Scalar { .. } => Matcher::read(reader, node)?,
            Value::Mapping(entries) if is_matcher(entries) => Matcher::read(reader, node)?,
            _ => return Self::read(reader, "a line of the log", node, forms),
        };
        let place = reader.place(node.mark);
        Some(Self { kind: ANY_LEVEL, fields: vec![("text", text)], place })
    }

    /// The value of a key that is a kind of fact itself.
    pub(crate) fn of_entry(
        reader: &Reader<'_>,
        entry: &Entry<'_>,
        form: &'static Form,
    ) -> Option<Self> {
        let fields = form.fields(reader, entry)?;
        Some(Self { kind: form.kind, fields, place: reader.place(entry.node.mark) })
    }

    pub(crate) fn fits(&self, fact: &Fact) -> bool {
        (self.kind == fact.kind || self.kind == ANY_LEVEL)
            && self.fields.iter().all(|(name, matcher)| matcher.fits(fact.field(name)))
    }

    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fields.is_empty() {
            return f.write_str(self.kind);
        }
        let fields = self.fields.iter().map(|(name, matcher)| format!("{name}: {matcher}"));
        write!(f, "{}: {{{}}}", self.kind, fields.collect::<Vec<_>>().join(", "))
    }
}

impl Form {
    fn fields(
        &self,
        reader: &Reader<'_>,
        entry: &Entry<'_>,
    ) -> Option<Vec<(&'static str, Matcher)>> {
        if entry.node.is_null() {
            return Some(Vec::new());
        }
        let (Value::Scalar { text, .. }, Short::Reply) = (&entry.node.value, self.short) else {
            return self.named(reader, entry);
        };
        let fields = reply(text);
        if fields.is_none() {
            let help = "a reply is \"550 5.7.1 text\", or {code: 550, status: 5.7.1, text: ...}; \
                        what is left out may be anything";
            reader.error(entry.node.mark, format!("\"{text}\" is no reply"), Some(help));
        }
        fields
    }

    fn named(
        &self,
        reader: &Reader<'_>,
        entry: &Entry<'_>,
    ) -> Option<Vec<(&'static str, Matcher)>> {
        let single = !matches!(&entry.node.value, Value::Mapping(_))
            || matches!(&entry.node.value, Value::Mapping(of) if is_matcher(of));
        if let (true, Short::Field(name)) = (single, self.short) {
            return Some(vec![(name, Matcher::read(reader, entry.node)?)]);
        }
        let section = Section::under(reader, &format!("\"{}\"", self.kind), entry, self.keys);
        let keys = self.keys.iter();
        let given = keys.filter_map(|key| Some((*key, section.entry(key)?.node)));
        given.map(|(key, node)| Some((key, Matcher::read(reader, node)?))).collect()
    }
}

/// `{contains: ...}` in place of a single value.
fn is_matcher(entries: &[(Node, Node)]) -> bool {
    matches!(entries, [(Node { value: Value::Scalar { text, .. }, .. }, _)] if text == "contains")
}

impl Matcher {
    pub(crate) fn read(reader: &Reader<'_>, node: &Node) -> Option<Self> {
        match &node.value {
            Value::Broken => None,
            Value::Scalar { .. } if node.is_null() => Some(Self::Absent),
            Value::Scalar { text, .. } => Some(Self::Exact(text.clone())),
            Value::Mapping(_) => {
                let section = Section::of(reader, "a text", node, &["contains"]);
                let help = "{contains: a part of the text}, or the whole text";
                let text = section.required("contains", help)?;
                Some(Self::Contains(text.text.to_owned()))
            }
            Value::Sequence(_) => {
                let text = "one value is expected here, not a list";
                reader.error(node.mark, text, None);
                None
            }
        }
    }

    pub(crate) fn fits(&self, text: Option<&str>) -> bool {
        match (self, text) {
            (Self::Absent, text) => text.is_none(),
            (Self::Contains(part), Some(text)) => text.contains(part),
            (Self::Exact(whole), Some(text)) => text == whole,
            (Self::Contains(_) | Self::Exact(_), None) => false,
        }
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("null"),
            Self::Contains(part) => write!(f, "{{contains: {}}}", quoted(part)),
            Self::Exact(whole) => f.write_str(&quoted(whole)),
        }
    }
}

fn known<'f>(
    reader: &Reader<'_>,
    what: &str,
    word: &str,
    node: &Node,
    forms: &'f [Form],
) -> Option<&'f Form> {
    let form = forms.iter().find(|form| form.kind == word);
    if form.is_none() {
        let help = spelling::help(word, forms.iter().map(|form| form.kind));
        reader.error(node.mark, format!("{what} cannot be \"{word}\""), Some(&help));
    }
    form
}

/// The fields of `550 5.7.1 text`.
fn reply(text: &str) -> Option<Vec<(&'static str, Matcher)>> {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    let digits = code.len() == 3 && code.bytes().all(|octet| octet.is_ascii_digit());
    let mut fields = vec![("code", Matcher::Exact(digits.then(|| code.to_owned())?))];
    let rest = match EnhancedStatus::strip(rest) {
        Some((status, rest)) => {
            fields.push(("status", Matcher::Exact(status.to_string())));
            rest
        }
        None => rest,
    };
    if !rest.is_empty() {
        fields.push(("text", Matcher::Exact(rest.to_owned())));
    }
    Some(fields)
}

/// A text as YAML takes it, in quotes if it needs them.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " .@_/=+;()-".contains(c);
    let word = text.starts_with(char::is_alphanumeric) && !text.ends_with(' ');
    if word && text.chars().all(plain) {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

/// Of a line whose level does not matter.
const ANY_LEVEL: &str = "line";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_may_be_cut_short() {
        let exact = |text: &str| Matcher::Exact(text.into());
        assert_eq!(reply("550"), Some(vec![("code", exact("550"))]));
        let full = reply("550 5.7.1 closed for good").expect("a reply");
        assert_eq!(full[1..], [("status", exact("5.7.1")), ("text", exact("closed for good"))]);
        assert_eq!(reply("550 closed").expect("a reply")[1], ("text", exact("closed")));
        assert_eq!(reply("no"), None);
    }

    #[test]
    fn what_is_shown_can_be_written_down() {
        let fact = Fact { kind: "reject", fields: vec![("code", "550".into())] };
        assert_eq!(fact.to_string(), "reject: {code: 550}");
        assert_eq!(quoted("192.0.2.1 is listed"), "192.0.2.1 is listed");
        assert_eq!(quoted("a: b"), "\"a: b\"");
        assert_eq!(quoted(""), "\"\"");
    }
}
