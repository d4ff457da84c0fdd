//! Copies of a loaded plugin, and calls of their hooks.

mod outcome;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};
use tokio::time::timeout_at;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, Resource, TypedFunc};
use wasmtime::{PoolConcurrencyLimitError, Store, WasmBacktrace};

use super::authentication;
use super::bindings::{Verdict, types};
use super::convert;
use super::engine::{Services, Shared};
use super::host::{LogLines, MessageHandle, SessionHandle, TransactionHandle, printable};
use super::load::{Hooks, LoadFailure};
use super::pool::Pool;
use super::snapshot::call_configure;
use super::state::{Call, Facts, State};
use crate::config::{self, Grant, Isolation};
use crate::message::ContentError;
use crate::metrics::Metrics;
use crate::policy::{
    Answer, BoxFuture, Event, FailureReason, Guard, Hook, HookCall, HookFailure, Opinion, Plugin,
    PluginCopy,
};
use outcome::{Inbox, Outcome};

/// A plugin that is made of wasm.
#[derive(Debug)]
pub struct WasmPlugin {
    loaded: Arc<Loaded>,
    /// If it wants to know what has happened.
    inbox: Option<Inbox>,
}

impl WasmPlugin {
    pub(super) fn new(loaded: Loaded) -> Self {
        let loaded = Arc::new(loaded);
        let listens = loaded.hooks[Hook::Outcome as usize].is_some();
        Self { inbox: listens.then(|| Inbox::of(loaded.clone())), loaded }
    }

    /// The same plugin with other services and metrics, that is told nothing of what happens: what it
    /// does in a rehearsal leaves nothing behind with this one. It fails where this one does now.
    #[must_use]
    pub fn double(&self, services: &Services, metrics: &Metrics) -> Arc<Self> {
        let loaded = Arc::new(self.loaded.double(services, metrics));
        Arc::new(Self { loaded, inbox: None })
    }
}

impl Plugin for WasmPlugin {
    fn name(&self) -> &str {
        &self.loaded.facts.name
    }

    fn answers(&self, hook: Hook) -> bool {
        self.loaded.hooks[hook as usize].is_some()
    }

    fn guard(&self) -> &Guard {
        &self.loaded.guard
    }

    fn fresh_each_call(&self) -> bool {
        self.loaded.isolation == Isolation::Call
    }

    fn tell(&self, event: &Arc<Event>) {
        if let Some(inbox) = &self.inbox {
            inbox.put(event.clone());
        }
    }

    fn told(&self) -> BoxFuture<'_, ()> {
        match &self.inbox {
            Some(inbox) => Box::pin(inbox.emptied()),
            None => Box::pin(async {}),
        }
    }

    fn copy(&self) -> Box<dyn PluginCopy> {
        Box::new(Copy { loaded: self.loaded.clone(), state: CopyState::Fresh })
    }
}

/// What all copies of a plugin are made from.
pub(super) struct Loaded {
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    guard: Guard,
    isolation: Isolation,
    /// Where copies wait for their next transaction, if they may serve several.
    pool: Option<Arc<Pool>>,
    time_limit: Duration,
    pre: InstancePre<State>,
    hooks: Hooks,
    /// For each copy to be configured with, if the plugin could not be frozen.
    settings: Option<Arc<str>>,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Loaded {
    pub(super) fn new(
        shared: Arc<Shared>,
        facts: Arc<Facts>,
        plugin: &config::Plugin,
        pre: InstancePre<State>,
        hooks: Hooks,
        settings: Option<Arc<str>>,
    ) -> Self {
        let guard = Guard::new(plugin, facts.metrics.clone());
        let (isolation, time_limit) = (plugin.isolation, plugin.time_limit);
        let pool = (isolation == Isolation::Pooled).then(|| shared.pool());
        Self { shared, facts, guard, isolation, pool, time_limit, pre, hooks, settings }
    }

    fn double(&self, services: &Services, metrics: &Metrics) -> Self {
        let (facts, metrics) = (&self.facts, metrics.plugin(&self.facts.name));
        let guard = self.guard.double(metrics.clone());
        Self {
            shared: self.shared.clone(),
            facts: Arc::new(facts.double(services, metrics)),
            guard,
            isolation: self.isolation,
            // Nothing that a rehearsal leaves in a copy is to be found by mail.
            pool: None,
            time_limit: self.time_limit,
            pre: self.pre.clone(),
            hooks: self.hooks,
            settings: self.settings.clone(),
        }
    }

    /// Makes one copy and looks at its hooks, so that what does not fit is told now.
    pub(super) async fn try_out(&self) -> Result<(), LoadFailure> {
        let _room = self.shared.loading.acquire().await;
        let deadline = Instant::now() + TRY_OUT_TIME;
        let mut store = State::store(&self.shared.wasm, self.facts.clone(), deadline);
        let instance = self
            .pre
            .instantiate_async(&mut store)
            .await
            .map_err(|error| failure(&error, store.data(), TRY_OUT_TIME))
            .map_err(LoadFailure::ConfigureFailed)?;
        let functions = Hook::ALL.into_iter().zip(&self.hooks);
        for (hook, index) in functions.filter_map(|(hook, index)| Some((hook, index.as_ref()?))) {
            Function::find(hook, &mut store, instance, index)
                .map_err(|error| LoadFailure::unfit(format!("on-{hook}: {error:#}")))?;
        }
        Ok(())
    }

    /// A copy that runs, as soon as there is room for one.
    async fn make(&self, deadline: Instant) -> Result<Box<Running>, HookFailure> {
        let permit = self.room(deadline).await?;
        let mut store = State::store(&self.shared.wasm, self.facts.clone(), deadline);
        let work = async {
            let instance = self.pre.instantiate_async(&mut store).await?;
            if let Some(settings) = &self.settings {
                let configured = call_configure(&mut store, instance, settings).await?;
                configured.map_err(wasmtime::Error::msg)?;
            }
            Ok(instance)
        };
        let instance = match timeout_at(deadline.into(), work).await {
            Ok(Ok(instance)) => instance,
            Ok(Err(error)) => {
                store.data_mut().flush_log();
                return Err(failure(&error, store.data(), self.time_limit));
            }
            Err(_) => return Err(too_long(self.time_limit)),
        };
        let functions = [const { None }; Hook::ALL.len()];
        Ok(Box::new(Running { store, instance, functions, transactions: 0, _permit: permit }))
    }

    async fn room(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, HookFailure> {
        let copies = &self.shared.copies;
        // Before the pools are looked into: what is put back from then on gives its room up.
        let _waiting = self.shared.queue.enter();
        loop {
            match copies.clone().try_acquire_owned() {
                Ok(permit) => return Ok(permit),
                Err(TryAcquireError::NoPermits) if self.shared.make_way() => {}
                Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => break,
            }
        }
        match timeout_at(deadline.into(), copies.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                Err(busy("all copies that limits.plugin_copies allows are in use"))
            }
        }
    }
}

struct Copy {
    loaded: Arc<Loaded>,
    state: CopyState,
}

/// A copy runs from its first call to its end or its first failure.
enum CopyState {
    Fresh,
    Running(Box<Running>),
    /// It failed, or it is being called: who gives up waiting for a call gives up the copy.
    Over,
}

impl Drop for Copy {
    /// The transaction is over.
    fn drop(&mut self) {
        if let (Some(pool), CopyState::Running(_)) = (&self.loaded.pool, &self.state)
            && let CopyState::Running(running) = std::mem::replace(&mut self.state, CopyState::Over)
        {
            pool.put(running);
        }
    }
}

/// A running copy. The store goes before the permit, so that whoever gets that finds room.
pub(super) struct Running {
    store: Store<State>,
    instance: Instance,
    /// Found at the first call of each: finding them costs as much as a call that does nothing.
    functions: [Option<Function>; Hook::ALL.len()],
    /// How many it has served before, if it is pooled.
    transactions: u32,
    _permit: OwnedSemaphorePermit,
}

impl PluginCopy for Copy {
    fn call<'a>(&'a mut self, call: HookCall) -> BoxFuture<'a, Result<Answer, HookFailure>> {
        Box::pin(async move {
            let deadline = Instant::now() + self.loaded.time_limit;
            let mut running = match std::mem::replace(&mut self.state, CopyState::Over) {
                CopyState::Fresh => match self.loaded.pool.as_ref().and_then(|pool| pool.take()) {
                    Some(rested) => rested,
                    // Most calls find one that runs, and need no room for what making one takes.
                    None => Box::pin(self.loaded.make(deadline)).await?,
                },
                CopyState::Running(running) => running,
                CopyState::Over => return Err(bad_copy()),
            };
            let answer = running.call(&self.loaded, call, deadline).await?;
            self.state = CopyState::Running(running);
            Ok(answer)
        })
    }

    fn memory_octets(&self) -> usize {
        match &self.state {
            CopyState::Running(running) => running.store.data().memory.used(),
            _ => 0,
        }
    }
}

impl Running {
    /// The copy for another transaction, if it may have one.
    pub(super) fn rested(mut self: Box<Self>) -> Option<Box<Self>> {
        self.transactions += 1;
        (self.transactions < TRANSACTIONS && self.store.data_mut().rest()).then_some(self)
    }

    async fn call(
        &mut self,
        loaded: &Loaded,
        given: HookCall,
        deadline: Instant,
    ) -> Result<Answer, HookFailure> {
        let hook = given.hook;
        let Some(index) = &loaded.hooks[hook as usize] else { return Err(not_exported(hook)) };
        self.begin(given, deadline);
        let said = timeout_at(deadline.into(), self.ask(hook, index)).await;
        let state = self.store.data_mut();
        state.flush_log();
        state.facts.metrics.memory_used(state.memory.used());
        let said = match said {
            Ok(Ok(said)) => said,
            Ok(Err(error)) => return Err(failure(&error, state, loaded.time_limit)),
            Err(_) => return Err(too_long(loaded.time_limit)),
        };
        state.close_streams();
        let opinion = said.opinion(state)?;
        let Some(call) = state.call.take() else { return Err(not_exported(hook)) };
        Ok(Answer { opinion, edits: call.edits, saved: call.saved, notes: call.notes })
    }

    /// The bounds and the share of the log are each call's own.
    fn begin(&mut self, given: HookCall, deadline: Instant) {
        let state = self.store.data_mut();
        state.deadline = deadline;
        state.calls += 1;
        state.memory.denied = false;
        state.log = LogLines::default();
        state.call = Some(Call::new(given));
        self.store.set_epoch_deadline(1);
    }

    async fn ask(&mut self, hook: Hook, index: &ComponentExportIndex) -> wasmtime::Result<Said> {
        let found = &mut self.functions[hook as usize];
        let function = match found {
            Some(function) => function,
            None => found.insert(Function::find(hook, &mut self.store, self.instance, index)?),
        };
        function.call(hook, &mut self.store).await
    }
}

/// What a plugin said, not yet checked.
enum Said {
    Authentication(authentication::Said),
    Verdict(Hook, Verdict),
}

impl Said {
    /// What it means, if the plugin may say it.
    fn opinion(self, state: &State) -> Result<Opinion, HookFailure> {
        match self {
            Self::Authentication(said) => {
                let granted = state.granted(Grant::AuthSecret);
                let credentials = state.call().and_then(Call::credentials);
                let credentials = credentials.map_err(|_| not_exported(Hook::Auth))?;
                authentication::opinion(credentials, granted, said)
            }
            Self::Verdict(hook, verdict) => convert::opinion(hook, verdict),
        }
    }
}

/// A hook's function. Hooks of one shape are one variant.
enum Function {
    Auth(TypedFunc<(Resource<SessionHandle>, authentication::Shown), (authentication::Said,)>),
    Envelope(Typed<(Resource<SessionHandle>, Resource<TransactionHandle>)>),
    Helo(Typed<(Resource<SessionHandle>, String)>),
    Message(Typed<(Resource<SessionHandle>, Resource<TransactionHandle>, Resource<MessageHandle>)>),
    Outcome(TypedFunc<(Vec<Outcome>,), ()>),
    Rcpt(Typed<(Resource<SessionHandle>, Resource<TransactionHandle>, types::Recipient)>),
    Session(Typed<(Resource<SessionHandle>,)>),
}

type Typed<Parameters> = TypedFunc<Parameters, (Verdict,)>;

impl Function {
    fn find(
        hook: Hook,
        store: &mut Store<State>,
        instance: Instance,
        index: &ComponentExportIndex,
    ) -> wasmtime::Result<Self> {
        Ok(match hook {
            Hook::Connect => Self::Session(instance.get_typed_func(store, index)?),
            Hook::Auth => Self::Auth(instance.get_typed_func(store, index)?),
            Hook::Helo => Self::Helo(instance.get_typed_func(store, index)?),
            Hook::Rcpt => Self::Rcpt(instance.get_typed_func(store, index)?),
            Hook::Mail | Hook::Data => Self::Envelope(instance.get_typed_func(store, index)?),
            Hook::Headers | Hook::Message => Self::Message(instance.get_typed_func(store, index)?),
            Hook::Outcome => Self::Outcome(instance.get_typed_func(store, index)?),
        })
    }

    async fn call(&self, hook: Hook, store: &mut Store<State>) -> wasmtime::Result<Said> {
        let session = Resource::new_borrow(0);
        let transaction = Resource::new_borrow(0);
        let (verdict,) = match self {
            Self::Auth(handle) => {
                let state = store.data();
                let granted = state.granted(Grant::AuthSecret);
                let shown = authentication::shown(state.call()?.credentials()?, granted);
                let (said,) = handle.call_async(store, (session, shown)).await?;
                return Ok(Said::Authentication(said));
            }
            Self::Envelope(handle) => handle.call_async(store, (session, transaction)).await?,
            Self::Helo(handle) => {
                let name = store.data().call()?.given.session.helo.clone().unwrap_or_default();
                handle.call_async(store, (session, name)).await?
            }
            Self::Message(handle) => {
                let message = Resource::new_borrow(0);
                handle.call_async(store, (session, transaction, message)).await?
            }
            Self::Outcome(_) => return Err(wasmtime::Error::msg("outcome is asked nothing")),
            Self::Rcpt(handle) => {
                let recipient = store.data().call()?.given.recipient.as_ref();
                let recipient = recipient
                    .map(convert::recipient)
                    .ok_or_else(|| wasmtime::Error::msg("there is no recipient to judge"))?;
                handle.call_async(store, (session, transaction, recipient)).await?
            }
            Self::Session(handle) => handle.call_async(store, (session,)).await?,
        };
        Ok(Said::Verdict(hook, verdict))
    }
}

/// What it means that wasm did not return.
pub(super) fn failure(error: &wasmtime::Error, state: &State, limit: Duration) -> HookFailure {
    if state.out_of_time {
        return too_long(limit);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return busy(&error.root_cause().to_string());
    }
    // There was no room for what the plugin wanted to read; there will be.
    if error.is::<ContentError>() {
        return busy(&error.root_cause().to_string());
    }
    let cause = printable(&error.root_cause().to_string(), DETAIL_OCTETS);
    if state.memory.denied {
        let detail = format!("more than {} octets: {cause}", state.facts.memory_limit);
        return HookFailure { reason: FailureReason::Memory, detail };
    }
    let detail = match frames(error) {
        Some(frames) => format!("{cause} in {frames}"),
        None => cause,
    };
    // The SDKs log what was thrown, in the author's language, and trap then.
    let detail = match state.log.error() {
        Some(said) => format!("{} ({detail})", printable(said, DETAIL_OCTETS)),
        None => detail,
    };
    let missed = state.call.as_ref().is_some_and(|call| call.store_unavailable);
    let reason = if missed { FailureReason::Unavailable } else { FailureReason::Trap };
    HookFailure { reason, detail }
}

/// The innermost functions of the plugin's own, innermost first.
fn frames(error: &wasmtime::Error) -> Option<String> {
    // Its frames give mangled names; only its text has them readable.
    let backtrace = error.downcast_ref::<WasmBacktrace>()?.to_string();
    let named = backtrace.lines().filter_map(|line| line.split_once('!'));
    let own = named
        .map(|(_, name)| name)
        .filter(|name| !PANICKING.iter().any(|part| name.contains(part)));
    let names: Vec<_> = own.take(FRAMES).map(|name| printable(name, DETAIL_OCTETS)).collect();
    (!names.is_empty()).then(|| names.join(" < "))
}

fn too_long(limit: Duration) -> HookFailure {
    let detail = format!("no answer within {limit:?}");
    HookFailure { reason: FailureReason::Timeout, detail }
}

fn busy(detail: &str) -> HookFailure {
    HookFailure { reason: FailureReason::Busy, detail: printable(detail, DETAIL_OCTETS) }
}

fn bad_copy() -> HookFailure {
    let detail = "a copy that failed was called again".into();
    HookFailure { reason: FailureReason::Trap, detail }
}

fn not_exported(hook: Hook) -> HookFailure {
    let detail = format!("{hook} is not a hook of this plugin");
    HookFailure { reason: FailureReason::BadAnswer, detail }
}

/// What a pooled copy serves: a leak and whatever else piles up in it have an end, and making another
/// one costs little by then.
const TRANSACTIONS: u32 = 1_000;

/// To make the first copy of a plugin: mapping a large one takes longer than making further ones.
const TRY_OUT_TIME: Duration = Duration::from_secs(10);

/// Frames of a backtrace in the log: who failed, and for whom.
const FRAMES: usize = 5;

/// In the names of functions that only carry a panic, in Rust.
const PANICKING: [&str; 3] = ["__rust", "panicking", "panic_fmt"];

/// Of one name or cause in the log.
const DETAIL_OCTETS: usize = 512;
