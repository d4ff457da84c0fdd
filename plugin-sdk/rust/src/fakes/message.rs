//! A message that nobody wrote.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::{Grant, require};
use crate::EditError;

/// The message: complete in `message`, headers only in `headers`.
#[derive(Clone, Debug)]
pub struct Message {
    fields: Vec<Field>,
    body: Vec<u8>,
    grants: Vec<Grant>,
    edits: RefCell<Vec<Edit>>,
    new_body: Rc<RefCell<Option<Vec<u8>>>>,
}

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
        }
    }

    /// One more right.
    pub fn with_grant(mut self, grant: Grant) -> Self {
        self.grants.push(grant);
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
        edited.extend(self.new_body.borrow().as_ref().unwrap_or(&self.body));
        edited
    }

    /// [`Message::edited`] as text.
    pub fn edited_text(&self) -> String {
        String::from_utf8_lossy(&self.edited()).into_owned()
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
        self.edits.borrow_mut().push(Edit::Add(at, Field::new(name, value)?));
        Ok(())
    }

    /// Replace the value of the `nth` header of this name, counted from 0.
    pub fn set_header(&self, name: &str, nth: u32, value: &[u8]) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteHeaders)?;
        let (place, known) = self.nth(name, nth)?;
        let field = Field::new(&known.name, value)?;
        self.edits.borrow_mut().push(Edit::Set(place, field));
        Ok(())
    }

    /// Drop the `nth` header of this name, counted from 0.
    pub fn drop_header(&self, name: &str, nth: u32) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteHeaders)?;
        let (place, _) = self.nth(name, nth)?;
        self.edits.borrow_mut().push(Edit::Drop(place));
        Ok(())
    }

    /// Replace everything after the header section; takes effect when the writer was finished.
    /// Hook `message`; grant `rewrite-body`.
    pub fn replace_body(&self) -> Result<Writer, EditError> {
        require(&self.grants, Grant::RewriteBody)?;
        Ok(Writer { written: RefCell::default(), body: Rc::clone(&self.new_body) })
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

const MAX_READ: usize = 64 * 1024;
