//! Builds every part from a configuration, starts them, and stops them in order.

mod certificates;
mod logins;
mod supervisor;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_smtp::server::{Limits, Settings};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tracing::{error, info, warn};

use crate::admin::{self, Readiness};
use crate::config::{self, Config, Mistakes, Place, SessionLimits, TlsMode};
use crate::connection::Terms;
use crate::listener::{Listener, Passed, Permits};
use crate::message::Budget;
use crate::metrics::{Metrics, Names};
use crate::pipeline::{House, Site};
use crate::plugins::{Engine, Services};
use crate::policy::{Chain, Hook, Link, Plugin, Scoring};
use crate::resolver::{Resolver, ResolverError};
use crate::routing::Routes;
use crate::shutdown::Shutdown;
use crate::store::Stores;
use crate::tls::Renewal;
use crate::upstream::Upstreams;
use crate::worker::Workers;
use certificates::Secured;
use logins::Admission;

/// Everything that a configuration needs before a socket is opened. `check` ends here.
#[derive(Debug)]
pub struct Parts {
    config: Config,
    metrics: Arc<Metrics>,
    budget: Arc<Budget>,
    routes: Arc<Routes>,
    upstreams: Arc<Upstreams>,
    plugins: Vec<Arc<dyn Plugin>>,
    /// For each listener, in their order.
    secured: Vec<Option<Secured>>,
    /// For each listener, in their order.
    admissions: Vec<Option<Admission>>,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Each with where its sessions find what they share, for each worker.
    listeners: Vec<(String, Listener, Vec<Arc<Site>>)>,
    workers: Workers,
    renewals: Vec<Renewal>,
    admin: Option<TcpListener>,
    readiness: Readiness,
    metrics: Arc<Metrics>,
    /// For each worker.
    upstreams: Vec<Arc<Upstreams>>,
    shutdown: Shutdown,
    deadline: Duration,
}

/// Where a gateway listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The first listener that has an IP address.
    pub smtp: SocketAddr,
    /// All that have one, by name.
    pub listeners: Vec<(String, SocketAddr)>,
    /// Metrics and health.
    pub admin: Option<SocketAddr>,
}

/// Why a gateway did not start. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({name})")]
    Bind {
        /// The listener's name.
        name: String,
        /// The address, as the configuration has it.
        address: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The configuration, or a file that it names.
    #[error("{0}")]
    Configuration(#[from] Mistakes),
    /// The wasm engine.
    #[error("the plugin engine cannot be started: {0}")]
    Engine(String),
    /// The resolver.
    #[error("{0}")]
    Resolver(#[from] ResolverError),
    /// The threads that serve connections.
    #[error("threads for connections cannot be started")]
    Workers(#[source] io::Error),
}

impl Parts {
    /// Loads certificates and plugins, and configures the plugins.
    ///
    /// # Errors
    ///
    /// All mistakes that were found.
    pub async fn prepare(mut config: Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new(&Names {
            listeners: config.listeners.iter().map(|listener| listener.name.clone()).collect(),
            plugins: Vec::new(),
            stores: config.stores.keys().cloned().collect(),
            upstreams: config.upstreams.keys().cloned().collect(),
        }));
        let mut mistakes = Mistakes::default();
        let secured = certificates::load(&config, &metrics, &mut mistakes);
        let upstreams = match Upstreams::new(&config, metrics.clone()) {
            Ok(upstreams) => Some(Arc::new(upstreams)),
            Err(error) => {
                mistakes.at(&Place::default(), error.to_string(), None);
                None
            }
        };
        let limits = &config.limits;
        let budget = Budget::waiting(
            limits.content_memory_octets,
            limits.content_disk_octets,
            limits.message_memory_octets,
            std::env::temp_dir(),
            limits.content_wait,
        );
        let resolver = Resolver::new(&config.dns, metrics.dns())?;
        let stores = Arc::new(Stores::open(&config.stores, None, &metrics));
        let services = Services { resolver, stores };
        let plugins = load(&config, &metrics, &budget, services, &mut mistakes).await?;
        let mut warnings = Mistakes::default();
        let admissions = logins::prepare(&config, &plugins, &mut mistakes, &mut warnings);
        for warning in &warnings {
            warn!(place = %warning.place, "{}", warning.text);
            config.warnings.push(warning.clone());
        }
        for (listener, admission) in config.listeners.iter().zip(&admissions) {
            if let Some(Admission { offer, .. }) = admission {
                metrics.listener(&listener.name).auth_offered(&offer.mechanisms);
            }
        }
        let (Some(upstreams), true) = (upstreams, mistakes.is_empty()) else {
            return Err(mistakes.into());
        };
        let used = budget.clone();
        metrics.watch_content(move || used.used());
        let routes = Arc::new(Routes::new(&config));
        certificates::warn_of(&mut config, &secured);
        Ok(Self { config, metrics, budget, routes, upstreams, plugins, secured, admissions })
    }

    /// What is legal but dangerous.
    #[must_use]
    pub fn warnings(&self) -> &Mistakes {
        &self.config.warnings
    }

    /// The certificates, one a line.
    pub fn certificates(&self) -> impl Iterator<Item = String> {
        self.config.listeners.iter().zip(&self.secured).flat_map(|(listener, secured)| {
            let facts = secured.iter().flat_map(|one| one.renewal.certificates().facts());
            facts.map(|facts| certificates::describe(&listener.name, &facts))
        })
    }

    /// The chain of a listener: its plugins, in its order.
    fn chain(&self, listener: &config::Listener) -> Chain {
        let named = listener.plugins.iter().filter_map(|name| {
            let plugin = self.plugins.iter().find(|plugin| plugin.name() == name)?;
            let metrics = self.metrics.plugin(name);
            Some(Link { plugin: plugin.clone(), metrics })
        });
        let metrics = self.metrics.listener(&listener.name);
        let scoring = listener.scores.as_ref().map(|scores| Scoring::new(scores, metrics));
        Chain::new(named.collect(), listener.quarantine.is_some()).scored(scoring)
    }

    /// What is made of a listener's `auth`.
    fn admission(&self, listener: &config::Listener) -> Option<&Admission> {
        let own = self.config.listeners.iter().position(|other| other.name == listener.name)?;
        self.admissions.get(own)?.as_ref()
    }

    fn house(&self, listener: &config::Listener, upstreams: &Arc<Upstreams>) -> House {
        House {
            listener: listener.name.clone(),
            hostname: self.config.hostname.clone(),
            protocol: listener.protocol,
            chain: self.chain(listener),
            login: self.admission(listener).map(|admission| admission.login.clone()),
            routes: self.routes.clone(),
            upstreams: upstreams.clone(),
            upstream: listener.upstream.clone(),
            quarantine: listener.quarantine.clone(),
            budget: self.budget.clone(),
            header_octets: listener.limits.header_octets,
            message_octets: listener.limits.message_octets,
            metrics: self.metrics.listener(&listener.name),
        }
    }

    fn terms(&self, listener: &config::Listener, certificate: Option<Arc<ServerConfig>>) -> Terms {
        let mode = listener.tls.as_ref().map(|tls| tls.mode);
        Terms {
            settings: Arc::new(Settings {
                protocol: listener.protocol,
                starttls: mode == Some(TlsMode::Starttls),
                grammar: listener.address_syntax,
                bare_newlines: listener.bare_newlines,
                auth: self.admission(listener).map(|it| it.offer.clone()).unwrap_or_default(),
                offers: listener.extensions,
                future_release: listener.future_release.clone(),
                pipelining: listener.pipelining,
                limits: Limits {
                    auth_failures: failures(listener),
                    ..session_limits(&listener.limits)
                },
                ..Settings::new(&self.config.hostname)
            }),
            timeouts: listener.timeouts.clone(),
            content_rate: listener.limits.content_rate,
            greeting_delay: listener.greeting_delay,
            early_talkers: listener.early_talkers,
            trust: listener.trust.clone(),
            pause: PAUSE,
            acceptor: certificate.map(TlsAcceptor::from),
            implicit_tls: mode == Some(TlsMode::Implicit),
            metrics: self.metrics.listener(&listener.name),
        }
    }
}

fn session_limits(limits: &SessionLimits) -> Limits {
    Limits {
        command_octets: limits.command_octets,
        parameter_octets: limits.parameter_octets,
        message_octets: limits.message_octets,
        header_octets: limits.header_octets as u64,
        header_fields: limits.header_fields,
        recipients: limits.recipients,
        refused_recipients: limits.refused_recipients,
        transactions: limits.transactions,
        errors: limits.errors,
        unknown_commands: limits.unknown_commands,
        idle_commands: limits.idle_commands,
        received_hops: limits.received_hops,
        ..Limits::default()
    }
}

impl Gateway {
    /// Prepares everything, then opens the sockets, or takes those that were passed.
    ///
    /// # Errors
    ///
    /// Why nothing was started.
    pub async fn start(
        config: Config,
        passed: Passed,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        Self::open(Parts::prepare(config).await?, passed, shutdown).await
    }

    async fn open(
        mut parts: Parts,
        mut passed: Passed,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let limits = &parts.config.limits;
        let permits = Permits::new(limits);
        let (mut renewals, secured) = (Vec::new(), std::mem::take(&mut parts.secured));
        let workers = Workers::start().map_err(StartError::Workers)?;
        let count = workers.count();
        let upstreams: Vec<_> =
            (0..count).map(|_| Arc::new(parts.upstreams.share(count))).collect();
        let mut listeners = Vec::new();
        for (listener, secured) in parts.config.listeners.iter().zip(secured) {
            let (name, address) = (listener.name.clone(), &listener.address);
            let (certificate, renewal) = secured.map(|one| (one.config, one.renewal)).unzip();
            renewals.extend(renewal);
            let terms = Arc::new(ArcSwap::from_pointee(parts.terms(listener, certificate)));
            let permits = permits.clone();
            let bound = Listener::bind(&name, address, count, &mut passed, terms, permits);
            let bound = bound.map_err(|source| StartError::Bind {
                name: name.clone(),
                address: address.to_string(),
                source,
            })?;
            let houses = upstreams.iter().map(|upstreams| parts.house(listener, upstreams));
            let sites = houses.map(|house| Arc::new(Site::new(house))).collect();
            listeners.push((name, bound, sites));
        }
        let admin = match parts.config.admin.address {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                let (name, address) = ("admin".to_owned(), address.to_string());
                Some(bound.map_err(|source| StartError::Bind { name, address, source })?)
            }
            None => None,
        };
        for name in passed.left() {
            warn!(name, "a socket was passed that no listener asks for");
        }
        let readiness = Readiness::new();
        readiness.hold(STARTING);
        let deadline = parts.config.shutdown_deadline;
        let metrics = parts.metrics;
        Ok(Self {
            listeners,
            workers,
            renewals,
            admin,
            readiness,
            metrics,
            upstreams,
            shutdown,
            deadline,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let address =
            |(name, listener, _): &(String, Listener, _)| Some((name.clone(), listener.address()?));
        let listeners: Vec<_> = self.listeners.iter().filter_map(address).collect();
        let smtp = listeners.first().map(|(_, address)| *address).ok_or(io::ErrorKind::NotFound)?;
        let admin = self.admin.as_ref().map(TcpListener::local_addr).transpose()?;
        Ok(Addresses { smtp, listeners, admin })
    }

    /// Serves until the shutdown, then lets transactions in flight end.
    pub async fn run(self) {
        for (name, listener, _) in &self.listeners {
            for address in listener.places() {
                info!(listener = name, address, "listening");
            }
        }
        let mut accepting = JoinSet::new();
        for (_, listener, sites) in self.listeners {
            for (runtime, acceptors) in self.workers.runtimes().zip(listener.acceptors(sites)) {
                for acceptor in acceptors {
                    accepting.spawn_on(acceptor.run(self.shutdown.clone()), runtime);
                }
            }
        }
        let readiness = self.readiness;
        let mut serving = JoinSet::new();
        for renewal in self.renewals {
            serving.spawn(renewal.run(self.shutdown.watcher()));
        }
        if let Some(admin) = self.admin {
            serving.spawn(admin::serve(admin, self.metrics, readiness.clone()));
        }
        readiness.clear(STARTING);
        supervisor::ready();
        self.shutdown.watcher().begun().await;
        readiness.hold(DRAINING);
        supervisor::stopping();
        info!("shutting down: listeners close, transactions in flight end");
        while let Some(ended) = accepting.join_next().await {
            if let Ok(Err(cause)) = ended {
                error!(%cause, "a worker could not accept connections");
            }
        }
        let left = self.shutdown.drained(self.deadline).await;
        if left > 0 {
            warn!(connections = left, "the deadline has come, connections are cut");
        }
        self.upstreams.iter().for_each(|upstreams| upstreams.close());
        serving.shutdown().await;
    }
}

/// How often a session of a listener may fail to log in.
fn failures(listener: &config::Listener) -> u32 {
    let auth = listener.auth.as_ref();
    auth.map_or_else(|| Limits::default().auth_failures, |auth| auth.failures_per_session)
}

async fn load(
    config: &Config,
    metrics: &Arc<Metrics>,
    budget: &Arc<Budget>,
    services: Services,
    mistakes: &mut Mistakes,
) -> Result<Vec<Arc<dyn Plugin>>, StartError> {
    let (cache, budget) = (&config.cache_directory, budget.clone());
    let engine = Engine::new(&config.limits, cache, budget, metrics.clone(), services)
        .map_err(|error| StartError::Engine(error.to_string()))?;
    let upstreams = Arc::new(config.upstreams.keys().cloned().collect());
    let mut plugins = Vec::new();
    for plugin in &config.plugins {
        match engine.load(plugin, Arc::clone(&upstreams)).await {
            Ok(loaded) => {
                let hooks = Hook::ALL.into_iter().filter(|hook| loaded.answers(*hook));
                let hooks: Vec<_> = hooks.map(Hook::label).collect();
                metrics.announce_plugin(&plugin.name, &hooks);
                info!(plugin = plugin.name, file = %plugin.file.display(), ?hooks, "plugin loaded");
                plugins.push(loaded);
            }
            Err(error) => {
                let (place, help) = (error.failure.place(plugin), error.failure.help(plugin));
                mistakes.at(place, error.to_string(), help.as_deref());
            }
        }
    }
    Ok(plugins)
}

/// Reads a configuration and everything that it names, and says what is wrong with it.
///
/// # Errors
///
/// All mistakes.
pub async fn check(file: &Path) -> Result<Parts, StartError> {
    Parts::prepare(config::load(file)?).await
}

/// Longer than a client needs for its next command over any network; then the connection to the
/// upstream serves somebody else meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// Reasons why the gateway is not ready, for `/readyz`.
const STARTING: &str = "starting";
const DRAINING: &str = "draining";
