//! Builds every part from a configuration, starts them, and stops them in order.

mod certificates;
mod checks;
mod desk;
mod examination;
mod foundation;
mod furnishing;
mod logging;
mod logins;
mod overview;
mod plugin_files;
mod pulse;
mod rehearsing;
mod reloads;
mod sockets;
mod stand;
mod standing;
mod succession;
mod supervisor;

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{info, warn};

use crate::admin::{Checks, Offer, Readiness, STARTING};
use crate::config::{self, Config, Mistakes, Place};
use crate::listener::{Passed, Sockets};
use crate::metrics::{ConfigurationInUse, Metrics};
use crate::plugins::WasmPlugin;
use crate::policy::{Hook, Plugin};
use crate::resolver::ResolverError;
use crate::routing::{CurrentRoutes, Routes};
use crate::shutdown::Shutdown;
use crate::spool::{self, SpoolError};
use crate::tls::{CertificateFacts, Certificates, Renewal};
use crate::traces::TracesError;
use crate::upstream::Upstreams;
use crate::worker::Workers;
use certificates::Secured;
use desk::{Admittance, Desk, Seat};
use foundation::Foundation;
use logins::Admission;
use reloads::End;
use stand::{Opened, Stand};
use standing::Standing;

pub use examination::{
    Examination, ExaminedCertificate, ExaminedListener, ExaminedPlugin, ExaminedUpstream, examine,
};
pub use logging::log_options;
pub use rehearsing::Rehearsals;
pub use reloads::Reloads;
pub use succession::Predecessor;

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
    /// Taken by who answers operators.
    admittance: Option<Admittance>,
    /// All certificates, by listener; taken by who looks at them.
    watched: Vec<(String, Arc<Certificates>)>,
    /// Held by its houses, too.
    in_use: Arc<ConfigurationInUse>,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    standing: Standing,
    renewals: Vec<Renewal>,
    readiness: Readiness,
    predecessor: Option<Predecessor>,
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
    #[error(transparent)]
    Configuration(#[from] Mistakes),
    /// The wasm engine.
    #[error("the plugin engine cannot be started: {0}")]
    Engine(String),
    /// The resolver.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// What sends traces.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The directory of messages that wait.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The process that this one is to take the place of.
    #[error("the process that was here before cannot be understood")]
    Succession(#[source] io::Error),
    /// The threads that serve connections.
    #[error("threads for connections cannot be started")]
    Workers(#[source] io::Error),
}

impl StartError {
    /// With its causes, or all its mistakes: for people.
    #[must_use]
    pub fn in_full(&self) -> String {
        let (mut text, mut cause) = (self.to_string(), self.source());
        while let Some(next) = cause {
            text = format!("{text}: {next}");
            cause = next.source();
        }
        text
    }
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
            Some(earlier) => earlier.foundation.renewed(&earlier.config, &config)?,
            None => Foundation::lay(&config)?,
        };
        let metrics = &foundation.metrics;
        let mut mistakes = Mistakes::default();
        let secured = certificates::load(&config, metrics, &mut mistakes);
        let admittance = Admittance::prepare(&config, metrics, &mut mistakes);
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
        // What a plugin says of its settings may have a secret in it.
        for warning in &config.secrets.hidden_in(&warnings) {
            warn!(place = %warning.place, "{}", warning.text);
            config.warnings.push(warning.clone());
        }
        let (Some(upstreams), true) = (upstreams, mistakes.is_empty()) else {
            forget(&config, earlier.map(|earlier| &*earlier.config), metrics);
            return Err(config.secrets.hidden_in(&mistakes).into());
        };
        for (listener, admission) in config.listeners.iter().zip(&admissions) {
            if let Some(Admission { offer, .. }) = admission {
                metrics.listener(&listener.name).auth_offered(&offer.mechanisms);
            }
        }
        let routes = Arc::new(CurrentRoutes::from_pointee(Routes::new(&config)));
        certificates::warn_of(&mut config, &secured);
        let watched = certificates::all(&config, &secured, admittance.as_ref());
        let in_use = Arc::new(metrics.configuration_in_use());
        let config = Arc::new(config);
        Ok(Self {
            config,
            foundation,
            routes,
            upstreams,
            plugins,
            secured,
            admissions,
            admittance,
            watched,
            in_use,
        })
    }

    /// What is legal but dangerous.
    #[must_use]
    pub fn warnings(&self) -> &Mistakes {
        &self.config.warnings
    }

    /// The certificates, each with the name of its listener.
    fn certificates(&self) -> impl Iterator<Item = (&str, CertificateFacts)> {
        self.watched.iter().flat_map(|(listener, certificates)| {
            let facts = certificates.facts().into_iter();
            facts.map(|facts| (&**listener, facts))
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
        Self::open(Parts::prepare(config).await?, passed, None, shutdown).await
    }

    /// The same in the place of another process, which goes on if this fails.
    ///
    /// # Errors
    ///
    /// Why nothing was started. The other process is to be told by [`Predecessor::failed`].
    pub async fn succeed(
        config: Config,
        predecessor: Predecessor,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let passed = predecessor.sockets().await.map_err(StartError::Succession)?;
        let parts = Parts::prepare(config).await?;
        Self::open(parts, passed, Some(predecessor), shutdown).await
    }

    async fn open(
        mut parts: Parts,
        mut passed: Passed,
        predecessor: Option<Predecessor>,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let workers = Workers::start().map_err(StartError::Workers)?;
        let opened = open_all(&parts.config, workers.count(), &mut passed)?;
        for name in passed.left() {
            warn!(name, "a socket was passed that no listener asks for");
        }
        passed.settle();
        if let Some(predecessor) = &predecessor {
            predecessor.prepared().await.map_err(StartError::Succession)?;
        }
        let waiting = parts.foundation.open_spool(&parts.config).await?;
        if !waiting.is_empty() {
            info!(messages = waiting.len(), "messages wait in the spool");
        }
        let readiness = Readiness::new();
        readiness.hold(STARTING);
        parts.foundation.stores().start();
        parts.foundation.metrics.configuration_loaded(parts.bounds());
        let (standing, renewals) =
            Standing::found(parts, waiting, workers, opened, passed, shutdown);
        Ok(Self { standing, renewals, readiness, predecessor, reloads: None })
    }

    /// Lets its configuration be replaced while it runs.
    #[must_use]
    pub fn reloading(self, reloads: Reloads) -> Self {
        Self { reloads: Some(reloads), ..self }
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// If the system does not say.
    pub fn addresses(&self) -> io::Result<Addresses> {
        let address = |stand: &Stand| Some((stand.listener.name.clone(), stand.sockets.ip()?));
        let listeners: Vec<_> = self.standing.stands.iter().filter_map(address).collect();
        let smtp = listeners.first().map(|(_, address)| *address).ok_or(io::ErrorKind::NotFound)?;
        Ok(Addresses { smtp, listeners, admin: self.standing.desk.ip() })
    }

    /// Serves until the shutdown, then lets transactions in flight end.
    pub async fn run(mut self) {
        let (readiness, mut standing) = (self.readiness, self.standing);
        for stand in &standing.stands {
            for address in stand.sockets.places() {
                info!(listener = stand.listener.name, address, "listening");
            }
        }
        let ready = readiness.clone();
        standing.parts.foundation.metrics.watch_ready(move || ready.reasons().is_empty());
        standing.renew(self.renewals);
        let pulse = standing.pulse();
        standing.offer = Some(Offer {
            metrics: standing.parts.foundation.metrics.clone(),
            readiness: readiness.clone(),
            checks: Checks::default(),
            pulse: pulse.clone(),
            queue: standing.spooling.first().map(|spooling| spooling.queue.clone()),
            live: standing.parts.foundation.live.clone(),
            overview: standing.parts.foundation.overview.clone(),
            reloading: self.reloads.as_ref().map(|reloads| reloads.reloading.clone()),
        });
        standing.show(self.reloads.as_ref().map(Reloads::file));
        standing.answer(None);
        if let Some(predecessor) = self.predecessor.take()
            && let Err(error) = predecessor.serving().await
        {
            warn!(%error, "the process that was here before is not understood");
        }
        // Before, the other one could still go on, and would know nothing of what this one has stored.
        standing.take_over();
        standing.accept();
        let mut serving = JoinSet::new();
        serving.spawn(supervisor::watch(pulse));
        if let Some(spooling) = standing.spooling.first() {
            serving.spawn(spooling.queue.clone().run());
        }
        readiness.clear(STARTING);
        supervisor::ready();
        let shutdown = standing.shutdown.clone();
        let end = match self.reloads.take() {
            Some(reloads) => reloads.serve(&mut standing).await,
            None => {
                shutdown.watcher().announced().await;
                End::Shutdown
            }
        };
        readiness.hold(DRAINING);
        match end {
            End::Shutdown => {
                supervisor::stopping();
                linger(&shutdown, standing.parts.config.drain_delay).await;
                info!("shutting down: listeners close, transactions in flight end");
            }
            End::Succeeded => {}
        }
        shutdown.begin();
        standing.close_sockets().await;
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
        standing.desk.close();
        // Who asked for the end may still be told of it.
        let _ = timeout(LAST_WORDS, standing.desk.closed()).await;
    }
}

/// Serves on while those who balance load find out that this gateway is not ready any more.
async fn linger(shutdown: &Shutdown, delay: Duration) {
    // A second signal, or somebody else, may begin the end sooner.
    if timeout(delay, shutdown.watcher().begun()).await.is_err() && !delay.is_zero() {
        info!(?delay, "not ready any more for so long, and now draining");
    }
}

/// Opens whatever the first configuration of a process listens at.
fn open_all(
    config: &Config,
    workers: usize,
    passed: &mut Passed,
) -> Result<(Vec<Opened>, Vec<Seat>), StartError> {
    let mut opened = Vec::<Opened>::new();
    for listener in &config.listeners {
        let (name, address) = (&listener.name, &listener.address);
        let held = opened.iter().map(|opened| &*opened.sockets);
        let bound = Sockets::open(name, address, workers, passed, held)
            .and_then(|sockets| Opened::anew(Arc::new(sockets), workers));
        opened.push(bound.map_err(|source| StartError::Bind {
            name: name.clone(),
            address: address.to_string(),
            source,
        })?);
    }
    let seats = Desk::open(&[], config, passed).map_err(|(address, source)| {
        let (name, address) = ("admin".to_owned(), address.at.to_string());
        StartError::Bind { name, address, source }
    })?;
    Ok((opened, seats))
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

/// Takes out of the metrics what a configuration has brought that is not served.
fn forget(gone: &Config, runs: Option<&Config>, metrics: &Metrics) {
    certificates::forget(gone, runs, metrics);
    let runs = |name: &str| {
        runs.is_some_and(|runs| runs.listeners.iter().any(|listener| listener.name == name))
    };
    for listener in gone.listeners.iter().filter(|listener| !runs(&listener.name)) {
        metrics.listener_left(&listener.name);
    }
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
const DRAINING: &str = "draining";
/// What is warned of in `/readyz`.
const RELOAD: &str = "reload";
