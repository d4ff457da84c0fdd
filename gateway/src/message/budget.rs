//! How much content of messages there may be in the gateway at one time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Bounds for the content of all messages that are in the gateway at one time.
#[derive(Debug)]
pub struct Budget {
    memory: AtomicU64,
    disk: AtomicU64,
    /// Somebody gave room back.
    freed: Notify,
    bounds: ArcSwap<BudgetBounds>,
    /// Where the files are made.
    directory: PathBuf,
}

/// How much there may be. A reload brings others, for what is written then.
#[derive(Clone, Copy, Debug)]
pub struct BudgetBounds {
    /// Octets in memory for all messages; further content goes to files.
    pub memory: u64,
    /// Octets in files for all messages; further content is refused.
    pub disk: u64,
    /// Octets of one message that may lie in memory.
    pub message: u64,
    /// How long [patient](super::ContentWriter::patient) writers wait for others to give room back.
    pub patience: Duration,
}

impl Budget {
    /// A budget with nothing spent, of which nobody waits for a share.
    #[must_use]
    pub fn new(memory: u64, disk: u64, message: u64, directory: PathBuf) -> Arc<Self> {
        Self::within(BudgetBounds { memory, disk, message, patience: Duration::ZERO }, directory)
    }

    /// A budget with nothing spent.
    #[must_use]
    pub fn within(bounds: BudgetBounds, directory: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            memory: AtomicU64::new(0),
            disk: AtomicU64::new(0),
            freed: Notify::new(),
            bounds: ArcSwap::from_pointee(bounds),
            directory,
        })
    }

    /// Sets other bounds. What is there stays; where that is too much now, nothing is added to it.
    pub fn bound(&self, bounds: BudgetBounds) {
        self.bounds.store(Arc::new(bounds));
        self.freed.notify_waiters();
    }

    fn bounds(&self) -> BudgetBounds {
        **self.bounds.load()
    }

    /// How long room on the disk is waited for.
    pub(super) fn patience(&self) -> Duration {
        self.bounds().patience
    }

    /// Where the files are made.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
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
        let ((memory, disk), bounds) = (self.used(), self.bounds());
        let small = octets <= bounds.message;
        small && fits(memory, bounds.memory) || fits(disk, bounds.disk)
    }

    /// What a message that has so much in memory may have there: no more than half of what the others
    /// have left, so that a few large ones do not send everybody else to the disk.
    pub(super) fn share(&self, own: u64) -> u64 {
        let others = self.memory.load(Ordering::Relaxed).saturating_sub(own);
        let bounds = self.bounds();
        bounds.message.min(bounds.memory.saturating_sub(others) / 2)
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
        let bounds = self.bounds();
        match place {
            Place::Disk => (&self.disk, bounds.disk),
            // Bodies that find no room go to files. Header sections cannot, so that some room is
            // left to them.
            Place::Header => (&self.memory, bounds.memory + bounds.memory / 4),
            Place::Memory => (&self.memory, bounds.memory),
        }
    }
}

/// What a share is of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
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
    pub(super) fn new(budget: Arc<Budget>, place: Place) -> Self {
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

    pub(super) fn grow(&mut self, by: u64) -> bool {
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
    pub(super) async fn grow_within(&mut self, by: u64, patience: Duration) -> bool {
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
