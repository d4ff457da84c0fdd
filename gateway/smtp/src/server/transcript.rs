//! What is said in a conversation, line by line, for those who follow it: printable, and without
//! secrets.

use std::mem;

use super::Session;
use crate::command::Verb;
use crate::lines::LineError;

/// One line of a conversation. It holds no control characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Line {
    /// The client's.
    Heard(String),
    /// The server's.
    Said(String),
}

/// What was said and not taken yet.
#[derive(Debug, Default)]
pub(super) struct Transcript(Vec<Line>);

impl Session {
    /// Whether lines are written down from now on. [`take_transcript`](Self::take_transcript) has them.
    pub fn transcribe(&mut self, on: bool) {
        if on != self.transcript.is_some() {
            self.transcript = on.then(Box::default);
        }
    }

    /// What was said since the last call; nothing where nobody asked for it.
    pub fn take_transcript(&mut self) -> Vec<Line> {
        self.transcript.as_mut().map(|lines| mem::take(&mut lines.0)).unwrap_or_default()
    }

    /// A line of the client, if one was noted.
    pub(super) fn transcribe_command(&mut self, line: Option<Line>) {
        line.into_iter().for_each(|line| self.write_down(line));
    }

    /// The end of the output from here on.
    pub(super) fn transcribe_reply(&mut self, start: usize) {
        if self.transcript.is_none() {
            return;
        }
        let text = String::from_utf8_lossy(&self.output[start..]).into_owned();
        for line in text.lines() {
            self.write_down(Line::Said(printable(line)));
        }
    }

    /// A challenge in AUTH: it may be known to be the half of a secret.
    pub(super) fn transcribe_challenge(&mut self) {
        if self.transcript.is_some() {
            self.write_down(Line::Said("334 (challenge)".into()));
        }
    }

    /// A response in AUTH: all of it is secret.
    pub(super) fn transcribe_response(&mut self) {
        if self.transcript.is_some() {
            self.write_down(Line::Heard("(response)".into()));
        }
    }

    fn write_down(&mut self, line: Line) {
        if let Some(Transcript(lines)) = self.transcript.as_deref_mut()
            && lines.len() < LINES
        {
            lines.push(line);
        }
    }
}

/// A command as it may be shown.
///
/// The initial response of AUTH is a secret. So may be what is no command at all: a response to an AUTH
/// that was refused, and the client did not wait to hear that.
pub(super) fn heard(line: Result<&[u8], LineError>, verb: Verb, auth: bool) -> Line {
    let Ok(line) = line else { return Line::Heard("(a line that is none)".into()) };
    let text = String::from_utf8_lossy(line);
    Line::Heard(match verb {
        Verb::Auth => {
            let mut words = text.splitn(3, ' ');
            let shown: Vec<_> = words.by_ref().take(2).map(printable).collect();
            let rest = if words.next().is_some() { " (secret)" } else { "" };
            shown.join(" ") + rest
        }
        Verb::Unknown if auth || !text.contains(' ') => {
            format!("(no command, {} octets)", line.len())
        }
        _ => printable(&text),
    })
}

/// Without what a terminal would obey, and without end.
fn printable(text: &str) -> String {
    let end = text.floor_char_boundary(LINE_OCTETS);
    let shown = text[..end].chars().map(|c| match c {
        c if c.is_control() || is_invisible(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    let mut shown: String = shown.collect();
    if end < text.len() {
        shown.push_str("...");
    }
    shown
}

/// What turns the direction of a text around, or ends a line in some eyes.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Octets of a line that are shown.
const LINE_OCTETS: usize = 400;

/// Lines between two calls: one read holds no more commands than this in earnest.
const LINES: usize = 2000;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8], auth: bool) -> String {
        match heard(Ok(line), Verb::of(line), auth) {
            Line::Heard(text) | Line::Said(text) => text,
        }
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (line, want) in [
            (&b"AUTH PLAIN AGEAaHVudGVyMg=="[..], "AUTH PLAIN (secret)"),
            (b"auth plain", "auth plain"),
            (b"AUTH PLAIN AGEA aHVudGVyMg==", "AUTH PLAIN (secret)"),
            (b"AGEAaHVudGVyMg==", "(no command, 16 octets)"),
            (b"MAIL FROM:<a@b.example> AUTH=<>", "MAIL FROM:<a@b.example> AUTH=<>"),
        ] {
            assert_eq!(shown(line, true), want);
        }
        assert_eq!(shown(b"GET / HTTP/1.1", false), "GET / HTTP/1.1");
    }

    #[test]
    fn a_line_is_printable_whatever_it_is() {
        assert_eq!(
            shown(b"EHLO \x1b[2J\xff\xe2\x80\xaex", false),
            "EHLO \u{fffd}[2J\u{fffd}\u{fffd}x"
        );
        let long = [b"NOOP ".as_slice(), &[b'x'; 1000]].concat();
        assert_eq!(shown(&long, false).len(), LINE_OCTETS + 3);
    }
}
