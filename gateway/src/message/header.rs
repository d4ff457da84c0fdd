//! The header section of a message (RFC 5322 section 2.2), octet for octet.
//!
//! What is not edited leaves as it came, well-formed or not: folding, odd spaces, 8-bit values,
//! lines that are no fields. MIME is not looked at here.

use std::collections::HashMap;
use std::ops::Range;

use super::HeaderEdit;

/// The fields before the empty line, and that line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderSection {
    /// The fields, then the separator.
    octets: Vec<u8>,
    /// Where each field lies in `octets`, in order and without gaps.
    fields: Vec<Field>,
    /// Where the fields end and the separator starts.
    end: usize,
}

/// One field, or a line that is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// The whole of it, folded lines and CRLF included.
    whole: Range<usize>,
    /// Its name; `None` for a line that is no field.
    name: Option<Range<usize>>,
    /// What follows the colon, without the CRLF at its end.
    value: Range<usize>,
}

impl HeaderSection {
    /// The length of the header section at the start of `octets`, with the empty line, if that
    /// line has arrived.
    ///
    /// `from` is how far an earlier call looked; the search goes on a little before it.
    #[must_use]
    pub fn find_end(octets: &[u8], from: usize) -> Option<usize> {
        if octets.starts_with(b"\r\n") {
            return Some(2);
        }
        let from = from.saturating_sub(3);
        memchr::memmem::find(&octets[from..], b"\r\n\r\n").map(|at| from + at + 4)
    }

    /// Takes a header section apart. `octets` hold it with its empty line, or without one where
    /// the message ended before.
    #[must_use]
    pub fn parse(octets: Vec<u8>) -> Self {
        let end = if octets == b"\r\n" {
            0
        } else if octets.ends_with(b"\r\n\r\n") {
            octets.len() - 2
        } else {
            octets.len()
        };
        let mut fields: Vec<Field> = Vec::new();
        let mut at = 0;
        while at < end {
            let line = memchr::memmem::find(&octets[at..end], b"\r\n").map_or(end, |n| at + n + 2);
            let folded = matches!(octets[at], b' ' | b'\t');
            match fields.last_mut() {
                Some(field) if folded => {
                    field.whole.end = line;
                    field.value.end = without_crlf(&octets, line);
                }
                _ => fields.push(Field::parse(&octets, at..line)),
            }
            at = line;
        }
        Self { octets, fields, end }
    }

    /// The section as it is sent, with the empty line if it has one.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }

    /// The fields without the empty line.
    #[must_use]
    pub fn fields_as_bytes(&self) -> &[u8] {
        &self.octets[..self.end]
    }

    /// The length of [`as_bytes`](Self::as_bytes).
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.octets.len() as u64
    }

    /// What it takes in memory: with many short fields far more than [`octets`](Self::octets).
    #[must_use]
    pub fn memory_octets(&self) -> u64 {
        (self.octets.capacity() + self.fields.capacity() * size_of::<Field>()) as u64
    }

    /// How many fields there are, lines that are no fields included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The values of the fields of this name, folds removed and outer white space trimmed.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Vec<u8>> + 'a {
        self.named(name).map(|field| unfold(&self.octets[field.value.clone()]))
    }

    /// The value of the `nth` field of this name, counted from 0.
    #[must_use]
    pub fn value(&self, name: &str, nth: usize) -> Option<Vec<u8>> {
        self.named(name).nth(nth).map(|field| unfold(&self.octets[field.value.clone()]))
    }

    /// How many fields have this name.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    /// A copy with the edits made. Positions count the fields of `self`; an edit of a field that
    /// is not there is left out. Takes one pass, however many fields a client may have sent.
    #[must_use]
    pub fn edited(&self, edits: &[&HeaderEdit]) -> Self {
        let changes = self.changes(edits);
        let mut added: Vec<_> = edits.iter().filter_map(|edit| self.addition(edit)).collect();
        added.sort_by_key(|(at, ..)| *at);
        let mut added = added.into_iter().peekable();
        let mut octets = Vec::with_capacity(self.octets.len() + 256);
        for n in 0..=self.fields.len() {
            while let Some((_, name, value)) = added.next_if(|(at, ..)| *at == n) {
                write_field(&mut octets, name.as_bytes(), value);
            }
            let Some(field) = self.fields.get(n) else { break };
            match (changes.get(&n), &field.name) {
                (Some(HeaderEdit::Set { value, .. }), Some(name)) => {
                    write_field(&mut octets, &self.octets[name.clone()], value);
                }
                (Some(_), _) => {}
                (None, _) => octets.extend_from_slice(&self.octets[field.whole.clone()]),
            }
        }
        octets.extend_from_slice(&self.octets[self.end..]);
        Self::parse(octets)
    }

    /// Where an edit adds a field, and which.
    fn addition<'a>(&self, edit: &'a HeaderEdit) -> Option<(usize, &'a str, &'a [u8])> {
        let HeaderEdit::Add { at, name, value } = edit else { return None };
        let at = at.map_or(self.fields.len(), |at| (at as usize).min(self.fields.len()));
        // Above a continuation that continues nothing, the client's words would continue ours.
        let stray = self.octets.first().is_some_and(|octet| matches!(octet, b' ' | b'\t'));
        Some((at.max(usize::from(stray && self.end > 0)), name, value))
    }

    /// The last edit of each field that has one, by the field's place.
    fn changes<'a>(&self, edits: &[&'a HeaderEdit]) -> HashMap<usize, &'a HeaderEdit> {
        let named = edits.iter().filter_map(|edit| match edit {
            HeaderEdit::Add { .. } => None,
            HeaderEdit::Drop { name, nth } | HeaderEdit::Set { name, nth, .. } => {
                Some((name.to_ascii_lowercase().into_bytes(), *nth as usize, *edit))
            }
        });
        let named: Vec<_> = named.collect();
        let mut places: HashMap<&[u8], Vec<usize>> =
            named.iter().map(|(name, ..)| (&name[..], Vec::new())).collect();
        if places.is_empty() {
            return HashMap::new();
        }
        for (place, field) in self.fields.iter().enumerate() {
            if let Some(name) = &field.name
                && let Some(of_name) =
                    places.get_mut(&self.octets[name.clone()].to_ascii_lowercase()[..])
            {
                of_name.push(place);
            }
        }
        let place = |name: &[u8], nth: usize| places.get(name)?.get(nth).copied();
        named.iter().filter_map(|(name, nth, edit)| Some((place(name, *nth)?, *edit))).collect()
    }

    /// Adds the empty line where the message ended without one, so that a body can follow.
    pub fn separate(&mut self) {
        if self.end == self.octets.len() {
            if !self.octets.is_empty() && !self.octets.ends_with(b"\r\n") {
                self.octets.extend_from_slice(b"\r\n");
            }
            self.octets.extend_from_slice(b"\r\n");
            *self = Self::parse(std::mem::take(&mut self.octets));
        }
    }

    fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> + 'a {
        self.fields.iter().filter(|field| self.has_name(field, name.as_bytes()))
    }

    fn has_name(&self, field: &Field, name: &[u8]) -> bool {
        field.name.as_ref().is_some_and(|at| self.octets[at.clone()].eq_ignore_ascii_case(name))
    }
}

impl HeaderEdit {
    /// Whether name and value can stand in a header section.
    ///
    /// # Errors
    ///
    /// If the name is not made of printable ASCII without colon (RFC 5322 section 2.2), or the
    /// value holds NUL, a bare CR or LF, or a line end that is not followed by white space and
    /// more (it would start another field, or end the section).
    pub fn validate(name: &str, value: &[u8]) -> Result<(), HeaderError> {
        if name.is_empty() || !name.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b':') {
            return Err(HeaderError::Name);
        }
        if name.len() > NAME_OCTETS {
            return Err(HeaderError::Name);
        }
        let mut rest = value;
        while let Some(at) = memchr::memchr3(b'\r', b'\n', 0, rest) {
            let fold = rest[at..].starts_with(b"\r\n ") || rest[at..].starts_with(b"\r\n\t");
            let next = &rest[(at + 3).min(rest.len())..];
            let line = memchr::memmem::find(next, b"\r\n").map_or(next, |end| &next[..end]);
            if !fold || line.iter().all(|b| matches!(b, b' ' | b'\t')) {
                return Err(HeaderError::Value);
            }
            rest = next;
        }
        Ok(())
    }
}

/// Why a name or value cannot stand in a header section. The giver's fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// Not a field name.
    #[error("not a header field name")]
    Name,
    /// Would start another field or end the section.
    #[error("header value holds a line end that is no fold, or NUL")]
    Value,
}

impl Field {
    fn parse(octets: &[u8], whole: Range<usize>) -> Self {
        let end = without_crlf(octets, whole.end);
        let line = &octets[whole.start..end];
        let colon = memchr::memchr(b':', line).map(|at| (at, line[..at].trim_ascii_end().len()));
        match colon {
            Some((at, length)) if length > 0 && line[..length].iter().all(u8::is_ascii_graphic) => {
                let name = Some(whole.start..whole.start + length);
                let value = whole.start + at + 1..end;
                Self { whole, name, value }
            }
            _ => Self { value: whole.start..end, whole, name: None },
        }
    }
}

fn without_crlf(octets: &[u8], end: usize) -> usize {
    if octets[..end].ends_with(b"\r\n") { end - 2 } else { end }
}

fn unfold(value: &[u8]) -> Vec<u8> {
    value
        .iter()
        .copied()
        .filter(|b| !matches!(b, b'\r' | b'\n'))
        .collect::<Vec<_>>()
        .trim_ascii()
        .to_vec()
}

fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Longer than any name in use; a line of 998 octets must also hold a value.
const NAME_OCTETS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> HeaderSection {
        HeaderSection::parse(text.as_bytes().to_vec())
    }

    fn add(at: Option<u32>, name: &str, value: &str) -> HeaderEdit {
        HeaderEdit::Add { at, name: name.into(), value: value.into() }
    }

    #[test]
    fn the_end_is_found_across_chunks() {
        assert_eq!(HeaderSection::find_end(b"\r\nbody", 0), Some(2));
        assert_eq!(HeaderSection::find_end(b"A: b\r\n\r\nbody", 0), Some(8));
        assert_eq!(HeaderSection::find_end(b"A: b\r\n\r\nbody", 7), Some(8));
        assert_eq!(HeaderSection::find_end(b"A: b\r\n\r", 0), None);
    }

    #[test]
    fn odd_sections_leave_as_they_came() {
        for text in [
            "\r\n",
            "",
            "A: b\r\n\r\n",
            "A: b\r\n c\r\nno field\r\n d\r\nB :x\r\n\r\n",
            "no header at all",
            ": x\r\n\r\n",
            "From someone Mon\r\nA:b\r\n",
        ] {
            let parsed = section(text);
            assert_eq!(parsed.as_bytes(), text.as_bytes());
            assert_eq!(parsed.edited(&[]), parsed, "{text:?}");
        }
    }

    #[test]
    fn values_are_unfolded_and_names_compared_without_case() {
        let parsed = section("Subject:  one\r\n two\r\nsubject : three\r\n\r\n");
        let values: Vec<_> = parsed.values("SUBJECT").collect();
        assert_eq!(values, [b"one two".to_vec(), b"three".to_vec()]);
    }

    #[test]
    fn edits_count_the_fields_that_were_there() {
        let parsed = section("A: 1\r\nB: 2\r\nA: 3\r\n\r\n");
        let edits = [
            add(Some(0), "Top", "t"),
            HeaderEdit::Drop { name: "a".into(), nth: 0 },
            HeaderEdit::Set { name: "a".into(), nth: 1, value: b"three".to_vec() },
            add(None, "End", "e"),
            add(Some(1), "After-A", "x"),
        ];
        let edited = parsed.edited(&edits.iter().collect::<Vec<_>>());
        let text = String::from_utf8(edited.as_bytes().to_vec()).expect("ASCII");
        assert_eq!(text, "Top: t\r\nAfter-A: x\r\nB: 2\r\nA: three\r\nEnd: e\r\n\r\n");
    }

    #[test]
    fn a_body_is_set_apart_from_fields_that_had_none() {
        for (text, want) in [
            ("", "\r\n"),
            ("A: b\r\n", "A: b\r\n\r\n"),
            ("A: b", "A: b\r\n\r\n"),
            ("A: b\r\n\r\n", "A: b\r\n\r\n"),
            ("\r\n", "\r\n"),
        ] {
            let mut section = section(text);
            let fields = section.len();
            section.separate();
            assert_eq!((section.as_bytes(), section.len()), (want.as_bytes(), fields), "{text:?}");
        }
    }

    #[test]
    fn the_last_of_several_edits_of_a_field_counts() {
        let parsed = section("A: 1\r\n\r\n");
        let set = |value: &str| HeaderEdit::Set { name: "A".into(), nth: 0, value: value.into() };
        let drop = HeaderEdit::Drop { name: "A".into(), nth: 0 };
        assert_eq!(parsed.edited(&[&set("2"), &set("3")]).as_bytes(), b"A: 3\r\n\r\n");
        assert_eq!(parsed.edited(&[&set("2"), &drop]).as_bytes(), b"\r\n");
        assert_eq!(parsed.edited(&[&drop, &set("2")]).as_bytes(), b"A: 2\r\n\r\n");
    }

    #[test]
    fn nothing_is_added_between_a_line_and_its_continuation() {
        let parsed = section("no field\r\n more of it\r\nA: 1\r\n\r\n");
        assert_eq!(parsed.len(), 2);
        let edited = parsed.edited(&[&add(Some(1), "B", "2")]);
        assert_eq!(edited.as_bytes(), b"no field\r\n more of it\r\nB: 2\r\nA: 1\r\n\r\n");
    }

    #[test]
    fn a_stray_continuation_does_not_continue_a_field_that_was_added() {
        let parsed = section(" dkim=pass\r\n\tand more\r\nA: 1\r\n\r\n");
        let edited = parsed.edited(&[&add(Some(0), "Seen", "no dkim")]);
        let want = b" dkim=pass\r\n\tand more\r\nSeen: no dkim\r\nA: 1\r\n\r\n";
        assert_eq!(edited.as_bytes(), want);
    }

    #[test]
    fn edits_of_very_many_fields_take_no_time_to_speak_of() {
        let fields = 80_000;
        let parsed = section(&("A:\r\n".repeat(fields) + "\r\n"));
        let nth = fields as u32 - 1;
        let edits: Vec<_> =
            (0..1000).map(|n| HeaderEdit::Drop { name: "a".into(), nth: nth - n }).collect();
        let started = std::time::Instant::now();
        let edited = parsed.edited(&edits.iter().collect::<Vec<_>>());
        assert_eq!(edited.len(), fields - 1000);
        // Going through all fields for each of them took minutes.
        assert!(started.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn a_value_cannot_start_another_field() {
        for (value, ok) in [
            ("plain", true),
            ("folded\r\n here", true),
            ("two\r\n folds\r\n\there", true),
            ("a\r\nB: c", false),
            ("a\r\n\r\nbody", false),
            ("a\r\n \r\n\r\nbody", false),
            ("a\r\n ", false),
            ("a\nb", false),
            ("a\rb", false),
            ("a\0b", false),
        ] {
            assert_eq!(HeaderEdit::validate("X", value.as_bytes()).is_ok(), ok, "{value:?}");
        }
        for name in ["", "a b", "a:", "gr\u{fc}n", "a\r\nb"] {
            assert!(HeaderEdit::validate(name, b"x").is_err(), "{name:?}");
        }
    }
}
