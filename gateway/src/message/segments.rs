//! Octets in memory as they came: in several pieces, so that none is moved when more come.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Octets in several pieces.
#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) list: Vec<Segment>,
    pub(super) octets: u64,
}

#[derive(Debug)]
pub(super) struct Segment {
    /// Where it begins among all octets.
    at: u64,
    pub(super) octets: Vec<u8>,
}

impl Segments {
    /// Appends; small pieces are gathered, large ones stay as they are.
    pub(super) fn push(&mut self, octets: Vec<u8>) {
        let at = self.octets;
        self.octets += octets.len() as u64;
        match self.list.last_mut() {
            Some(last) if last.octets.len() + octets.len() <= last.room() => {
                last.octets.extend_from_slice(&octets);
            }
            _ if octets.is_empty() => {}
            _ => self.list.push(Segment { at, octets }),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(|segment| &segment.octets[..])
    }

    /// Reads at an offset as much as there is; how much that was.
    pub(super) fn read_at(&self, offset: u64, into: &mut [u8]) -> usize {
        let first = self.list.partition_point(|segment| segment.at <= offset).saturating_sub(1);
        let mut filled = 0;
        for segment in self.list.iter().skip(first) {
            let from = (offset + filled as u64).saturating_sub(segment.at);
            let from = usize::try_from(from).unwrap_or(usize::MAX).min(segment.octets.len());
            let count = (into.len() - filled).min(segment.octets.len() - from);
            into[filled..filled + count].copy_from_slice(&segment.octets[from..from + count]);
            filled += count;
        }
        filled
    }

    /// Writes all of it into a file, from this offset on.
    pub(super) fn write_at(&self, file: &File, mut at: u64) -> io::Result<()> {
        for segment in self.iter() {
            file.write_all_at(segment, at)?;
            at += segment.len() as u64;
        }
        Ok(())
    }
}

impl Segment {
    fn room(&self) -> usize {
        self.octets.capacity().max(GATHERED_OCTETS)
    }
}

impl From<Vec<u8>> for Segments {
    fn from(octets: Vec<u8>) -> Self {
        let mut segments = Self::default();
        segments.push(octets);
        segments
    }
}

/// Up to here small pieces are gathered: growing costs less than pieces do.
const GATHERED_OCTETS: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_came_it_is_read_as_one() {
        let whole: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        for size in [1000, 20_000, 40_000, 70_001, 200_000] {
            let mut segments = Segments::default();
            for piece in whole.chunks(size) {
                segments.push(piece.to_vec());
                segments.push(Vec::new());
            }
            assert_eq!(segments.octets, 200_000);
            assert_eq!(segments.iter().collect::<Vec<_>>().concat(), whole);
            for (offset, room) in
                [(0, 200_001), (1, 5), (39_999, 2), (40_000, 90_000), (199_999, 9)]
            {
                let mut into = vec![0; room];
                let count = segments.read_at(offset, &mut into);
                let end = (offset as usize + room).min(whole.len());
                assert_eq!(into[..count], whole[offset as usize..end], "{size} {offset}");
            }
            assert_eq!(segments.read_at(200_000, &mut [0; 8]), 0);
            assert_eq!(segments.read_at(u64::MAX, &mut [0; 8]), 0);
        }
        assert_eq!(Segments::default().read_at(0, &mut [0; 8]), 0);
    }
}
