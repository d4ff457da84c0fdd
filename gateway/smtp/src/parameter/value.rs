//! What stands behind the `=` of a parameter: from the wire, decoded, and back to the wire.

use super::DateTime;
use crate::address::is_safe;
use crate::command::Dialect;
use crate::{Mailbox, xtext};

/// A kind of value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// RFC 4954 section 5: `<>`, or a mailbox in xtext.
    Identity,
    /// RFC 4865 section 4.2: seconds.
    Interval,
    /// `1*20DIGIT` (RFC 1870 section 3).
    Number,
    /// RFC 3461 section 4.1.
    Notify,
    /// One of these, in any case.
    OneOf(&'static [&'static str]),
    /// RFC 3461 section 4.2: an address with its type, the address in xtext.
    Original,
    /// RFC 6710 section 4.1: from -9 to 9.
    Priority,
    /// RFC 7293 section 3.1: a time, and what to do where it cannot be honoured.
    Since,
    /// RFC 2852 section 4: seconds, and what happens then.
    Time,
    /// RFC 3461 section 4.4: printable ASCII in xtext.
    Token,
    /// RFC 4865 section 4.2: a time.
    Until,
}

impl Value {
    /// Decodes what the peer wrote.
    pub(super) fn read(self, text: &str, dialect: Dialect) -> Option<String> {
        match self {
            Self::Identity => identity(text),
            Self::Interval => number(text, 9),
            Self::Number => number(text, 20),
            Self::Notify => notify(text),
            Self::OneOf(words) => one_of(text, words),
            Self::Original => original(text, dialect.utf8),
            Self::Priority => priority(text),
            Self::Since => since(text),
            Self::Time => time(text),
            Self::Token if text.len() > TOKEN_OCTETS => None,
            Self::Token => printable(text),
            Self::Until => Some(DateTime::parse(text)?.as_str().to_owned()),
        }
    }

    /// Encodes what [`read`](Self::read) has decoded.
    pub(super) fn write(self, value: &str) -> String {
        match self {
            Self::Identity if value == NOBODY => value.to_owned(),
            Self::Identity | Self::Token => xtext::encode(value.as_bytes()),
            Self::Original => {
                let (kind, address) = value.split_once(';').unwrap_or(("unknown", value));
                format!("{kind};{}", encoded_address(kind, address))
            }
            Self::Interval
            | Self::Number
            | Self::Notify
            | Self::OneOf(_)
            | Self::Priority
            | Self::Since
            | Self::Time
            | Self::Until => value.to_owned(),
        }
    }
}

/// Decodes xtext that holds printable ASCII. It could hide a CR LF, which would be a second command
/// to whoever is told the decoded text.
fn printable(text: &str) -> Option<String> {
    let decoded = String::from_utf8(xtext::decode(text)?).ok()?;
    decoded.bytes().all(|octet| matches!(octet, b' '..=b'~')).then_some(decoded)
}

/// Digits, without the zeros before them.
fn number(text: &str, most: usize) -> Option<String> {
    let digits = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let significant = text.trim_start_matches('0');
    digits.then(|| if significant.is_empty() { "0" } else { significant }.to_owned())
}

fn one_of(text: &str, words: &[&str]) -> Option<String> {
    words.iter().find(|word| word.eq_ignore_ascii_case(text)).map(|word| (*word).to_owned())
}

fn identity(text: &str) -> Option<String> {
    let decoded = printable(text)?;
    let is_mailbox = Mailbox::parse(&decoded).is_some();
    (decoded == NOBODY || is_mailbox).then_some(decoded)
}

fn notify(text: &str) -> Option<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split(',') {
        let word = one_of(word, &["NEVER", "SUCCESS", "FAILURE", "DELAY"])?;
        if words.contains(&word) {
            return None;
        }
        words.push(word);
    }
    let never = words.iter().any(|word| word == "NEVER");
    (!never || words.len() == 1).then(|| words.join(","))
}

fn original(text: &str, utf8: bool) -> Option<String> {
    let (kind, address) = text.split_once(';')?;
    let kind = kind.to_ascii_lowercase();
    let is_atom = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    if kind.is_empty() || !kind.bytes().all(is_atom) {
        return None;
    }
    let address = match kind.as_str() {
        UTF8 => xtext::decode_utf8(address, utf8)?,
        // Postfix writes UTF-8 so, whatever the type.
        _ => xtext::decode(address).and_then(safe)?,
    };
    // As it will be sent on: a character may be one octet here and nine there.
    let octets = kind.len() + ";".len() + encoded_address(&kind, &address).len();
    (!address.is_empty() && octets <= ORIGINAL_OCTETS).then(|| format!("{kind};{address}"))
}

/// Text without what would spoil a line.
fn safe(octets: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(octets).ok()?;
    text.chars().all(is_safe).then_some(text)
}

fn encoded_address(kind: &str, address: &str) -> String {
    if kind == UTF8 { xtext::encode_utf8(address) } else { xtext::encode(address.as_bytes()) }
}

fn priority(text: &str) -> Option<String> {
    let digit = text.strip_prefix('-').unwrap_or(text);
    let known = matches!(digit.as_bytes(), [b'1'..=b'9']) || text == "0";
    known.then(|| text.to_owned())
}

fn since(text: &str) -> Option<String> {
    let (time, action) = match text.split_once(';') {
        Some((time, action)) => (time, Some(one_of(action, &["C", "R"])?)),
        None => (text, None),
    };
    let time = DateTime::parse(time)?;
    Some(match action {
        Some(action) => format!("{};{action}", time.as_str()),
        None => time.as_str().to_owned(),
    })
}

fn time(text: &str) -> Option<String> {
    let (time, mode) = text.split_once(';')?;
    let mode = one_of(mode, &["N", "NT", "R", "RT"])?;
    let negative = time.starts_with('-');
    let seconds = number(time.strip_prefix(['+', '-']).unwrap_or(time), 9)?;
    let past = negative || seconds == "0";
    // Nothing can be returned for being late before it was sent.
    if past && mode.starts_with('R') {
        return None;
    }
    let sign = if negative && seconds != "0" { "-" } else { "" };
    Some(format!("{sign}{seconds};{mode}"))
}

/// Nobody in particular.
const NOBODY: &str = "<>";
/// The type of an address beyond ASCII (RFC 6533 section 3).
const UTF8: &str = "utf-8";
/// RFC 3461 section 4.4.
const TOKEN_OCTETS: usize = 100;
/// RFC 3461 section 4.2.
const ORIGINAL_OCTETS: usize = 500;
