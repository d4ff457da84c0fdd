//! What the host keeps beside one copy of a plugin: its bounds, its handles, the call in progress.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_smtp::sasl::Credentials;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::config::{Grant, Origin, Service};
use crate::message::{Budget, Edit};
use crate::metrics::PluginMetrics;
use crate::policy::{Hook, HookCall};

use super::engine::Services;
use super::host::{LogLines, StandardStream, Store as OpenStore};
use super::http::Outgoing;

/// What is the same for all copies of a plugin.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) grants: Vec<Grant>,
    pub(super) upstreams: Arc<BTreeSet<String>>,
    /// Those that are granted, by name.
    pub(super) stores: BTreeMap<String, Arc<crate::store::Store>>,
    /// Where it may send HTTP requests to.
    pub(super) origins: Arc<[Origin]>,
    /// The upstreams that it may ask.
    pub(super) asks: Arc<[String]>,
    /// Where it may open streams to.
    pub(super) streams: Arc<[Service]>,
    pub(super) memory_limit: usize,
    pub(super) budget: Arc<Budget>,
    pub(super) metrics: Arc<PluginMetrics>,
    pub(super) services: Services,
}

/// The data of a store.
pub(super) struct State {
    pub(super) facts: Arc<Facts>,
    /// Readers, writers, and what WASI hands out.
    pub(super) table: ResourceTable,
    /// Made at the first use: most plugins ask WASI for nothing.
    wasi: Option<(WasiCtx, StandardStream)>,
    /// The same.
    wasi_http: Option<Box<Outgoing>>,
    pub(super) memory: MemoryBound,
    pub(super) deadline: Instant,
    /// Whether the deadline is what stopped the plugin.
    pub(super) out_of_time: bool,
    /// None while the plugin is made or configured.
    pub(super) call: Option<Call>,
    pub(super) log: LogLines,
    /// How many hooks were called so far.
    pub(super) calls: u64,
}

/// A hook call in progress and what the plugin has staged in it.
pub(super) struct Call {
    pub(super) given: HookCall,
    pub(super) edits: Vec<Edit>,
    /// Octets that the edits take, bodies aside.
    pub(super) staged: usize,
    pub(super) notes: Vec<(String, String)>,
    pub(super) saved: Option<Vec<u8>>,
    pub(super) next_index: u32,
    /// Whether a store could not be used.
    pub(super) store_unavailable: bool,
    /// Questions to the resolver so far.
    pub(super) queries: usize,
    /// Streams that are open.
    pub(super) streams: usize,
    /// Names of fields that were counted, and how many there are.
    pub(super) counted: Vec<(String, usize)>,
}

impl Call {
    pub(super) fn new(given: HookCall) -> Self {
        let next_index = given.next_index;
        Self {
            given,
            edits: Vec::new(),
            staged: 0,
            notes: Vec::new(),
            saved: None,
            next_index,
            queries: 0,
            streams: 0,
            counted: Vec::new(),
            store_unavailable: false,
        }
    }

    /// What the client gave, during AUTH.
    pub(super) fn credentials(&self) -> wasmtime::Result<&Credentials> {
        let credentials = self.given.credentials.as_deref();
        credentials.ok_or_else(|| wasmtime::Error::msg("there are no credentials to judge"))
    }
}

impl State {
    /// A store for one copy. It has until `deadline` for everything up to the first hook call.
    pub(super) fn store(
        engine: &wasmtime::Engine,
        facts: Arc<Facts>,
        deadline: Instant,
    ) -> Store<Self> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let state = Self {
            memory: MemoryBound::new(facts.memory_limit),
            facts,
            table,
            wasi: None,
            wasi_http: None,
            deadline,
            out_of_time: false,
            call: None,
            log: LogLines::default(),
            calls: 0,
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HOST_CALL_OCTETS);
        store.set_epoch_deadline(1);
        // Each tick gives the thread to others. Tokio's own way of it lets the worker look at
        // sockets and timers too, and not only at its other tasks.
        store.epoch_deadline_callback(|mut store| {
            let state = store.data_mut();
            if Instant::now() < state.deadline {
                return Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())));
            }
            state.out_of_time = true;
            Ok(UpdateDeadline::Interrupt)
        });
        store
    }

    /// The call in progress. There is one whenever a plugin holds a handle of a session; the error
    /// traps.
    pub(super) fn call(&self) -> wasmtime::Result<&Call> {
        self.call.as_ref().ok_or_else(outside_a_call)
    }

    pub(super) fn call_mut(&mut self) -> wasmtime::Result<&mut Call> {
        self.call.as_mut().ok_or_else(outside_a_call)
    }

    /// The name of what runs, for the log.
    pub(super) fn running(&self) -> &'static str {
        self.call.as_ref().map_or("configure", |call| call.given.hook.label())
    }

    /// Until when the host may wait for others, so that the plugin can still make something of what
    /// came.
    pub(super) fn patience(&self) -> Instant {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.deadline - (left / 10).min(MOST_RESERVED)
    }

    pub(super) fn granted(&self, grant: Grant) -> bool {
        self.facts.grants.contains(&grant)
    }

    /// Forgets the transaction that is over, if the copy may serve another one.
    ///
    /// Streams and stores may stay open: runtimes keep standard output for ever. Any other handle
    /// is of the mail that is over, as a reader is.
    pub(super) fn rest(&mut self) -> bool {
        self.flush_log();
        (self.call, self.log, self.wasi_http) = (None, LogLines::default(), None);
        let lasting = |handle: &mut (dyn Any + Send)| {
            handle.is::<DynInputStream>()
                || handle.is::<DynOutputStream>()
                || handle.is::<OpenStore>()
        };
        // Half of what it may have: what it has taken it never gives back, and the next mail needs
        // its share.
        let lean = self.memory.used <= self.memory.limit / 2;
        lean && !self.memory.denied && self.table.iter_mut().all(lasting)
    }

    /// Logs what the plugin has printed, and how many lines were too many.
    pub(super) fn flush_log(&mut self) {
        let printed = self.wasi.as_ref().map(|(_, stream)| stream.take()).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        for line in printed.lines().filter(|line| !line.trim().is_empty()) {
            self.log_line(super::bindings::log::Level::Info, line, &[]);
        }
        self.log_dropped();
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (ctx, _) = self.wasi.get_or_insert_with(|| {
            let stream = StandardStream::default();
            let mut builder = WasiCtxBuilder::new();
            builder.stdout(stream.clone()).stderr(stream.clone());
            builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false);
            builder.max_random_size(RANDOM_OCTETS);
            (builder.build(), stream)
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let deadline = self.call.is_some().then(|| self.patience());
        let facts = &self.facts;
        let outgoing = self.wasi_http.get_or_insert_with(|| {
            let (client, origins) = (facts.services.http.clone(), facts.origins.clone());
            Outgoing::new(client, origins, facts.metrics.clone()).into()
        });
        outgoing.hooks.deadline = deadline;
        WasiHttpCtxView {
            ctx: &mut outgoing.context,
            hooks: &mut outgoing.hooks,
            table: &mut self.table,
        }
    }
}

/// Bounds the linear memories of a copy, all of them together, and remembers that it had to.
#[derive(Debug)]
pub(super) struct MemoryBound {
    limit: usize,
    used: usize,
    pub(super) denied: bool,
    other: StoreLimits,
}

impl MemoryBound {
    fn new(limit: usize) -> Self {
        let other = StoreLimitsBuilder::new().table_elements(TABLE_ELEMENTS).build();
        Self { limit, used: 0, denied: false, other }
    }

    pub(super) fn used(&self) -> usize {
        self.used
    }
}

impl ResourceLimiter for MemoryBound {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Beyond what the module declares the growth fails anyway, and not for our limit.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit {
            self.denied = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.other.table_growing(current, desired, maximum)
    }
}

/// The hooks in the order of their interfaces' names in the contract.
pub(super) fn interface(hook: Hook) -> String {
    format!("{CONTRACT}/on-{}", hook.label())
}

fn outside_a_call() -> wasmtime::Error {
    wasmtime::Error::msg("a handle was used outside of a hook call")
}

/// The package whose interfaces plugins import and export.
pub(super) const CONTRACT: &str = "smtp:filter";

/// The version of it that is offered. Plugins made for a compatible one are taken.
pub(super) const CONTRACT_VERSION: &str = "0.1.0";

/// Elements of one table: more than the largest known plugins (C#) have.
pub(super) const TABLE_ELEMENTS: usize = 100_000;

/// Of a plugin's time: what it has left after the host has waited in vain.
const MOST_RESERVED: Duration = Duration::from_millis(100);

/// Handles that a copy may hold at once: readers, writers, streams. A leak ends here.
const HANDLES: usize = 1_000;

/// What one call into the host may carry: a chunk of a body, not a whole one.
const HOST_CALL_OCTETS: usize = 16 << 20;

/// Random octets of one WASI call; the host makes them, so it has to bound them.
pub(super) const RANDOM_OCTETS: u64 = 64 << 10;
