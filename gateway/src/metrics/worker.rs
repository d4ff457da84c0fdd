//! How busy the threads are that serve connections, and what went wrong in them.

use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{Counter, Histogram, IntCounter, IntGauge, Registry};

use super::Metrics;
use super::family::{CALL_SECONDS, UNIQUE, gauge, histogram};

/// The threads of the process.
#[derive(Debug)]
pub(super) struct WorkerMetrics {
    busy_seconds: Counter,
    count: IntGauge,
    lag: Histogram,
}

impl WorkerMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let busy_seconds = Counter::new(
            "portcullis_worker_busy_seconds_total",
            "How long the threads that serve connections were busy, all together; at most 1 a second \
             for each of `portcullis_workers`",
        );
        let busy_seconds = busy_seconds.expect(UNIQUE);
        registry.register(Box::new(busy_seconds.clone())).expect(UNIQUE);
        registry.register(Box::new(PANICS.clone())).expect(UNIQUE);
        Self {
            busy_seconds,
            count: gauge(
                registry,
                "portcullis_workers",
                "Threads that serve connections: one for each processor",
            ),
            lag: histogram(
                registry,
                "portcullis_worker_lag_seconds",
                "How late a thread was that wanted to be woken, looked at once a second on each of \
                 them: what every connection of it waits beside its own work",
                CALL_SECONDS,
            ),
        }
    }
}

impl Metrics {
    /// So many threads serve connections.
    pub fn workers(&self, count: usize) {
        self.workers.count.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// One of them was busy for so long since it was last told, and woke so late.
    pub fn worker_woke(&self, busy: Duration, late: Duration) {
        self.workers.busy_seconds.inc_by(busy.as_secs_f64());
        self.workers.lag.observe(late.as_secs_f64());
    }
}

/// Panics of the whole process, whichever registry shows them.
static PANICS: LazyLock<IntCounter> = LazyLock::new(|| {
    IntCounter::new(
        "portcullis_panics_total",
        "Defects of the gateway's that ended a task: the session, or whatever else it was",
    )
    .expect(UNIQUE)
});

/// Counts panics from now on, and has them in the log, as one line, instead of on standard error. What
/// panics is one task: the process goes on.
pub fn count_panics() {
    let before = take_hook();
    set_hook(Box::new(move |info| {
        PANICS.inc();
        if tracing::dispatcher::has_been_set() {
            let place = info.location().map(ToString::to_string);
            tracing::error!(place, "a defect ended a task: {}", words(info));
        } else {
            before(info);
        }
    }));
}

fn words<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    info.payload_as_str().unwrap_or("it says nothing")
}

#[cfg(test)]
mod tests {
    use crate::metrics::{Metrics, Names};

    #[test]
    fn a_panic_is_counted() {
        super::count_panics();
        let ended = std::thread::spawn(|| panic!("a test of panics")).join();
        assert!(ended.is_err());
        let text = Metrics::new(&Names::default()).render();
        let count = text.lines().find_map(|line| line.strip_prefix("portcullis_panics_total "));
        assert!(count.is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count > 0)));
    }
}
