//! The effective configuration as YAML that could be served, with where each value comes from.

use std::fmt;

use super::{Effective, Origin, Scalar, Setting, Value};
use crate::config::reading::Source;
use crate::config::tree::Elsewhere;

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        let file = self.file.file_name().unwrap_or_default().to_string_lossy();
        Page { file: &file, lines: &mut lines }.section(&self.settings, 0);
        for Line { text, remark } in lines {
            match remark {
                Some(remark) => writeln!(f, "{text:COLUMN$} # {remark}")?,
                None => writeln!(f, "{text}")?,
            }
        }
        Ok(())
    }
}

struct Line {
    text: String,
    remark: Option<String>,
}

/// What is written so far.
struct Page<'a> {
    /// The name of the file that the values come from.
    file: &'a str,
    lines: &'a mut Vec<Line>,
}

impl Page<'_> {
    fn line(&mut self, text: String, remark: Option<String>) {
        self.lines.push(Line { text, remark });
    }

    fn section(&mut self, settings: &[Setting], depth: usize) {
        let indent = "  ".repeat(depth);
        let mut unset = Vec::new();
        for Setting { key, value, origin } in settings {
            let remark = Some(remark(self.file, origin));
            let name = quoted_if_needed(key);
            match value {
                Value::Unset => unset.push(key.as_str()),
                Value::Section(settings) if !settings.is_empty() => {
                    let remark = remark.filter(|_| matches!(origin, Origin::File { .. }));
                    self.line(format!("{indent}{name}:"), remark);
                    self.section(settings, depth + 1);
                }
                Value::List(items) if items.iter().any(|(_, item)| is_block(item)) => {
                    self.line(format!("{indent}{name}:"), remark);
                    items.iter().for_each(|(_, item)| self.item(item, depth + 1));
                }
                value => self.line(format!("{indent}{name}: {}", flow(value)), remark),
            }
        }
        if !unset.is_empty() {
            self.line(format!("{indent}# not set: {}", unset.join(", ")), None);
        }
    }

    fn item(&mut self, item: &Value, depth: usize) {
        let indent = "  ".repeat(depth);
        let Value::Section(settings) = item else {
            return self.line(format!("{indent}- {}", flow(item)), None);
        };
        let from = self.lines.len();
        self.section(settings, depth + 1);
        let first = self.lines[from..].iter_mut().find(|line| !line.text.contains("# not"));
        if let Some(first) = first {
            first.text.replace_range(indent.len()..indent.len() + 2, "- ");
        }
    }
}

fn is_block(value: &Value) -> bool {
    matches!(value, Value::Section(settings) if !settings.is_empty())
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Unset => "null".to_owned(),
        Value::Scalar(scalar) => scalar.to_string(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|(_, item)| within(item)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Section(settings) => {
            let set = settings.iter().filter(|one| !matches!(one.value, Value::Unset));
            let entry =
                |one: &Setting| format!("{}: {}", quoted_if_needed(&one.key), within(&one.value));
            format!("{{{}}}", set.map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A value within braces or brackets, where commas and braces mean something.
fn within(value: &Value) -> String {
    match value {
        Value::Scalar(scalar) if scalar.shown.contains([',', '[', ']', '{', '}', ':', '#']) => {
            quoted(&scalar.shown)
        }
        value => flow(value),
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plain { f.write_str(&self.shown) } else { f.write_str(&quoted(&self.shown)) }
    }
}

fn quoted_if_needed(text: &str) -> String {
    let fit = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    let word = text.starts_with(char::is_alphabetic) && text.chars().all(fit);
    let special = matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "nan");
    if word && !special { text.to_owned() } else { quoted(text) }
}

/// JSON's quotes are YAML's, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where a value comes from, in words.
fn remark(file: &str, origin: &Origin) -> String {
    match origin {
        Origin::File { line, elsewhere } => {
            let mut told = format!("{file}:{line}");
            for source in elsewhere {
                match source {
                    Elsewhere::Environment(name) => told += &format!(", ${name}"),
                    Elsewhere::File(path) => told += &format!(", {}", path.display()),
                }
            }
            told
        }
        Origin::LeftOut(Source::Default) => "default".to_owned(),
        Origin::LeftOut(Source::Key(key)) => format!("as {key}"),
        Origin::LeftOut(Source::System(what)) => (*what).to_owned(),
    }
}

/// Where remarks begin, unless the line is longer.
const COLUMN: usize = 50;
