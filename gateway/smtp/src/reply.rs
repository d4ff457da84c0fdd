//! Replies: three digits, an enhanced status, and text (RFC 5321 section 4.2, RFC 2034).
//!
//! A [`Reply`] is printable by construction. Text from outside (a plugin, an upstream, a peer's own
//! words) can therefore never start a second reply line.

use std::fmt;
use std::iter;

use crate::Mailbox;

/// One reply, of one or more lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    code: u16,
    status: Option<EnhancedStatus>,
    lines: Vec<String>,
}

impl Reply {
    /// A reply from parts that may come from outside.
    ///
    /// `text` may hold several lines, separated by `\n`; long lines are folded when written.
    ///
    /// # Errors
    ///
    /// If the code is not 200 to 599, if the class of the enhanced status differs from that of the
    /// code, or if the text holds a control character or anything beyond ASCII.
    pub fn new(code: u16, status: Option<EnhancedStatus>, text: &str) -> Result<Self, ReplyError> {
        if !(200..600).contains(&code) {
            return Err(ReplyError::Code(code));
        }
        if let Some(status) = status
            && u16::from(status.class) != code / 100
        {
            return Err(ReplyError::Class { code, status });
        }
        if let Some(at) = text.find(|c: char| c != '\n' && !matches!(c, ' '..='~')) {
            return Err(ReplyError::Text(at));
        }
        Ok(Self { code, status, lines: text.split('\n').map(str::to_owned).collect() })
    }

    /// A reply from this program's own words.
    ///
    /// What cannot be printed is written as `?`, so that a mistake here is ugly and not dangerous.
    #[must_use]
    pub fn fixed(code: u16, status: (u8, u16, u16), text: &str) -> Self {
        let status = EnhancedStatus { class: status.0, subject: status.1, detail: status.2 };
        Self { code, status: Some(status), lines: vec![printable(text)] }
    }

    /// A reply without enhanced status: banner, EHLO, 354.
    #[must_use]
    pub fn bare(code: u16, text: &str) -> Self {
        Self { code, status: None, lines: vec![printable(text)] }
    }

    /// A reply of several lines without enhanced status (the EHLO answer).
    #[must_use]
    pub fn listing(code: u16, lines: impl IntoIterator<Item = String>) -> Self {
        let lines: Vec<_> = lines.into_iter().map(|line| printable(&line)).collect();
        Self { code, status: None, lines }
    }

    /// The same reply, with the mailbox that it is about before its text. Replies are ASCII (RFC 6531
    /// section 3.7.4.1): a mailbox that is not is left out.
    pub(crate) fn naming(mut self, mailbox: &Mailbox) -> Self {
        if mailbox.is_ascii()
            && let Some(line) = self.lines.first_mut()
            && !line.contains(mailbox.as_str())
        {
            line.insert_str(0, &format!("<{mailbox}> "));
        }
        self
    }

    /// The three digits.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status, if the reply has one.
    #[must_use]
    pub fn status(&self) -> Option<EnhancedStatus> {
        self.status
    }

    /// The text, lines joined by `\n`, without code and enhanced status.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// Each line's text.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// 2xx or 3xx.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 4xx: the client may try again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// 5xx: final.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Appends the reply to `out` as it goes over the wire.
    ///
    /// No line is longer than 512 octets with its CRLF (RFC 5321 section 4.5.3.1.5); longer text
    /// is folded into several lines. With an enhanced status each line carries it (RFC 2034).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut head = Vec::with_capacity(HEAD_OCTETS);
        push_number(&mut head, self.code);
        let mark = head.len();
        head.push(b'-');
        if let Some(EnhancedStatus { class, subject, detail }) = self.status {
            push_number(&mut head, class.into());
            head.push(b'.');
            push_number(&mut head, subject);
            head.push(b'.');
            push_number(&mut head, detail);
            head.push(b' ');
        }
        let room = LINE_OCTETS - head.len() - "\r\n".len();
        let mut lines = self.lines.iter().flat_map(|line| fold(line, room)).peekable();
        while let Some(line) = lines.next() {
            if lines.peek().is_none() {
                head[mark] = b' ';
            }
            out.extend_from_slice(&head);
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    /// One line, for logs: `550 5.7.1 no such user`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        write!(f, " {}", self.lines.join(" / "))
    }
}

/// An enhanced mail system status (RFC 3463): class, subject, detail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EnhancedStatus {
    class: u8,
    subject: u16,
    detail: u16,
}

impl EnhancedStatus {
    /// A status; the class is 2, 4 or 5, subject and detail at most three digits.
    ///
    /// # Errors
    ///
    /// If a number is out of its range.
    pub fn new(class: u8, subject: u16, detail: u16) -> Result<Self, ReplyError> {
        if matches!(class, 2 | 4 | 5) && subject < 1000 && detail < 1000 {
            Ok(Self { class, subject, detail })
        } else {
            Err(ReplyError::Status(class, subject, detail))
        }
    }

    /// Reads `5.7.1` at the start of a reply's text; gives the rest without its space.
    #[must_use]
    pub fn strip(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut numbers = word.split('.');
        let mut digits = || {
            let number = numbers.next()?;
            number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse::<u16>().ok())?
        };
        let (class, subject, detail) = (digits()?, digits()?, digits()?);
        if numbers.next().is_some() {
            return None;
        }
        let status = Self::new(u8::try_from(class).ok()?, subject, detail).ok()?;
        Some((status, rest))
    }

    /// Class, subject, detail.
    #[must_use]
    pub fn parts(self) -> (u8, u16, u16) {
        (self.class, self.subject, self.detail)
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// Why parts from outside do not make a reply. The giver's fault; a hook that gives them has failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReplyError {
    /// The enhanced status says another class than the code (RFC 2034 section 4).
    #[error("enhanced status {status} does not fit code {code}")]
    Class {
        /// The three digits.
        code: u16,
        /// The status that contradicts them.
        status: EnhancedStatus,
    },
    /// Not a reply code.
    #[error("code {0} is not a reply code (200 to 599)")]
    Code(u16),
    /// Not an enhanced status.
    #[error("{0}.{1}.{2} is not an enhanced status")]
    Status(u8, u16, u16),
    /// A control character, or something beyond ASCII, at this octet of the text.
    #[error("text holds a control or non-ASCII character at octet {0}")]
    Text(usize),
}

/// Splits a line into pieces of at most `room` octets, at a space where there is one.
fn fold(line: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    iter::from_fn(move || {
        let line = rest.take()?;
        if line.len() <= room {
            return Some(line);
        }
        let cut = line[..room].rfind(' ').filter(|&at| at > 0).unwrap_or(room);
        rest = Some(line[cut..].trim_start_matches(' ')).filter(|rest| !rest.is_empty());
        Some(&line[..cut])
    })
}

/// Without the detour over a formatter, which costs more than the rest of a reply.
fn push_number(out: &mut Vec<u8>, number: u16) {
    if number >= 10 {
        push_number(out, number / 10);
    }
    out.push(b"0123456789"[usize::from(number % 10)]);
}

fn printable(text: &str) -> String {
    let is_printable = |c: char| matches!(c, ' '..='~');
    if text.chars().all(is_printable) {
        return text.to_owned();
    }
    text.chars().map(|c| if is_printable(c) { c } else { '?' }).collect()
}

/// `550-5.123.456 `, with room to spare.
const HEAD_OCTETS: usize = 16;
/// RFC 5321 section 4.5.3.1.5, CRLF included.
const LINE_OCTETS: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).expect("replies are ASCII")
    }

    #[test]
    fn a_reply_of_one_line_and_one_of_two() {
        assert_eq!(wire(&Reply::fixed(250, (2, 1, 0), "ok")), "250 2.1.0 ok\r\n");
        let two = Reply::new(550, EnhancedStatus::new(5, 7, 1).ok(), "no\nnever").expect("valid");
        assert_eq!(wire(&two), "550-5.7.1 no\r\n550 5.7.1 never\r\n");
    }

    #[test]
    fn what_is_no_reply() {
        let status = |a, b, c| EnhancedStatus::new(a, b, c).ok();
        for (code, enhanced, text, why) in [
            (99, None, "x", "two digits"),
            (600, None, "x", "no such class"),
            (550, status(4, 7, 1), "x", "the classes differ"),
            (550, None, "a\r\n250 ok", "a second reply"),
            (550, None, "a\0b", "NUL"),
            (550, None, "gr\u{fc}n", "beyond ASCII"),
        ] {
            assert!(Reply::new(code, enhanced, text).is_err(), "{why}");
        }
    }

    #[test]
    fn long_lines_are_folded_at_512_octets() {
        let reply = Reply::fixed(550, (5, 7, 1), &"word ".repeat(300));
        let text = wire(&reply);
        assert!(text.lines().count() > 2);
        for line in text.split_inclusive("\r\n") {
            assert!(line.len() <= 512, "{}", line.len());
            assert!(line.starts_with("550-5.7.1 ") || line.starts_with("550 5.7.1 "));
        }
    }
}
