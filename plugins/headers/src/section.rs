//! The header section as a list of fields: fetched once, however many rules there are.

use std::collections::HashMap;

/// The fields in order.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    fields: Vec<Field<'a>>,
    size: usize,
}

#[derive(Debug)]
struct Field<'a> {
    name: &'a str,
    /// With its line ends.
    value: Vec<u8>,
}

impl<'a> Section<'a> {
    /// What has no name, like a line without colon, is not a field and left alone.
    pub(crate) fn new(section: &'a [u8]) -> Self {
        let mut fields: Vec<Option<Field<'a>>> = Vec::new();
        for line in section.split_inclusive(|byte| *byte == b'\n') {
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                if let Some(Some(field)) = fields.last_mut() {
                    field.value.extend(line);
                }
            } else {
                fields.push(Field::new(line));
            }
        }
        Self { fields: fields.into_iter().flatten().collect(), size: section.len() }
    }

    /// The values of a header, unfolded (RFC 5322 2.2.3) and trimmed.
    pub(crate) fn raw(&self, name: &str) -> impl Iterator<Item = Vec<u8>> {
        let fields = self.fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(Field::unfolded)
    }

    /// In octets.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Each field's name and which of this name it is, counted from 0.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (&'a str, u32)> {
        let mut seen: HashMap<String, u32> = HashMap::new();
        self.fields.iter().map(move |field| {
            let count = seen.entry(field.name.to_ascii_lowercase()).or_default();
            *count += 1;
            (field.name, *count - 1)
        })
    }
}

impl<'a> Section<'a> {
    /// The same, each with its unfolded value.
    pub(crate) fn unfolded(&self) -> impl Iterator<Item = (&'a str, u32, Vec<u8>)> {
        let values = self.fields.iter().map(Field::unfolded);
        self.numbered().zip(values).map(|((name, nth), value)| (name, nth, value))
    }
}

impl<'a> Field<'a> {
    fn unfolded(&self) -> Vec<u8> {
        let value: Vec<u8> =
            self.value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        value.trim_ascii().to_vec()
    }

    fn new(line: &'a [u8]) -> Option<Self> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        // Obsolete syntax has blanks before the colon (RFC 5322 4.5).
        let name = str::from_utf8(line[..colon].trim_ascii_end()).ok()?;
        let fits = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self { name, value: line[colon + 1..].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &[u8] =
        b"Received: a\r\n\tb\r\nnonsense\r\n more\r\nSubject : c \xff\r\nreceived:\r\n d\r\n";

    #[test]
    fn values_are_unfolded() {
        let section = Section::new(SECTION);
        assert_eq!(section.raw("RECEIVED").collect::<Vec<_>>(), [b"a\tb".as_slice(), b"d"]);
        assert_eq!(section.raw("subject").collect::<Vec<_>>(), [b"c \xff"]);
        assert_eq!(section.raw("nonsense").count(), 0);
    }

    #[test]
    fn fields_are_counted_by_name() {
        let numbered: Vec<_> = Section::new(SECTION).numbered().collect();
        assert_eq!(numbered, [("Received", 0), ("Subject", 0), ("received", 1)]);
    }
}
