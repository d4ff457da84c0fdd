//! Command lines out of a stream of octets.
//!
//! A line ends at CRLF and nowhere else (RFC 5321 section 2.3.8). A CR, LF or NUL that stands
//! alone makes the line bad, but does not end it: whoever passes such a line on would otherwise
//! pass on two. What is kept is bounded by the limit that [`Lines::next`] is given, however long
//! the peer goes on without a CRLF.

use std::fmt;

use memchr::{memchr_iter, memchr3};

use crate::command::announces_chunk;

/// Octets that came and were not used yet. Costs nothing while it is empty.
#[derive(Default)]
pub(crate) struct Lines {
    octets: Vec<u8>,
    /// What lies before this was given out already.
    start: usize,
    /// Inside a line whose beginning was too long to be kept: what is wrong with it.
    overlong: Option<LineError>,
}

/// Why a line cannot be read as a command. The peer's fault; answered with 500.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LineError {
    /// A BDAT that has one of the other faults: nobody knows how many octets follow it.
    Chunk,
    /// A CR, LF or NUL inside the line.
    Control,
    /// Longer than the limit.
    TooLong,
}

impl Lines {
    /// Appends what the peer sent.
    pub(crate) fn push(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// The next whole line, without its CRLF; nothing if there is none yet.
    ///
    /// `limit` counts the CRLF.
    pub(crate) fn next(&mut self, limit: usize) -> Option<Result<&[u8], LineError>> {
        let Some(length) = line_length(self.rest()) else {
            self.keep(limit);
            return None;
        };
        let from = self.start;
        self.start += length;
        if let Some(error) = self.overlong.take() {
            return Some(Err(error));
        }
        let line = &self.octets[from..from + length - 2];
        Some(match memchr3(b'\r', b'\n', 0, line) {
            _ if length > limit => Err(LineError::TooLong.of(line)),
            Some(_) => Err(LineError::Control.of(line)),
            None => Ok(line),
        })
    }

    /// Everything that was not used yet.
    pub(crate) fn rest(&self) -> &[u8] {
        &self.octets[self.start..]
    }

    /// Marks the first octets of [`rest`](Self::rest) as used.
    pub(crate) fn consume(&mut self, octets: usize) {
        self.start += octets;
        if self.is_empty() {
            self.clear();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.octets.len()
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        *self = Self { overlong: self.overlong, ..Self::default() };
    }

    /// Keeps the beginning of a line for later, or only the fact that it is too long.
    fn keep(&mut self, limit: usize) {
        if self.rest().len() >= limit {
            self.overlong.get_or_insert_with(|| LineError::TooLong.of(&self.octets[self.start..]));
            // The CR may be the first half of the CRLF that ends the line.
            self.start = self.octets.len() - usize::from(self.octets.ends_with(b"\r"));
        }
        if self.start > 0 {
            self.octets = self.rest().to_vec();
            self.start = 0;
        }
    }
}

impl LineError {
    /// What it is on this line.
    fn of(self, line: &[u8]) -> Self {
        if announces_chunk(line) { Self::Chunk } else { self }
    }
}

impl fmt::Debug for Lines {
    /// Not what the peer said: it may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("octets", &self.rest().len()).finish_non_exhaustive()
    }
}

/// The length of the first line with its CRLF.
fn line_length(octets: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', octets).find(|&at| at > 0 && octets[at - 1] == b'\r').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16;

    fn lines(pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, LineError>> {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next(LIMIT) {
                seen.push(line.map(<[u8]>::to_vec));
            }
            assert!(lines.octets.len() <= LIMIT, "bounded memory");
        }
        seen
    }

    #[test]
    fn a_line_ends_at_crlf_however_it_is_cut() {
        let want = [Ok(b"NOOP".to_vec()), Ok(b"".to_vec()), Ok(b"QUIT".to_vec())];
        assert_eq!(lines(&[b"NOOP\r\n\r\nQUIT\r\n"]), want);
        assert_eq!(lines(&[b"NOOP\r", b"\n\r", b"\nQU", b"IT\r\n"]), want);
        assert_eq!(lines(&[b"NOOP\n", b"NOOP"]), []);
    }

    #[test]
    fn lone_cr_lf_and_nul_spoil_a_line() {
        for line in [&b"NO\rOP\r\n"[..], b"NO\nOP\r\n", b"NO\0OP\r\n", b"NOOP\r\r\n", b"\n\r\n"] {
            assert_eq!(lines(&[line]), [Err(LineError::Control)], "{line:?}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_swallowed_to_its_end() {
        let too_long = Err(LineError::TooLong);
        assert_eq!(lines(&[b"12345678901234\r\n"]), [Ok(b"12345678901234".to_vec())]);
        assert_eq!(
            lines(&[b"123456789012345\r\nQUIT\r\n"]),
            [too_long.clone(), Ok(b"QUIT".to_vec())]
        );
        let long = [b'A'; 100];
        assert_eq!(lines(&[&long, &long, b"\r", b"\nQUIT\r\n"]), [too_long, Ok(b"QUIT".to_vec())]);
    }

    #[test]
    fn nothing_is_kept_when_all_is_used() {
        let mut lines = Lines::default();
        lines.push(b"NOOP\r\n");
        assert_eq!(lines.next(LIMIT), Some(Ok(&b"NOOP"[..])));
        assert_eq!(lines.next(LIMIT), None);
        assert_eq!(lines.octets.capacity(), 0);
    }
}
