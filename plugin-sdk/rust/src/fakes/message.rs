//! A message that nobody wrote.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::{Grant, require};
use crate::{EditError, Part};

/// The message: complete in `message`, headers only in `headers`.
#[derive(Clone, Debug)]
pub struct Message {
    fields: Vec<Field>,
    body: Vec<u8>,
    grants: Vec<Grant>,
    edits: RefCell<Vec<Edit>>,
    new_body: Rc<RefCell<Option<Vec<u8>>>>,
    splices: RefCell<Vec<Splice>>,
    parts: Vec<(Part, Vec<u8>)>,
}

/// Place, length, and what stands there instead.
type Splice = (usize, usize, Vec<u8>);

/// A header field: its lines as they stand in the message.
#[derive(Clone, Debug)]
struct Field {
    name: String,
    lines: Vec<u8>,
}

/// A staged edit; fields are counted from 0 over the whole section.
#[derive(Clone, Debug)]
enum Edit {
    Add(usize, Field),
    Drop(usize),
    Set(usize, Field),
}

impl Message {
    /// A message of these bytes. LF alone stands for CRLF, so that literals stay readable.
    pub fn fake(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = crlf(bytes.as_ref());
        let (section, body) = split(&bytes);
        Self {
            fields: fields(section),
            body: body.to_vec(),
            grants: Vec::new(),
            edits: RefCell::new(Vec::new()),
            new_body: Rc::default(),
            splices: RefCell::default(),
            parts: Vec::new(),
        }
    }

    /// One more right.
    pub fn with_grant(mut self, grant: Grant) -> Self {
        self.grants.push(grant);
        self
    }

    /// One more MIME part, with its decoded content: the fake does not look for parts itself.
    pub fn with_part(
        mut self,
        content_type: &str,
        file_name: Option<&str>,
        content: &[u8],
    ) -> Self {
        let part = Part {
            index: u32::try_from(self.parts.len()).unwrap_or(u32::MAX),
            parent: None,
            content_type: content_type.to_owned(),
            charset: None,
            disposition: file_name.map(|_| "attachment".to_owned()),
            file_name: file_name.map(str::to_owned),
            size: content.len() as u64,
            encoded: None,
        };
        self.parts.push((part, content.to_vec()));
        self
    }

    /// The message that would go on with the staged edits. Headers added at one place stand there
    /// in the order of the calls.
    pub fn edited(&self) -> Vec<u8> {
        let edits = self.edits.borrow();
        let mut edited = Vec::new();
        for place in 0..=self.fields.len() {
            for edit in edits.iter() {
                if let Edit::Add(at, field) = edit
                    && *at == place
                {
                    edited.extend(&field.lines);
                }
            }
            if let Some(field) = self.fields.get(place) {
                edited.extend(self.edited_field(place, field, &edits));
            }
        }
        edited.extend(b"\r\n");
        match &*self.new_body.borrow() {
            Some(body) => edited.extend(body),
            None => edited.extend(self.spliced()),
        }
        edited
    }

    fn spliced(&self) -> Vec<u8> {
        let mut splices = self.splices.borrow().clone();
        splices.sort_by_key(|(at, length, _)| (*at, *length));
        let (mut body, mut copied) = (Vec::new(), 0);
        for (at, length, replacement) in splices {
            body.extend(&self.body[copied..at]);
            body.extend(crlf(&replacement));
            copied = at + length;
        }
        body.extend(&self.body[copied..]);
        body
    }

    /// [`Message::edited`] as text.
    pub fn edited_text(&self) -> String {
        String::from_utf8_lossy(&self.edited()).into_owned()
    }

    /// The gateway takes 1,000 edits of a call.
    fn keep(&self, edit: Edit) -> Result<(), EditError> {
        let mut edits = self.edits.borrow_mut();
        if edits.len() >= EDITS {
            return Err(EditError::OutOfRange);
        }
        edits.push(edit);
        Ok(())
    }

    fn edited_field(&self, place: usize, field: &Field, edits: &[Edit]) -> Vec<u8> {
        let last = edits.iter().rev().find_map(|edit| match edit {
            Edit::Drop(at) if *at == place => Some(Vec::new()),
            Edit::Set(at, field) if *at == place => Some(field.lines.clone()),
            Edit::Add(..) | Edit::Drop(_) | Edit::Set(..) => None,
        });
        last.unwrap_or_else(|| field.lines.clone())
    }

    /// Bytes received so far, as they will be sent (CRLF lines, no dot-stuffing).
    pub fn size(&self) -> u64 {
        self.whole().len() as u64
    }

    /// The header section as received, without the empty line that ends it.
    pub fn header_section(&self) -> Vec<u8> {
        self.fields.iter().flat_map(|field| field.lines.iter().copied()).collect()
    }

    /// Every value of this header, unfolded, in order.
    pub fn header(&self, name: &str) -> Vec<Vec<u8>> {
        self.named(name).map(|(_, field)| field.value()).collect()
    }

    /// The whole message.
    pub fn read_all(&self) -> Reader {
        Reader { bytes: self.whole(), at: Cell::new(0) }
    }

    /// Only its body. In `headers` there is no body yet.
    pub fn read_body(&self) -> Reader {
        Reader { bytes: self.body.clone(), at: Cell::new(0) }
    }

    /// Insert above the existing headers (`at` = 0) or after the first `at` of them; none is at the
    /// end. Grant `rewrite-headers`, as the next two.
    pub fn add_header(&self, at: Option<u32>, name: &str, value: &[u8]) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteHeaders)?;
        let at = at.map_or(self.fields.len(), |at| at as usize);
        if at > self.fields.len() {
            return Err(EditError::OutOfRange);
        }
        self.keep(Edit::Add(at, Field::new(name, value)?))
    }

    /// Replace the value of the `nth` header of this name, counted from 0.
    pub fn set_header(&self, name: &str, nth: u32, value: &[u8]) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteHeaders)?;
        let (place, known) = self.nth(name, nth)?;
        let field = Field::new(&known.name, value)?;
        self.keep(Edit::Set(place, field))
    }

    /// Drop the `nth` header of this name, counted from 0.
    pub fn drop_header(&self, name: &str, nth: u32) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteHeaders)?;
        let (place, _) = self.nth(name, nth)?;
        self.keep(Edit::Drop(place))
    }

    /// Replace everything after the header section; takes effect when the writer was finished.
    /// Hook `message`; grant `rewrite-body`.
    pub fn replace_body(&self) -> Result<Writer, EditError> {
        require(&self.grants, Grant::RewriteBody)?;
        Ok(Writer { written: RefCell::default(), body: Rc::clone(&self.new_body) })
    }

    /// Replace `length` bytes of the body from `at` on by others. Splices must not overlap. Hook
    /// `message`; grant `rewrite-body`; not together with `replace_body`.
    pub fn splice_body(&self, at: u64, length: u64, replacement: &[u8]) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteBody)?;
        let place = |offset: u64| usize::try_from(offset).map_err(|_| EditError::OutOfRange);
        let (at, length) = (place(at)?, place(length)?);
        let end = at.checked_add(length).filter(|end| *end <= self.body.len());
        let end = end.ok_or(EditError::OutOfRange)?;
        let mut splices = self.splices.borrow_mut();
        let overlaps = |(other, taken, _): &Splice| at < other + taken && *other < end;
        if self.new_body.borrow().is_some() || splices.iter().any(overlaps) {
            return Err(EditError::OutOfRange);
        }
        splices.push((at, length, replacement.to_vec()));
        Ok(())
    }

    /// The MIME parts that the test has given.
    pub fn parts(&self) -> Vec<Part> {
        self.parts.iter().map(|(part, _)| part.clone()).collect()
    }

    /// The decoded content of one part.
    pub fn read_part(&self, index: u32) -> Option<Reader> {
        let (_, content) = self.parts.get(index as usize)?;
        Some(Reader { bytes: content.clone(), at: Cell::new(0) })
    }

    fn whole(&self) -> Vec<u8> {
        let mut whole = self.header_section();
        whole.extend(b"\r\n");
        whole.extend(&self.body);
        whole
    }

    fn named(&self, name: &str) -> impl Iterator<Item = (usize, &Field)> {
        let fields = self.fields.iter().enumerate();
        fields.filter(move |(_, field)| field.name.eq_ignore_ascii_case(name))
    }

    fn nth(&self, name: &str, nth: u32) -> Result<(usize, &Field), EditError> {
        self.named(name).nth(nth as usize).ok_or(EditError::OutOfRange)
    }
}

impl Field {
    fn new(name: &str, value: &[u8]) -> Result<Self, EditError> {
        let name_fits = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
        if !name_fits || !only_folds(value) {
            return Err(EditError::Malformed);
        }
        let lines = [name.as_bytes(), b": ", value, b"\r\n"].concat();
        Ok(Self { name: name.to_owned(), lines })
    }

    /// Unfolding takes the line ends away and nothing else (RFC 5322 2.2.3).
    fn value(&self) -> Vec<u8> {
        let value = self.lines.splitn(2, |byte| *byte == b':').nth(1).unwrap_or_default();
        value
            .iter()
            .copied()
            .filter(|byte| !matches!(byte, b'\r' | b'\n'))
            .collect::<Vec<_>>()
            .trim_ascii()
            .to_vec()
    }
}

/// Content from the front to the end.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Vec<u8>,
    at: Cell<usize>,
}

impl Reader {
    /// Up to `max` bytes, never more than 64 KiB; empty is the end.
    pub fn read(&self, max: u32) -> Vec<u8> {
        let rest = self.rest();
        let chunk = rest[..rest.len().min(max as usize).min(MAX_READ)].to_vec();
        self.at.set(self.at.get() + chunk.len());
        chunk
    }

    /// How many bytes were skipped: fewer than asked at the end.
    pub fn skip(&self, count: u64) -> u64 {
        let count = self.rest().len().min(usize::try_from(count).unwrap_or(usize::MAX));
        self.at.set(self.at.get() + count);
        count as u64
    }

    /// Offset from here of the first occurrence within the next `within` bytes.
    pub fn find(&self, needle: &[u8], within: u64) -> Option<u64> {
        let rest = self.rest();
        let rest = &rest[..rest.len().min(usize::try_from(within).unwrap_or(usize::MAX))];
        if needle.is_empty() {
            return Some(0);
        }
        let found = rest.windows(needle.len()).position(|window| window == needle);
        found.map(|offset| offset as u64)
    }

    /// SHA-256 of the rest, 32 bytes. The position stays where it is.
    pub fn sha256(&self) -> Vec<u8> {
        Sha256::digest(self.rest()).to_vec()
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at.get()..]
    }
}

/// A new body.
#[derive(Clone, Debug)]
pub struct Writer {
    written: RefCell<Vec<u8>>,
    body: Rc<RefCell<Option<Vec<u8>>>>,
}

impl Writer {
    /// Bare CR and LF become CRLF.
    pub fn write(&self, chunk: &[u8]) -> Result<(), EditError> {
        self.written.borrow_mut().extend(chunk);
        Ok(())
    }

    /// Copy without passing through the plugin; the bytes copied.
    pub fn copy(&self, source: &Reader, count: u64) -> Result<u64, EditError> {
        let mut left = count;
        while left > 0 {
            let chunk = source.read(u32::try_from(left).unwrap_or(u32::MAX));
            if chunk.is_empty() {
                break;
            }
            left -= chunk.len() as u64;
            self.write(&chunk)?;
        }
        Ok(count - left)
    }

    /// Makes the new body count.
    pub fn finish(&self) -> Result<(), EditError> {
        self.body.replace(Some(crlf(&self.written.borrow())));
        Ok(())
    }
}

/// Bare CR and bare LF become CRLF.
fn crlf(bytes: &[u8]) -> Vec<u8> {
    let mut normal = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if_eq(&b'\n');
                normal.extend(b"\r\n");
            }
            b'\n' => normal.extend(b"\r\n"),
            _ => normal.push(byte),
        }
    }
    normal
}

/// Line ends in a value have to be folds (RFC 5322 2.2.3): white space follows.
fn only_folds(value: &[u8]) -> bool {
    let mut lines = value.split(|byte| *byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let line = match lines.peek() {
            Some([b' ' | b'\t', ..]) => line.strip_suffix(b"\r"),
            Some(_) => None,
            None => Some(line),
        };
        if line.is_none_or(|line| line.contains(&b'\r') || line.contains(&0)) {
            return false;
        }
    }
    true
}

/// The header section and the body, without the empty line between them.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = bytes.strip_prefix(b"\r\n") {
        return (&[], body);
    }
    match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(end) => (&bytes[..end + 2], &bytes[end + 4..]),
        None => (bytes, &[]),
    }
}

fn fields(section: &[u8]) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for line in section.split_inclusive(|byte| *byte == b'\n') {
        match fields.last_mut() {
            Some(field) if matches!(line.first(), Some(b' ' | b'\t')) => field.lines.extend(line),
            _ => fields.push(Field { name: name(line), lines: line.to_vec() }),
        }
    }
    fields
}

fn name(line: &[u8]) -> String {
    let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
    String::from_utf8_lossy(name.trim_ascii()).into_owned()
}

const EDITS: usize = 1_000;
const MAX_READ: usize = 64 * 1024;
