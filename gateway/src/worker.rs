//! Threads that serve connections, each with a runtime of its own.
//!
//! A conversation stays on the thread that accepted it, and so do the idle connections to upstreams
//! that it uses: what it waits for wakes nobody on another processor, which for a small message
//! costs as much as the plugins do (`tests/bench`).

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The threads. Dropped, they end, and so does what still runs on them.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// Dropped to end the thread.
    _end: oneshot::Sender<()>,
}

impl Workers {
    /// One for each processor that the process may use.
    ///
    /// # Errors
    ///
    /// If the system gives no thread or no event queue.
    pub fn start() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        (0..count).map(Worker::start).collect::<io::Result<_>>().map(Self)
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Where to spawn what each of them is to do.
    pub fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.0.iter().map(|worker| &worker.runtime)
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            // Nobody ever sends: it ends with the sender.
            let _ = runtime.block_on(ended);
            runtime.shutdown_timeout(STRAGGLERS);
        })?;
        Ok(Self { runtime: handle, _end: end })
    }
}

/// How long to wait for threads that wait for the system, such as one that resolves a name.
const STRAGGLERS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_runs_on_a_worker_ends_with_it() {
        let workers = Workers::start().expect("threads");
        assert!(workers.count() > 0);
        let tasks: Vec<_> =
            workers.runtimes().map(|runtime| runtime.spawn(std::future::pending::<()>())).collect();
        drop(workers);
        for task in tasks {
            assert!(task.await.expect_err("it never ends by itself").is_cancelled());
        }
    }
}
