//! What becomes of maps of routes.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::Metrics;
use super::family::{counters, gauges};

/// The families that have a `map` label: its file, as the configuration has it.
#[derive(Debug)]
pub(super) struct RouteFamilies {
    entries: IntGaugeVec,
    reloads: IntCounterVec,
}

impl RouteFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            entries: gauges(
                registry,
                "portcullis_route_map_entries",
                "Entries of maps of routes",
                &["map"],
            ),
            reloads: counters(
                registry,
                "portcullis_route_map_reloads_total",
                "Maps of routes that changed: used now, or refused, and the old one stays",
                &["map", "result"],
            ),
        }
    }
}

impl Metrics {
    /// A map is used, and has so many entries.
    pub fn route_map_entries(&self, map: &str, entries: usize) {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        self.route_families.entries.with_label_values(&[map]).set(entries);
        for result in [OK, FAILED] {
            self.route_families.reloads.with_label_values(&[map, result]);
        }
    }

    /// A map has changed, and was taken or refused.
    pub fn route_map_reloaded(&self, map: &str, taken: bool) {
        let result = if taken { OK } else { FAILED };
        self.route_families.reloads.with_label_values(&[map, result]).inc();
    }

    /// The configuration names a map no more.
    pub fn route_map_gone(&self, map: &str) {
        let _ = self.route_families.entries.remove_label_values(&[map]);
    }
}

const FAILED: &str = "failed";
const OK: &str = "ok";
