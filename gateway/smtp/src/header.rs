//! A look at a header section on its way in: how large it is, and where the message has been.

use memchr::memchr;

/// Counts octets and fields of a header section, and its Received fields (RFC 5321 section 6.3).
///
/// Is fed with decoded content in pieces of any size.
#[derive(Debug, Default)]
pub(crate) struct HeaderScan {
    /// Octets, the empty line not counted.
    pub(crate) octets: u64,
    /// Lines that begin a field.
    pub(crate) fields: u32,
    /// Fields that say through which server the message came.
    pub(crate) received: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the header section, this many octets of the line fit `Received:`.
    Name(usize),
    /// In the header section, in a line that is of no interest any more.
    Line,
    /// In the header section, behind a CR that begins a line. In binary content it may be no end.
    Cr,
    /// Behind the empty line.
    Body,
}

impl Default for Place {
    fn default() -> Self {
        Self::Name(0)
    }
}

impl HeaderScan {
    /// Reads on; nothing changes any more behind the empty line.
    pub(crate) fn read(&mut self, mut octets: &[u8]) {
        while let Some((&octet, rest)) = octets.split_first() {
            match self.place {
                Place::Body => break,
                Place::Line => {
                    let end = memchr(b'\n', octets);
                    let (line, rest) = octets.split_at(end.map_or(octets.len(), |end| end + 1));
                    self.octets = self.octets.saturating_add(line.len() as u64);
                    octets = rest;
                    if end.is_some() {
                        self.place = Place::Name(0);
                    }
                }
                Place::Name(0) if octet == b'\r' => {
                    octets = rest;
                    self.place = Place::Cr;
                }
                Place::Cr if octet == b'\n' => self.place = Place::Body,
                Place::Cr => {
                    self.octets = self.octets.saturating_add(1);
                    self.fields = self.fields.saturating_add(1);
                    self.place = Place::Line;
                }
                Place::Name(n) => {
                    if n == 0 && !matches!(octet, b' ' | b'\t') {
                        self.fields = self.fields.saturating_add(1);
                    }
                    if !octet.eq_ignore_ascii_case(&RECEIVED[n]) {
                        self.place = Place::Line;
                        continue;
                    }
                    octets = rest;
                    self.octets = self.octets.saturating_add(1);
                    self.place = Place::Name(n + 1);
                    if n + 1 == RECEIVED.len() {
                        self.received += 1;
                        self.place = Place::Line;
                    }
                }
            }
        }
    }
}

const RECEIVED: &[u8] = b"received:";

#[cfg(test)]
mod tests {
    use super::*;

    fn scan<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (u64, u32, usize) {
        let mut scan = HeaderScan::default();
        pieces.for_each(|piece| scan.read(piece));
        (scan.octets, scan.fields, scan.received)
    }

    #[test]
    fn the_header_section_is_counted_and_nothing_else() {
        let header = b"Received: a\r\n\tReceived: folded\r\nRECEIVED:b\r\nReceive: no\r\n\
            Subject: Received: no\r\nReceived : no\r\nreceived: c\r\n";
        let message = [&header[..], b"\r\nReceived: body\r\n"].concat();
        let want = (header.len() as u64, 6, 3);
        assert_eq!(scan(message.chunks(message.len())), want);
        assert_eq!(scan(message.chunks(1)), want);
        assert_eq!(scan(b"".chunks(1)), (0, 0, 0));
        assert_eq!(scan(b"\r\nA: b\r\n".chunks(3)), (0, 0, 0));
        let binary = b"\rA: b\r\nReceived: c\r\n\r\nReceived: body\r\n";
        assert_eq!(scan(binary.chunks(binary.len())), (20, 2, 1), "a bare CR ends nothing");
        assert_eq!(scan(binary.chunks(1)), (20, 2, 1));
    }
}
