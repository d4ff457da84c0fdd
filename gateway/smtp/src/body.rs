//! Content as it comes over the wire: after DATA (RFC 5321 section 4.5.2), or in chunks (RFC 3030).
//!
//! ```text
//!              '.'          CR           LF
//!  LineStart ------> Dot -------> DotCr -------> the end
//!   |   ^             | else        | else
//!   |   | CRLF        v             v
//!   '-> Text <----------------------'
//! ```
//!
//! In chunks a dot means nothing, and the end is told by their sizes.
//!
//! A line starts behind CRLF and nowhere else, so that nothing but CRLF.CRLF ends the content and
//! only such a line loses its dot. What comes out holds no CR or LF but in CRLF, and no NUL: to a server
//! that leaves NULs out, `NUL . CRLF` is the end.

use memchr::memchr3;

use crate::plain::Runs;

/// Finds the end, drops the dots that the client stuffed, and normalizes bare newlines.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
}

/// What one call of [`Decoder::decode`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Decoded {
    /// How many octets belong to the content; all of them, unless the end is among them.
    pub(crate) used: usize,
    /// Whether the end was found.
    pub(crate) ended: bool,
    /// Whether there was a CR or LF that stood alone, or a NUL.
    pub(crate) bare: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Behind a CR whose meaning depends on the next octet. It was not written yet.
    Cr,
    /// Behind a dot at the start of a line. It was not written and will not be.
    Dot,
    /// Behind the CR that follows such a dot.
    DotCr,
    /// Behind an LF that stood alone: a line begins for the next server, not for this one.
    Lf,
    #[default]
    LineStart,
    Text,
}

impl Decoder {
    /// Appends to `out` what `octets` mean.
    ///
    /// Jumps from line end to line end; what needs no change is copied in one piece.
    pub(crate) fn decode(&mut self, octets: &[u8], out: &mut Vec<u8>) -> Decoded {
        out.reserve(octets.len());
        let mut piece = Piece { octets, at: 0, clean: 0, bare: false, out, runs: Runs::default() };
        while let Some(&octet) = octets.get(piece.at) {
            self.state = match (self.state, octet) {
                (State::DotCr, b'\n') => {
                    return Decoded { used: piece.at + 1, ended: true, bare: piece.bare };
                }
                (State::LineStart, b'.') => piece.skip(State::Dot),
                (State::Dot, b'\r') => piece.skip(State::DotCr),
                (State::Cr, b'\n') => piece.skip(State::LineStart).after(piece.out, b"\r\n"),
                (State::Cr | State::DotCr, _) => {
                    piece.bare = true;
                    State::Text.after(piece.out, b" ")
                }
                (State::Dot | State::Lf | State::LineStart | State::Text, _) => piece.text(),
            };
        }
        let Piece { clean, bare, .. } = piece;
        out.extend_from_slice(&octets[clean..]);
        Decoded { used: octets.len(), ended: false, bare }
    }

    /// Appends to `out` what `octets` of a chunk mean. Says whether there was a CR or LF that
    /// stood alone, or a NUL; a CR at the end may belong to the LF at the start of the next chunk.
    pub(crate) fn decode_chunk(&mut self, octets: &[u8], out: &mut Vec<u8>) -> bool {
        out.reserve(octets.len());
        let mut piece = Piece { octets, at: 0, clean: 0, bare: false, out, runs: Runs::default() };
        while let Some(&octet) = octets.get(piece.at) {
            self.state = match (self.state, octet) {
                (State::Cr, b'\n') => piece.skip(State::LineStart).after(piece.out, b"\r\n"),
                (State::Cr, _) => {
                    piece.bare = true;
                    State::Text.after(piece.out, b" ")
                }
                _ => piece.text(),
            };
        }
        let Piece { clean, bare, .. } = piece;
        out.extend_from_slice(&octets[clean..]);
        bare
    }

    /// Ends the content of the last chunk: a last line without CRLF gets it, since the next server
    /// gets lines. Says whether there was a CR that stood alone.
    pub(crate) fn finish_chunks(&mut self, out: &mut Vec<u8>) -> bool {
        let bare = matches!(self.state, State::Cr);
        out.extend_from_slice(match self.state {
            State::Cr => b" \r\n",
            State::Lf | State::LineStart => b"",
            State::Dot | State::DotCr | State::Text => b"\r\n",
        });
        self.state = State::LineStart;
        bare
    }
}

/// Input on its way to the output.
struct Piece<'a> {
    octets: &'a [u8],
    /// The octet at hand.
    at: usize,
    /// What lies between here and the octet at hand goes out as it is.
    clean: usize,
    bare: bool,
    out: &'a mut Vec<u8>,
    runs: Runs,
}

impl Piece<'_> {
    /// Leaves out the octet at hand.
    fn skip(&mut self, next: State) -> State {
        self.out.extend_from_slice(&self.octets[self.clean..self.at]);
        self.at += 1;
        self.clean = self.at;
        next
    }

    /// Goes on behind the end of the line, or to where something must be changed.
    fn text(&mut self) -> State {
        self.at += self.runs.at(self.at, self.octets);
        let Some(gap) = memchr3(b'\r', b'\n', 0, &self.octets[self.at..]) else {
            self.at = self.octets.len();
            return State::Text;
        };
        self.at += gap;
        match (self.octets[self.at], self.octets.get(self.at + 1)) {
            (b'\r', Some(b'\n')) => {
                self.at += 2;
                State::LineStart
            }
            (b'\r', _) => self.skip(State::Cr),
            (0, _) => {
                self.bare = true;
                self.skip(State::Text).after(self.out, b" ")
            }
            _ => {
                self.bare = true;
                self.skip(State::Lf).after(self.out, b"\r\n")
            }
        }
    }
}

impl State {
    /// This state, after `octets` were written.
    fn after(self, out: &mut Vec<u8>, octets: &[u8]) -> Self {
        out.extend_from_slice(octets);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain;

    /// Content, what is left behind the end, and whether there were bare newlines.
    fn decode(pieces: &[&[u8]]) -> (String, Option<String>, bool) {
        let (mut decoder, mut out, mut any) = (Decoder::default(), Vec::new(), false);
        for (n, piece) in pieces.iter().enumerate() {
            let Decoded { used, ended, bare } = decoder.decode(piece, &mut out);
            any |= bare;
            if ended {
                let rest = [&piece[used..], &pieces[n + 1..].concat()].concat();
                return (escape(&out), Some(escape(&rest)), any);
            }
        }
        (escape(&out), None, any)
    }

    fn escape(octets: &[u8]) -> String {
        octets.escape_ascii().to_string()
    }

    proptest::proptest! {
        #[test]
        fn long_runs_of_plain_lines_make_no_difference(lines in plain::odd_lines()) {
            let single: Vec<&[u8]> = lines.chunks(1).collect();
            assert_eq!(decode(&[&lines]), decode(&single));
        }
    }

    #[test]
    fn what_the_wire_means_however_it_is_cut() {
        for (wire, content, rest, bare) in [
            (&b".\r\n"[..], &b""[..], Some(&b""[..]), false),
            (b"\r\n\r\n.\r\nQUIT\r\n", b"\r\n\r\n", Some(b"QUIT\r\n"), false),
            (b"a\r\n.\r\n.\r\n", b"a\r\n", Some(b".\r\n"), false),
            (b"..\r\n...\r\n.. x\r\n.x\r\n.\r\n", b".\r\n..\r\n. x\r\nx\r\n", Some(b""), false),
            (b"a\r\nb", b"a\r\nb", None, false),
            (b"x\n.\nMAIL\r\n.\r\n", b"x\r\n.\r\nMAIL\r\n", Some(b""), true),
            (b"x\n.\r\nMAIL\r\n.\r\n", b"x\r\n.\r\nMAIL\r\n", Some(b""), true),
            (b"x\r\n.\nMAIL\r\n.\r\n", b"x\r\n\r\nMAIL\r\n", Some(b""), true),
            (b"x\r.\rMAIL\r\n.\r\n", b"x . MAIL\r\n", Some(b""), true),
            (b"x\r\n.\rMAIL\r\n.\r\n", b"x\r\n MAIL\r\n", Some(b""), true),
            (b"x\r\n.\r\r\n.\r\n", b"x\r\n \r\n", Some(b""), true),
            (b"x\r\r\n.\r\n", b"x \r\n", Some(b""), true),
            (b"\n\r\n.\r\n", b"\r\n\r\n", Some(b""), true),
            (b"x\n\r.\r\n.\r\n", b"x\r\n .\r\n", Some(b""), true),
            (b"x\r\n\0.\r\n.\r\n", b"x\r\n .\r\n", Some(b""), true),
            (b"x\r\n\0\0.\0\r\n.\r\n", b"x\r\n  . \r\n", Some(b""), true),
            (b"x\r\n.\0.\r\n.\r\n", b"x\r\n .\r\n", Some(b""), true),
            (b"x\r\n\0\r\n\0y\r\n.\r\n", b"x\r\n \r\n y\r\n", Some(b""), true),
            (b"x\n\0.\r\n.\r\n", b"x\r\n .\r\n", Some(b""), true),
            (b"x\0.\r\n.\r\n", b"x .\r\n", Some(b""), true),
            (b"x\r\n. \r\n .\r\n.\r\n", b"x\r\n \r\n .\r\n", Some(b""), false),
        ] {
            let want = (escape(content), rest.map(escape), bare);
            assert_eq!(decode(&[wire]), want, "in one piece: {}", wire.escape_ascii());
            let octets: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(decode(&octets), want, "octet by octet: {}", wire.escape_ascii());
            for cut in 0..wire.len() {
                let (head, tail) = wire.split_at(cut);
                assert_eq!(decode(&[head, tail]), want, "cut at {cut}: {}", wire.escape_ascii());
            }
        }
    }

    fn decode_chunks(pieces: &[&[u8]]) -> (String, bool) {
        let (mut decoder, mut out, mut any) = (Decoder::default(), Vec::new(), false);
        for piece in pieces {
            any |= decoder.decode_chunk(piece, &mut out);
        }
        any |= decoder.finish_chunks(&mut out);
        (escape(&out), any)
    }

    #[test]
    fn what_chunks_mean_however_they_are_cut() {
        for (wire, content, bare) in [
            (&b""[..], &b""[..], false),
            (b"x", b"x\r\n", false),
            (b"x\r\n", b"x\r\n", false),
            (b"x\r\n.\r\n..y\r\n", b"x\r\n.\r\n..y\r\n", false),
            (b".", b".\r\n", false),
            (b"x\n", b"x\r\n", true),
            (b"x\n.\ny\r\n", b"x\r\n.\r\ny\r\n", true),
            (b"x\r", b"x \r\n", true),
            (b"x\ry\r\r\n", b"x y \r\n", true),
            (b"\n\r", b"\r\n \r\n", true),
            (b"\r\n\xff\0", b"\r\n\xff \r\n", true),
            (b"\0", b" \r\n", true),
            (b"\0\0.", b"  .\r\n", true),
            (b"x\r\n\0.\r\n", b"x\r\n .\r\n", true),
            (b"x\n\0.\r\n", b"x\r\n .\r\n", true),
        ] {
            let want = (escape(content), bare);
            let octets: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(decode_chunks(&octets), want, "octet by octet: {}", wire.escape_ascii());
            for cut in 0..=wire.len() {
                let (head, tail) = wire.split_at(cut);
                let cut = decode_chunks(&[head, b"", tail]);
                assert_eq!(cut, want, "{}", wire.escape_ascii());
            }
        }
    }
}
