//! Copies that serve one transaction after another, for plugins with `isolation: pooled`.
//!
//! What a plugin leaves in its memory, the next mail finds. What the host keeps beside a copy does not
//! go along, and a copy that failed, holds handles, or has grown large does not come back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::sleep;

use super::copy::Running;

/// The copies of one plugin that wait for their next transaction.
pub(super) struct Pool {
    /// The one that was used last is the last; it is taken first, since it is in the caches.
    idle: Mutex<Vec<(Instant, Box<Running>)>>,
    /// As many may wait.
    most: usize,
    /// Who waits for room.
    queue: Arc<Queue>,
    /// Whether somebody looks for those that wait in vain.
    swept: AtomicBool,
}

impl Pool {
    /// One with room for half of all copies: others have to be made, too.
    pub(super) fn new(copies: usize, queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::default(),
            most: (copies / 2).max(1),
            queue,
            swept: AtomicBool::new(false),
        })
    }

    pub(super) fn take(&self) -> Option<Box<Running>> {
        self.idle().pop().map(|(_, running)| running)
    }

    /// Takes back a copy after its transaction.
    pub(super) fn put(self: &Arc<Self>, running: Box<Running>) {
        let Some(running) = running.rested() else { return };
        let refused = {
            let mut idle = self.idle();
            // Who waits for room has found nothing here and does not look again.
            if idle.len() < self.most && !self.queue.is_waited_in() {
                idle.push((Instant::now(), running));
                None
            } else {
                Some(running)
            }
        };
        drop(refused);
        if !self.swept.load(Ordering::Relaxed) {
            self.sweep_later();
        }
    }

    /// Gives up the copy that has waited for the longest, so that somebody else finds room.
    pub(super) fn make_way(&self) -> bool {
        let mut idle = self.idle();
        let oldest = (!idle.is_empty()).then(|| idle.remove(0));
        drop(idle);
        oldest.is_some()
    }

    fn sweep_later(self: &Arc<Self>) {
        // Who has no runtime any more is about to end.
        let Ok(runtime) = Handle::try_current() else { return };
        if self.swept.swap(true, Ordering::Relaxed) {
            return;
        }
        let pool = Arc::downgrade(self);
        runtime.spawn(async move {
            loop {
                sleep(IDLE_TIME / 2).await;
                let Some(pool) = Weak::upgrade(&pool) else { break };
                if pool.sweep() {
                    break;
                }
            }
        });
    }

    /// Gives up what has waited for too long; whether nothing is left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle();
        let over = idle.iter().take_while(|(since, _)| since.elapsed() >= IDLE_TIME).count();
        let over: Vec<_> = idle.drain(..over).collect();
        let empty = idle.is_empty();
        if empty {
            self.swept.store(false, Ordering::Relaxed);
        }
        drop(idle);
        drop(over);
        empty
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Instant, Box<Running>)>> {
        // A list that a panic left behind is still a list.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those who wait for room for one more copy, whatever plugin it is of.
#[derive(Debug, Default)]
pub(super) struct Queue(AtomicUsize);

/// A place in it.
pub(super) struct Waiting<'a>(&'a Queue);

impl Queue {
    pub(super) fn enter(&self) -> Waiting<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    fn is_waited_in(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A copy that nobody has asked for so long holds memory for nothing.
const IDLE_TIME: Duration = Duration::from_mins(1);
