//! Which configuration runs, since when, and how many of them still do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use prometheus::{IntCounter, IntGauge, Registry};

use super::family::{counters, gauges};

/// What happens with the configuration as a whole.
#[derive(Debug)]
pub(super) struct ConfigurationMetrics {
    in_use: IntGauge,
    loaded: IntGauge,
    refused: IntCounter,
    taken: IntCounter,
    generations: AtomicU64,
}

impl ConfigurationMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let reloads = counters(
            registry,
            "portcullis_reloads_total",
            "Reloads that were asked for, by whether the configuration is served now",
            &["result"],
        );
        let gauge = |name, help| gauges(registry, name, help, &[]).with_label_values::<&str>(&[]);
        Self {
            in_use: gauge(
                "portcullis_configurations_in_use",
                "The configuration that is served, and earlier ones with transactions in flight",
            ),
            loaded: gauge(
                "portcullis_configuration_loaded_timestamp_seconds",
                "When the configuration that is served was loaded, since the epoch",
            ),
            refused: reloads.with_label_values(&["failed"]),
            taken: reloads.with_label_values(&["ok"]),
            generations: AtomicU64::new(0),
        }
    }

    pub(super) fn used(&self) -> ConfigurationInUse {
        self.in_use.inc();
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        ConfigurationInUse { in_use: self.in_use.clone(), generation }
    }

    pub(super) fn loaded(&self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.loaded.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }

    pub(super) fn reloaded(&self, taken: bool) {
        if taken { self.taken.inc() } else { self.refused.inc() }
    }
}

/// Held by whatever a configuration was made into; dropped, that is over.
#[derive(Debug)]
pub struct ConfigurationInUse {
    in_use: IntGauge,
    generation: u64,
}

impl ConfigurationInUse {
    /// Which one it is: that of the start is 1, and each that could be served counts.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl Drop for ConfigurationInUse {
    fn drop(&mut self) {
        self.in_use.dec();
    }
}
