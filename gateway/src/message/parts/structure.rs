//! Where the parts of a message begin and end: one pass, line by line.

use super::fields::Fields;
use super::{Chunks, ContentError};
use crate::message::{Content, HeaderSection};

/// A part, and where it is.
#[derive(Debug)]
pub(super) struct Found {
    /// The part that it is within, by its place in this list.
    pub(super) parent: Option<usize>,
    pub(super) fields: Fields,
    /// Where its body is.
    pub(super) at: u64,
    pub(super) end: u64,
    /// Whether it consists of parts.
    pub(super) multipart: bool,
}

/// Finds all parts of a message: at most `room`, and nothing within those at the last level.
/// The header section stands at the beginning of the content, unless what it says is given.
pub(super) async fn find(
    content: &Content,
    root: Option<Fields>,
    room: usize,
    levels: usize,
) -> Result<Vec<Found>, ContentError> {
    let mut scan = Scan { room, levels, ..Scan::default() };
    match root {
        Some(fields) => scan.begin(fields, 0),
        None => scan.header = Some(Header::default()),
    }
    let mut lines = Lines::default();
    let mut chunks = Chunks::of(content);
    while !scan.is_done()
        && let Some(chunk) = chunks.next().await?
    {
        lines.split(chunk, |line| scan.line(line));
    }
    lines.end(|line| scan.line(line));
    scan.end(content.octets());
    Ok(scan.found)
}

/// A line, which the next one follows at `next`.
struct Line<'a> {
    at: u64,
    /// Without its end; a long one is cut.
    text: &'a [u8],
    /// Octets of its end.
    end: u64,
    next: u64,
}

/// Cuts chunks into lines.
#[derive(Default)]
struct Lines {
    /// Where the line in progress begins.
    at: u64,
    /// Its octets so far, as far as they are looked at.
    begun: Vec<u8>,
    length: u64,
    last: u8,
}

impl Lines {
    fn split(&mut self, chunk: &[u8], mut line: impl FnMut(&Line<'_>)) {
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (text, after) = rest.split_at(end + 1);
            rest = after;
            let before = if end == 0 { self.last } else { text[end - 1] };
            let end = if before == b'\r' && self.length + end as u64 > 0 { 2 } else { 1 };
            let length = self.length + text.len() as u64;
            let (at, next) = (self.at, self.at + length);
            let whole = if self.length == 0 { text } else { self.kept(text) };
            let text =
                if whole.len() as u64 == length { &whole[..whole.len() - end] } else { whole };
            line(&Line { at, text, end: end as u64, next });
            (self.at, self.length) = (next, 0);
            self.begun.clear();
        }
        self.kept(rest);
        self.length += rest.len() as u64;
        self.last = rest.last().copied().unwrap_or_default();
    }

    fn kept(&mut self, text: &[u8]) -> &[u8] {
        let room = LINE_OCTETS.saturating_sub(self.begun.len()).min(text.len());
        self.begun.extend_from_slice(&text[..room]);
        &self.begun
    }

    fn end(&self, line: impl FnOnce(&Line<'_>)) {
        if self.length > 0 {
            let next = self.at + self.length;
            line(&Line { at: self.at, text: &self.begun, end: 0, next });
        }
    }
}

#[derive(Default)]
pub(super) struct Scan {
    found: Vec<Found>,
    room: usize,
    levels: usize,
    /// The parts that are not over yet, from the outermost to the innermost.
    open: Vec<Open>,
    /// The header section that is being read, if one is.
    header: Option<Header>,
    /// Octets of the line end before the line that is looked at.
    line_end: u64,
}

#[derive(Default)]
struct Header {
    /// Where it begins.
    at: u64,
    octets: Vec<u8>,
}

struct Open {
    /// Its place among those that were found, if there was room.
    place: Option<usize>,
    /// What sets its parts apart, as long as there may be more.
    boundary: Option<Vec<u8>>,
}

impl Scan {
    /// Whether nothing more can be found.
    fn is_done(&self) -> bool {
        self.header.is_none() && self.open.iter().all(|open| open.boundary.is_none())
    }

    fn line(&mut self, line: &Line<'_>) {
        let text = line.text;
        if text.starts_with(b"--")
            && let Some((level, last)) = self.delimited(text)
        {
            self.delimit(level, last, line);
        } else if let Some(header) = &mut self.header {
            if text.is_empty() {
                self.begin_read(line.next);
            } else if !belongs_to_header(text) {
                // It is the first line of a body that nothing sets apart, or of what is within that.
                self.begin_read(line.at);
                return self.line(line);
            } else if header.octets.len() + text.len() <= HEADER_OCTETS {
                header.octets.extend_from_slice(text);
                header.octets.extend_from_slice(b"\r\n");
            }
        }
        self.line_end = line.end;
    }

    /// The innermost multipart whose boundary this line is, and whether it is its last.
    fn delimited(&self, line: &[u8]) -> Option<(usize, bool)> {
        let line = line[2..].trim_ascii_end();
        self.open.iter().enumerate().rev().find_map(|(level, open)| {
            match line.strip_prefix(&**open.boundary.as_ref()?)? {
                b"" => Some((level, false)),
                b"--" => Some((level, true)),
                _ => None,
            }
        })
    }

    /// A boundary of the multipart at this level: what is within it ends, and perhaps another begins.
    /// The line end before it belongs to it.
    fn delimit(&mut self, level: usize, last: bool, line: &Line<'_>) {
        let end = line.at.saturating_sub(self.line_end);
        if let Some(header) = &self.header {
            let at = end.max(header.at);
            // Boundaries that follow each other have no part in between.
            if header.at < line.at || self.open.len() > level + 1 {
                self.begin_read(at);
            }
        }
        self.close(level + 1, end);
        self.header = None;
        if last {
            self.open[level].boundary = None;
        } else {
            self.header = Some(Header { at: line.next, octets: Vec::new() });
        }
        if let Some(place) = self.open[level].place {
            self.found[place].multipart = true;
        }
    }

    /// Ends what is open from this level on.
    fn close(&mut self, level: usize, mut end: u64) {
        for open in self.open.drain(level.min(self.open.len())..).rev() {
            if let Some(place) = open.place {
                let found = &mut self.found[place];
                // Where there is no room for a body, what it is within ends no earlier.
                end = end.max(found.at);
                found.end = end;
            }
        }
    }

    /// The header section is complete; the body begins.
    fn begin_read(&mut self, at: u64) {
        let header = self.header.take().unwrap_or_default();
        let header = HeaderSection::parse(header.octets);
        let parent = self.open.last().and_then(|open| open.place);
        let fields = Fields::of(&header, parent.map(|place| &self.found[place].fields));
        self.begin(fields, at);
    }

    fn begin(&mut self, fields: Fields, at: u64) {
        let parent = self.open.last().and_then(|open| open.place);
        // What is within a part that had no room has none either.
        let orphan = parent.is_none() && !self.open.is_empty();
        let deep = self.open.len() + 1 >= self.levels;
        let multipart = fields.is_multipart() && !deep;
        let message = fields.is_plain_message() && !deep && !orphan;
        let boundary = fields.boundary.clone().filter(|_| multipart && !orphan);
        let place = (self.found.len() < self.room && !orphan).then_some(self.found.len());
        if place.is_some() {
            self.found.push(Found { parent, fields, at, end: at, multipart: false });
        }
        let boundary = boundary.filter(|_| place.is_some());
        self.open.push(Open { place, boundary });
        let header = || Header { at, octets: Vec::new() };
        self.header = (message && place.is_some()).then(header);
    }

    fn end(&mut self, at: u64) {
        while self.header.is_some() {
            self.begin_read(at);
        }
        self.close(0, at);
    }
}

#[cfg(test)]
impl Scan {
    pub(super) fn types(chunks: std::slice::Chunks<'_, u8>, root: Fields) -> Vec<String> {
        let mut scan = Self { room: super::PARTS, levels: super::LEVELS, ..Self::default() };
        scan.begin(root, 0);
        let (mut lines, mut octets) = (Lines::default(), 0);
        for chunk in chunks {
            lines.split(chunk, |line| scan.line(line));
            octets += chunk.len() as u64;
        }
        lines.end(|line| scan.line(line));
        scan.end(octets);
        scan.found.iter().map(|found| format!("{found:?}")).collect()
    }
}

/// Whether a line is a field, or goes on with one.
fn belongs_to_header(line: &[u8]) -> bool {
    if matches!(line[0], b' ' | b'\t') || line.starts_with(b"From ") {
        return true;
    }
    let colon = memchr::memchr(b':', line);
    colon.is_some_and(|colon| {
        colon > 0 && line[..colon].trim_ascii_end().iter().all(u8::is_ascii_graphic)
    })
}

/// Of a line, as far as it is looked at.
const LINE_OCTETS: usize = 16 << 10;

/// Of the header section of a part; what is beyond is not looked at.
const HEADER_OCTETS: usize = 64 << 10;
