//! What Prometheus is told.
//!
//! Labels have their values from the configuration or from closed sets, never from a peer. Who
//! counts often asks for its handle once ([`Metrics::listener`], [`Metrics::plugin`],
//! [`Metrics::upstream`]) and keeps it.

mod admin;
mod configuration;
mod copies;
mod delay;
mod dns;
mod family;
mod label;
mod listener;
mod live;
mod log;
mod plugin;
mod process;
mod queue;
mod reference;
mod routes;
mod session;
mod spool;
mod store;
mod tls;
mod traces;
mod transaction;
mod upstream;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{Registry, TextEncoder};

use configuration::ConfigurationMetrics;
use copies::Copies;
use family::pulled;
use listener::ListenerFamilies;
use live::LiveMetrics;
use log::LogMetrics;
use plugin::PluginFamilies;
use process::ProcessorSeconds;
use queue::QueueFamilies;
use routes::RouteFamilies;
use store::StoreFamilies;
use upstream::UpstreamFamilies;
use worker::WorkerMetrics;

pub use admin::{AdminMetrics, AdminRefused};
pub use configuration::{Bounds, ConfigurationInUse};
pub use dns::{DnsMetrics, InFlight};
pub use label::{
    AuthResult, Bound, Connect, Delayed, DnsResult, HandshakeFailure, Outcome, Probe, ProxyHeader,
    Refused, Retry, ScoreAction, Stage, TraceResult, TurnedAway,
};
pub use listener::ListenerMetrics;
pub use live::Watched;
pub use log::LogLines;
pub use plugin::{
    ACTIONS, CALL_AHEAD_RESULTS, CallBegun, HOOKS, HTTP_RESULTS, LOG_LEVELS, PluginMetrics,
    REASONS, RESULTS,
};
pub use queue::{Attempt, QueueMetrics, QueueResult, QueueUpstreamMetrics, ReportKind};
pub use reference::{Entry, page, reference};
pub use session::{Account, Awaited, Cause, Reached};
pub use spool::{SpoolBound, SpoolMetrics, SpoolStep, SpoolUse};
pub use store::{StoreMetrics, StoreOperation, StoreResult};
pub use traces::TraceMetrics;
pub use transaction::{RecipientResult, RefusedAt, RefusedBy, RefusedFor};
pub use upstream::{AddressUp, UpstreamMetrics};
pub use worker::count_panics;

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
    admin: Arc<AdminMetrics>,
    configuration: ConfigurationMetrics,
    dns: Arc<DnsMetrics>,
    live: LiveMetrics,
    log: LogMetrics,
    traces: Arc<TraceMetrics>,
    spool: Arc<SpoolMetrics>,
    listeners: Owners<ListenerMetrics>,
    listeners_gone: Mutex<BTreeSet<String>>,
    copies: Copies,
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
    workers: WorkerMetrics,
}

impl Metrics {
    /// Metrics at zero.
    #[must_use]
    pub fn new(names: &Names) -> Self {
        let registry = Registry::new();
        process::show_build(&registry);
        process::register(&registry);
        let metrics = Self {
            processor_seconds: ProcessorSeconds::new(&registry),
            admin: Arc::new(AdminMetrics::new(&registry)),
            configuration: ConfigurationMetrics::new(&registry),
            dns: Arc::new(DnsMetrics::new(&registry)),
            live: LiveMetrics::new(&registry),
            log: LogMetrics::new(&registry),
            traces: Arc::new(TraceMetrics::new(&registry)),
            spool: Arc::new(SpoolMetrics::new(&registry)),
            listener_families: ListenerFamilies::new(&registry),
            plugin_families: PluginFamilies::new(&registry),
            queue_families: QueueFamilies::new(&registry),
            route_families: RouteFamilies::new(&registry),
            store_families: StoreFamilies::new(&registry),
            upstream_families: UpstreamFamilies::new(&registry),
            workers: WorkerMetrics::new(&registry),
            registry,
            listeners: Owners::default(),
            listeners_gone: Mutex::default(),
            copies: Copies::default(),
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

    /// Tells at each scrape who watches.
    pub fn watch_live(&self, watched: impl Fn() -> Watched + Send + Sync + 'static) {
        self.live.watch(watched);
    }

    /// Where the log counts its lines.
    pub fn watch_log(&self, counts: impl Fn() -> LogLines + Send + Sync + 'static) {
        self.log.watch(counts);
    }

    /// The metrics of a listener, by its name in the configuration.
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        self.gone(|gone| gone.remove(name));
        self.listeners.get(name, || self.listener_families.resolve(name))
    }

    /// A listener is no longer there: nothing is told of it, until somebody asks for its metrics again.
    /// What was counted is kept until then, for a counter never goes back.
    pub fn listener_left(&self, name: &str) {
        self.gone(|gone| gone.insert(name.to_owned()));
    }

    fn gone<T>(&self, change: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        // A set that a panic left behind is still a set.
        change(&mut self.listeners_gone.lock().unwrap_or_else(PoisonError::into_inner))
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

    /// The metrics of the admin interface.
    pub fn admin(&self) -> Arc<AdminMetrics> {
        self.admin.clone()
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

    /// Another configuration is served from now on, or the first one, with these bounds.
    pub fn configuration_loaded(&self, bounds: Bounds) {
        self.configuration.loaded(bounds);
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
            "Message content in memory",
            move || used().0 as f64,
        );
        pulled(
            &self.registry,
            "portcullis_content_disk_bytes",
            "Message content in temporary files",
            move || disk().1 as f64,
        );
    }

    /// Tells at each scrape of how many recipients it is known that they have what will come again.
    pub fn watch_receipts(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        pulled(
            &self.registry,
            "portcullis_receipts",
            "Recipients that have a message which their client will send again, at most \
             `duplicates.entries`",
            move || count() as f64,
        );
    }

    /// Tells at each scrape whether the gateway is ready, as `/readyz` does.
    pub fn watch_ready(&self, ready: impl Fn() -> bool + Send + Sync + 'static) {
        pulled(
            &self.registry,
            "portcullis_ready",
            "1 if the gateway is ready, as in `/readyz`, which has the reasons",
            move || if ready() { 1.0 } else { 0.0 },
        );
    }

    /// Tells at each scrape how many copies of plugins there are, until nobody can say it.
    pub fn watch_copies(&self, count: impl Fn() -> Option<usize> + Send + Sync + 'static) {
        self.copies.watch(&self.registry, Box::new(count));
    }

    /// Everything, in the text format of Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.processor_seconds.update();
        self.live.update();
        self.log.update();
        let mut text = String::new();
        let mut families = self.registry.gather();
        self.gone(|gone| family::leave_out(&mut families, "listener", gone));
        if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
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
mod tests;
