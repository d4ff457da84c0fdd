//! ZIP: the central directory at the end, and what stands at the front of each entry, since not all
//! readers believe the same of the two.

use super::{Listing, text};
use crate::source::{Source, u16_at, u32_at, u64_at};

pub(super) fn list(source: &mut Source<'_>, listing: &mut Listing, most: usize) {
    let Some(end) = End::find(source) else {
        // Cut off, or made on the fly: some readers take it from the front.
        listing.ambiguous = true;
        walk(source, listing, 0, source.size(), most);
        return;
    };
    listing.ambiguous |= end.ambiguous;
    let Some(start) = end.at.checked_sub(end.size) else {
        listing.ambiguous = true;
        walk(source, listing, 0, source.size(), most);
        return;
    };
    // Where the first octet of the archive is: something may stand before it.
    let Some(base) = start.checked_sub(end.offset) else {
        listing.ambiguous = true;
        walk(source, listing, 0, source.size(), most);
        return;
    };
    let entries = directory(source, listing, start, end.at, most);
    if !listing.partial && entries.len() as u64 != end.entries {
        listing.ambiguous = true;
    }
    if base > 0 {
        // Two archives in one file: readers from the front see the first.
        let before = listing.names.len();
        walk(source, listing, 0, base, most);
        listing.ambiguous |= listing.names.len() > before;
    }
    judge(listing, &entries, source.size());
    check_fronts(source, listing, entries, base);
}

/// The end of central directory record.
struct End {
    /// Where it, or that of ZIP64, starts.
    at: u64,
    entries: u64,
    size: u64,
    offset: u64,
    ambiguous: bool,
}

impl End {
    fn find(source: &mut Source<'_>) -> Option<Self> {
        [SHORT_TAIL, LONG_TAIL].into_iter().find_map(|tail| {
            let from = source.size().saturating_sub(u64::from(tail));
            let octets = source.read(from, tail);
            Self::within(source, &octets, from)
        })
    }

    /// The last one whose comment does not go beyond the end.
    fn within(source: &mut Source<'_>, octets: &[u8], from: u64) -> Option<Self> {
        let fits = |at: &usize| {
            let comment = u16_at(octets, at + 20).map(usize::from);
            octets[*at..].starts_with(END) && comment.is_some_and(|c| at + 22 + c <= octets.len())
        };
        let mut found = (0..octets.len()).rev().filter(fits);
        let at = found.next()?;
        // One whose comment is the end that was found: readers from the front take that.
        let reach = |one: usize| one + 22 + u16_at(octets, one + 20).map_or(0, usize::from);
        let another = found.any(|one| reach(one) > at);
        let record = &octets[at..];
        let end = Self {
            at: from + at as u64,
            entries: u64::from(u16_at(record, 10)?),
            size: u64::from(u32_at(record, 12)?),
            offset: u64::from(u32_at(record, 16)?),
            ambiguous: another,
        };
        let large = end.entries == 0xffff || end.size == 0xffff_ffff || end.offset == 0xffff_ffff;
        if large { Some(end.large(source)) } else { Some(end) }
    }

    /// The record of ZIP64, where there is one.
    fn large(self, source: &mut Source<'_>) -> Self {
        let Some(locator) = self.at.checked_sub(20) else { return self };
        let octets = source.read(locator, 20);
        let Some(at) = u64_at(&octets, 8).filter(|_| octets.starts_with(LOCATOR)) else {
            return self;
        };
        let record = source.read(at, 56);
        match (u64_at(&record, 32), u64_at(&record, 40), u64_at(&record, 48)) {
            (Some(entries), Some(size), Some(offset)) if record.starts_with(END64) => {
                Self { at, entries, size, offset, ambiguous: self.ambiguous }
            }
            _ => Self { ambiguous: true, ..self },
        }
    }
}

struct Entry {
    name: Vec<u8>,
    encrypted: bool,
    packed: u64,
    unpacked: u64,
    offset: u64,
}

/// The entries of the central directory, as far as it goes.
fn directory(
    source: &mut Source<'_>,
    listing: &mut Listing,
    mut at: u64,
    end: u64,
    most: usize,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    while at < end {
        let wanted = u32::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let chunk = source.read(at, wanted);
        let mut taken = 0;
        while let Some((entry, other, length)) = Entry::read(&chunk[taken..]) {
            if !listing.push(text(&entry.name), most) {
                return entries;
            }
            if let Some(other) = other {
                listing.push(text(&other), most);
            }
            listing.encrypted |= entry.encrypted;
            entries.push(entry);
            taken += length;
        }
        if taken == 0 {
            // Nonsense, or the budget is spent.
            listing.partial |= chunk.len() < wanted as usize;
            break;
        }
        at += taken as u64;
    }
    entries
}

impl Entry {
    /// Its name by the Unicode path field if that is another (Info-ZIP), and its length.
    fn read(octets: &[u8]) -> Option<(Self, Option<Vec<u8>>, usize)> {
        if !octets.starts_with(CENTRAL) {
            return None;
        }
        let length = |at| u16_at(octets, at).map(usize::from);
        let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
        let all = 46 + name + extra + comment;
        let extra = octets.get(46 + name..46 + name + extra)?;
        octets.get(..all)?;
        let name = octets[46..46 + name].to_vec();
        let other = field(extra, 0x7075).and_then(|field| field.get(5..)).map(<[u8]>::to_vec);
        let other = other.filter(|other| *other != name);
        let mut entry = Self {
            name,
            encrypted: u16_at(octets, 8)? & 1 != 0,
            packed: u64::from(u32_at(octets, 20)?),
            unpacked: u64::from(u32_at(octets, 24)?),
            offset: u64::from(u32_at(octets, 42)?),
        };
        entry.enlarge(field(extra, 1).unwrap_or_default());
        Some((entry, other, all))
    }

    /// ZIP64: those that did not fit, in this order.
    fn enlarge(&mut self, field: &[u8]) {
        let mut at = 0;
        for value in [&mut self.unpacked, &mut self.packed, &mut self.offset] {
            if *value == 0xffff_ffff
                && let Some(large) = u64_at(field, at)
            {
                *value = large;
                at += 8;
            }
        }
    }
}

/// An extra field by its number.
fn field(mut extra: &[u8], number: u16) -> Option<&[u8]> {
    loop {
        let (id, length) = (u16_at(extra, 0)?, usize::from(u16_at(extra, 2)?));
        let content = extra.get(4..4 + length)?;
        if id == number {
            return Some(content);
        }
        extra = &extra[4 + length..];
    }
}

/// Bombs are known by what they say of themselves.
fn judge(listing: &mut Listing, entries: &[Entry], size: u64) {
    let unpacked = entries.iter().fold(0u64, |sum, entry| sum.saturating_add(entry.unpacked));
    let ratio = unpacked / size.max(1);
    listing.bomb |= unpacked >= BOMB_SIZE && ratio >= BOMB_RATIO;
    let mut places: Vec<_> = entries
        .iter()
        .map(|entry| (entry.offset, entry.offset.saturating_add(30).saturating_add(entry.packed)))
        .collect();
    places.sort_unstable();
    listing.bomb |= places.windows(2).any(|pair| pair[1].0 < pair[0].1);
}

/// The local header of the first entries, front to back: it has to say the same.
fn check_fronts(
    source: &mut Source<'_>,
    listing: &mut Listing,
    mut entries: Vec<Entry>,
    base: u64,
) {
    entries.sort_unstable_by_key(|entry| entry.offset);
    for entry in entries.iter().take(FRONTS) {
        let length = u32::try_from(30 + entry.name.len().max(FRONT_NAME)).unwrap_or(30);
        let front = source.read(base.saturating_add(entry.offset), length);
        let told = u16_at(&front, 26).map(usize::from);
        let name = front.get(30..).unwrap_or_default();
        let name = &name[..name.len().min(told.unwrap_or_default())];
        if front.len() < 30 || !front.starts_with(LOCAL) {
            listing.ambiguous = true;
        } else if told != Some(entry.name.len()) || name != entry.name {
            listing.ambiguous = true;
            listing.names.push(text(name));
        }
        let encrypted = u16_at(&front, 6).is_some_and(|flags| flags & 1 != 0);
        listing.ambiguous |= front.len() >= 30 && encrypted != entry.encrypted;
        listing.encrypted |= encrypted;
    }
}

/// From local header to local header, as far as they can be followed.
fn walk(source: &mut Source<'_>, listing: &mut Listing, mut at: u64, end: u64, most: usize) {
    for _ in 0..WALKED {
        let front = source.read(at, 30 + 512);
        let Some(name) = u16_at(&front, 28)
            .and_then(|_| u16_at(&front, 26))
            .map(usize::from)
            .filter(|_| front.starts_with(LOCAL))
        else {
            return;
        };
        let rest = &front[30..];
        if !listing.push(text(&rest[..name.min(rest.len())]), most) {
            return;
        }
        let flags = u16_at(&front, 6).unwrap_or_default();
        listing.encrypted |= flags & 1 != 0;
        let extra = u64::from(u16_at(&front, 28).unwrap_or_default());
        let packed = u64::from(u32_at(&front, 18).unwrap_or_default());
        let content = at + 30 + name as u64 + extra;
        // A size that follows the content is not known here: the gateway looks for what comes next.
        let next = if flags & 8 != 0 && packed == 0 {
            source.find(LOCAL, content, end.saturating_sub(content))
        } else {
            Some(content.saturating_add(packed))
        };
        match next {
            Some(next) if next < end => at = next,
            _ => return,
        }
    }
    listing.partial = true;
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";

/// Most archives have no comment.
const SHORT_TAIL: u32 = 1024;
/// The longest comment, and the record.
const LONG_TAIL: u32 = 65_535 + 22;
/// More than the longest entry of the directory (three times 64 KiB) may have.
const CHUNK: u32 = 200 * 1024;
const FRONTS: usize = 100;
/// Room for a longer name there than the directory has.
const FRONT_NAME: usize = 256;
const WALKED: usize = 200;
const BOMB_SIZE: u64 = 256 * 1024 * 1024;
/// Deflate cannot do better than 1,032; logs and empty tables come to 50 or so.
const BOMB_RATIO: u64 = 200;
