//! What is made once for the process, and stays through reloads.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use crate::admin::Overview;
use crate::authenticity::Authenticator;
use crate::config::{self, Config, Dns, Limits};
use crate::connection::Delays;
use crate::live::Live;
use crate::message::{Budget, BudgetBounds};
use crate::metrics::{Metrics, Names};
use crate::pipeline::Receipts;
use crate::plugins::{Engine, Services};
use crate::resolver::Resolver;
use crate::spool::{Entry, Spool};
use crate::store::Stores;
use crate::telemetry;
use crate::traces::Traces;
use crate::users::Hashing;

use super::StartError;
use super::rehearsing::Inquiries;

/// What all configurations of one process are built on. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Foundation {
    pub(super) metrics: Arc<Metrics>,
    pub(super) budget: Arc<Budget>,
    pub(super) engine: Engine,
    pub(super) hashing: Hashing,
    /// What clients will send again although it was delivered.
    pub(super) receipts: Arc<Receipts>,
    /// How many may wait for a reply that is held back.
    pub(super) delays: Arc<Delays>,
    /// What goes on now and what went on last.
    pub(super) live: Arc<Live>,
    /// Where dry runs are asked for.
    pub(super) inquiries: Arc<Inquiries>,
    /// What can be looked at from outside.
    pub(super) overview: Arc<Overview>,
    /// Where messages wait, if they may, as soon as it is open. Its directory stays.
    pub(super) spool: Option<Arc<Spool>>,
    /// Where transactions become traces, if they do.
    pub(super) traces: Option<Arc<Traces>>,
    /// What that was made from.
    tracing: config::Traces,
    services: Services,
    /// What the resolver was made from.
    dns: Dns,
}

impl Foundation {
    /// For the first configuration.
    pub(super) fn lay(config: &Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new(&Names {
            listeners: config.listeners.iter().map(|listener| listener.name.clone()).collect(),
            plugins: Vec::new(),
            stores: config.stores.keys().cloned().collect(),
            upstreams: config.upstreams.keys().cloned().collect(),
        }));
        let limits = &config.limits;
        let budget = Budget::within(bounds(limits), std::env::temp_dir());
        let used = budget.clone();
        metrics.watch_content(move || used.used());
        let receipts = Arc::new(Receipts::default());
        let counted = receipts.clone();
        metrics.watch_receipts(move || counted.count());
        let (live, overview) = (Arc::new(Live::new(config.history)), Arc::default());
        let seen: Arc<Live> = live.clone();
        metrics.watch_live(move || seen.watched());
        metrics.watch_log(|| {
            let counts = telemetry::counts();
            (counts.records.to_vec(), counts.dropped)
        });
        let resolver = Resolver::new(&config.dns, metrics.dns())?;
        let stores = Arc::new(Stores::open(&config.stores, None, &metrics));
        let authenticator = Authenticator::new(resolver.clone(), &config.hostname)?;
        let services = Services::new(resolver, authenticator, stores);
        let (cache, counted) = (&config.cache_directory, metrics.clone());
        let engine = Engine::new(limits, cache, budget.clone(), counted, services.clone())
            .map_err(|error| StartError::Engine(error.to_string()))?;
        let tracing = config.traces.clone();
        let traces = Traces::start(&tracing, metrics.traces())?;
        let delays = Delays::new(limits.delayed_connections);
        let (hashing, dns, spool) = (Hashing::new(), config.dns.clone(), None);
        Ok(Self {
            metrics,
            budget,
            engine,
            hashing,
            receipts,
            delays,
            live,
            inquiries: Arc::default(),
            overview,
            spool,
            traces,
            tracing,
            services,
            dns,
        })
    }

    /// For a configuration that comes after another one: what was counted and what stores hold stays,
    /// and, if it can be as it is, the address space that plugins run in.
    pub(super) fn renewed(&self, earlier: &Config, config: &Config) -> Result<Self, StartError> {
        let (metrics, dns) = (&self.metrics, config.dns.clone());
        let resolver = match dns == self.dns {
            true => self.services.resolver.clone(),
            false => Resolver::new(&dns, metrics.dns())?,
        };
        let known = Some(&*self.services.stores);
        let stores = Arc::new(Stores::open(&config.stores, known, metrics));
        let authenticator = Authenticator::new(resolver.clone(), &config.hostname)?;
        let services = Services::new(resolver, authenticator, stores);
        let tracing = config.traces.clone();
        let traces = match tracing == self.tracing {
            true => self.traces.clone(),
            false => Traces::start(&tracing, metrics.traces())?,
        };
        let engine = self.engine_for(earlier, config, services.clone())?;
        Ok(Self { engine, services, dns, traces, tracing, ..self.clone() })
    }

    /// For rehearsals: what they count, what they find sent again and what is seen of them is theirs.
    pub(super) fn rehearsed(&self, metrics: Arc<Metrics>) -> Self {
        let (receipts, live, inquiries) = Default::default();
        Self { metrics, receipts, live, inquiries, ..self.clone() }
    }

    /// What plugins reach in one rehearsal: what they write to stores is true there alone.
    pub(super) fn rehearsed_services(&self) -> Services {
        let stores = self.services.stores.rehearsed(&self.metrics);
        self.services.with_stores(Arc::new(stores))
    }

    /// What an engine reserved it cannot give back by and by: for another number of copies, or another
    /// cache, there is another one. The earlier one ends with the last transaction that runs in it.
    fn engine_for(
        &self,
        earlier: &Config,
        config: &Config,
        services: Services,
    ) -> Result<Engine, StartError> {
        let made_from = |config: &Config| {
            let copies = config.limits.plugin_copies;
            (copies, config.cache_directory.clone())
        };
        if made_from(earlier) == made_from(config) {
            return Ok(self.engine.with(services));
        }
        let (cache, budget) = (&config.cache_directory, self.budget.clone());
        Engine::new(&config.limits, cache, budget, self.metrics.clone(), services)
            .map_err(|error| StartError::Engine(error.to_string()))
    }

    /// Sets the bounds of what all configurations share.
    pub(super) fn bound(&self, config: &Config) {
        self.budget.bound(bounds(&config.limits));
        self.delays.bound(config.limits.delayed_connections);
        if let (Some(spool), Some(config)) = (&self.spool, &config.spool) {
            spool.bound(config);
        }
    }

    /// Opens the spool, which nobody else can have then, and finds what waits in it.
    pub(super) async fn open_spool(&mut self, config: &Config) -> Result<Vec<Entry>, StartError> {
        let Some(config) = config.spool.clone() else { return Ok(Vec::new()) };
        // Where files may be so large and no larger (RLIMIT_FSIZE), a write that goes beyond is to be
        // an error of that write (EFBIG), and not the end of the process.
        drop(signal(SignalKind::from_raw(SIGXFSZ)));
        let metrics = self.metrics.spool();
        let opened = tokio::task::spawn_blocking(move || Spool::open(&config, metrics));
        let (spool, waiting) =
            opened.await.map_err(io::Error::other).map_err(StartError::Workers)??;
        self.spool = Some(spool);
        Ok(waiting)
    }

    /// Who is asked for names.
    pub(super) fn resolver(&self) -> &Resolver {
        &self.services.resolver
    }

    /// What plugins remember.
    pub(super) fn stores(&self) -> &Stores {
        &self.services.stores
    }
}

fn bounds(limits: &Limits) -> BudgetBounds {
    BudgetBounds {
        memory: limits.content_memory_octets,
        disk: limits.content_disk_octets,
        message: limits.message_memory_octets,
        patience: limits.content_wait,
    }
}

/// Once caught, a signal stays so. The number is that of x86 and ARM.
const SIGXFSZ: i32 = 25;
