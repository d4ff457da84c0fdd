//! tar: a header of 512 octets before each entry (POSIX ustar, GNU and pax).

use super::{Listing, text};
use crate::source::Source;

pub(super) fn list(source: &mut Source<'_>, listing: &mut Listing, most: usize) {
    let mut at = 0;
    let mut long: Option<String> = None;
    while at + BLOCK <= source.size() {
        let header = source.read(at, BLOCK as u32);
        if header.len() < BLOCK as usize {
            listing.partial = true;
            return;
        }
        // Two blocks of zeros are the end; what has no right sum is no header.
        let Some(size) = size(&header).filter(|_| sum_is_right(&header)) else { return };
        let content = at + BLOCK;
        match header[156] {
            b'L' => long = Some(text(&until_nul(&source.read(content, LONG)))),
            b'x' => long = pax_path(&source.read(content, capped(size))).or(long),
            b'g' | b'K' => {}
            _ => {
                let name = long.take().unwrap_or_else(|| short_name(&header));
                if !listing.push(name, most) {
                    return;
                }
            }
        }
        let blocks = size.div_ceil(BLOCK);
        match content.checked_add(blocks.saturating_mul(BLOCK)) {
            Some(next) => at = next,
            None => return,
        }
    }
}

fn short_name(header: &[u8]) -> String {
    let (name, prefix) = (until_nul(&header[..100]), until_nul(&header[345..500]));
    if prefix.is_empty() || &header[257..262] != b"ustar" {
        return text(&name);
    }
    text(&[&prefix, b"/".as_slice(), &name].concat())
}

/// Records are `LENGTH path=NAME\n`.
fn pax_path(records: &[u8]) -> Option<String> {
    let mut lines = records.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let space = line.iter().position(|byte| *byte == b' ')?;
        line[space + 1..].strip_prefix(b"path=").map(text)
    })
}

/// Octal, or binary where that is too small.
fn size(header: &[u8]) -> Option<u64> {
    let field = &header[124..136];
    if field[0] & 0x80 != 0 {
        return Some(u64::from_be_bytes(field[4..].try_into().ok()?));
    }
    octal(field)
}

fn sum_is_right(header: &[u8]) -> bool {
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    let field: u64 = header[148..156].iter().map(|byte| u64::from(*byte)).sum();
    octal(&header[148..156]) == Some(sum - field + 8 * 32)
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = until_nul(field);
    let digits = str::from_utf8(&digits).ok()?.trim();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

fn until_nul(field: &[u8]) -> Vec<u8> {
    field.iter().copied().take_while(|byte| *byte != 0).collect()
}

fn capped(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(LONG).min(LONG)
}

const BLOCK: u64 = 512;
/// Of a long name, and of the records of pax.
const LONG: u32 = 4096;
