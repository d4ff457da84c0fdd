//! What happens in a plugin, and what the plugin itself counts.

mod custom;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::family::{CALL_SECONDS, counters, gauges, histograms};
use custom::Custom;

/// How a hook call can end: nobody waits for it any more, the opinions of the contract, and failure.
pub const RESULTS: [&str; 9] = [
    ABANDONED,
    "accept",
    "defer",
    "discard",
    "disconnect",
    "failure",
    "next",
    "quarantine",
    "reject",
];

/// What a call comes to that nobody waits for any more.
const ABANDONED: &str = "abandoned";

/// What a failure can mean for the mail: `on_failure`.
pub const ACTIONS: [&str; 4] = ["accept", "disconnect", "reject", "tempfail"];

/// How much a line of a plugin's log matters.
pub const LOG_LEVELS: [&str; 5] = ["debug", "error", "info", "trace", "warn"];

/// Why a hook call can fail, or was not even tried.
pub const REASONS: [&str; 8] =
    ["bad-answer", "busy", "memory", "open", "poison", "timeout", "trap", "unavailable"];

/// The hooks, in the order of a conversation.
pub const HOOKS: [&str; 9] =
    ["connect", "helo", "auth", "mail", "rcpt", "data", "headers", "message", "outcome"];

/// What can come of an HTTP request of a plugin's.
pub const HTTP_RESULTS: [&str; 6] =
    ["denied", "malformed", "ok", "timed-out", "too-large", "unavailable"];

/// What can come of a question to an upstream ahead of its mail.
pub const CALL_AHEAD_RESULTS: [&str; 4] = ["ok", "timed-out", "unavailable", "unsupported"];

/// What can come of a change of a plugin's files.
const FILE_RESULTS: [&str; 2] = ["failed", "ok"];

/// What can come of a stream of a plugin's.
const STREAM_RESULTS: [&str; 5] = ["denied", "ok", "timed-out", "too-many", "unavailable"];

/// What becomes of what a plugin is told at the hook `outcome`.
const FATES: [&str; 3] = ["delivered", "dropped", "failed"];

/// The families that have a `plugin` label.
#[derive(Debug)]
pub(super) struct PluginFamilies {
    actions: IntCounterVec,
    breakers: IntGaugeVec,
    calls: IntCounterVec,
    calls_ahead: IntCounterVec,
    call_seconds: HistogramVec,
    calls_started: IntCounterVec,
    dropped: IntCounterVec,
    failures: IntCounterVec,
    files: IntCounterVec,
    http: IntCounterVec,
    info: IntGaugeVec,
    log_dropped: IntCounterVec,
    log_lines: IntCounterVec,
    memory_peak: IntGaugeVec,
    outcomes: IntCounterVec,
    registry: Registry,
    streams: IntCounterVec,
}

impl PluginFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = |name, help| counters(registry, name, help, &["plugin"]);
        let gauge = |name, help| gauges(registry, name, help, &["plugin"]);
        let labelled = |name, help, labels: &[&str]| counters(registry, name, help, labels);
        let [calls_ahead, files, http, outcomes] = reaching(registry);
        Self {
            actions: labelled(
                "portcullis_plugin_failure_policy_total",
                "Hook calls that failed, or were not made, by what followed for the mail: `on_failure`, \
                 or `poison.on_failure`",
                &["plugin", "action"],
            ),
            breakers: gauge(
                "portcullis_plugin_breaker_open",
                "Hooks at which it failed too often and is not called for now; 0 is well",
            ),
            calls: labelled(
                "portcullis_plugin_calls_total",
                "Hook calls that ended, by what the plugin said; at `auth`, `accept` is \
                 authenticated, `reject` refused, `defer` unavailable. `abandoned`: nobody waited \
                 for the end, at the shutdown. started = sum + those that run",
                &["plugin", "hook", "result"],
            ),
            calls_ahead,
            call_seconds: histograms(
                registry,
                "portcullis_plugin_call_duration_seconds",
                "How long hook calls took",
                &["plugin", "hook"],
                CALL_SECONDS,
            ),
            calls_started: labelled(
                "portcullis_plugin_calls_started_total",
                "Hook calls that began. What is missing in `portcullis_plugin_calls_total` runs now, or \
                 hangs",
                &["plugin", "hook"],
            ),
            dropped: counter(
                "portcullis_plugin_metrics_dropped_total",
                "Values under a name or label that is not allowed, or one too many",
            ),
            failures: labelled(
                "portcullis_plugin_failures_total",
                "Hook calls that failed; and calls that were not made, and so are in no other \
                 metric: the breaker is `open`, or the message is `poison`",
                &["plugin", "hook", "reason"],
            ),
            files,
            http,
            info: gauges(
                registry,
                "portcullis_plugin_info",
                "Always 1: which file it is",
                &["plugin", "sha256"],
            ),
            log_dropped: counter(
                "portcullis_plugin_log_dropped_total",
                "Lines that plugins wanted logged, beyond 100 in one hook call",
            ),
            log_lines: labelled(
                "portcullis_plugin_log_lines_total",
                "Lines that plugins logged, as far as `log.level` lets them be seen",
                &["plugin", "level"],
            ),
            memory_peak: gauge(
                "portcullis_plugin_memory_peak_bytes",
                "The most memory that one copy had after a hook call, since the start; its bound is \
                 `memory_limit`",
            ),
            outcomes,
            registry: registry.clone(),
            streams: labelled(
                "portcullis_plugin_streams_total",
                "Connections that plugins wanted opened, by what came of them in the end",
                &["plugin", "result"],
            ),
        }
    }

    pub(super) fn resolve(&self, plugin: &str) -> PluginMetrics {
        let dropped = self.dropped.with_label_values(&[plugin]);
        PluginMetrics {
            actions: ACTIONS
                .map(|action| (action, self.actions.with_label_values(&[plugin, action]))),
            breakers: self.breakers.with_label_values(&[plugin]),
            calls_ahead: CALL_AHEAD_RESULTS
                .map(|result| (result, self.calls_ahead.with_label_values(&[plugin, result]))),
            hooks: ArcSwap::default(),
            files: FILE_RESULTS
                .map(|result| (result, self.files.with_label_values(&[plugin, result]))),
            http: HTTP_RESULTS
                .map(|result| (result, self.http.with_label_values(&[plugin, result]))),
            identity: Identity::new(plugin, &self.info),
            log_dropped: self.log_dropped.with_label_values(&[plugin]),
            log_lines: LOG_LEVELS
                .map(|level| (level, self.log_lines.with_label_values(&[plugin, level]))),
            memory_peak: self.memory_peak.with_label_values(&[plugin]),
            outcomes: FATES.map(|fate| (fate, self.outcomes.with_label_values(&[plugin, fate]))),
            streams: STREAM_RESULTS
                .map(|result| (result, self.streams.with_label_values(&[plugin, result]))),
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
            started: self.calls_started.with_label_values(&[plugin, hook]),
        };
        let new = hooks.iter().filter(|hook| metrics.hook(hook).is_none());
        let new: Vec<_> = new.map(|hook| Arc::new(per_hook(hook))).collect();
        if !new.is_empty() {
            let known = metrics.hooks.load();
            metrics.hooks.store(Arc::new(known.iter().cloned().chain(new).collect()));
        }
    }
}

/// What plugins reach for beyond the mail, and what is brought to them.
fn reaching(registry: &Registry) -> [IntCounterVec; 4] {
    let results = |name, help| counters(registry, name, help, &["plugin", "result"]);
    [
        results(
            "portcullis_plugin_calls_ahead_total",
            "Questions of plugins to upstreams, whether they would take mail for somebody; `ok`: they \
                 said yes or no",
        ),
        results(
            "portcullis_plugin_files_reloads_total",
            "Changes of a plugin's `files`: it is configured with them now, or they are refused, and the \
                 old ones stay",
        ),
        results(
            "portcullis_plugin_http_requests_total",
            "HTTP requests that plugins wanted sent, by what came of them",
        ),
        results(
            "portcullis_plugin_outcomes_total",
            "Events for the hook `outcome`: heard; the oldest of more than 10,000 that \
                 waited; lost with a call that failed",
        ),
    ]
}

/// The metrics of one plugin, resolved once.
#[derive(Debug)]
pub struct PluginMetrics {
    actions: [(&'static str, IntCounter); ACTIONS.len()],
    breakers: IntGauge,
    calls_ahead: [(&'static str, IntCounter); CALL_AHEAD_RESULTS.len()],
    /// Known once the plugin is loaded.
    hooks: ArcSwap<Vec<Arc<HookMetrics>>>,
    files: [(&'static str, IntCounter); FILE_RESULTS.len()],
    http: [(&'static str, IntCounter); HTTP_RESULTS.len()],
    identity: Identity,
    log_dropped: IntCounter,
    log_lines: [(&'static str, IntCounter); LOG_LEVELS.len()],
    memory_peak: IntGauge,
    outcomes: [(&'static str, IntCounter); FATES.len()],
    streams: [(&'static str, IntCounter); STREAM_RESULTS.len()],
    custom: Custom,
}

#[derive(Debug)]
struct HookMetrics {
    hook: &'static str,
    results: [(&'static str, IntCounter); RESULTS.len()],
    reasons: [(&'static str, IntCounter); REASONS.len()],
    seconds: Histogram,
    started: IntCounter,
}

/// Which file a plugin is, of which one is shown at a time.
#[derive(Debug)]
struct Identity {
    plugin: String,
    info: IntGaugeVec,
    shown: Mutex<Option<String>>,
}

impl Identity {
    fn new(plugin: &str, info: &IntGaugeVec) -> Self {
        Self { plugin: plugin.to_owned(), info: info.clone(), shown: Mutex::default() }
    }

    fn show(&self, digest: &str) {
        // A name that a panic left behind is still a name.
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = shown.replace(digest.to_owned()) {
            let _ = self.info.remove_label_values(&[&*self.plugin, &before]);
        }
        self.info.with_label_values(&[&*self.plugin, digest]).set(1);
    }
}

/// A hook call that has begun. Dropped before it has ended, it is abandoned.
#[derive(Debug)]
#[must_use]
pub struct CallBegun {
    /// None once it has ended, and for a hook that the plugin was not announced with.
    metrics: Option<Arc<HookMetrics>>,
    began: Instant,
}

impl CallBegun {
    /// It ended, with one of [`RESULTS`]. How long it took.
    pub fn ended(mut self, result: &'static str) -> Duration {
        self.count(result)
    }

    fn count(&mut self, result: &'static str) -> Duration {
        let took = self.began.elapsed();
        if let Some(metrics) = self.metrics.take() {
            metrics.seconds.observe(took.as_secs_f64());
            inc(&metrics.results, result);
        }
        took
    }
}

impl Drop for CallBegun {
    fn drop(&mut self) {
        self.count(ABANDONED);
    }
}

impl PluginMetrics {
    /// A hook is called. One that the plugin was not announced with is not counted.
    pub fn call(&self, hook: &'static str) -> CallBegun {
        let metrics = self.hook(hook);
        if let Some(metrics) = &metrics {
            metrics.started.inc();
        }
        CallBegun { metrics, began: Instant::now() }
    }

    /// A hook call failed, for one of [`REASONS`]; if it was made, it ended as `failure`.
    pub fn hook_failed(&self, hook: &'static str, reason: &'static str) {
        let Some(metrics) = self.hook(hook) else { return };
        inc(&metrics.reasons, reason);
    }

    /// What followed from a failure for the mail: one of [`ACTIONS`].
    pub fn failure_meant(&self, action: &'static str) {
        inc(&self.actions, action);
    }

    /// Which file it is: the beginning of its SHA-256.
    pub fn is_file(&self, digest: &str) {
        self.identity.show(digest);
    }

    /// A line of its log was written, at one of [`LOG_LEVELS`].
    pub fn logged(&self, level: &'static str) {
        inc(&self.log_lines, level);
    }

    /// So many lines of its log were too many.
    pub fn log_dropped(&self, lines: u64) {
        self.log_dropped.inc_by(lines);
    }

    /// A copy has so much memory.
    pub fn memory_used(&self, octets: usize) {
        let octets = i64::try_from(octets).unwrap_or(i64::MAX);
        // Of two that grow at the same moment the smaller one may win until the next call.
        if octets > self.memory_peak.get() {
            self.memory_peak.set(octets);
        }
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

    /// An upstream was asked ahead of its mail; with one of [`CALL_AHEAD_RESULTS`].
    pub fn call_ahead(&self, result: &'static str) {
        inc(&self.calls_ahead, result);
    }

    /// Its files have changed, and were taken or refused.
    pub fn files_renewed(&self, taken: bool) {
        inc(&self.files, FILE_RESULTS[usize::from(taken)]);
    }

    /// A connection of the plugin's ended, or was not made, with one of `STREAM_RESULTS`.
    pub fn stream(&self, result: &'static str) {
        inc(&self.streams, result);
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
