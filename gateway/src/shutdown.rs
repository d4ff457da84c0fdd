//! The end of the process: everyone is told, and those who are at work may finish.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

/// How far the end has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    Serving,
    Draining,
    Ending,
}

/// Begins the end and waits for it. Clones are the same shutdown.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: Arc<watch::Sender<Phase>>,
    tasks: Arc<watch::Sender<usize>>,
}

impl Shutdown {
    /// One that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Serving)),
            tasks: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Begins at the first SIGTERM or SIGINT. The second one ends the wait for those at work.
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
                if shutdown.watcher().has_begun() {
                    warn!(signal = name, "ending at once");
                    shutdown.force();
                } else {
                    info!(signal = name, "shutting down");
                    shutdown.begin();
                }
            }
        });
        Ok(())
    }

    /// Tells all watchers. Once more changes nothing.
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
        Watcher(self.phase.subscribe())
    }

    /// Counts someone who is at work, until the task is dropped.
    #[must_use]
    pub fn track(&self) -> Task {
        self.tasks.send_modify(|tasks| *tasks += 1);
        Task(Arc::clone(&self.tasks))
    }

    /// Waits until nobody is at work, for `limit` at most, and says how many still are.
    pub async fn drained(&self, limit: Duration) -> usize {
        let mut tasks = self.tasks.subscribe();
        let mut phase = self.phase.subscribe();
        let drained = async {
            tokio::select! {
                _ = tasks.wait_for(|tasks| *tasks == 0) => {}
                _ = phase.wait_for(|phase| *phase == Phase::Ending) => {}
            }
        };
        // Out of time or not: what counts is who is left.
        let _ = timeout(limit, drained).await;
        *self.tasks.borrow()
    }

    fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let later = to > *phase;
            *phase = to.max(*phase);
            later
        });
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
    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() != Phase::Serving
    }

    /// Waits until it begins; returns at once if it has. If the shutdown itself is gone, nobody can
    /// begin it any more, and the wait has no end.
    pub async fn begun(&mut self) {
        if self.0.wait_for(|phase| *phase != Phase::Serving).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Someone at work, see [`Shutdown::track`].
#[derive(Debug)]
pub struct Task(Arc<watch::Sender<usize>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.send_modify(|tasks| *tasks -= 1);
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
    async fn force_ends_the_wait_and_cannot_be_taken_back() {
        let shutdown = Shutdown::new();
        let _task = shutdown.track();
        shutdown.force();
        shutdown.begin();
        assert_eq!(shutdown.drained(LONG).await, 1);
    }
}
