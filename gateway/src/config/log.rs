//! What is logged, and how.

use super::section::{Section, Text};
use super::spelling;

/// The log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as
    /// `info,portcullis::upstream=debug`.
    pub level: String,
}

/// How log records look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

impl Log {
    pub(super) const KEYS: &'static [&'static str] = &["format", "level"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let level = section.text("level");
        section.by_default("level", "info");
        if let Some(level) = level {
            check_filter(section, level);
        }
        Self {
            format: section.choice_or("format", FORMATS, LogFormat::default()),
            level: level.map_or("info", |level| level.text).to_owned(),
        }
    }
}

/// A level, or several with what they are for: `info,portcullis::upstream=debug`.
fn check_filter(section: &Section<'_>, Text { text, mark }: Text<'_>) {
    for directive in text.split(',') {
        let (target, level) = match directive.split_once('=') {
            Some((target, level)) => (Some(target), level),
            None => (None, directive),
        };
        if !LEVELS.contains(&level) {
            let help = spelling::help(level, LEVELS.iter().copied());
            let text = format!("\"{level}\" is no log level");
            section.reader.error(mark, text, Some(&help));
            return;
        }
        let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        if target.is_some_and(|target| target.is_empty() || !target.chars().all(fit)) {
            let text = format!("\"{directive}\" is no part of a log filter");
            let help = "a filter looks like info,portcullis::upstream=debug";
            section.reader.error(mark, text, Some(help));
            return;
        }
    }
}

const FORMATS: &[(&str, LogFormat)] = &[("json", LogFormat::Json), ("text", LogFormat::Text)];

const LEVELS: &[&str] = &["debug", "error", "info", "off", "trace", "warn"];
