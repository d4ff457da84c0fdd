//! Octets in, replies out (RFC 5321 section 4.2).

use crate::{EnhancedStatus, Reply};

/// Puts replies together from what the peer sends, however it is cut.
///
/// An upstream may be broken or hostile too: lines, their number and their sum are bounded, and
/// only CRLF ends a line.
#[derive(Debug, Default)]
pub struct Replies {
    input: Vec<u8>,
    /// Where in `input` the current line starts.
    start: usize,
    /// How far in `input` no line end was found.
    searched: usize,
    partial: Option<Partial>,
}

/// A reply whose last line has not come yet.
#[derive(Debug)]
struct Partial {
    code: u16,
    status: Option<EnhancedStatus>,
    text: String,
    lines: usize,
}

impl Replies {
    /// Takes octets from the peer. What no well-behaved peer would send is dropped; the next call
    /// of [`take`](Self::take) finds that out.
    pub fn receive(&mut self, octets: &[u8]) {
        if self.start == self.input.len() {
            self.input.clear();
            (self.start, self.searched) = (0, 0);
        }
        let room = (INPUT_OCTETS + 1).saturating_sub(self.input.len());
        self.input.extend_from_slice(&octets[..octets.len().min(room)]);
    }

    /// Whether nothing of a reply is there, not even its beginning.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.input.len() && self.partial.is_none()
    }

    /// The next reply, if it is complete.
    ///
    /// # Errors
    ///
    /// If what came is none.
    pub fn take(&mut self) -> Result<Option<Reply>, MalformedReply> {
        if self.input.len() > INPUT_OCTETS {
            return Err(MalformedReply::TooLong);
        }
        while let Some(length) = memchr::memchr(b'\n', &self.input[self.searched..]) {
            let end = self.searched + length + 1;
            let line = &self.input[self.start..end];
            let line = line.strip_suffix(b"\r\n").ok_or(MalformedReply::BareNewline)?;
            let last = Partial::extend(&mut self.partial, line)?;
            (self.start, self.searched) = (end, end);
            if last {
                return self.partial.take().map(Partial::finish).transpose();
            }
        }
        self.searched = self.input.len();
        if self.searched - self.start > LINE_OCTETS {
            return Err(MalformedReply::TooLong);
        }
        Ok(None)
    }
}

impl Partial {
    /// Adds a line; says whether it was the last one.
    fn extend(partial: &mut Option<Self>, line: &[u8]) -> Result<bool, MalformedReply> {
        if line.len() > LINE_OCTETS {
            return Err(MalformedReply::TooLong);
        }
        if memchr::memchr(b'\r', line).is_some() {
            return Err(MalformedReply::BareNewline);
        }
        let (digits, rest) = line.split_at_checked(3).ok_or(MalformedReply::NotAReply)?;
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(MalformedReply::NotAReply);
        }
        let code = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(MalformedReply::NotAReply),
        };
        let text = printable(text);
        match partial {
            None => *partial = Some(Self::begin(code, &text)),
            Some(partial) => partial.add(code, &text)?,
        }
        Ok(last)
    }

    fn begin(code: u16, text: &str) -> Self {
        let stripped = strip_status(code, text);
        let (status, text) = stripped.map_or((None, text), |(status, text)| (Some(status), text));
        Self { code, status, text: text.to_owned(), lines: 1 }
    }

    fn add(&mut self, code: u16, text: &str) -> Result<(), MalformedReply> {
        if code != self.code {
            return Err(MalformedReply::CodesDiffer);
        }
        self.lines += 1;
        let text = match strip_status(code, text) {
            Some((status, rest)) if Some(status) == self.status => rest,
            _ => text,
        };
        self.text.push('\n');
        self.text.push_str(text);
        if self.lines > REPLY_LINES || self.text.len() > REPLY_OCTETS {
            return Err(MalformedReply::TooLong);
        }
        Ok(())
    }

    fn finish(self) -> Result<Reply, MalformedReply> {
        Reply::new(self.code, self.status, &self.text).map_err(|_| MalformedReply::NotAReply)
    }
}

/// Why octets are not a reply. The peer's fault; nothing behind them can be trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MalformedReply {
    /// A CR or LF that stands alone.
    #[error("reply holds a bare CR or LF")]
    BareNewline,
    /// Lines of one reply with different codes.
    #[error("lines of one reply have different codes")]
    CodesDiffer,
    /// No three digits, or not 200 to 599.
    #[error("not a reply")]
    NotAReply,
    /// One of the bounds of a reply.
    #[error("reply is too long")]
    TooLong,
}

/// The enhanced status at the start of `text`. Where its class contradicts the code, the code
/// counts (RFC 2034 section 4 forbids the contradiction).
fn strip_status(code: u16, text: &str) -> Option<(EnhancedStatus, &str)> {
    let (status, rest) = EnhancedStatus::strip(text)?;
    let (_, subject, detail) = status.parts();
    let class = u8::try_from(code / 100).ok()?;
    Some((EnhancedStatus::new(class, subject, detail).ok()?, rest))
}

/// Text from outside, as it may be passed on: what cannot be printed becomes `?`.
fn printable(text: &[u8]) -> String {
    text.iter().map(|&b| if matches!(b, b' '..=b'~') { char::from(b) } else { '?' }).collect()
}

/// RFC 5321 section 4.5.3.1.5 allows 512; servers with long URLs in their refusals go beyond.
const LINE_OCTETS: usize = 2048;

/// Lines of one reply: the longest EHLO answers have some thirty.
const REPLY_LINES: usize = 128;

/// Text of one reply.
const REPLY_OCTETS: usize = 16 * 1024;

/// Octets that wait to be looked at: replies to a thousand pipelined recipients.
const INPUT_OCTETS: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(octets: &[u8]) -> Result<Vec<String>, MalformedReply> {
        let mut reader = Replies::default();
        let mut found = Vec::new();
        reader.receive(octets);
        while let Some(reply) = reader.take()? {
            found.push(reply.to_string());
        }
        Ok(found)
    }

    #[test]
    fn replies_are_the_same_however_they_are_cut() {
        let octets = b"220 hi\r\n250-a\r\n250-SIZE 10\r\n250 B\r\n550 5.1.1 no\r\n250\r\n";
        let whole = replies(octets).expect("well-formed");
        assert_eq!(whole, ["220 hi", "250 a / SIZE 10 / B", "550 5.1.1 no", "250 "]);
        let mut reader = Replies::default();
        let mut bytewise = Vec::new();
        for octet in octets {
            reader.receive(&[*octet]);
            bytewise.extend(reader.take().expect("well-formed").map(|reply| reply.to_string()));
        }
        assert_eq!(bytewise, whole);
        assert!(reader.is_empty());
    }

    #[test]
    fn enhanced_statuses_are_taken_from_every_line() {
        for (octets, why, want) in [
            ("550-5.1.1 no\r\n550 5.1.1 never\r\n", "on each line", "550 5.1.1 no / never"),
            ("550-5.1.1 no\r\n550 5.2.1 never\r\n", "another one", "550 5.1.1 no / 5.2.1 never"),
            ("550 4.7.1 no\r\n", "of another class: the code counts", "550 5.7.1 no"),
            ("354 2.0.0 go\r\n", "there is none for 3xx", "354 2.0.0 go"),
            ("550 5.1.1\r\n", "without text", "550 5.1.1 "),
        ] {
            assert_eq!(replies(octets.as_bytes()), Ok(vec![want.to_owned()]), "{why}");
        }
    }

    #[test]
    fn text_that_cannot_be_printed_is_not_passed_on() {
        let reply = replies(b"550 gr\xc3\xbcn\x1b[31m\0\tx\r\n");
        assert_eq!(reply, Ok(vec!["550 gr??n?[31m??x".to_owned()]));
    }

    #[test]
    fn what_is_no_reply() {
        use MalformedReply::{BareNewline, CodesDiffer, NotAReply, TooLong};
        for (octets, why, want) in [
            ("250 ok\n", "a bare LF", BareNewline),
            ("250 o\rk\r\n", "a bare CR", BareNewline),
            ("25\r\n", "two digits", NotAReply),
            ("\r\n", "nothing", NotAReply),
            ("150 x\r\n", "nobody in SMTP says 1xx", NotAReply),
            ("999 x\r\n", "no such class", NotAReply),
            ("250_x\r\n", "neither space nor hyphen", NotAReply),
            ("HTTP/1.1 400 Bad Request\r\n", "another protocol", NotAReply),
            ("250-a\r\n550 b\r\n", "codes differ", CodesDiffer),
            (&"x".repeat(LINE_OCTETS + 3), "a line without end", TooLong),
            (&format!("250 {}\r\n", "x".repeat(LINE_OCTETS)), "a long line", TooLong),
            (&"250-x\r\n".repeat(REPLY_LINES + 1), "too many lines", TooLong),
            (&format!("250-{}\r\n", "x".repeat(1000)).repeat(20), "too much text", TooLong),
            (&"250 x\r\n".repeat(40_000), "more than anybody asked for", TooLong),
        ] {
            assert_eq!(replies(octets.as_bytes()), Err(want), "{why}");
        }
    }
}
