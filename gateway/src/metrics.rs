//! What Prometheus is told.
//!
//! Labels have their values from the configuration or from closed sets, never from a peer. Who
//! counts often asks for its handle once ([`Metrics::listener`], [`Metrics::plugin`],
//! [`Metrics::upstream`]) and keeps it.

mod configuration;
mod dns;
mod family;
mod label;
mod listener;
mod log;
mod plugin;
mod process;
mod queue;
mod routes;
mod spool;
mod store;
mod tls;
mod traces;
mod upstream;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Registry, TextEncoder};

use configuration::ConfigurationMetrics;
use family::{gauges, pulled};
use listener::ListenerFamilies;
use log::LogMetrics;
use plugin::PluginFamilies;
use process::ProcessorSeconds;
use queue::QueueFamilies;
use routes::RouteFamilies;
use store::StoreFamilies;
use upstream::UpstreamFamilies;

pub use configuration::ConfigurationInUse;
pub use dns::{DnsMetrics, InFlight};
pub use label::{
    AuthResult, Bound, Connect, DnsResult, HandshakeFailure, Outcome, Probe, ProxyHeader, Refused,
    Retry, ScoreAction, Stage, TraceResult, TurnedAway,
};
pub use listener::ListenerMetrics;
pub use log::LogLines;
pub use plugin::{HTTP_RESULTS, PluginMetrics, REASONS, RESULTS};
pub use queue::{Attempt, QueueMetrics, QueueResult, QueueUpstreamMetrics, ReportKind};
pub use spool::{SpoolBound, SpoolMetrics, SpoolStep, SpoolUse};
pub use store::{StoreMetrics, StoreOperation, StoreResult};
pub use traces::TraceMetrics;
pub use upstream::{AddressUp, UpstreamMetrics};

/// The `Content-Type` of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whose metrics are there from the start, at zero.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Names of listeners.
    pub listeners: Vec<String>,
    /// Names of plugins, each with the labels of the hooks that it answers.
    pub plugins: Vec<(String, Vec<&'static str>)>,
    /// Names of stores.
    pub stores: Vec<String>,
    /// Names of upstreams.
    pub upstreams: Vec<String>,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    processor_seconds: ProcessorSeconds,
    configuration: ConfigurationMetrics,
    dns: Arc<DnsMetrics>,
    log: LogMetrics,
    traces: Arc<TraceMetrics>,
    spool: Arc<SpoolMetrics>,
    listeners: Owners<ListenerMetrics>,
    plugins: Owners<PluginMetrics>,
    queue_upstreams: Owners<QueueUpstreamMetrics>,
    stores: Owners<StoreMetrics>,
    upstreams: Owners<UpstreamMetrics>,
    listener_families: ListenerFamilies,
    plugin_families: PluginFamilies,
    queue_families: QueueFamilies,
    route_families: RouteFamilies,
    store_families: StoreFamilies,
    upstream_families: UpstreamFamilies,
}

impl Metrics {
    /// Metrics at zero.
    #[must_use]
    pub fn new(names: &Names) -> Self {
        let registry = Registry::new();
        gauges(&registry, "portcullis_build_info", "What is running here", &["version"])
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        process::register(&registry);
        let metrics = Self {
            processor_seconds: ProcessorSeconds::new(&registry),
            configuration: ConfigurationMetrics::new(&registry),
            dns: Arc::new(DnsMetrics::new(&registry)),
            log: LogMetrics::new(&registry),
            traces: Arc::new(TraceMetrics::new(&registry)),
            spool: Arc::new(SpoolMetrics::new(&registry)),
            listener_families: ListenerFamilies::new(&registry),
            plugin_families: PluginFamilies::new(&registry),
            queue_families: QueueFamilies::new(&registry),
            route_families: RouteFamilies::new(&registry),
            store_families: StoreFamilies::new(&registry),
            upstream_families: UpstreamFamilies::new(&registry),
            registry,
            listeners: Owners::default(),
            plugins: Owners::default(),
            queue_upstreams: Owners::default(),
            stores: Owners::default(),
            upstreams: Owners::default(),
        };
        for listener in &names.listeners {
            metrics.listener(listener);
        }
        for (plugin, hooks) in &names.plugins {
            metrics.announce_plugin(plugin, hooks);
        }
        for store in &names.stores {
            metrics.store(store);
        }
        for upstream in &names.upstreams {
            metrics.upstream(upstream);
            metrics.queue_upstream(upstream);
        }
        metrics
    }

    /// Where the log counts its lines.
    pub fn watch_log(&self, counts: impl Fn() -> LogLines + Send + Sync + 'static) {
        self.log.watch(counts);
    }

    /// The metrics of a listener, by its name in the configuration.
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        self.listeners.get(name, || self.listener_families.resolve(name))
    }

    /// The metrics of a plugin, by its name in the configuration. One that was not announced
    /// has no hooks.
    pub fn plugin(&self, name: &str) -> Arc<PluginMetrics> {
        self.plugins.get(name, || self.plugin_families.resolve(name))
    }

    /// The plugins that fail too often to be called for now, by name.
    pub fn broken_plugins(&self) -> Vec<String> {
        self.plugins.named(PluginMetrics::is_broken)
    }

    /// The upstreams of which all addresses are down, by name.
    pub fn upstreams_down(&self) -> Vec<String> {
        self.upstreams.named(UpstreamMetrics::is_down)
    }

    /// Announces a plugin that is known only after [`Metrics::new`], with the labels of its hooks.
    pub fn announce_plugin(&self, name: &str, hooks: &[&'static str]) {
        self.plugin_families.announce(&self.plugin(name), name, hooks);
    }

    /// The metrics of the resolver.
    pub fn dns(&self) -> Arc<DnsMetrics> {
        self.dns.clone()
    }

    /// The metrics of traces.
    #[must_use]
    pub fn traces(&self) -> Arc<TraceMetrics> {
        self.traces.clone()
    }

    /// The metrics of the queue as a whole.
    #[must_use]
    pub fn queue(&self) -> QueueMetrics {
        self.queue_families.own()
    }

    /// What the queue does with an upstream, by its name in the configuration.
    pub fn queue_upstream(&self, name: &str) -> Arc<QueueUpstreamMetrics> {
        self.queue_upstreams.get(name, || self.queue_families.resolve(name))
    }

    /// The metrics of the spool.
    pub fn spool(&self) -> Arc<SpoolMetrics> {
        self.spool.clone()
    }

    /// The metrics of a store, by its name in the configuration.
    pub fn store(&self, name: &str) -> Arc<StoreMetrics> {
        self.stores.get(name, || self.store_families.resolve(name))
    }

    /// The metrics of an upstream, by its name in the configuration.
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        self.upstreams.get(name, || self.upstream_families.resolve(name))
    }

    /// [`PluginMetrics::add`] of the plugin with this name.
    pub fn plugin_add(&self, plugin: &str, name: &str, by: u64, label: Option<(&str, &str)>) {
        self.plugin(plugin).add(name, by, label);
    }

    /// [`PluginMetrics::observe`] of the plugin with this name.
    pub fn plugin_observe(&self, plugin: &str, name: &str, value: f64) {
        self.plugin(plugin).observe(name, value);
    }

    /// A configuration is in use, until this is dropped.
    #[must_use]
    pub fn configuration_in_use(&self) -> ConfigurationInUse {
        self.configuration.used()
    }

    /// Another configuration is served from now on, or the first one.
    pub fn configuration_loaded(&self) {
        self.configuration.loaded();
    }

    /// A reload was asked for; its configuration was taken, or refused.
    pub fn reloaded(&self, taken: bool) {
        self.configuration.reloaded(taken);
    }

    /// Tells at each scrape how many octets of message content are in memory and on disk.
    pub fn watch_content(&self, used: impl Fn() -> (u64, u64) + Clone + Send + Sync + 'static) {
        let disk = used.clone();
        pulled(
            &self.registry,
            "portcullis_content_memory_bytes",
            "Message content that is held in memory",
            move || used().0 as f64,
        );
        pulled(
            &self.registry,
            "portcullis_content_disk_bytes",
            "Message content that is held in temporary files",
            move || disk().1 as f64,
        );
    }

    /// Tells at each scrape of how many recipients it is known that they have what will come again.
    pub fn watch_receipts(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        pulled(
            &self.registry,
            "portcullis_receipts",
            "Recipients that have a message which their client will send again",
            move || count() as f64,
        );
    }

    /// Everything, in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.processor_seconds.update();
        self.log.update();
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "metrics are incomplete");
        }
        text
    }
}

/// The handles that have been asked for.
#[derive(Debug)]
struct Owners<M>(Mutex<BTreeMap<String, Arc<M>>>);

impl<M> Owners<M> {
    fn get(&self, name: &str, make: impl FnOnce() -> M) -> Arc<M> {
        // A map that a panic left behind is still a map.
        let mut owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = owners.get(name) {
            return Arc::clone(owner);
        }
        let owner = Arc::new(make());
        owners.insert(name.to_owned(), Arc::clone(&owner));
        owner
    }
}

impl<M> Owners<M> {
    /// The names of those of whom this is true.
    fn named(&self, is: impl Fn(&M) -> bool) -> Vec<String> {
        let owners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owners.iter().filter(|(_, owner)| is(owner)).map(|(name, _)| name.clone()).collect()
    }
}

impl<M> Default for Owners<M> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use portcullis_smtp::server::Verb;

    use super::*;

    fn metrics() -> Metrics {
        Metrics::new(&Names {
            listeners: vec!["mx".to_owned()],
            plugins: vec![("no-spam".to_owned(), vec!["connect", "rcpt"])],
            stores: vec!["greylist".to_owned()],
            upstreams: vec!["store".to_owned()],
        })
    }

    #[track_caller]
    fn expect_line(metrics: &Metrics, line: &str) {
        let text = metrics.render();
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }

    #[test]
    fn closed_sets_are_there_at_zero() {
        let metrics = metrics();
        expect_line(&metrics, "portcullis_connections_total{listener=\"mx\"} 0");
        expect_line(
            &metrics,
            "portcullis_transactions_total{listener=\"mx\",outcome=\"deferred\"} 0",
        );
        expect_line(
            &metrics,
            "portcullis_plugin_failures_total{hook=\"rcpt\",plugin=\"no-spam\",reason=\"trap\"} 0",
        );
        expect_line(&metrics, "portcullis_upstream_ambiguous_total{upstream=\"store\"} 0");
        expect_line(&metrics, "portcullis_replies_total{code=\"250\",listener=\"mx\"} 0");
    }

    #[test]
    fn a_listener_counts_what_happens() {
        let metrics = metrics();
        let mx = metrics.listener("mx");
        mx.connection_opened();
        mx.connection_opened();
        mx.connection_closed();
        mx.connection_refused(Refused::PerAddress);
        mx.tls_handshake(Err(HandshakeFailure::Timeout));
        mx.command(Verb::Ehlo);
        mx.reply(250);
        mx.message_octets(2000);
        expect_line(&metrics, "portcullis_connections_total{listener=\"mx\"} 2");
        expect_line(&metrics, "portcullis_connections_open{listener=\"mx\"} 1");
        expect_line(
            &metrics,
            "portcullis_connections_refused_total{listener=\"mx\",reason=\"per-address\"} 1",
        );
        expect_line(
            &metrics,
            "portcullis_tls_handshakes_total{listener=\"mx\",result=\"failed\"} 1",
        );
        expect_line(
            &metrics,
            "portcullis_tls_handshake_failures_total{listener=\"mx\",reason=\"timeout\"} 1",
        );
        expect_line(&metrics, "portcullis_commands_total{command=\"EHLO\",listener=\"mx\"} 1");
        expect_line(&metrics, "portcullis_replies_total{code=\"250\",listener=\"mx\"} 1");
        expect_line(
            &metrics,
            "portcullis_message_size_bytes_bucket{listener=\"mx\",le=\"4096\"} 1",
        );
    }

    #[test]
    fn transactions_are_in_flight_until_they_have_an_outcome() {
        let metrics = metrics();
        let mx = metrics.listener("mx");
        mx.transaction_started();
        mx.transaction_started();
        mx.transaction_ended(Outcome::Accepted);
        expect_line(&metrics, "portcullis_transactions_started_total{listener=\"mx\"} 2");
        expect_line(&metrics, "portcullis_transactions_in_flight{listener=\"mx\"} 1");
        expect_line(
            &metrics,
            "portcullis_transactions_total{listener=\"mx\",outcome=\"accepted\"} 1",
        );
    }

    #[test]
    fn numbers_that_are_no_reply_codes_become_no_label() {
        let metrics = metrics();
        let mx = metrics.listener("mx");
        let store = metrics.upstream("store");
        let before = metrics.render().lines().count();
        for code in [0, 99, 199, 600, 999, u16::MAX] {
            mx.reply(code);
            store.reply(Stage::Rcpt, code);
        }
        assert_eq!(metrics.render().lines().count(), before);
    }

    #[test]
    fn a_failed_hook_call_is_counted_with_its_duration_and_reason() {
        let metrics = metrics();
        let plugin = metrics.plugin("no-spam");
        plugin.hook_called("rcpt", "failure", Duration::from_millis(3));
        plugin.hook_failed("rcpt", "timeout");
        expect_line(
            &metrics,
            "portcullis_plugin_calls_total{hook=\"rcpt\",plugin=\"no-spam\",result=\"failure\"} 1",
        );
        expect_line(
            &metrics,
            "portcullis_plugin_failures_total{hook=\"rcpt\",plugin=\"no-spam\",reason=\"timeout\"} 1",
        );
        expect_line(
            &metrics,
            "portcullis_plugin_call_duration_seconds_bucket{hook=\"rcpt\",plugin=\"no-spam\",le=\"0.005\"} 1",
        );
    }

    #[test]
    fn hooks_that_a_plugin_answers_after_a_reload_are_counted_beside_those_before() {
        let metrics = metrics();
        let plugin = metrics.plugin("no-spam");
        plugin.hook_called("data", "next", Duration::from_millis(1));
        metrics.announce_plugin("no-spam", &["rcpt", "data"]);
        // What holds the handle of before counts on, for transactions in flight, too.
        for hook in ["connect", "rcpt", "data"] {
            plugin.hook_called(hook, "next", Duration::from_millis(1));
            let line =
                "portcullis_plugin_calls_total{hook=\"HOOK\",plugin=\"no-spam\",result=\"next\"} 1";
            expect_line(&metrics, &line.replace("HOOK", hook));
        }
    }

    #[test]
    fn configurations_are_in_use_until_nothing_holds_them() {
        let metrics = metrics();
        let (old, new) = (metrics.configuration_in_use(), metrics.configuration_in_use());
        metrics.reloaded(true);
        metrics.reloaded(false);
        expect_line(&metrics, "portcullis_configurations_in_use 2");
        drop(old);
        expect_line(&metrics, "portcullis_configurations_in_use 1");
        expect_line(&metrics, "portcullis_reloads_total{result=\"failed\"} 1");
        expect_line(&metrics, "portcullis_reloads_total{result=\"ok\"} 1");
        drop(new);
    }

    #[test]
    fn content_is_asked_for_at_each_scrape() {
        let metrics = metrics();
        metrics.watch_content(|| (7, 9));
        expect_line(&metrics, "portcullis_content_memory_bytes 7");
        expect_line(&metrics, "portcullis_content_disk_bytes 9");
    }

    #[test]
    fn promtool_has_nothing_to_say() {
        let metrics = metrics();
        metrics.watch_content(|| (0, 0));
        metrics.listener("mx").reply(599);
        metrics.upstream("store").reply(Stage::Content, 250);
        metrics.plugin_add("no-spam", "seen", 1, Some(("kind", "odd \"one\" \\ é")));
        metrics.plugin_observe("no-spam", "score-points", 4.5);
        let Ok(mut promtool) = Command::new("promtool")
            .args(["check", "metrics", "--extended"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
        else {
            eprintln!("promtool is not installed, so nothing was checked");
            return;
        };
        let mut stdin = promtool.stdin.take().unwrap();
        stdin.write_all(metrics.render().as_bytes()).unwrap();
        drop(stdin);
        let output = promtool.wait_with_output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
