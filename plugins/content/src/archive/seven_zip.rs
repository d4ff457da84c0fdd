//! 7z: a header at the end, which most writers compress; that alone is decompressed, within bounds.

use super::Listing;
use crate::source::{Source, u64_at};

pub(super) fn list(source: &mut Source<'_>, listing: &mut Listing, most: usize) {
    listing.partial =
        header(source, listing).and_then(|header| names(&header, listing, most)).is_none();
}

/// The header as it is once nothing encodes it any more.
fn header(source: &mut Source<'_>, listing: &mut Listing) -> Option<Vec<u8>> {
    let start = source.read(0, 32);
    let (at, size) = (u64_at(&start, 12)?, u64_at(&start, 20)?);
    let mut header = read(source, at.checked_add(32)?, size)?;
    for _ in 0..ENCODINGS {
        if header.first() != Some(&ENCODED) {
            break;
        }
        let streams = Fields::new(&header, 1).streams()?;
        listing.encrypted |= streams.encrypted;
        let (coder, unpacked) = streams.coder?;
        let packed = read(source, streams.at.checked_add(32)?, *streams.packed.first()?)?;
        header = decompressed(coder, unpacked, &packed)?;
    }
    (header.first() == Some(&HEADER)).then_some(header)
}

fn read(source: &mut Source<'_>, at: u64, size: u64) -> Option<Vec<u8>> {
    let size = u32::try_from(size).ok().filter(|size| *size <= LARGEST)?;
    let octets = source.read(at, size);
    (octets.len() == size as usize).then_some(octets)
}

/// LZMA wants the header that files of their own have.
fn decompressed(coder: Coder, unpacked: u64, packed: &[u8]) -> Option<Vec<u8>> {
    let room = usize::try_from(unpacked).ok().filter(|size| *size <= LARGEST as usize)?;
    let (properties, packed) = match coder {
        Coder::Lzma(properties) => (properties, packed),
        Coder::Lzma2 if packed.first() == Some(&STORED) => return stored(packed, room),
        Coder::Lzma2 => only_chunk(packed, unpacked)?,
    };
    let stream = [properties.as_slice(), &unpacked.to_le_bytes(), packed].concat();
    let options = lzma_rs::decompress::Options {
        memlimit: Some(LARGEST as usize),
        ..lzma_rs::decompress::Options::default()
    };
    let mut out = Vec::new();
    let mut capped = Capped { out: &mut out, room };
    lzma_rs::lzma_decompress_with_options(&mut stream.as_slice(), &mut capped, &options).ok()?;
    Some(out)
}

/// The content of a chunk of LZMA2 that is not compressed.
fn stored(packed: &[u8], room: usize) -> Option<Vec<u8>> {
    let size = u16::from_be_bytes(packed.get(1..3)?.try_into().ok()?);
    let content = packed.get(3..4 + usize::from(size))?;
    (content.len() == room).then(|| content.to_vec())
}

/// The one chunk of LZMA2 as a stream of LZMA. More of them, which only lists of thousands of names
/// have, are not followed: the decoder of the crate keeps all that comes out of them, and has no bound.
fn only_chunk(packed: &[u8], unpacked: u64) -> Option<([u8; 5], &[u8])> {
    let (head, rest) = packed.split_first_chunk::<6>()?;
    let [control, size_high, size_low, length_high, length_low, properties] = *head;
    let size =
        u64::from(control & 0x1f) << 16 | u64::from(u16::from_be_bytes([size_high, size_low]));
    let length = usize::from(u16::from_be_bytes([length_high, length_low])) + 1;
    if control < ALL_RESET || size + 1 != unpacked {
        return None;
    }
    let [a, b, c, d] = LARGEST.to_le_bytes();
    Some(([properties, a, b, c, d], rest.get(..length)?))
}

/// What a header may be compressed by.
#[derive(Clone, Copy)]
enum Coder {
    Lzma([u8; 5]),
    Lzma2,
}

/// Takes no more than was said.
struct Capped<'a> {
    out: &'a mut Vec<u8>,
    room: usize,
}

impl std::io::Write for Capped<'_> {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        self.room = self
            .room
            .checked_sub(octets.len())
            .ok_or_else(|| std::io::Error::other("too large"))?;
        self.out.extend(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Puts the names of a header into the list.
fn names(header: &[u8], listing: &mut Listing, most: usize) -> Option<()> {
    let mut fields = Fields::new(header, 1);
    loop {
        match fields.octet()? {
            STREAMS => listing.encrypted |= fields.streams()?.encrypted,
            FILES => return fields.files(listing, most),
            END => return Some(()),
            // Archive properties, which nobody writes.
            _ => return None,
        }
    }
}

/// What is said of the packed streams.
#[derive(Default)]
struct Streams {
    at: u64,
    packed: Vec<u64>,
    encrypted: bool,
    /// With the unpacked size, if it is the only one.
    coder: Option<(Coder, u64)>,
}

struct Fields<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn new(octets: &'a [u8], at: usize) -> Self {
        Self { octets, at }
    }

    fn octet(&mut self) -> Option<u8> {
        self.at += 1;
        self.octets.get(self.at - 1).copied()
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        let taken = self.octets.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// The ones at the top of the first octet tell how many follow.
    fn number(&mut self) -> Option<u64> {
        let first = self.octet()?;
        let more = first.leading_ones().min(8);
        let mut value = 0;
        for place in 0..more {
            value |= u64::from(self.octet()?) << (8 * place);
        }
        let high = if more >= 7 { 0 } else { u64::from(first & (0x7f >> more)) };
        Some(value | high.checked_shl(8 * more).unwrap_or_default())
    }

    /// A count of things of which each takes an octet at least, so that nobody can make it large.
    fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.octets.len()).then_some(count)
    }

    fn numbers(&mut self, count: usize) -> Option<Vec<u64>> {
        (0..count).map(|_| self.number()).collect()
    }

    fn streams(&mut self) -> Option<Streams> {
        let mut streams = Streams::default();
        let (mut folders, mut divided) = (Vec::new(), false);
        loop {
            match self.octet()? {
                END => return Some(streams),
                0x06 => self.packs(&mut streams)?,
                0x07 => folders = self.folders(&mut streams)?,
                // Once: whoever says it again and again would have it gone through as often.
                0x08 if !std::mem::replace(&mut divided, true) => {
                    self.substreams(folders.len())?;
                }
                _ => return None,
            }
        }
    }

    fn packs(&mut self, streams: &mut Streams) -> Option<()> {
        streams.at = self.number()?;
        let count = self.count()?;
        loop {
            match self.octet()? {
                END => return Some(()),
                0x09 => streams.packed = self.numbers(count)?,
                0x0a => self.digests(count)?,
                _ => return None,
            }
        }
    }

    /// The number of streams that come out of each folder.
    fn folders(&mut self, streams: &mut Streams) -> Option<Vec<usize>> {
        let mut folders = Vec::new();
        let mut only = None;
        loop {
            match self.octet()? {
                END => return Some(folders),
                0x0b => {
                    let count = self.count()?;
                    if self.octet()? != 0 {
                        return None;
                    }
                    for _ in 0..count {
                        let (outs, coder) = self.coders(streams)?;
                        only = coder;
                        folders.push(outs);
                    }
                }
                0x0c => {
                    let sizes = self.numbers(folders.iter().sum())?;
                    streams.coder = only.zip(sizes.first().copied());
                }
                0x0a => self.digests(folders.len())?,
                _ => return None,
            }
        }
    }

    /// How many streams come out, and the coder if there is one and it is known.
    fn coders(&mut self, streams: &mut Streams) -> Option<(usize, Option<Coder>)> {
        let (count, mut ins, mut outs, mut only) = (self.count()?, 0usize, 0usize, None);
        for _ in 0..count {
            let flags = self.octet()?;
            let id = self.take(u64::from(flags & 0x0f))?;
            let complex = flags & 0x10 != 0;
            ins += if complex { self.count()? } else { 1 };
            outs += if complex { self.count()? } else { 1 };
            let properties = if flags & 0x20 != 0 {
                let length = self.number()?;
                self.take(length)?
            } else {
                &[]
            };
            streams.encrypted |= id == AES;
            only = match id {
                LZMA if count == 1 => properties.try_into().ok().map(Coder::Lzma),
                LZMA2 if count == 1 => Some(Coder::Lzma2),
                _ => None,
            };
        }
        let bound = outs.checked_sub(1)?;
        self.numbers(2 * bound)?;
        let packed: usize = ins.checked_sub(bound)?;
        if packed > 1 {
            self.numbers(packed)?;
        }
        (outs <= self.octets.len()).then_some((outs, only))
    }

    fn substreams(&mut self, folders: usize) -> Option<()> {
        let mut counts = vec![1; folders];
        let mut sized = false;
        loop {
            match self.octet()? {
                END => return Some(()),
                0x0d => {
                    for count in &mut counts {
                        *count = self.count()?;
                    }
                }
                0x09 if !std::mem::replace(&mut sized, true) => {
                    for count in &counts {
                        self.numbers(usize::saturating_sub(*count, 1))?;
                    }
                }
                // Of streams whose digest is not known yet, which is not told apart here: what is
                // behind it is found by the end mark and what follows that.
                0x0a => return self.skip_to_files(),
                _ => return None,
            }
        }
    }

    /// Behind the digests stand two end marks and the list of files.
    fn skip_to_files(&mut self) -> Option<()> {
        let rest = self.octets.get(self.at..)?;
        let found = rest.windows(3).position(|window| window == [END, END, FILES])?;
        self.at += found + 1;
        Some(())
    }

    fn digests(&mut self, count: usize) -> Option<()> {
        let mut defined = count;
        if self.octet()? == 0 {
            let bits = self.take((count as u64).div_ceil(8))?;
            defined = bits.iter().map(|byte| byte.count_ones() as usize).sum();
        }
        self.take(4 * defined as u64).map(|_| ())
    }

    fn files(&mut self, listing: &mut Listing, most: usize) -> Option<()> {
        self.count()?;
        loop {
            let property = self.octet()?;
            if property == END {
                return Some(());
            }
            let length = self.number()?;
            let content = self.take(length)?;
            if property == NAMES {
                let (units, _) = content.get(1..)?.as_chunks::<2>();
                let units: Vec<u16> = units.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
                let mut names = units.split(|unit| *unit == 0).filter(|name| !name.is_empty());
                names.all(|name| listing.push(String::from_utf16_lossy(name), most));
                return Some(());
            }
        }
    }
}

const END: u8 = 0x00;
const HEADER: u8 = 0x01;
const STREAMS: u8 = 0x04;
const FILES: u8 = 0x05;
const NAMES: u8 = 0x11;
const ENCODED: u8 = 0x17;
const LZMA: &[u8] = &[3, 1, 1];
const LZMA2: &[u8] = &[0x21];
/// Chunks of LZMA2: one that is not compressed, and from here on one that needs none before it.
const STORED: u8 = 1;
const ALL_RESET: u8 = 0xe0;
const AES: &[u8] = &[6, 0xf1, 7, 1];
/// Of a header, packed and unpacked, in octets.
const LARGEST: u32 = 1024 * 1024;
const ENCODINGS: usize = 3;
