//! What happens in a plugin, and what the plugin itself counts.

mod custom;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::family::{CALL_SECONDS, counters, gauges, histograms};
use custom::Custom;

/// How a hook call can end: the opinions of the contract, and failure.
pub const RESULTS: [&str; 8] =
    ["accept", "defer", "discard", "disconnect", "failure", "next", "quarantine", "reject"];

/// Why a hook call can fail, or was not even tried.
pub const REASONS: [&str; 8] =
    ["bad-answer", "busy", "memory", "open", "poison", "timeout", "trap", "unavailable"];

/// What can come of an HTTP request of a plugin's.
pub const HTTP_RESULTS: [&str; 6] =
    ["denied", "malformed", "ok", "timed-out", "too-large", "unavailable"];

/// What becomes of what a plugin is told at the hook `outcome`.
const FATES: [&str; 3] = ["delivered", "dropped", "failed"];

/// The families that have a `plugin` label.
#[derive(Debug)]
pub(super) struct PluginFamilies {
    breakers: IntGaugeVec,
    calls: IntCounterVec,
    call_seconds: HistogramVec,
    dropped: IntCounterVec,
    failures: IntCounterVec,
    http: IntCounterVec,
    outcomes: IntCounterVec,
    registry: Registry,
}

impl PluginFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            breakers: gauges(
                registry,
                "portcullis_plugin_breaker_open",
                "Hooks at which the plugin failed too often and is not called for now",
                &["plugin"],
            ),
            calls: counters(
                registry,
                "portcullis_plugin_calls_total",
                "Hook calls that ended, by what the plugin said",
                &["plugin", "hook", "result"],
            ),
            call_seconds: histograms(
                registry,
                "portcullis_plugin_call_duration_seconds",
                "How long hook calls took",
                &["plugin", "hook"],
                CALL_SECONDS,
            ),
            dropped: counters(
                registry,
                "portcullis_plugin_metrics_dropped_total",
                "Values that plugins wanted counted under a name or label that is not allowed, or \
                 one too many",
                &["plugin"],
            ),
            failures: counters(
                registry,
                "portcullis_plugin_failures_total",
                "Hook calls that failed, by the reason",
                &["plugin", "hook", "reason"],
            ),
            http: counters(
                registry,
                "portcullis_plugin_http_requests_total",
                "HTTP requests that plugins wanted sent, by what came of them",
                &["plugin", "result"],
            ),
            outcomes: counters(
                registry,
                "portcullis_plugin_outcomes_total",
                "Events for the hook outcome, by what became of them",
                &["plugin", "result"],
            ),
            registry: registry.clone(),
        }
    }

    pub(super) fn resolve(&self, plugin: &str) -> PluginMetrics {
        let dropped = self.dropped.with_label_values(&[plugin]);
        PluginMetrics {
            breakers: self.breakers.with_label_values(&[plugin]),
            hooks: ArcSwap::default(),
            http: HTTP_RESULTS
                .map(|result| (result, self.http.with_label_values(&[plugin, result]))),
            outcomes: FATES.map(|fate| (fate, self.outcomes.with_label_values(&[plugin, fate]))),
            custom: Custom::new(plugin, self.registry.clone(), dropped),
        }
    }

    /// Says which hooks the plugin answers. After a reload it may answer others, and those that it
    /// answered before may still be asked by transactions in flight.
    pub(super) fn announce(&self, metrics: &PluginMetrics, plugin: &str, hooks: &[&'static str]) {
        let per_hook = |hook: &'static str| HookMetrics {
            hook,
            results: RESULTS
                .map(|result| (result, self.calls.with_label_values(&[plugin, hook, result]))),
            reasons: REASONS
                .map(|reason| (reason, self.failures.with_label_values(&[plugin, hook, reason]))),
            seconds: self.call_seconds.with_label_values(&[plugin, hook]),
        };
        let new = hooks.iter().filter(|hook| metrics.hook(hook).is_none());
        let new: Vec<_> = new.map(|hook| Arc::new(per_hook(hook))).collect();
        if !new.is_empty() {
            let known = metrics.hooks.load();
            metrics.hooks.store(Arc::new(known.iter().cloned().chain(new).collect()));
        }
    }
}

/// The metrics of one plugin, resolved once.
#[derive(Debug)]
pub struct PluginMetrics {
    breakers: IntGauge,
    /// Known once the plugin is loaded.
    hooks: ArcSwap<Vec<Arc<HookMetrics>>>,
    http: [(&'static str, IntCounter); HTTP_RESULTS.len()],
    outcomes: [(&'static str, IntCounter); FATES.len()],
    custom: Custom,
}

#[derive(Debug)]
struct HookMetrics {
    hook: &'static str,
    results: [(&'static str, IntCounter); RESULTS.len()],
    reasons: [(&'static str, IntCounter); REASONS.len()],
    seconds: Histogram,
}

impl PluginMetrics {
    /// A hook call ended, with one of [`RESULTS`]. A hook that the plugin was not announced with
    /// is not counted.
    pub fn hook_called(&self, hook: &'static str, result: &'static str, took: Duration) {
        let Some(metrics) = self.hook(hook) else { return };
        metrics.seconds.observe(took.as_secs_f64());
        inc(&metrics.results, result);
    }

    /// A hook call failed, for one of [`REASONS`]; its `hook_called` has the result `failure`.
    pub fn hook_failed(&self, hook: &'static str, reason: &'static str) {
        let Some(metrics) = self.hook(hook) else { return };
        inc(&metrics.reasons, reason);
    }

    /// So many events were `delivered`, `dropped` since there were too many, or lost with a call that
    /// `failed`.
    pub fn outcomes(&self, fate: &'static str, count: u64) {
        if let Some((_, counter)) = self.outcomes.iter().find(|(known, _)| *known == fate) {
            counter.inc_by(count);
        }
    }

    /// At one more hook the plugin is not called for now.
    pub fn breaker_opened(&self) {
        self.breakers.inc();
    }

    /// At one of them it is called again.
    pub fn breaker_closed(&self) {
        self.breakers.dec();
    }

    /// Whether there are such hooks.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.breakers.get() > 0
    }

    /// A request of the plugin's ended, with one of [`HTTP_RESULTS`].
    pub fn http_request(&self, result: &'static str) {
        inc(&self.http, result);
    }

    /// The plugin adds to a counter of its own.
    pub fn add(&self, name: &str, by: u64, label: Option<(&str, &str)>) {
        self.custom.add(name, by, label);
    }

    /// The plugin adds an observation to a histogram of its own.
    pub fn observe(&self, name: &str, value: f64) {
        self.custom.observe(name, value);
    }

    fn hook(&self, hook: &str) -> Option<Arc<HookMetrics>> {
        self.hooks.load().iter().find(|metrics| metrics.hook == hook).cloned()
    }
}

fn inc(counters: &[(&'static str, IntCounter)], label: &'static str) {
    if let Some((_, counter)) = counters.iter().find(|(known, _)| *known == label) {
        counter.inc();
    }
}
