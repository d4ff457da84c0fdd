//! Which configuration runs, since when, how many of them still do, and what it allows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use prometheus::{IntCounter, IntGauge, Registry};

use super::family::{counters, gauge};

/// What happens with the configuration as a whole.
#[derive(Debug)]
pub(super) struct ConfigurationMetrics {
    connections: IntGauge,
    content_disk: IntGauge,
    content_memory: IntGauge,
    generation: IntGauge,
    in_use: IntGauge,
    last_worked: IntGauge,
    loaded: IntGauge,
    plugin_copies: IntGauge,
    refused: IntCounter,
    taken: IntCounter,
    generations: AtomicU64,
}

/// How much the process may have of what runs out first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Connections with a session, of all listeners.
    pub connections: u64,
    /// Octets of content in files.
    pub content_disk: u64,
    /// Octets of content in memory.
    pub content_memory: u64,
    /// Copies of plugins.
    pub plugin_copies: u64,
}

impl ConfigurationMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let reloads = counters(
            registry,
            "portcullis_reloads_total",
            "Reloads that were asked for: served now, or refused, and all stays as it was",
            &["result"],
        );
        let gauge = |name, help| gauge(registry, name, help);
        let metrics = Self {
            connections: gauge(
                "portcullis_connections_limit",
                "Connections that all listeners may have together: `limits.connections`",
            ),
            content_disk: gauge(
                "portcullis_content_disk_limit_bytes",
                "What message content may take in temporary files: `limits.content_disk`",
            ),
            content_memory: gauge(
                "portcullis_content_memory_limit_bytes",
                "What message content may take in memory: `limits.content_memory`",
            ),
            generation: gauge(
                "portcullis_configuration_generation",
                "Which configuration is served, counted from the start: 1 until the first reload",
            ),
            in_use: gauge(
                "portcullis_configurations_in_use",
                "The configuration that is served, and those before it that still have transactions \
                 in flight: 1 soon after a reload",
            ),
            last_worked: gauge(
                "portcullis_configuration_last_reload_successful",
                "1 if the last reload was served, or none was asked for; 0 if it was refused, so that \
                 the file is not what runs",
            ),
            loaded: gauge(
                "portcullis_configuration_loaded_timestamp_seconds",
                "When the configuration that is served was loaded, since the epoch",
            ),
            plugin_copies: gauge(
                "portcullis_plugin_copies_limit",
                "Copies of plugins that there may be: `limits.plugin_copies`",
            ),
            refused: reloads.with_label_values(&["failed"]),
            taken: reloads.with_label_values(&["ok"]),
            generations: AtomicU64::new(0),
        };
        metrics.last_worked.set(1);
        metrics
    }

    pub(super) fn used(&self) -> ConfigurationInUse {
        self.in_use.inc();
        let generation = self.generations.fetch_add(1, Ordering::Relaxed) + 1;
        ConfigurationInUse { in_use: self.in_use.clone(), generation }
    }

    pub(super) fn loaded(&self, bounds: Bounds) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.loaded.set(whole(now.as_secs()));
        self.generation.set(whole(self.generations.load(Ordering::Relaxed)));
        self.connections.set(whole(bounds.connections));
        self.content_disk.set(whole(bounds.content_disk));
        self.content_memory.set(whole(bounds.content_memory));
        self.plugin_copies.set(whole(bounds.plugin_copies));
    }

    pub(super) fn reloaded(&self, taken: bool) {
        if taken {
            self.taken.inc()
        } else {
            self.refused.inc()
        }
        self.last_worked.set(taken.into());
    }
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
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
