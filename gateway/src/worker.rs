//! Threads that serve connections, each with a runtime of its own.
//!
//! A conversation stays on the thread that accepted it, and so do the idle connections to upstreams
//! that it uses: what it waits for wakes nobody on another processor, which for a small message
//! costs as much as the plugins do (`tests/bench`).

mod pulse;

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub use pulse::Pulse;

/// The threads. Dropped, they end, and so does what still runs on them.
#[derive(Debug)]
pub struct Workers {
    workers: Vec<Worker>,
    pulse: Pulse,
}

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
        let workers = (0..count).map(Worker::start).collect::<io::Result<Vec<_>>>()?;
        let pulse = Pulse::of(count);
        for (number, worker) in workers.iter().enumerate() {
            worker.runtime.spawn(pulse.clone().beat(number));
        }
        Ok(Self { workers, pulse })
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.workers.len()
    }

    /// Whether they still get round to everything.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Where to spawn what each of them is to do.
    pub fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.workers.iter().map(|worker| &worker.runtime)
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
    async fn a_worker_that_is_held_up_stands_still_and_goes_on() {
        let workers = Workers::start().expect("threads");
        let pulse = workers.pulse();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let stuck = workers.runtimes().next().expect("at least one").clone();
        stuck.spawn(async move {
            let _ = held.recv();
        });
        let until = async |wanted: &dyn Fn(Duration) -> bool| {
            let begun = std::time::Instant::now();
            while !wanted(pulse.stillness()) {
                assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", pulse.stillness());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        until(&|still| still > Duration::from_secs(1)).await;
        drop(hold);
        until(&|still| still < Duration::from_secs(1)).await;
    }

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
