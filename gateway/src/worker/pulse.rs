//! Whether the workers still get round to everything that is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The pulse of all workers. Clones feel the same one.
#[derive(Clone, Debug)]
pub struct Pulse {
    begin: Instant,
    /// Milliseconds since the begin, when each beat last.
    beats: Arc<[AtomicU64]>,
}

impl Pulse {
    pub(super) fn of(workers: usize) -> Self {
        Self { begin: Instant::now(), beats: (0..workers).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Beats for a worker until this is dropped. What holds the worker up holds this up, too.
    pub(super) async fn beat(self, worker: usize) {
        loop {
            if let Some(beat) = self.beats.get(worker) {
                beat.store(self.now(), Ordering::Relaxed);
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// How long ago the worker beat that has not done so for the longest time.
    #[must_use]
    pub fn stillness(&self) -> Duration {
        let beats = self.beats.iter().map(|beat| beat.load(Ordering::Relaxed));
        let oldest = beats.min().unwrap_or_else(|| self.now());
        Duration::from_millis(self.now().saturating_sub(oldest))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for Pulse {
    /// That of no worker, which never stands still.
    fn default() -> Self {
        Self::of(0)
    }
}

/// Often enough for a watchdog that waits for a second, and nothing for a processor.
const PERIOD: Duration = Duration::from_millis(250);
