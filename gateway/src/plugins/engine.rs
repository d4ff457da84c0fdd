//! The wasm engine: what plugins may use together, and the clock that interrupts them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails,
};

use super::bindings::Capabilities;
use super::cache::{CacheDirectory, Snapshots};
use super::http::HttpClient;
use super::pool::{Pool, Queue};
use super::state::{State, TABLE_ELEMENTS};
use super::streams::StreamClient;
use crate::authenticity::Authenticator;
use crate::config::{self, Limits};
use crate::message::Budget;
use crate::metrics::Metrics;
use crate::resolver::{Resolver, ResolverError};
use crate::store::Stores;

/// Loads plugins and bounds what all their copies take together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
}

/// What plugins reach through the gateway, each with its grants. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Services {
    /// Names: grant `dns`.
    pub resolver: Resolver,
    /// Who sent a message: grant `mail-auth`.
    pub authenticator: Authenticator,
    /// What plugins remember: grant `kv`.
    pub stores: Arc<Stores>,
    pub(super) http: HttpClient,
    pub(super) streams: StreamClient,
}

impl Services {
    /// Services with this resolver, by which HTTP and streams find their servers, too.
    #[must_use]
    pub fn new(resolver: Resolver, authenticator: Authenticator, stores: Arc<Stores>) -> Self {
        let http = HttpClient::new(resolver.clone());
        let streams = StreamClient::new(resolver.clone());
        Self { resolver, authenticator, stores, http, streams }
    }

    /// The same with other stores.
    #[must_use]
    pub fn with_stores(&self, stores: Arc<Stores>) -> Self {
        Self { stores, ..self.clone() }
    }

    /// Services that find nothing and nobody: for tests, and to try a plugin out.
    ///
    /// # Errors
    ///
    /// As [`Resolver::new`].
    pub fn nowhere(metrics: &Metrics) -> Result<Self, ResolverError> {
        let dns = config::Dns { servers: Some(Vec::new()), ..config::Dns::default() };
        let resolver = Resolver::new(&dns, metrics.dns())?;
        let authenticator = Authenticator::new(resolver.clone(), "")?;
        Ok(Self::new(resolver, authenticator, Arc::default()))
    }
}

/// What every plugin needs of its engine.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) wasm: wasmtime::Engine,
    pub(super) linker: Arc<Linker<State>>,
    /// One permit for each copy; the pool has room for exactly that many.
    pub(super) copies: Arc<Semaphore>,
    /// Who waits for one.
    pub(super) queue: Arc<Queue>,
    /// Copies that wait, which give way to those that are needed.
    pub(super) pools: Arc<Mutex<Vec<Weak<Pool>>>>,
    /// How many copies there may be.
    pub(super) most_copies: usize,
    /// Copies that exist while plugins are loaded have room of their own.
    pub(super) loading: Arc<Semaphore>,
    /// The most that a plugin's `memory_limit` may be.
    pub(super) memory_octets: u64,
    pub(super) snapshots: Option<Snapshots>,
    pub(super) budget: Arc<Budget>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) services: Services,
}

impl Shared {
    /// A pool for the copies of one more plugin.
    pub(super) fn pool(&self) -> Arc<Pool> {
        let pool = Pool::new(self.most_copies, self.queue.clone());
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Ends a copy that only waits, if there is one.
    pub(super) fn make_way(&self) -> bool {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner).clone();
        pools.iter().filter_map(Weak::upgrade).any(|pool| pool.make_way())
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("copies", &self.copies).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine with room for `limits.plugin_copies` copies.
    ///
    /// Bodies that plugins write count against `budget`.
    ///
    /// # Errors
    ///
    /// If the process may not reserve address space, or if others may write to the cache
    /// directory. One that cannot be used for other reasons is done without.
    pub fn new(
        limits: &Limits,
        cache_directory: &Path,
        budget: Arc<Budget>,
        metrics: Arc<Metrics>,
        services: Services,
    ) -> Result<Self, EngineError> {
        let cache = CacheDirectory::open(cache_directory)?;
        let (wasm, memory_octets) = reserve(limits.plugin_copies, cache.as_ref())?;
        start_clock(&wasm)?;
        let mut linker = Linker::new(&wasm);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(EngineError::wasm)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)
            .map_err(EngineError::wasm)?;
        Capabilities::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)
            .map_err(EngineError::wasm)?;
        let copies = Arc::new(Semaphore::new(limits.plugin_copies as usize));
        let (most, free) = (limits.plugin_copies as usize, Arc::downgrade(&copies));
        metrics
            .watch_copies(move || Some(most.saturating_sub(free.upgrade()?.available_permits())));
        let loading = Arc::new(Semaphore::new(LOADING as usize));
        let snapshots = cache.map(CacheDirectory::snapshots);
        let shared = Shared {
            wasm,
            linker: Arc::new(linker),
            copies,
            queue: Arc::default(),
            pools: Arc::default(),
            most_copies: limits.plugin_copies as usize,
            loading,
            memory_octets,
            snapshots,
            budget,
            metrics,
            services,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The same engine for plugins that are loaded from now on, with other services. What they all
    /// take together is bounded as before: only the services are others.
    #[must_use]
    pub fn with(&self, services: Services) -> Self {
        Self { shared: Arc::new(Shared { services, ..Shared::clone(&self.shared) }) }
    }
}

/// Why there is no engine. The operator's or the machine's fault; the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Native code is read from there: who may write to it may run anything.
    #[error(
        "cache directory {0} can be written to by others: chown it to this user and chmod it to 700"
    )]
    CacheExposed(PathBuf),
    /// The thread that keeps the time.
    #[error("the clock for plugins cannot be started")]
    Clock(#[source] std::io::Error),
    /// Not even the smallest reservation was possible, or the processor is not supported.
    #[error(
        "no wasm engine: {0} (a limit of address space, ulimit -v, may be too low for limits.plugin_copies)"
    )]
    Wasm(String),
}

impl EngineError {
    fn wasm(error: wasmtime::Error) -> Self {
        Self::Wasm(format!("{error:#}"))
    }
}

/// Makes an engine with the largest slots that the address space has room for, and says how much
/// one memory may take.
fn reserve(
    copies: u32,
    cache: Option<&CacheDirectory>,
) -> Result<(wasmtime::Engine, u64), EngineError> {
    let mut failure = None;
    for octets in RESERVATIONS {
        match wasmtime::Engine::new(&config(copies, octets, cache)) {
            Ok(engine) => {
                if let Some(error) = failure {
                    tracing::warn!(
                        %error,
                        memory_octets = octets,
                        "little address space for plugins: they run slower and may take less memory"
                    );
                }
                return Ok((engine, octets));
            }
            Err(error) => failure = Some(EngineError::wasm(error)),
        }
    }
    Err(failure.unwrap_or_else(|| EngineError::Wasm("no reservation to try".into())))
}

fn config(copies: u32, memory_octets: u64, cache: Option<&CacheDirectory>) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(copies, memory_octets)))
        .cache(cache.map(CacheDirectory::compiled))
        .concurrency_support(false)
        .epoch_interruption(true)
        .gc_heap_reservation(memory_octets)
        .memory_reservation(memory_octets)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_gc(false)
        .wasm_memory64(false)
        .wasm_threads(false);
    config
}

fn pool(copies: u32, memory_octets: u64) -> PoolingAllocationConfig {
    let components = copies.saturating_add(LOADING);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(components)
        .total_core_instances(components.saturating_mul(CORE_INSTANCES))
        .total_gc_heaps(components)
        .total_memories(components.saturating_mul(MEMORIES))
        .total_stacks(components)
        .total_tables(components.saturating_mul(TABLES))
        .max_core_instances_per_component(MOST_CORE_INSTANCES)
        .max_memories_per_component(MOST_MEMORIES)
        .max_tables_per_component(MOST_TABLES)
        .max_component_instance_size(INSTANCE_OCTETS)
        .max_core_instance_size(INSTANCE_OCTETS)
        .linear_memory_keep_resident(KEPT_OCTETS)
        .table_keep_resident(KEPT_OCTETS)
        .pagemap_scan(Enabled::Auto)
        .max_memory_size(usize::try_from(memory_octets).unwrap_or(usize::MAX))
        .table_elements(TABLE_ELEMENTS);
    pool
}

/// Counts the epochs. A thread of the operating system, because a plugin that computes may sit on
/// the very thread that drives the timers of the runtime.
fn start_clock(engine: &wasmtime::Engine) -> Result<(), EngineError> {
    let engine = engine.weak();
    let clock = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new()
        .name("plugin-clock".into())
        .spawn(clock)
        .map(drop)
        .map_err(EngineError::Clock)
}

/// How long a plugin may hold a thread before others get their turn.
const TICK: Duration = Duration::from_millis(5);

/// Plugins that are configured at the same time.
const LOADING: u32 = 4;

/// Address space for one memory, tried in this order. With 4 GiB no access needs a check; with
/// less, each does.
const RESERVATIONS: [u64; 3] = [4 << 30, 1 << 30, 128 << 20];

/// Core instances, memories and tables that a copy takes on average. A plugin in Rust or C has
/// four, one and two; with Python there are dozens of instances on one memory.
const CORE_INSTANCES: u32 = 16;
const MEMORIES: u32 = 2;
const TABLES: u32 = 4;

/// And at most.
const MOST_CORE_INSTANCES: u32 = 200;
const MOST_MEMORIES: u32 = 8;
const MOST_TABLES: u32 = 40;

/// The host's own data for one instance: imports, tables of functions. Large for large plugins.
const INSTANCE_OCTETS: usize = 4 << 20;

/// Of a memory or table that was used: so much is written over with what a fresh copy has there,
/// and only the rest is given back to the system, which costs three times as much as all else that
/// a copy needs. Linux since 6.7 tells which pages those are.
const KEPT_OCTETS: usize = 512 << 10;
