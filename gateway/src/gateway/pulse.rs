//! How busy the threads are that serve connections, and how late they wake.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::metrics::Metrics;
use crate::worker::Workers;

/// Feels the pulse of each worker until it ends.
pub(super) fn feel(workers: &Workers, metrics: &Arc<Metrics>) {
    metrics.workers(workers.count());
    for runtime in workers.runtimes() {
        runtime.spawn(beat(metrics.clone()));
    }
}

async fn beat(metrics: Arc<Metrics>) {
    let runtime = Handle::current().metrics();
    let mut busy = Duration::ZERO;
    loop {
        let due = Instant::now() + INTERVAL;
        sleep_until(due).await;
        // A worker's runtime has one thread.
        let now = runtime.worker_total_busy_duration(0);
        metrics.worker_woke(now.saturating_sub(busy), due.elapsed());
        busy = now;
    }
}

/// Often enough for a rate over a scrape interval, seldom enough to cost nothing.
const INTERVAL: Duration = Duration::from_secs(1);
