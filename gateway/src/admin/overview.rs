//! The gateway as a whole: what it serves, and how that does.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use serde::Serialize;

use super::health::{Note, reasons, warnings};
use super::{Answer, Ask, Offer, Status};
use crate::config::Effective;
use crate::message::Budget;
use crate::metrics::{ListenerMetrics, Metrics};
use crate::queue::{Queue, Summary};
use crate::tls::Certificates;
use crate::upstream::{UpstreamFacts, Upstreams};

/// What the gateway tells of itself as a whole. Each configuration puts its own part there.
#[derive(Debug)]
pub struct Overview {
    started: (Timestamp, Instant),
    serving: ArcSwapOption<Serving>,
    reloads: Mutex<Reloads>,
}

#[derive(Debug, Default)]
struct Reloads {
    /// Configurations that were served.
    generation: u64,
    last: Option<ReloadReport>,
}

/// What of a configuration can be looked at.
#[derive(Debug)]
pub struct Serving {
    /// Its file, if it came from one.
    pub file: Option<PathBuf>,
    /// Every key of it with its value.
    pub configuration: Arc<Effective>,
    /// When it was loaded.
    pub loaded: Timestamp,
    /// The gateway's own name.
    pub hostname: String,
    /// Connections that there may be, at all listeners together.
    pub connections_limit: usize,
    /// The listeners, in their order.
    pub listeners: Vec<Listening>,
    /// The same upstreams for each worker.
    pub upstreams: Vec<Arc<Upstreams>>,
    /// The plugins in their order, and the hooks that each of them answers.
    pub plugins: Vec<(String, Vec<&'static str>)>,
    /// Room for content.
    pub budget: Arc<Budget>,
    /// How much of it there is in memory, and on the disk.
    pub budget_limits: (u64, u64),
}

/// One listener.
#[derive(Debug)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// Everywhere it listens.
    pub addresses: Vec<String>,
    /// `smtp` or `lmtp`.
    pub protocol: &'static str,
    /// `starttls`, `implicit`, or none.
    pub tls: Option<&'static str>,
    /// Its plugins, in their order.
    pub plugins: Vec<String>,
    /// Where its connections are counted.
    pub metrics: Arc<ListenerMetrics>,
    /// Its certificates, which may change.
    pub certificates: Option<Arc<Certificates>>,
}

/// What came of a reload.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ReloadReport {
    /// `ok` or `failed`.
    pub result: &'static str,
    /// When it ended.
    pub time: String,
    /// Its warnings, or why not.
    pub text: String,
}

impl Default for Overview {
    fn default() -> Self {
        Self {
            started: (Timestamp::now(), Instant::now()),
            serving: ArcSwapOption::empty(),
            reloads: Mutex::default(),
        }
    }
}

impl Overview {
    /// A configuration is served from now on.
    pub fn serve(&self, serving: Serving) {
        self.serving.store(Some(Arc::new(serving)));
        self.reloads(|reloads| reloads.generation += 1);
    }

    /// A reload has ended.
    pub fn reloaded(&self, result: Result<String, String>) {
        let (result, text) = match result {
            Ok(text) => ("ok", text),
            Err(text) => ("failed", text),
        };
        let last = ReloadReport { result, time: shown(Timestamp::now()), text };
        self.reloads(|reloads| reloads.last = Some(last));
    }

    fn reloads<T>(&self, with: impl FnOnce(&mut Reloads) -> T) -> T {
        with(&mut self.reloads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What `/api/status` says.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    hostname: String,
    started: String,
    uptime_seconds: f64,
    state: &'static str,
    reasons: Vec<Note>,
    warnings: Vec<Note>,
    configuration: ConfigurationReport,
    connections: u64,
    connections_limit: usize,
    listeners: Vec<ListenerReport>,
    upstreams: Vec<UpstreamFacts>,
    plugins: Vec<PluginReport>,
    certificates: Vec<CertificateReport>,
    memory: MemoryReport,
    spool: Option<Summary>,
    history: HistoryReport,
    watchers: WatchersReport,
}

#[derive(Debug, Serialize)]
struct ConfigurationReport {
    file: Option<PathBuf>,
    loaded: String,
    generation: u64,
    last_reload: Option<ReloadReport>,
}

#[derive(Debug, Serialize)]
struct ListenerReport {
    name: String,
    address: Option<String>,
    addresses: Vec<String>,
    protocol: &'static str,
    tls: Option<&'static str>,
    plugins: Vec<String>,
    open: u64,
    limit: usize,
}

#[derive(Debug, Serialize)]
struct PluginReport {
    name: String,
    hooks: Vec<&'static str>,
    breaker: &'static str,
}

#[derive(Debug, Serialize)]
struct CertificateReport {
    listener: String,
    file: PathBuf,
    names: Vec<String>,
    not_after: Option<String>,
    days_left: i64,
}

#[derive(Debug, Serialize)]
struct MemoryReport {
    used: u64,
    limit: u64,
    disk_used: u64,
    disk_limit: u64,
}

#[derive(Debug, Serialize)]
struct HistoryReport {
    transactions: usize,
    octets: u64,
}

#[derive(Debug, Serialize)]
struct WatchersReport {
    subscribers: usize,
    dropped: u64,
}

impl Overview {
    /// How everything is now; none before anything is served.
    fn report(&self, offer: &Offer) -> Option<Report> {
        let (metrics, queue, live) = (&*offer.metrics, offer.queue.as_deref(), &*offer.live);
        let (reasons, warnings) = (reasons(offer), warnings(offer));
        let serving = self.serving.load_full()?;
        let (started, since) = self.started;
        let (generation, last_reload) =
            self.reloads(|reloads| (reloads.generation, reloads.last.clone()));
        let open = |listening: &Listening| listening.metrics.connections_open();
        let ((used, disk_used), (limit, disk_limit)) =
            (serving.budget.used(), serving.budget_limits);
        let (transactions, octets) = live.kept();
        Some(Report {
            version: env!("CARGO_PKG_VERSION"),
            hostname: serving.hostname.clone(),
            started: shown(started),
            uptime_seconds: since.elapsed().as_secs_f64(),
            state: if reasons.is_empty() { "ready" } else { "not ready" },
            reasons,
            warnings,
            configuration: ConfigurationReport {
                file: serving.file.clone(),
                loaded: shown(serving.loaded),
                generation,
                last_reload,
            },
            connections: serving.listeners.iter().map(open).sum(),
            connections_limit: serving.connections_limit,
            listeners: serving.listeners.iter().map(|one| one.report(&serving)).collect(),
            upstreams: Upstreams::facts(&serving.upstreams),
            plugins: serving.plugins(metrics),
            certificates: serving.listeners.iter().flat_map(Listening::certificates).collect(),
            memory: MemoryReport { used, limit, disk_used, disk_limit },
            spool: queue.map(Queue::summary),
            history: HistoryReport { transactions, octets },
            watchers: WatchersReport { subscribers: live.subscribers(), dropped: live.dropped() },
        })
    }
}

/// `/api/config`: every key of the configuration that is served.
pub(super) async fn configuration(offer: Arc<Offer>, _: Ask) -> Answer {
    match &*offer.overview.serving.load() {
        Some(serving) => Answer::json(&serving.configuration.to_json()),
        None => Answer::refusal(Status::SERVICE_UNAVAILABLE, "nothing is served yet"),
    }
}

/// `/api/status`: the gateway as a whole.
pub(super) async fn status(offer: Arc<Offer>, _: Ask) -> Answer {
    match offer.overview.report(&offer) {
        Some(report) => Answer::json(&report),
        None => Answer::refusal(Status::SERVICE_UNAVAILABLE, "nothing is served yet"),
    }
}

impl Serving {
    fn plugins(&self, metrics: &Metrics) -> Vec<PluginReport> {
        let broken = metrics.broken_plugins();
        let report = |(name, hooks): &(String, Vec<&'static str>)| PluginReport {
            name: name.clone(),
            hooks: hooks.clone(),
            breaker: if broken.contains(name) { "open" } else { "closed" },
        };
        self.plugins.iter().map(report).collect()
    }
}

impl Listening {
    fn report(&self, serving: &Serving) -> ListenerReport {
        ListenerReport {
            name: self.name.clone(),
            address: self.addresses.first().cloned(),
            addresses: self.addresses.clone(),
            protocol: self.protocol,
            tls: self.tls,
            plugins: self.plugins.clone(),
            open: self.metrics.connections_open(),
            limit: serving.connections_limit,
        }
    }

    fn certificates(&self) -> Vec<CertificateReport> {
        let facts = self.certificates.iter().flat_map(|certificates| certificates.facts());
        facts
            .map(|facts| CertificateReport {
                listener: self.name.clone(),
                file: facts.file,
                names: facts.names,
                not_after: Timestamp::from_second(facts.not_after).ok().map(shown),
                days_left: (facts.not_after - Timestamp::now().as_second()).div_euclid(DAY),
            })
            .collect()
    }
}

/// As RFC 3339 has it.
fn shown(instant: Timestamp) -> String {
    format!("{instant:.3}")
}

/// Seconds.
const DAY: i64 = 24 * 60 * 60;
