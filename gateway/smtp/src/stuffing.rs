//! Content as it goes over the wire (RFC 5321 section 4.5.2): dots doubled, ended by CRLF.CRLF.
//!
//! What comes out holds no NUL, and no CR and no LF but in CRLF, whatever came in: a line end that
//! only some servers understand is how mail is smuggled.

use crate::plain::Runs;

/// Encodes the content of one message, in chunks.
#[derive(Debug, Default)]
pub struct Stuffer {
    at: At,
}

/// What the last octet was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum At {
    /// A CR; its LF may come with the next chunk, so it is not written yet.
    Cr,
    /// The CRLF of a line, or nothing at all: the CRLF of DATA counts.
    #[default]
    LineStart,
    Middle,
}

impl Stuffer {
    /// For a message of which nothing was written yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a chunk of content to `out`.
    ///
    /// A bare LF becomes CRLF, a bare CR or a NUL a space, as
    /// [`Normalize`](crate::server::BareNewlines) does on the way in.
    pub fn encode(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let (mut rest, mut runs) = (octets, Runs::default());
        if self.at == At::Cr && !rest.is_empty() {
            rest = self.resolve_cr(rest, out);
        }
        while let Some(&first) = rest.first() {
            if (self.at, first) == (At::LineStart, b'.') {
                out.push(b'.');
            }
            self.at = At::Middle;
            let run = runs.at(octets.len() - rest.len(), octets);
            rest = self.encode_lines(rest, run, out);
        }
    }

    /// Appends the end of the content, CRLF.CRLF; a last line without CRLF gets it.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if self.at == At::Cr {
            out.push(b' ');
            self.at = At::Middle;
        }
        if self.at == At::Middle {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }

    /// A chunk ended with CR: now it shows whether it belongs to a CRLF.
    fn resolve_cr<'a>(&mut self, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
        if let Some(rest) = rest.strip_prefix(b"\n") {
            out.extend_from_slice(b"\r\n");
            self.at = At::LineStart;
            return rest;
        }
        out.push(b' ');
        self.at = At::Middle;
        rest
    }

    /// Copies as many lines in one go as need no change, of which the first `from` octets are known;
    /// gives what is left.
    fn encode_lines<'a>(
        &mut self,
        octets: &'a [u8],
        mut from: usize,
        out: &mut Vec<u8>,
    ) -> &'a [u8] {
        while let Some(length) = memchr::memchr3(b'\r', b'\n', 0, &octets[from..]) {
            let at = from + length;
            match (octets[at], octets.get(at + 1)) {
                (b'\r', Some(b'\n')) => {
                    from = at + 2;
                    if octets.get(from).is_none_or(|next| *next == b'.') {
                        out.extend_from_slice(&octets[..from]);
                        self.at = At::LineStart;
                        return &octets[from..];
                    }
                }
                (b'\r', None) => {
                    out.extend_from_slice(&octets[..at]);
                    self.at = At::Cr;
                    return &[];
                }
                (b'\r', Some(_)) | (0, _) => {
                    out.extend_from_slice(&octets[..at]);
                    out.push(b' ');
                    return &octets[at + 1..];
                }
                _ => {
                    out.extend_from_slice(&octets[..at]);
                    out.extend_from_slice(b"\r\n");
                    self.at = At::LineStart;
                    return &octets[at + 1..];
                }
            }
        }
        out.extend_from_slice(octets);
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain;

    fn encoded(chunks: &[&[u8]]) -> String {
        let (mut stuffer, mut out) = (Stuffer::new(), Vec::new());
        for chunk in chunks {
            stuffer.encode(chunk, &mut out);
        }
        stuffer.finish(&mut out);
        String::from_utf8(out).expect("the tests are ASCII")
    }

    #[test]
    fn dots_are_doubled_and_the_end_is_there() {
        for (content, want, why) in [
            ("", ".\r\n", "an empty message"),
            ("a\r\n", "a\r\n.\r\n", "one line"),
            ("a", "a\r\n.\r\n", "no final newline"),
            (".", "..\r\n.\r\n", "a dot that would end the message"),
            (".\r\n", "..\r\n.\r\n", "the same with its line end"),
            ("a\r\n.\r\nQUIT\r\n", "a\r\n..\r\nQUIT\r\n.\r\n", "an end in the middle"),
            ("a.\r\n..b\r\n", "a.\r\n...b\r\n.\r\n", "only the first dot of a line"),
            ("\r\n\r\n.", "\r\n\r\n..\r\n.\r\n", "behind empty lines"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n", "bare LF"),
            ("a\r.\rb\r", "a . b \r\n.\r\n", "bare CR"),
            ("a\r\r\n.", "a \r\n..\r\n.\r\n", "CR before CRLF"),
            ("\n", "\r\n.\r\n", "LF alone"),
            ("\r", " \r\n.\r\n", "CR alone"),
            ("a\r\n\0.\r\n", "a\r\n .\r\n.\r\n", "a dot behind NUL"),
            ("\0\0.\0", "  . \r\n.\r\n", "NULs and a dot"),
            ("\0\0", "  \r\n.\r\n", "NULs alone"),
        ] {
            assert_eq!(encoded(&[content.as_bytes()]), want, "{why}");
        }
    }

    proptest::proptest! {
        #[test]
        fn long_runs_of_plain_lines_make_no_difference(lines in plain::odd_lines()) {
            let single: Vec<&[u8]> = lines.chunks(1).collect();
            assert_eq!(encoded(&[&lines]), encoded(&single));
        }
    }

    #[test]
    fn chunks_make_no_difference() {
        let alphabet = [b'\0', b'.', b'\r', b'\n'];
        let mut contents: Vec<Vec<u8>> = vec![Vec::new()];
        for length in 0..7 {
            let longer: Vec<Vec<u8>> = contents
                .iter()
                .filter(|content| content.len() == length)
                .flat_map(|content| alphabet.map(|octet| [content.as_slice(), &[octet]].concat()))
                .collect();
            contents.extend(longer);
        }
        for content in &contents {
            let whole = encoded(&[content]);
            for cut in 0..=content.len() {
                let (head, tail) = content.split_at(cut);
                assert_eq!(encoded(&[head, b"", tail]), whole, "{content:?} cut at {cut}");
            }
            let single: Vec<&[u8]> = content.chunks(1).collect();
            assert_eq!(encoded(&single), whole, "{content:?} bytewise");
        }
    }
}
