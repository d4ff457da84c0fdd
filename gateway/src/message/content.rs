//! The body of a message: in memory up to a threshold, then in an unlinked file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use super::budget::{Budget, Lease, Place};
use super::segments::Segments;
use super::splice::{Pieces, Splice};

/// Octets that do not change any more; cheap to clone.
#[derive(Clone, Debug)]
pub struct Content {
    store: Arc<Store>,
}

#[derive(Debug)]
enum Store {
    /// The file has no name any more: it is gone when the last holder is.
    File {
        file: Arc<File>,
        octets: u64,
        _lease: Lease,
    },
    /// A part of a file that is kept anyway.
    Kept {
        file: File,
        from: u64,
        octets: u64,
    },
    Memory {
        segments: Segments,
        _lease: Option<Lease>,
    },
    Pieces(Pieces),
}

impl Content {
    /// Content that lies in memory and counts against no budget.
    #[must_use]
    pub fn from_bytes(octets: Vec<u8>) -> Self {
        Self { store: Arc::new(Store::Memory { segments: octets.into(), _lease: None }) }
    }

    /// A part of a file that somebody keeps and nobody changes; it counts against no budget.
    #[must_use]
    pub fn in_file(file: File, range: Range<u64>) -> Self {
        let (from, octets) = (range.start, range.end.saturating_sub(range.start));
        Self { store: Arc::new(Store::Kept { file, from, octets }) }
    }

    /// How many octets there are.
    #[must_use]
    pub fn octets(&self) -> u64 {
        match &*self.store {
            Store::File { octets, .. } | Store::Kept { octets, .. } => *octets,
            Store::Memory { segments, .. } => segments.octets,
            Store::Pieces(pieces) => pieces.octets(),
        }
    }

    /// The same with some pieces replaced, none of which overlap or lie beyond its end. What stays
    /// is not copied.
    #[must_use]
    pub fn spliced(&self, splices: &[&Splice]) -> Self {
        Self { store: Arc::new(Store::Pieces(Pieces::spliced(self, splices))) }
    }

    /// A part of it, which lies within it. Nothing is copied.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Self {
        if range == (0..self.octets()) {
            return self.clone();
        }
        Self { store: Arc::new(Store::Pieces(Pieces::slice(self, range))) }
    }

    pub(super) fn pieces(&self) -> Option<&Pieces> {
        match &*self.store {
            Store::File { .. } | Store::Kept { .. } | Store::Memory { .. } => None,
            Store::Pieces(pieces) => Some(pieces),
        }
    }

    /// All of it in order, if it lies in memory.
    #[must_use]
    pub fn segments(&self) -> Option<impl Iterator<Item = &[u8]>> {
        match &*self.store {
            Store::File { .. } | Store::Kept { .. } | Store::Pieces(_) => None,
            Store::Memory { segments, .. } => Some(segments.iter()),
        }
    }

    /// Reads at an offset; fewer octets than asked for, or none, at the end.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        match &*self.store {
            Store::File { file, .. } => file.read_at(into, offset),
            Store::Kept { file, from, octets } => {
                let left = octets.saturating_sub(offset);
                let count = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                file.read_at(&mut into[..count], from.saturating_add(offset))
            }
            Store::Memory { segments, .. } => Ok(segments.read_at(offset, into)),
            Store::Pieces(pieces) => pieces.read_at(offset, into),
        }
    }
}

#[cfg(test)]
impl Content {
    /// All of it, if it lies in memory in one piece.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &*self.store {
            Store::File { .. } | Store::Kept { .. } | Store::Pieces(_) => None,
            Store::Memory { segments, .. } => match &segments.list[..] {
                [] => Some(&[]),
                [only] => Some(&only.octets),
                _ => None,
            },
        }
    }

    /// Takes octets away from under it, as a broken disk would.
    pub fn cut_short(&self, octets: u64) {
        if let Store::File { file, .. } = &*self.store {
            file.set_len(octets).expect("the file can be cut");
        }
    }
}

/// Takes the content of one message: into memory first, and once that has outgrown its share, in
/// large blocks into a file. Small ones would cost more in waking threads than in writing.
#[derive(Debug)]
pub struct ContentWriter {
    /// What is in no file yet.
    memory: Segments,
    memory_lease: Lease,
    file: Option<Spill>,
    budget: Arc<Budget>,
    patience: Duration,
}

/// The file of a message that has outgrown memory.
#[derive(Debug)]
struct Spill {
    file: Arc<File>,
    octets: u64,
    lease: Lease,
}

impl ContentWriter {
    /// An empty one.
    #[must_use]
    pub fn new(budget: Arc<Budget>) -> Self {
        let memory_lease = Lease::new(budget.clone(), Place::Memory);
        Self {
            memory: Segments::default(),
            memory_lease,
            file: None,
            budget,
            patience: Duration::ZERO,
        }
    }

    /// An empty one that waits for room. Who fills it is not read from meanwhile.
    #[must_use]
    pub fn patient(budget: Arc<Budget>) -> Self {
        let patience = budget.patience();
        Self { patience, ..Self::new(budget) }
    }

    /// Octets written so far.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.file.as_ref().map_or(0, |spill| spill.octets) + self.memory.octets
    }

    /// Appends.
    ///
    /// # Errors
    ///
    /// If the budget is spent or the file cannot be written. The message is then to be deferred.
    pub async fn write(&mut self, chunk: Vec<u8>) -> Result<(), ContentError> {
        let length = chunk.len() as u64;
        let share = self.budget.share(self.memory.octets);
        let share = if self.file.is_some() { share.min(BLOCK_OCTETS) } else { share };
        if self.memory.octets + length > share || !self.memory_lease.grow(length) {
            self.spill().await?;
            if !self.memory_lease.grow(length) {
                return self.append(Segments::from(chunk)).await;
            }
        }
        self.memory.push(chunk);
        Ok(())
    }

    /// What was written, from now on unchangeable.
    ///
    /// # Errors
    ///
    /// As [`ContentWriter::write`].
    pub async fn finish(mut self) -> Result<Content, ContentError> {
        if self.file.is_some() {
            self.spill().await?;
        }
        let store = match self.file {
            Some(Spill { file, octets, lease }) => Store::File { file, octets, _lease: lease },
            None => Store::Memory { segments: self.memory, _lease: Some(self.memory_lease) },
        };
        Ok(Content { store: Arc::new(store) })
    }

    /// Moves to the file what lies in memory; makes the file, if there is none yet.
    async fn spill(&mut self) -> Result<(), ContentError> {
        if self.file.is_none() {
            let directory = self.budget.directory().to_owned();
            let file = Arc::new(blocking(move || tempfile::tempfile_in(directory)).await?);
            let lease = Lease::new(self.budget.clone(), Place::Disk);
            self.file = Some(Spill { file, octets: 0, lease });
        }
        let segments = std::mem::take(&mut self.memory);
        self.append(segments).await?;
        let _ = self.memory_lease.resize(0);
        Ok(())
    }

    /// Writes behind what is in the file.
    async fn append(&mut self, segments: Segments) -> Result<(), ContentError> {
        let Some(Spill { file, octets, lease }) = &mut self.file else { return Ok(()) };
        let length = segments.octets;
        if length == 0 {
            return Ok(());
        }
        if !lease.grow_within(length, self.patience).await {
            return Err(ContentError::BudgetSpent);
        }
        let (handle, at) = (file.clone(), *octets);
        blocking(move || segments.write_at(&handle, at)).await?;
        *octets += length;
        Ok(())
    }
}

/// Why content could not be kept. The client is to try again later.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// All messages together are too large.
    #[error("no room for more message content")]
    BudgetSpent,
    /// The file.
    #[error("message content cannot be written or read")]
    Io(#[from] io::Error),
}

/// How much of a message is written to its file at once.
const BLOCK_OCTETS: u64 = 128 << 10;

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::BudgetBounds;

    fn budget(memory: u64, disk: u64, message: u64) -> Arc<Budget> {
        Budget::new(memory, disk, message, std::env::temp_dir())
    }

    #[tokio::test]
    async fn what_outgrows_its_share_of_memory_goes_to_a_file_unchanged() {
        let budget = budget(100, 100, 6);
        let mut writer = ContentWriter::new(budget.clone());
        for chunk in ["abc", "def", "ghi"] {
            writer.write(chunk.into()).await.expect("within the budget");
        }
        assert_eq!(budget.used(), (3, 6), "the last of it waits for more");
        let content = writer.finish().await.expect("writable");
        assert_eq!(budget.used(), (0, 9));
        let mut all = [0; 16];
        assert_eq!(content.read_at(0, &mut all).expect("readable"), 9);
        assert_eq!(&all[..9], b"abcdefghi");
        assert_eq!(content.read_at(7, &mut all).expect("readable"), 2);
        drop(content);
        assert_eq!(budget.used(), (0, 0));
    }

    #[tokio::test]
    async fn the_fuller_memory_is_the_less_of_it_one_message_gets() {
        let budget = budget(100, 100, 60);
        let mut large = ContentWriter::new(budget.clone());
        large.write(vec![0; 50]).await.expect("room");
        assert_eq!(budget.used(), (50, 0), "half of all that is left");
        let mut second = ContentWriter::new(budget.clone());
        second.write(vec![0; 25]).await.expect("room");
        assert_eq!(budget.used(), (75, 0), "half of what the first left");
        second.write(vec![0; 1]).await.expect("room");
        assert_eq!(second.octets(), 26);
        assert_eq!(budget.used().1, 25, "more than its half goes to the disk");
    }

    #[test]
    fn header_sections_find_some_room_where_bodies_have_taken_all() {
        let budget = budget(100, 0, 100);
        let mut body = Lease::new(budget.clone(), Place::Memory);
        assert!(body.grow(100) && !body.grow(1));
        let mut header = budget.header_lease();
        assert!(header.resize(25) && !header.resize(26));
        assert!(header.resize(5));
        assert_eq!(budget.used(), (105, 0));
        drop((body, header));
        assert_eq!(budget.used(), (0, 0));
    }

    #[tokio::test]
    async fn a_spent_budget_is_an_error_and_is_given_back() {
        let budget = budget(4, 4, 100);
        let mut first = ContentWriter::new(budget.clone());
        first.write(b"1234".to_vec()).await.expect("fits memory");
        let mut second = ContentWriter::new(budget.clone());
        second.write(b"1234".to_vec()).await.expect("fits disk");
        let refused = second.write(b"5".to_vec()).await;
        assert!(matches!(refused, Err(ContentError::BudgetSpent)));
        drop((first, second));
        assert_eq!(budget.used(), (0, 0));
    }

    #[tokio::test]
    async fn room_is_waited_for_and_not_for_ever() {
        let directory = std::env::temp_dir();
        let patience = Duration::from_millis(200);
        let bounds = BudgetBounds { memory: 0, disk: 4, message: 0, patience };
        let budget = Budget::within(bounds, directory);
        let mut first = ContentWriter::patient(budget.clone());
        first.write(b"1234".to_vec()).await.expect("fits");
        let mut second = ContentWriter::patient(budget.clone());
        let freed = async {
            tokio::task::yield_now().await;
            drop(first);
        };
        let (written, ()) = tokio::join!(second.write(b"12".to_vec()), freed);
        written.expect("the first gave back what it had");
        let mut third = ContentWriter::patient(budget.clone());
        let refused = third.write(b"123".to_vec()).await;
        assert!(matches!(refused, Err(ContentError::BudgetSpent)));
        drop((second, third));
        assert_eq!(budget.used(), (0, 0));
    }

    #[test]
    fn other_bounds_are_for_what_is_written_then() {
        let (budget, patience) = (budget(100, 0, 100), Duration::ZERO);
        let mut lease = Lease::new(budget.clone(), Place::Memory);
        assert!(lease.grow(80));
        budget.bound(BudgetBounds { memory: 50, disk: 10, message: 50, patience });
        assert!(!lease.grow(1) && budget.used() == (80, 0));
        assert!(!budget.has_room(11) && budget.has_room(10));
        assert!(lease.resize(40) && lease.grow(10) && !lease.grow(1));
        budget.bound(BudgetBounds { memory: 200, disk: 0, message: 50, patience });
        assert!(lease.grow(150));
    }

    #[test]
    fn another_message_is_welcome_as_long_as_there_is_room_for_it() {
        let budget = budget(100, 1000, 50);
        assert!(budget.has_room(1000) && !budget.has_room(1001));
        let mut disk = Lease::new(budget.clone(), Place::Disk);
        assert!(disk.grow(890));
        assert!(budget.has_room(110) && !budget.has_room(111));
        assert!(disk.grow(10));
        assert!(!budget.has_room(51), "the disk is nearly full");
        assert!(budget.has_room(50), "memory is not");
        let mut memory = Lease::new(budget.clone(), Place::Memory);
        assert!(memory.grow(60));
        assert!(budget.has_room(40) && !budget.has_room(41));
        assert!(memory.grow(30) && !budget.has_room(0));
    }
}
