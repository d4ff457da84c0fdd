//! What comes of asking a service: its failures, and what it says, which nobody has to trust.

use portcullis_plugin::Reply;
use serde::Deserialize;

/// What becomes of mail while a service does not answer, or answers nonsense.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It passes.
    #[default]
    Pass,
    /// It has to come again.
    Defer,
    /// It passes with points.
    Score,
}

/// Text of a service as one line of a reply: ASCII without control characters, and not too long. None if
/// nothing is left.
pub fn reply_text(text: &str) -> Option<String> {
    let mut line: String = text
        .trim()
        .chars()
        .map(|char| match char {
            ' '..='~' => char,
            char if char.is_whitespace() || char.is_control() => ' ',
            _ => '?',
        })
        .take(LONGEST_REPLY)
        .collect();
    line.truncate(line.trim_end().len());
    (!line.is_empty()).then_some(line)
}

/// The reply that a service wants to be said, within this class (4 or 5): its text may begin with an
/// enhanced status, or with code and status. What is not of the class is the usual one.
pub fn reply_of(text: &str, usual: &Reply) -> Option<Reply> {
    let text = reply_text(text)?;
    let class = usual.code / 100;
    let (code, rest) = match text.split_once(' ') {
        Some((code, rest))
            if code.len() == 3 && code.bytes().all(|digit| digit.is_ascii_digit()) =>
        {
            (code.parse().unwrap_or(usual.code), rest)
        }
        _ => (usual.code, &text[..]),
    };
    let code = if code / 100 == class { code } else { usual.code };
    let (first, words) = rest.split_once(' ').unwrap_or((rest, ""));
    let (status, text) = match Reply::parse_status(first) {
        Some(status) if u16::from(status.0) == class => (Some(status), words),
        Some(_) => (usual.status, words),
        None => (usual.status, rest),
    };
    let text = text.trim();
    (!text.is_empty()).then(|| Reply { code, status, text: text.to_owned() })
}

/// A value of a header field as the gateway takes it: lines end in CRLF and continue with white space,
/// and there are no control characters.
pub fn field_value(value: &str) -> String {
    let mut field = String::with_capacity(value.len());
    for line in value.split(['\r', '\n']).filter(|line| !line.trim().is_empty()) {
        if !field.is_empty() {
            field.push_str(if line.starts_with([' ', '\t']) { "\r\n" } else { "\r\n\t" });
        }
        field.extend(line.trim_end().chars().filter(|char| *char == '\t' || !char.is_control()));
    }
    field.trim_start().to_owned()
}

/// RFC 5321 section 4.5.3.1.5 has 512 octets for a line.
const LONGEST_REPLY: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_stays_one_line_of_its_class() {
        let usual = Reply::new(550, "5.7.1", "no");
        let said = |text: &str| {
            reply_of(text, &usual).map(|reply| {
                let (class, subject, detail) = reply.status.unwrap();
                format!("{} {class}.{subject}.{detail} {}", reply.code, reply.text)
            })
        };
        for (text, reply) in [
            ("Gtube pattern", Some("550 5.7.1 Gtube pattern")),
            ("5.7.26 not aligned", Some("550 5.7.26 not aligned")),
            ("554 5.7.0 go", Some("554 5.7.0 go")),
            ("250 2.0.0 ok", Some("550 5.7.1 ok")),
            ("451 4.7.1 later", Some("550 5.7.1 later")),
            ("a\r\n250 b\u{e9}\0", Some("550 5.7.1 a  250 b?")),
            (" \r\n", None),
            ("5.7.1", None),
        ] {
            assert_eq!(said(text).as_deref(), reply, "{text:?}");
        }
        assert_eq!(reply_text(&"x".repeat(5000)).unwrap().len(), 400);
    }

    #[test]
    fn a_field_stays_one_field() {
        for (value, field) in [
            ("Yes", "Yes"),
            ("a;\n\tb;\r\n c", "a;\r\n\tb;\r\n c"),
            ("a\r\nBcc: x\r\n\r\nbody", "a\r\n\tBcc: x\r\n\tbody"),
            ("\n\nx\0\u{7}", "x"),
            ("", ""),
        ] {
            assert_eq!(field_value(value), field, "{value:?}");
        }
    }
}
