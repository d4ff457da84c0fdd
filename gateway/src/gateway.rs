//! Builds every part from a configuration, starts them, and stops them in order.

mod certificates;
mod examination;
mod foundation;
mod furnishing;
mod logging;
mod logins;
mod overview;
mod pulse;
mod rehearsing;
mod reloads;
mod sockets;
mod standing;
mod supervisor;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};

use crate::admin::{self, Offer, Readiness};
use crate::config::{self, Config, Mistakes, Place};
use crate::listener::{CurrentTerms, Listener, Passed, Permits};
use crate::metrics::ConfigurationInUse;
use crate::pipeline::Site;
use crate::plugins::WasmPlugin;
use crate::policy::{Hook, Plugin};
use crate::resolver::ResolverError;
use crate::routing::{CurrentRoutes, Routes};
use crate::shutdown::Shutdown;
use crate::spool::{self, SpoolError};
use crate::tls::{CertificateFacts, Renewal};
use crate::traces::TracesError;
use crate::upstream::Upstreams;
use crate::worker::Workers;
use certificates::Secured;
use foundation::Foundation;
use logins::Admission;
use standing::{Stand, Standing};

pub use examination::{
    Examination, ExaminedCertificate, ExaminedListener, ExaminedPlugin, ExaminedUpstream, examine,
};
pub use logging::log_options;
pub use rehearsing::Rehearsals;
pub use reloads::Reloads;

/// Everything that a configuration needs before a socket is opened. `check` ends here.
#[derive(Debug)]
pub struct Parts {
    config: Arc<Config>,
    foundation: Foundation,
    routes: Arc<CurrentRoutes>,
    upstreams: Arc<Upstreams>,
    plugins: Vec<Arc<WasmPlugin>>,
    /// For each listener, in their order.
    secured: Vec<Option<Secured>>,
    /// For each listener, in their order.
    admissions: Vec<Option<Admission>>,
    /// Held by its houses, too.
    in_use: Arc<ConfigurationInUse>,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    standing: Standing,
    /// For each of its stands.
    listeners: Vec<Listener>,
    workers: Workers,
    renewals: Vec<Renewal>,
    admin: Option<TcpListener>,
    readiness: Readiness,
    shutdown: Shutdown,
    reloads: Option<Reloads>,
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
    /// What sends traces.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The directory of messages that wait.
    #[error(transparent)]
    Spool(#[from] SpoolError),
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
    pub async fn prepare(config: Config) -> Result<Self, StartError> {
        Self::after(None, config).await
    }

    /// The same with what an earlier configuration has that is to stay.
    async fn after(earlier: Option<&Self>, mut config: Config) -> Result<Self, StartError> {
        let foundation = match earlier {
            Some(earlier) => earlier.foundation.renewed(&config)?,
            None => Foundation::lay(&config)?,
        };
        let metrics = &foundation.metrics;
        let mut mistakes = Mistakes::default();
        let secured = certificates::load(&config, metrics, &mut mistakes);
        let known = earlier.map(|earlier| &*earlier.upstreams);
        let upstreams =
            match Upstreams::after(known, &config, foundation.resolver(), metrics.clone()) {
                Ok(upstreams) => Some(Arc::new(upstreams)),
                Err(error) => {
                    mistakes.at(&Place::default(), error.to_string(), None);
                    None
                }
            };
        let plugins = load(&config, &foundation, &mut mistakes).await;
        let mut warnings = Mistakes::default();
        if let Some(spool) = &config.spool {
            place_to_keep_mail(spool, &mut mistakes, &mut warnings);
        }
        let throttle =
            |listener: &str| earlier?.login(listener).map(|login| login.throttle.clone());
        let hashing = foundation.hashing.clone();
        let mut told = logins::Told { mistakes: &mut mistakes, warnings: &mut warnings };
        let admissions = logins::prepare(&config, &plugins, hashing, throttle, &mut told);
        for warning in &warnings {
            warn!(place = %warning.place, "{}", warning.text);
            config.warnings.push(warning.clone());
        }
        let (Some(upstreams), true) = (upstreams, mistakes.is_empty()) else {
            certificates::forget(&config, earlier.map(|earlier| &*earlier.config), metrics);
            return Err(mistakes.into());
        };
        for (listener, admission) in config.listeners.iter().zip(&admissions) {
            if let Some(Admission { offer, .. }) = admission {
                metrics.listener(&listener.name).auth_offered(&offer.mechanisms);
            }
        }
        let routes = Arc::new(CurrentRoutes::from_pointee(Routes::new(&config)));
        certificates::warn_of(&mut config, &secured);
        let in_use = Arc::new(metrics.configuration_in_use());
        let config = Arc::new(config);
        Ok(Self { config, foundation, routes, upstreams, plugins, secured, admissions, in_use })
    }

    /// What is legal but dangerous.
    #[must_use]
    pub fn warnings(&self) -> &Mistakes {
        &self.config.warnings
    }

    /// The certificates, each with the name of its listener.
    fn certificates(&self) -> impl Iterator<Item = (&str, CertificateFacts)> {
        self.config.listeners.iter().zip(&self.secured).flat_map(|(listener, secured)| {
            let facts = secured.iter().flat_map(|one| one.renewal.certificates().facts());
            facts.map(|facts| (&*listener.name, facts))
        })
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
        let waiting = parts.foundation.open_spool(&parts.config).await?;
        if !waiting.is_empty() {
            info!(messages = waiting.len(), "messages wait in the spool");
        }
        let permits = Permits::new(&parts.config.limits);
        let (mut renewals, secured) = (Vec::new(), std::mem::take(&mut parts.secured));
        let workers = Workers::start().map_err(StartError::Workers)?;
        let count = workers.count();
        let upstreams: Vec<_> =
            (0..count).map(|_| Arc::new(parts.upstreams.share(count, None))).collect();
        let spooling = parts.spooling(waiting, &workers, &upstreams, &shutdown);
        let (mut listeners, mut stands) = (Vec::new(), Vec::new());
        for (listener, secured) in parts.config.listeners.iter().zip(secured) {
            let (name, address) = (listener.name.clone(), &listener.address);
            let (certificate, renewal) = secured.map(|one| (one.config, one.renewal)).unzip();
            let certificates = renewal.as_ref().map(Renewal::certificates).cloned();
            renewals.extend(renewal);
            let terms = Arc::new(CurrentTerms::from_pointee(parts.terms(listener, certificate)));
            let permits = permits.clone();
            let bound = Listener::bind(&name, address, count, &mut passed, terms.clone(), permits);
            let bound = bound.map_err(|source| StartError::Bind {
                name: name.clone(),
                address: address.to_string(),
                source,
            })?;
            let places = bound.places().collect();
            listeners.push(bound);
            let sites = (0..).zip(&upstreams).map(|(worker, upstreams)| {
                let spool = spooling.get::<usize>(worker).cloned();
                Arc::new(Site::new(parts.house(listener, upstreams, spool)))
            });
            let sites = sites.collect();
            stands.push(Stand { listener: name, places, certificates, terms, sites });
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
        parts.foundation.stores().start();
        parts.foundation.metrics.configuration_loaded(parts.bounds());
        let renewing = JoinSet::new();
        let standing = Standing { parts, stands, upstreams, spooling, renewals: renewing };
        let reloads = None;
        Ok(Self { standing, listeners, workers, renewals, admin, readiness, shutdown, reloads })
    }

    /// Lets its configuration be replaced while it runs.
    #[must_use]
    pub fn reloading(self, reloads: Reloads) -> Self {
        Self { reloads: Some(reloads), ..self }
    }

    /// The listeners with their names.
    fn listeners(&self) -> impl Iterator<Item = (&str, &Listener)> {
        let names = self.standing.stands.iter().map(|stand| &*stand.listener);
        names.zip(&self.listeners)
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let address =
            |(name, listener): (&str, &Listener)| Some((name.to_owned(), listener.address()?));
        let listeners: Vec<_> = self.listeners().filter_map(address).collect();
        let smtp = listeners.first().map(|(_, address)| *address).ok_or(io::ErrorKind::NotFound)?;
        let admin = self.admin.as_ref().map(TcpListener::local_addr).transpose()?;
        Ok(Addresses { smtp, listeners, admin })
    }

    /// Serves until the shutdown, then lets transactions in flight end.
    pub async fn run(mut self) {
        for (name, listener) in self.listeners() {
            for address in listener.places() {
                info!(listener = name, address, "listening");
            }
        }
        let (shutdown, readiness, mut standing) = (self.shutdown, self.readiness, self.standing);
        let mut accepting = JoinSet::new();
        for (stand, listener) in standing.stands.iter().zip(self.listeners) {
            let acceptors = listener.acceptors(stand.sites.clone());
            for (runtime, acceptors) in self.workers.runtimes().zip(acceptors) {
                for acceptor in acceptors {
                    accepting.spawn_on(acceptor.run(shutdown.clone()), runtime);
                }
            }
        }
        let ready = readiness.clone();
        standing.parts.foundation.metrics.watch_ready(move || ready.reasons().is_empty());
        pulse::feel(&self.workers, &standing.parts.foundation.metrics);
        standing.renew(self.renewals, &shutdown.watcher());
        let mut serving = JoinSet::new();
        if let Some(spooling) = standing.spooling.first() {
            serving.spawn(spooling.queue.clone().run());
        }
        if let Some(admin) = self.admin {
            let reloading = self.reloads.as_ref().map(|reloads| reloads.reloading.clone());
            let metrics = standing.parts.foundation.metrics.clone();
            let queue = standing.spooling.first().map(|spooling| spooling.queue.clone());
            let readiness = readiness.clone();
            let (live, overview) = (
                standing.parts.foundation.live.clone(),
                standing.parts.foundation.overview.clone(),
            );
            let offer = Offer { metrics, readiness, queue, live, overview, reloading };
            let offer = Arc::new(offer);
            serving.spawn(admin::serve(admin, admin::routes(&offer)));
        }
        standing.show(self.reloads.as_ref().map(Reloads::file));
        readiness.clear(STARTING);
        supervisor::ready();
        match self.reloads.take() {
            Some(reloads) => reloads.serve(&mut standing, shutdown.watcher()).await,
            None => shutdown.watcher().begun().await,
        }
        readiness.hold(DRAINING);
        supervisor::stopping();
        info!("shutting down: listeners close, transactions in flight end");
        while let Some(ended) = accepting.join_next().await {
            if let Ok(Err(cause)) = ended {
                error!(%cause, "a worker could not accept connections");
            }
        }
        let patience = standing.parts.config.shutdown_deadline;
        let deadline = Instant::now() + patience;
        let left = shutdown.drained(patience).await;
        if left > 0 {
            warn!(connections = left, "the deadline has come, connections are cut");
        }
        tell_the_rest(&standing.parts.plugins, deadline).await;
        standing.parts.foundation.live.close();
        if let Some(traces) = &standing.parts.foundation.traces {
            traces.flush(LAST_WORDS).await;
        }
        standing.close();
        standing.parts.foundation.stores().close().await;
        serving.shutdown().await;
    }
}

/// Lets plugins hear what has happened up to the end.
async fn tell_the_rest(plugins: &[Arc<WasmPlugin>], deadline: Instant) {
    let told = async {
        for plugin in plugins {
            plugin.told().await;
        }
    };
    if timeout_at(deadline.max(Instant::now() + LAST_WORDS), told).await.is_err() {
        warn!("the deadline has come, plugins have not heard of everything that happened");
    }
}

async fn load(
    config: &Config,
    foundation: &Foundation,
    mistakes: &mut Mistakes,
) -> Vec<Arc<WasmPlugin>> {
    let Foundation { engine, metrics, .. } = foundation;
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
    plugins
}

/// Whether the spool's directory is fit for it.
fn place_to_keep_mail(spool: &config::Spool, mistakes: &mut Mistakes, warnings: &mut Mistakes) {
    let directory = spool.directory.display();
    match spool::examine(&spool.directory) {
        Ok(dangers) => {
            for danger in dangers {
                warnings.warn(&spool.place, format!("the spool {directory}: {danger}"), None);
            }
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let text = format!("{error}{}", cause.unwrap_or_default());
            mistakes.at(&spool.place, text, Some("it, or where it is made, must be ours to write"));
        }
    }
}

/// Reads a configuration and prepares everything that it names.
///
/// # Errors
///
/// All mistakes.
pub async fn check(file: &Path) -> Result<Parts, StartError> {
    Parts::prepare(config::load(file)?).await
}

/// For plugins to hear of the end, where the deadline has come already, and for the last traces.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Reasons why the gateway is not ready, for `/readyz`.
const STARTING: &str = "starting";
const DRAINING: &str = "draining";
