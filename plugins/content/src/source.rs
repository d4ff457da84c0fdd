//! The content of one part, read here and there, and never more of it than a budget allows.

use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use portcullis_plugin::{Message, Part, Reader};

/// What may still be read of a message.
#[derive(Debug)]
pub(crate) struct Budget {
    octets: Cell<u64>,
    spent: Cell<bool>,
}

impl Budget {
    pub(crate) fn new(octets: u64) -> Self {
        Self { octets: Cell::new(octets), spent: Cell::new(false) }
    }

    /// Whether anything was not looked at for want of it.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.get()
    }

    fn take(&self, wanted: u64) -> u64 {
        let given = wanted.min(self.octets.get());
        self.octets.set(self.octets.get() - given);
        if given < wanted {
            self.spent.set(true);
        }
        given
    }
}

/// One part. Readers go forward only; who goes back gets another.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    message: &'a Message,
    index: u32,
    size: u64,
    budget: &'a Budget,
    reader: Option<(u64, Reader)>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(message: &'a Message, index: u32, size: u64, budget: &'a Budget) -> Self {
        Self { message, index, size, budget, reader: None }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Fewer octets at the end of the part, or of the budget.
    pub(crate) fn read(&mut self, at: u64, length: u32) -> Vec<u8> {
        let length = self.budget.take(u64::from(length).min(self.size.saturating_sub(at)));
        let Some((place, reader)) = self.reader_at(at) else { return Vec::new() };
        let mut octets = Vec::new();
        while (octets.len() as u64) < length {
            let left = length - octets.len() as u64;
            let chunk = reader.read(u32::try_from(left).unwrap_or(u32::MAX));
            if chunk.is_empty() {
                break;
            }
            // Most things come in one piece, which is not copied again.
            if octets.is_empty() {
                octets = chunk;
            } else {
                octets.extend(chunk);
            }
        }
        *place += octets.len() as u64;
        octets
    }

    /// Where something first occurs from `at` on, within so many octets: the gateway searches.
    pub(crate) fn find(&mut self, needle: &[u8], at: u64, within: u64) -> Option<u64> {
        let (_, reader) = self.reader_at(at)?;
        reader.find(needle, within).map(|offset| at + offset)
    }

    /// The first octets of a part. What is in base64 is decoded here as far as that: the gateway would
    /// decode all of it, and most parts are pictures, of which nobody wants more.
    pub(crate) fn head(&mut self, part: &Part, length: u32) -> Vec<u8> {
        let encoded = part.encoded.filter(|(_, octets)| is_in_base64(part.size, *octets));
        let decoded = encoded.and_then(|(at, octets)| {
            let wanted = self.budget.take(octets.min(u64::from(length) * 3 / 2));
            let body = self.message.read_body();
            body.skip(at);
            let mut text = body.read(u32::try_from(wanted).unwrap_or(length));
            text.retain(|octet| !matches!(octet, b'\r' | b'\n'));
            text.truncate(text.len() / 4 * 4);
            STANDARD.decode(text).ok()
        });
        decoded.unwrap_or_else(|| self.read(0, length))
    }

    fn reader_at(&mut self, at: u64) -> Option<&mut (u64, Reader)> {
        if self.reader.as_ref().is_none_or(|(place, _)| *place > at) {
            self.reader = Some((0, self.message.read_part(self.index)?));
        }
        let reader = self.reader.as_mut()?;
        if reader.0 < at {
            reader.0 += reader.1.skip(at - reader.0);
        }
        (reader.0 == at).then_some(reader)
    }
}

/// Three octets are four, and lines end. What else comes to that is found when it is decoded.
fn is_in_base64(size: u64, encoded: u64) -> bool {
    let (size, encoded) = (u128::from(size), u128::from(encoded));
    size * 4 <= encoded * 3 && size * 10 >= encoded * 6
}

/// Numbers as they stand in files. What is beyond the end is none.
pub(crate) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(octets.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

pub(crate) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(octets.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

pub(crate) fn u64_at(octets: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(octets.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_read_here_and_there_until_the_budget_is_spent() {
        let message = Message::fake("").with_part("a/b", None, b"0123456789");
        let budget = Budget::new(9);
        let mut source = Source::new(&message, 0, 10, &budget);
        assert_eq!(source.read(8, 10), b"89");
        assert_eq!(source.read(2, 3), b"234");
        assert_eq!(source.find(b"7", 5, 10), Some(7));
        assert_eq!(source.read(11, 1), b"");
        assert!(!budget.is_spent());
        assert_eq!(source.read(0, 5), b"0123");
        assert!(budget.is_spent());
        assert_eq!(Source::new(&message, 3, 10, &budget).read(0, 1), b"");
    }
}
