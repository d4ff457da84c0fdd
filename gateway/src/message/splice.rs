//! Bodies of which pieces were replaced. What stays is not copied: a spliced body is a list of
//! pieces of other contents.

use std::io;
use std::ops::Range;

use super::Content;

/// Some octets of a body, and what stands there instead.
#[derive(Clone, Debug)]
pub struct Splice {
    /// Where they start, in the body as it was when the hook was called.
    pub at: u64,
    /// How many they are; none is an insertion.
    pub length: u64,
    /// What comes there. Its own line ends are CRLF.
    pub replacement: Content,
    /// Whether the body consists of lines, so that a CR or LF may not be left alone at a cut.
    pub lines: bool,
}

impl Splice {
    /// Where the octets end that it replaces.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.length)
    }

    /// Whether both want the same octets, or one inserts within what the other replaces.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.at < other.end() && other.at < self.end()
    }
}

/// Pieces of contents that lie in memory or in files.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    list: Vec<Piece>,
    octets: u64,
    /// The last octet, if it can be read.
    last: Option<u8>,
}

#[derive(Clone, Debug)]
struct Piece {
    content: Content,
    /// Where it starts in that content.
    from: u64,
    /// Where it starts in the whole.
    at: u64,
    octets: u64,
}

impl Pieces {
    /// The body with all splices made. They do not overlap and lie within it.
    pub(super) fn spliced(body: &Content, splices: &[&Splice]) -> Self {
        let lines = splices.iter().any(|splice| splice.lines);
        let mut splices = splices.to_vec();
        // In this order insertions come in the order in which they were made.
        splices.sort_by_key(|splice| (splice.at, splice.end()));
        let mut pieces = Self::default();
        let mut at = 0;
        for splice in splices {
            pieces.extend(body, at..splice.at, lines);
            pieces.extend(&splice.replacement, 0..splice.replacement.octets(), lines);
            at = splice.end();
        }
        pieces.extend(body, at..body.octets(), lines);
        if lines && pieces.last == Some(b'\r') {
            pieces.push(Content::from_bytes(b"\n".to_vec()), 0, 1);
        }
        pieces
    }

    pub(super) fn slice(content: &Content, range: Range<u64>) -> Self {
        let mut pieces = Self::default();
        pieces.extend(content, range, false);
        pieces
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets
    }

    pub(super) fn read_at(&self, mut offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        let first = self.list.partition_point(|piece| piece.at + piece.octets <= offset);
        for piece in &self.list[first..] {
            let within = offset - piece.at;
            let room = (into.len() - filled) as u64;
            let count = room.min(piece.octets - within) as usize;
            let into = &mut into[filled..filled + count];
            let read = piece.content.read_at(piece.from + within, into)?;
            filled += read;
            offset += read as u64;
            if read < count || count as u64 == room {
                break;
            }
        }
        Ok(filled)
    }

    /// Appends a part of a content, without going through others of this kind.
    fn extend(&mut self, content: &Content, range: Range<u64>, lines: bool) {
        let Some(pieces) = content.pieces() else {
            return self.append(content, range.start, range.end.saturating_sub(range.start), lines);
        };
        let first = pieces.list.partition_point(|piece| piece.at + piece.octets <= range.start);
        for piece in pieces.list[first..].iter().take_while(|piece| piece.at < range.end) {
            let skipped = range.start.saturating_sub(piece.at);
            let end = piece.octets.min(range.end - piece.at);
            self.append(&piece.content, piece.from + skipped, end - skipped, lines);
        }
    }

    /// A CR or LF that a cut leaves alone would be one to some servers and none to others: smuggling.
    fn append(&mut self, content: &Content, from: u64, octets: u64, lines: bool) {
        if octets == 0 {
            return;
        }
        let first = octet(content, from);
        let mend = match (self.last == Some(b'\r'), first == Some(b'\n')) {
            (true, false) => Some(b'\n'),
            (false, true) => Some(b'\r'),
            (true, true) | (false, false) => None,
        };
        if let (true, Some(missing)) = (lines, mend) {
            self.push(Content::from_bytes(vec![missing]), 0, 1);
        }
        self.push(content.clone(), from, octets);
    }

    fn push(&mut self, content: Content, from: u64, octets: u64) {
        self.last = octet(&content, from + octets - 1);
        self.list.push(Piece { content, from, at: self.octets, octets });
        self.octets += octets;
    }
}

fn octet(content: &Content, at: u64) -> Option<u8> {
    let mut octet = [0];
    matches!(content.read_at(at, &mut octet), Ok(1)).then_some(octet[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splice(at: u64, length: u64, replacement: &str) -> Splice {
        let replacement = Content::from_bytes(replacement.into());
        Splice { at, length, replacement, lines: true }
    }

    fn spliced(body: &Content, splices: &[Splice]) -> Content {
        body.spliced(&splices.iter().collect::<Vec<_>>())
    }

    fn text(content: &Content) -> String {
        let mut all = vec![0; content.octets() as usize + 7];
        let count = content.read_at(0, &mut all).expect("readable");
        assert_eq!(count as u64, content.octets());
        // However it is read, it is the same.
        for size in 1..all.len() {
            let mut again = Vec::new();
            while again.len() < count {
                let mut some = vec![0; size];
                let read = content.read_at(again.len() as u64, &mut some).expect("readable");
                again.extend_from_slice(&some[..read]);
            }
            assert_eq!(again, all[..count], "{size} octets at a time");
        }
        String::from_utf8(all[..count].to_vec()).expect("text")
    }

    #[test]
    fn pieces_are_cut_out_replaced_and_inserted() {
        let body = Content::from_bytes(b"one two three four".to_vec());
        for (splices, want) in [
            (vec![], "one two three four"),
            (vec![splice(4, 4, "")], "one three four"),
            (vec![splice(14, 4, "4"), splice(0, 3, "1")], "1 two three 4"),
            (
                vec![splice(4, 0, "a "), splice(4, 0, "b "), splice(4, 3, "2")],
                "one a b 2 three four",
            ),
            (vec![splice(0, 18, "")], ""),
            (vec![splice(18, 0, "!"), splice(0, 0, "?")], "?one two three four!"),
        ] {
            assert_eq!(text(&spliced(&body, &splices)), want);
        }
    }

    #[test]
    fn what_was_spliced_is_spliced_again() {
        let body = Content::from_bytes(b"one two three four".to_vec());
        let once = spliced(&body, &[splice(4, 3, "2"), splice(14, 4, "4")]);
        assert_eq!(text(&once), "one 2 three 4");
        let twice = spliced(&once, &[splice(2, 4, "+"), splice(8, 0, "-")]);
        assert_eq!(text(&twice), "on+th-ree 4");
        assert_eq!(text(&spliced(&twice, &[splice(0, 11, "")])), "");
    }

    #[test]
    fn no_cut_leaves_half_a_line_end() {
        let body = Content::from_bytes(b"ab\r\ncd\r\n".to_vec());
        for (splices, want) in [
            (vec![splice(3, 0, "x")], "ab\r\nx\r\ncd\r\n"),
            (vec![splice(3, 1, "")], "ab\r\ncd\r\n"),
            (vec![splice(2, 1, "")], "ab\r\ncd\r\n"),
            (vec![splice(7, 1, "")], "ab\r\ncd\r\n"),
            (vec![splice(0, 3, "")], "\r\ncd\r\n"),
            (vec![splice(3, 4, "")], "ab\r\n"),
        ] {
            assert_eq!(text(&spliced(&body, &splices)), want, "{splices:?}");
        }
        let binary = Splice { lines: false, ..splice(3, 0, "x") };
        assert_eq!(text(&spliced(&body, &[binary])), "ab\rx\ncd\r\n");
    }

    #[test]
    fn splices_overlap_where_both_want_the_same() {
        for (a, b, overlap) in [
            ((0, 5), (5, 5), false),
            ((0, 5), (4, 1), true),
            ((5, 0), (5, 0), false),
            ((5, 0), (4, 2), true),
            ((5, 0), (5, 2), false),
            ((5, 0), (3, 2), false),
            ((u64::MAX, 1), (0, 9), false),
        ] {
            let (a, b) = (splice(a.0, a.1, ""), splice(b.0, b.1, ""));
            assert_eq!((a.overlaps(&b), b.overlaps(&a)), (overlap, overlap), "{a:?} {b:?}");
        }
    }
}
