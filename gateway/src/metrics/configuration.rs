//! Which configuration runs, since when, and how many of them still do.

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
        }
    }

    pub(super) fn used(&self) -> ConfigurationInUse {
        self.in_use.inc();
        ConfigurationInUse(self.in_use.clone())
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
pub struct ConfigurationInUse(IntGauge);

impl Drop for ConfigurationInUse {
    fn drop(&mut self) {
        self.0.dec();
    }
}
