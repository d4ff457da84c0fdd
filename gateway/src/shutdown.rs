//! The end of the process, or of a part of it: everyone is told, and those who are at work may finish.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

/// How far the end has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    Serving,
    /// It is announced, and everything goes on.
    Leaving,
    Draining,
    Ending,
}

/// Begins the end and waits for it. Clones are the same shutdown.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<Affair>);

/// What comes to an end: the whole, or a part of it.
#[derive(Debug)]
struct Affair {
    phase: watch::Sender<Phase>,
    tasks: watch::Sender<usize>,
    /// What ends no later than this.
    parts: Mutex<Vec<Weak<Self>>>,
    whole: Option<Shutdown>,
}

impl Affair {
    fn new(phase: Phase, whole: Option<Shutdown>) -> Self {
        let (phase, tasks) = (watch::Sender::new(phase), watch::Sender::new(0));
        Self { phase, tasks, parts: Mutex::default(), whole }
    }
}

impl Shutdown {
    /// One that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Affair::new(Phase::Serving, None)))
    }

    /// A part, which may end before the whole, and ends with it. Who is at work for it is at work for
    /// the whole.
    #[must_use]
    pub fn part(&self) -> Self {
        // A list that a panic left behind is still a list.
        let mut parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| part.strong_count() > 0);
        let phase = *self.0.phase.borrow();
        let part = Arc::new(Affair::new(phase, Some(self.clone())));
        parts.push(Arc::downgrade(&part));
        Self(part)
    }

    /// Announces it at the first SIGTERM or SIGINT, for whoever [begins](Self::begin) it then. The second
    /// one ends the wait for those at work.
    ///
    /// # Errors
    ///
    /// If the signals cannot be caught.
    pub fn begin_on_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if shutdown.watcher().is_announced() {
                    warn!(signal = name, "ending at once");
                    shutdown.force();
                } else {
                    info!(signal = name, "shutting down");
                    shutdown.announce();
                }
            }
        });
        Ok(())
    }

    /// Tells those who wait for the announcement that it is about to begin. Nothing ends by that.
    pub fn announce(&self) {
        self.advance(Phase::Leaving);
    }

    /// Tells all watchers, also those of its parts. Once more changes nothing.
    pub fn begin(&self) {
        self.advance(Phase::Draining);
    }

    /// Also ends the wait for those at work.
    pub fn force(&self) {
        self.advance(Phase::Ending);
    }

    /// Someone who wants to be told.
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        Watcher(self.0.phase.subscribe())
    }

    /// Counts someone who is at work, until the task is dropped.
    #[must_use]
    pub fn track(&self) -> Task {
        self.count(|tasks| *tasks += 1);
        Task(self.clone())
    }

    fn count(&self, change: fn(&mut usize)) {
        let affairs = std::iter::successors(Some(self), |affair| affair.0.whole.as_ref());
        affairs.for_each(|affair| affair.0.tasks.send_modify(change));
    }

    /// Waits until nobody is at work, for `limit` at most, and says how many still are.
    pub async fn drained(&self, limit: Duration) -> usize {
        let mut tasks = self.0.tasks.subscribe();
        let mut phase = self.0.phase.subscribe();
        let drained = async {
            tokio::select! {
                _ = tasks.wait_for(|tasks| *tasks == 0) => {}
                _ = phase.wait_for(|phase| *phase == Phase::Ending) => {}
            }
        };
        // Out of time or not: what counts is who is left.
        let _ = timeout(limit, drained).await;
        *self.0.tasks.borrow()
    }

    fn advance(&self, to: Phase) {
        // As long as it is locked, no part is made that this would miss.
        let parts = self.0.parts.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.phase.send_if_modified(|phase| {
            let later = to > *phase;
            *phase = to.max(*phase);
            later
        });
        parts.iter().filter_map(Weak::upgrade).for_each(|part| Self(part).advance(to));
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// Is told when the shutdown begins.
#[derive(Clone, Debug)]
pub struct Watcher(watch::Receiver<Phase>);

impl Watcher {
    /// Whether it is announced, or has begun.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        *self.0.borrow() >= Phase::Leaving
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Waits until it is announced, or begins. Like [`begun`](Self::begun) otherwise.
    pub async fn announced(&mut self) {
        self.reached(Phase::Leaving).await;
    }

    /// Waits until it begins; returns at once if it has. If the shutdown itself is gone, nobody can
    /// begin it any more, and the wait has no end.
    pub async fn begun(&mut self) {
        self.reached(Phase::Draining).await;
    }

    async fn reached(&mut self, wanted: Phase) {
        if self.0.wait_for(|phase| *phase >= wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Someone at work, see [`Shutdown::track`].
#[derive(Debug)]
pub struct Task(Shutdown);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.count(|tasks| *tasks -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn every_watcher_is_told_also_the_late_ones() {
        let shutdown = Shutdown::new();
        let mut early = shutdown.watcher();
        assert!(!early.has_begun());
        shutdown.begin();
        early.begun().await;
        shutdown.watcher().begun().await;
        assert!(early.clone().has_begun());
    }

    #[tokio::test]
    async fn what_is_announced_goes_on_until_it_begins() {
        let shutdown = Shutdown::new();
        let part = shutdown.part();
        let mut watcher = part.watcher();
        shutdown.announce();
        watcher.announced().await;
        assert!(watcher.is_announced() && !watcher.has_begun());
        shutdown.begin();
        watcher.begun().await;
        shutdown.announce();
        assert!(watcher.has_begun());
    }

    #[tokio::test]
    async fn nobody_at_work_is_drained_at_once() {
        assert_eq!(Shutdown::new().drained(LONG).await, 0);
    }

    #[tokio::test]
    async fn the_last_one_at_work_ends_the_wait() {
        let shutdown = Shutdown::new();
        let (first, second) = (shutdown.track(), shutdown.track());
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.drained(LONG).await }
        });
        drop(first);
        drop(second);
        assert_eq!(waiting.await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_deadline_ends_the_wait_and_tells_who_is_left() {
        let shutdown = Shutdown::new();
        let _task = shutdown.track();
        assert_eq!(shutdown.drained(Duration::from_millis(1)).await, 1);
    }

    #[tokio::test]
    async fn a_part_ends_before_the_whole_or_with_it() {
        let whole = Shutdown::new();
        let (early, late) = (whole.part(), whole.part());
        early.begin();
        assert!(early.watcher().has_begun() && early.part().watcher().has_begun());
        assert!(!whole.watcher().has_begun() && !late.watcher().has_begun());
        let inner = late.part();
        let mut watcher = inner.watcher();
        whole.begin();
        watcher.begun().await;
        assert!(late.watcher().has_begun());
    }

    #[tokio::test]
    async fn who_is_at_work_for_a_part_is_at_work_for_the_whole() {
        let whole = Shutdown::new();
        let (part, other) = (whole.part(), whole.part());
        let task = part.track();
        assert_eq!(other.drained(LONG).await, 0);
        let soon = Duration::from_millis(1);
        assert_eq!((part.drained(soon).await, whole.drained(soon).await), (1, 1));
        drop(task);
        assert_eq!((part.drained(LONG).await, whole.drained(LONG).await), (0, 0));
    }

    #[tokio::test]
    async fn force_ends_the_wait_and_cannot_be_taken_back() {
        let shutdown = Shutdown::new();
        let _task = shutdown.track();
        shutdown.force();
        shutdown.begin();
        assert_eq!(shutdown.drained(LONG).await, 1);
    }
}
