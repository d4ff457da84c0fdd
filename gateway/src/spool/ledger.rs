//! What waits, and how much more may.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{Entry, Id, SpoolError};
use crate::config;
use crate::metrics::{SpoolBound, SpoolMetrics, SpoolUse};

/// The names of all messages that wait, and the bounds of what they take together.
#[derive(Debug)]
pub(super) struct Ledger {
    directory: PathBuf,
    metrics: Arc<SpoolMetrics>,
    books: Mutex<Books>,
}

#[derive(Debug)]
struct Books {
    bounds: Bounds,
    waiting: BTreeMap<Id, Line>,
    /// Of the files of those that wait, and of those that are being written.
    octets: u64,
    being_written: u64,
    free: u64,
    looked: Option<Instant>,
}

/// How much may wait. A reload brings others, for what comes then.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    octets: u64,
    messages: u64,
    free: u64,
}

impl Bounds {
    fn of(config: &config::Spool) -> Self {
        Self { octets: config.octets, messages: config.messages, free: config.free_octets }
    }
}

#[derive(Clone, Copy, Debug)]
struct Line {
    octets: u64,
    accepted: Timestamp,
}

impl Ledger {
    pub(super) fn new(config: &config::Spool, metrics: Arc<SpoolMetrics>) -> Self {
        let books = Books {
            bounds: Bounds::of(config),
            waiting: BTreeMap::new(),
            octets: 0,
            being_written: 0,
            free: 0,
            looked: None,
        };
        Self { directory: config.directory.clone(), metrics, books: Mutex::new(books) }
    }

    /// Sets other bounds. What waits stays, also where that is too much now.
    pub(super) fn bind(&self, config: &config::Spool) {
        self.books().bounds = Bounds::of(config);
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Sums that a panic left behind are still sums.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bound that a message of so many octets would exceed.
    pub(super) fn bound(&self, octets: u64) -> Option<SpoolBound> {
        self.exceeded(&mut self.books(), octets, false)
    }

    /// A report about a message that waits takes that one's place as soon as it is written: were there no
    /// room for it, a full spool would stay full. Only the disk bounds it.
    fn exceeded(&self, books: &mut Books, octets: u64, report: bool) -> Option<SpoolBound> {
        let messages = books.waiting.len() as u64 + books.being_written;
        if !report && messages >= books.bounds.messages {
            return Some(SpoolBound::Messages);
        }
        if !report && books.octets.saturating_add(octets) > books.bounds.octets {
            return Some(SpoolBound::Size);
        }
        books.look(&self.directory);
        let left = books.free.checked_sub(octets);
        left.is_none_or(|left| left < books.bounds.free).then_some(SpoolBound::Free)
    }

    /// Room for a message of about so many octets, until it waits or this is dropped.
    pub(super) fn reserve(
        &self,
        id: &Id,
        octets: u64,
        report: bool,
    ) -> Result<Reserved<'_>, SpoolError> {
        let mut books = self.books();
        if books.waiting.contains_key(id) {
            return Err(SpoolError::Taken(id.clone()));
        }
        if let Some(bound) = self.exceeded(&mut books, octets, report) {
            self.metrics.refused(bound);
            return Err(SpoolError::Full(bound.label()));
        }
        books.being_written += 1;
        books.octets += octets;
        books.free = books.free.saturating_sub(octets);
        Ok(Reserved { ledger: self, octets })
    }

    /// A message was found.
    pub(super) fn found(&self, entry: &Entry, octets: u64) {
        self.books().enter(entry, octets);
    }

    /// Whether a message waits.
    pub(super) fn knows(&self, id: &Id) -> bool {
        self.books().waiting.contains_key(id)
    }

    /// A message waits no longer.
    pub(super) fn strike(&self, id: &Id) {
        let mut books = self.books();
        if let Some(line) = books.waiting.remove(id) {
            books.octets = books.octets.saturating_sub(line.octets);
            books.free = books.free.saturating_add(line.octets);
        }
    }

    pub(super) fn uses(&self) -> SpoolUse {
        let mut books = self.books();
        books.look(&self.directory);
        let oldest = books.waiting.first_key_value();
        SpoolUse {
            messages: books.waiting.len() as u64,
            octets: books.octets,
            oldest: oldest.map_or(0, |(_, line)| line.accepted.as_second()),
            free: books.free,
        }
    }
}

impl Books {
    fn enter(&mut self, entry: &Entry, octets: u64) {
        let line = Line { octets, accepted: entry.accepted };
        self.octets += octets;
        if let Some(earlier) = self.waiting.insert(entry.id.clone(), line) {
            self.octets = self.octets.saturating_sub(earlier.octets);
        }
    }

    /// Asks how much is free, but not for each message. If nobody can say, what was known stands.
    fn look(&mut self, directory: &Path) {
        let fresh = |at: Instant| at.elapsed() < LOOK_PAUSE;
        if self.looked.is_some_and(fresh) {
            return;
        }
        match rustix::fs::statvfs(directory) {
            Ok(disk) => self.free = disk.f_bavail.saturating_mul(disk.f_frsize),
            Err(cause) => tracing::warn!(%cause, "nobody can say how full the spool's disk is"),
        }
        self.looked = Some(Instant::now());
    }
}

/// Room for one message that is being written.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    ledger: &'a Ledger,
    octets: u64,
}

impl Reserved<'_> {
    /// The message waits now, in a file of so many octets.
    pub(super) fn fill(mut self, entry: &Entry, octets: u64) {
        let mut books = self.ledger.books();
        books.octets = books.octets.saturating_sub(self.octets);
        books.enter(entry, octets);
        self.octets = 0;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        books.being_written = books.being_written.saturating_sub(1);
        books.octets = books.octets.saturating_sub(self.octets);
        books.free = books.free.saturating_add(self.octets);
    }
}

/// Long enough to cost nothing, short enough to see others fill the disk.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
