//! What is logged, and how.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

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
    /// Where it goes; none is the journal, if standard error leads there, else standard error.
    pub output: Option<LogOutput>,
    /// Whose addresses are told.
    pub addresses: LogAddresses,
    /// The key of hashes of addresses.
    pub hash_key: Option<HashKey>,
    /// Octets of lines that wait for whoever reads them.
    pub buffer_octets: u64,
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

/// Where the log goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogOutput {
    /// The journal of systemd, with fields.
    Journald,
    /// Standard error.
    Stderr,
}

/// Whose addresses are told.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogAddresses {
    /// Nobody's, but for domains and networks.
    Domain,
    /// Everybody's.
    #[default]
    Full,
    /// Nobody's, but the same hash for the same address.
    Hashed,
    /// Nobody's.
    None,
}

/// What hashes of addresses are made with. It is not shown.
#[derive(Clone, Eq, PartialEq)]
pub struct HashKey(Arc<Zeroizing<String>>);

impl HashKey {
    /// The key itself.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(..)")
    }
}

impl Log {
    pub(super) const KEYS: &'static [&'static str] =
        &["addresses", "buffer", "format", "level", "output", "secret"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let level = section.text("level");
        section.by_default("level", "info");
        if let Some(level) = level {
            check_filter(section, level);
        }
        let addresses = section.choice_or("addresses", ADDRESSES, LogAddresses::default());
        let hash_key = hash_key(section);
        if addresses == LogAddresses::Hashed && section.entry("secret").is_none() {
            let text = "without \"secret\" the same address has another hash after a restart";
            let help =
                "head -c 24 /dev/urandom | base64 > log.key, and then secret: ${file:log.key}";
            section.reader.warn(section.mark_of("addresses"), text, Some(help));
        }
        Self {
            format: section.choice_or("format", FORMATS, LogFormat::default()),
            level: level.map_or("info", |level| level.text).to_owned(),
            output: section.choice("output", OUTPUTS),
            addresses,
            hash_key,
            buffer_octets: section.size("buffer", SMALLEST_BUFFER..=LARGEST_BUFFER, BUFFER),
        }
    }
}

fn hash_key(section: &Section<'_>) -> Option<HashKey> {
    let Text { text, mark } = section.text("secret")?;
    if text.len() < SHORTEST_KEY {
        let text = format!("a secret of {} octets can be guessed", text.len());
        let help = format!("take {SHORTEST_KEY} or more: head -c 24 /dev/urandom | base64");
        section.reader.error(mark, text, Some(&help));
        return None;
    }
    Some(HashKey(Arc::new(Zeroizing::new(text.to_owned()))))
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

const OUTPUTS: &[(&str, LogOutput)] =
    &[("journald", LogOutput::Journald), ("stderr", LogOutput::Stderr)];

const ADDRESSES: &[(&str, LogAddresses)] = &[
    ("domain", LogAddresses::Domain),
    ("full", LogAddresses::Full),
    ("hashed", LogAddresses::Hashed),
    ("none", LogAddresses::None),
];

const LEVELS: &[&str] = &["debug", "error", "info", "off", "trace", "warn"];

/// About 8,000 records of transactions: seconds of a busy gateway.
const BUFFER: u64 = 8 << 20;
/// One record of the largest kind has to fit in.
const SMALLEST_BUFFER: u64 = 1 << 20;
const LARGEST_BUFFER: u64 = 1 << 30;

/// Octets of a key.
const SHORTEST_KEY: usize = 16;
