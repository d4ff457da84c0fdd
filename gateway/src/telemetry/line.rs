//! How one line of the log is written.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::Level;

use super::TransactionRecord;

/// What a field holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A number, a truth value or `null`, as JSON and people write it.
    Other(String),
    /// What is told of a transaction: the only value that is an object.
    Record(Arc<TransactionRecord>),
    /// Perhaps a peer's words.
    Text(String),
}

/// One line.
pub(super) struct Line<'a> {
    pub(super) time: Timestamp,
    pub(super) level: Level,
    pub(super) target: &'a str,
    pub(super) fields: &'a [(&'static str, Value)],
}

impl Line<'_> {
    /// One JSON object.
    pub(super) fn json(&self) -> String {
        if let Some(record) = self.record() {
            return self.json_of(record);
        }
        let level = self.level.as_str().to_ascii_lowercase();
        let mut line = format!("{{\"time\":\"{:.3}\",\"level\":\"{level}\"", self.time);
        push_json(&mut line, "target", self.target);
        if let Some(message) = self.message() {
            push_json(&mut line, "message", message);
        }
        for (name, value) in self.others() {
            match value {
                Value::Text(text) => push_json(&mut line, name, text),
                Value::Record(_) => {}
                Value::Other(literal) => {
                    line.push_str(",\"");
                    line.push_str(name);
                    line.push_str("\":");
                    line.push_str(literal);
                }
            }
        }
        line.push_str("}\n");
        line
    }

    /// The record with all that it holds, which begins with its time.
    fn json_of(&self, record: &TransactionRecord) -> String {
        let json = record.json();
        let (time, rest) = json.split_once(',').expect("a record has more than a time");
        let level = self.level.as_str().to_ascii_lowercase();
        let mut line = String::with_capacity(json.len() + 64);
        line.push_str(time);
        line.push_str(&format!(",\"level\":\"{level}\""));
        push_json(&mut line, "target", self.target);
        line.push(',');
        // Beyond ASCII there is nothing outside of strings.
        if rest.chars().any(is_hostile) {
            rest.chars().for_each(|c| push_json_char(&mut line, c));
        } else {
            line.push_str(rest);
        }
        line.push('\n');
        line
    }

    /// Time, level, target, message, and then the fields.
    pub(super) fn text(&self, colour: bool) -> String {
        let (dim, strong, plain) =
            if colour { ("\x1b[2m", level_colour(self.level), "\x1b[0m") } else { ("", "", "") };
        let mut line = format!(
            "{dim}{:.3}{plain} {strong}{:<5}{plain} {dim}{}:{plain} ",
            self.time,
            self.level.as_str(),
            self.target
        );
        self.push_body(&mut line, (dim, plain));
        line.push('\n');
        line
    }

    /// Message and fields, or the record.
    pub(super) fn message_for_people(&self) -> String {
        let mut line = String::new();
        self.push_body(&mut line, ("", ""));
        line
    }

    fn push_body(&self, line: &mut String, (dim, plain): (&str, &str)) {
        if let Some(record) = self.record() {
            return record.push_for_people(line);
        }
        let mut space = "";
        if let Some(message) = self.message() {
            push_escaped(line, message, false);
            space = " ";
        }
        for (name, value) in self.others() {
            line.push_str(space);
            space = " ";
            line.push_str(dim);
            line.push_str(name);
            line.push('=');
            line.push_str(plain);
            match value {
                Value::Other(literal) => line.push_str(literal),
                Value::Record(_) => {}
                Value::Text(text) => push_word(line, text),
            }
        }
    }

    fn message(&self) -> Option<&str> {
        self.fields.iter().find_map(|(name, value)| match value {
            Value::Text(text) if *name == "message" => Some(text.as_str()),
            _ => None,
        })
    }

    fn record(&self) -> Option<&TransactionRecord> {
        self.fields.iter().find_map(|(_, value)| match value {
            Value::Record(record) => Some(&**record),
            Value::Other(_) | Value::Text(_) => None,
        })
    }

    /// All but the message and what would look like the line's own.
    pub(super) fn others(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.fields
            .iter()
            .filter(|(name, _)| !["level", "message", "target", "time"].contains(name))
    }
}

fn level_colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[1;31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

/// A member of an object that has one already. Names are literals of ours.
fn push_json(line: &mut String, name: &str, text: &str) {
    line.push_str(",\"");
    line.push_str(name);
    line.push_str("\":\"");
    for c in text.chars() {
        match c {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c => push_json_char(line, c),
        }
    }
    line.push('"');
}

fn push_json_char(line: &mut String, c: char) {
    match c {
        // All of them are in the basic plane, so four digits do.
        c if is_hostile(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => line.push(c),
    }
}

/// As it is, or in quotes if it could be taken for more than one word.
pub(super) fn push_word(line: &mut String, text: &str) {
    if is_word(text) {
        line.push_str(text);
    } else {
        line.push('"');
        push_escaped(line, text, true);
        line.push('"');
    }
}

pub(super) fn push_escaped(line: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        if is_hostile(c) || quoted && matches!(c, '"' | '\\') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
}

/// Whether it needs no quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text
            .chars()
            .any(|c| c.is_whitespace() || matches!(c, '"' | '\\' | '=') || is_hostile(c))
}

/// Control characters, line separators, and those that turn the direction of writing.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
