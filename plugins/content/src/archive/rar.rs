//! RAR 4 and 5: a chain of blocks, each with the length of what follows it.

use super::{Listing, text};
use crate::source::{Source, u16_at, u32_at};

pub(super) fn list(source: &mut Source<'_>, listing: &mut Listing, most: usize) {
    let mark = source.read(0, 8);
    if mark.starts_with(b"Rar!\x1a\x07\x01\0") {
        five(source, listing, most);
    } else {
        four(source, listing, most);
    }
}

fn four(source: &mut Source<'_>, listing: &mut Listing, most: usize) {
    let mut at = 7;
    while at < source.size() {
        let block = source.read(at, BLOCK);
        let (Some(flags), Some(size)) = (u16_at(&block, 3), u16_at(&block, 5)) else {
            listing.partial |= block.len() < 7;
            return;
        };
        let kind = block[2];
        let mut added = 0;
        if flags & 0x8000 != 0 || kind == FILE4 {
            added = u64::from(u32_at(&block, 7).unwrap_or_default());
        }
        match kind {
            MAIN4 if flags & 0x80 != 0 => {
                (listing.encrypted, listing.partial) = (true, true);
                return;
            }
            FILE4 => {
                listing.encrypted |= flags & 4 != 0;
                if flags & 0x100 != 0 {
                    added += u64::from(u32_at(&block, 32).unwrap_or_default()) << 32;
                }
                if !listing.push(name4(&block, flags), most) {
                    return;
                }
            }
            END4 => return,
            _ => {}
        }
        if size < 7 {
            listing.partial = true;
            return;
        }
        let Some(next) = at.checked_add(u64::from(size)).and_then(|at| at.checked_add(added))
        else {
            return;
        };
        at = next;
    }
}

/// What stands before a NUL is for old readers, and has the extension.
fn name4(block: &[u8], flags: u16) -> String {
    let length = u16_at(block, 26).map_or(0, usize::from);
    let start = if flags & 0x100 != 0 { 40 } else { 32 };
    let name = block.get(start..).unwrap_or_default();
    let name = &name[..name.len().min(length)];
    text(name.split(|byte| *byte == 0).next().unwrap_or_default())
}

fn five(source: &mut Source<'_>, listing: &mut Listing, most: usize) {
    let mut at = 8;
    while at < source.size() {
        let octets = source.read(at, BLOCK);
        let mut block = Fields { octets: &octets, at: 4 };
        let Some(size) = block.number() else {
            listing.partial = true;
            return;
        };
        let start = block.at as u64;
        let Some((kind, flags)) = block.number().zip(block.number()) else { return };
        let extra = if flags & 1 != 0 { block.number().unwrap_or_default() } else { 0 };
        let added = if flags & 2 != 0 { block.number().unwrap_or_default() } else { 0 };
        match kind {
            FILE5 => {
                let whole = usize::try_from(start.saturating_add(size)).unwrap_or(usize::MAX);
                listing.encrypted |= is_encrypted(&octets, whole, extra);
                let Some(name) = name5(&mut block) else {
                    listing.partial = true;
                    return;
                };
                if !listing.push(name, most) {
                    return;
                }
            }
            ENCRYPTION5 => {
                (listing.encrypted, listing.partial) = (true, true);
                return;
            }
            END5 => return,
            _ => {}
        }
        let Some(next) = at.checked_add(start).and_then(|at| at.checked_add(size)) else { return };
        let Some(next) = next.checked_add(added) else { return };
        at = next;
    }
}

fn name5(block: &mut Fields<'_>) -> Option<String> {
    let flags = block.number()?;
    let (_unpacked, _attributes) = (block.number()?, block.number()?);
    block.at += if flags & 2 != 0 { 4 } else { 0 };
    block.at += if flags & 4 != 0 { 4 } else { 0 };
    let (_method, _system) = (block.number()?, block.number()?);
    let length = usize::try_from(block.number()?).ok()?;
    let name = block.octets.get(block.at..)?;
    Some(text(&name[..name.len().min(length)]))
}

/// The extra area at the end of a header holds records; number 1 is encryption.
fn is_encrypted(octets: &[u8], whole: usize, extra: u64) -> bool {
    let extra = usize::try_from(extra).unwrap_or(usize::MAX);
    let Some(start) = whole.checked_sub(extra) else { return false };
    let mut area = Fields { octets: &octets[..whole.min(octets.len())], at: start };
    while let Some(size) = area.number() {
        let Ok(size) = usize::try_from(size) else { return false };
        let next = area.at.saturating_add(size);
        if size == 0 {
            return false;
        }
        if area.number() == Some(1) {
            return true;
        }
        area.at = next;
    }
    false
}

/// Numbers of seven bits an octet, the lowest first.
struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Fields<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for place in 0..10 {
            let octet = *self.octets.get(self.at)?;
            self.at += 1;
            value |= u64::from(octet & 0x7f).checked_shl(7 * place)?;
            if octet & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

/// Enough for a header with a long name.
const BLOCK: u32 = 2048;
const MAIN4: u8 = 0x73;
const FILE4: u8 = 0x74;
const END4: u8 = 0x7b;
const FILE5: u64 = 2;
const ENCRYPTION5: u64 = 4;
const END5: u64 = 5;
