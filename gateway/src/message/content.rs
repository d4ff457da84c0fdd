//! The body of a message: in memory up to a threshold, then in an unlinked file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

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

/// Bounds for the content of all messages that are in the gateway at one time.
#[derive(Debug)]
pub struct Budget {
    memory: AtomicU64,
    disk: AtomicU64,
    /// Somebody gave room back.
    freed: Notify,
    /// How long room on the disk is waited for.
    patience: Duration,
    /// Octets in memory for all messages; further content goes to files.
    pub memory_octets: u64,
    /// Octets in files for all messages; further content is refused.
    pub disk_octets: u64,
    /// Octets of one message that may lie in memory.
    pub message_memory_octets: u64,
    /// Where the files are made.
    pub directory: PathBuf,
}

impl Budget {
    /// A budget with nothing spent, of which nobody waits for a share.
    #[must_use]
    pub fn new(
        memory_octets: u64,
        disk_octets: u64,
        message_memory_octets: u64,
        directory: PathBuf,
    ) -> Arc<Self> {
        let patience = Duration::ZERO;
        Self::waiting(memory_octets, disk_octets, message_memory_octets, directory, patience)
    }

    /// A budget with nothing spent; [patient](ContentWriter::patient) writers wait so long for others to
    /// give room back.
    #[must_use]
    pub fn waiting(
        memory_octets: u64,
        disk_octets: u64,
        message_memory_octets: u64,
        directory: PathBuf,
        patience: Duration,
    ) -> Arc<Self> {
        let (memory, disk) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self {
            memory,
            disk,
            freed: Notify::new(),
            patience,
            memory_octets,
            disk_octets,
            message_memory_octets,
            directory,
        })
    }

    /// Octets in memory and in files now.
    #[must_use]
    pub fn used(&self) -> (u64, u64) {
        (self.memory.load(Ordering::Relaxed), self.disk.load(Ordering::Relaxed))
    }

    /// Whether another message of at least so many octets may come. No, already before everything is
    /// spent: what is in the gateway now is still growing.
    #[must_use]
    pub fn has_room(&self, octets: u64) -> bool {
        let fits = |used: u64, bound: u64| {
            let begun = used == 0 || used < bound - bound / 10;
            begun && octets <= bound.saturating_sub(used)
        };
        let (memory, disk) = self.used();
        let small = octets <= self.message_memory_octets;
        small && fits(memory, self.memory_octets) || fits(disk, self.disk_octets)
    }

    /// What a message that has so much in memory may have there: no more than half of what the others
    /// have left, so that a few large ones do not send everybody else to the disk.
    fn share(&self, own: u64) -> u64 {
        let others = self.memory.load(Ordering::Relaxed).saturating_sub(own);
        self.message_memory_octets.min(self.memory_octets.saturating_sub(others) / 2)
    }

    fn give_back(&self, place: Place, octets: u64) {
        if octets > 0 {
            self.counter(place).0.fetch_sub(octets, Ordering::Relaxed);
            self.freed.notify_waiters();
        }
    }

    /// An empty share for header sections.
    #[must_use]
    pub fn header_lease(self: &Arc<Self>) -> Lease {
        Lease::new(self.clone(), Place::Header)
    }

    fn counter(&self, place: Place) -> (&AtomicU64, u64) {
        match place {
            Place::Disk => (&self.disk, self.disk_octets),
            // Bodies that find no room go to files. Header sections cannot, so that some room is
            // left to them.
            Place::Header => (&self.memory, self.memory_octets + self.memory_octets / 4),
            Place::Memory => (&self.memory, self.memory_octets),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Disk,
    Header,
    Memory,
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    place: Place,
    octets: u64,
}

impl Lease {
    fn new(budget: Arc<Budget>, place: Place) -> Self {
        Self { budget, place, octets: 0 }
    }

    /// Makes it this large. If there is no room, it stays as it is, and the answer is no.
    #[must_use]
    pub fn resize(&mut self, octets: u64) -> bool {
        if let Some(by) = octets.checked_sub(self.octets) {
            return self.grow(by);
        }
        self.budget.give_back(self.place, self.octets - octets);
        self.octets = octets;
        true
    }

    fn grow(&mut self, by: u64) -> bool {
        let (counter, bound) = self.budget.counter(self.place);
        let grown = counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(by).filter(|sum| *sum <= bound)
        });
        if grown.is_ok() {
            self.octets += by;
        }
        grown.is_ok()
    }

    /// Makes it larger, as soon as others have given enough back.
    async fn grow_within(&mut self, by: u64, patience: Duration) -> bool {
        if self.grow(by) {
            return true;
        }
        let budget = self.budget.clone();
        let grown = async {
            loop {
                let mut freed = std::pin::pin!(budget.freed.notified());
                // Before the next look, so that nothing is given back unseen.
                freed.as_mut().enable();
                if self.grow(by) {
                    return;
                }
                freed.await;
            }
        };
        !patience.is_zero() && timeout(patience, grown).await.is_ok()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.give_back(self.place, self.octets);
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
        let patience = budget.patience;
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
            let directory = self.budget.directory.clone();
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
        let budget = Budget::waiting(0, 4, 0, directory, Duration::from_millis(200));
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
