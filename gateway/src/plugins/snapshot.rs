//! Configuring a plugin once, and freezing what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::{Component, ComponentType, Instance, InstancePre, Lift};
use wasmtime_wizer::{ComponentContext, WasmtimeWizerComponent, Wizer};

use super::cache::Snapshots;
use super::copy::failure;
use super::engine::Shared;
use super::host::printable;
use super::load::{LoadFailure, blocking};
use super::state::{CONTRACT_VERSION, Facts, State};

/// A component whose copies are ready to be asked.
pub(super) struct Configured {
    pub(super) component: Arc<Vec<u8>>,
    /// The names of hooks that it does not want to be asked at.
    pub(super) skip: Vec<String>,
    /// If not, each copy has to be configured anew.
    pub(super) frozen: bool,
}

/// What `configure` returns.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Subscription {
    skip: Vec<String>,
}

/// Runs a plugin's `configure`, or finds what came of it the last time.
pub(super) async fn configured(
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    component: Vec<u8>,
    settings: Arc<str>,
) -> Result<Configured, LoadFailure> {
    let key = Snapshots::key(&component, &settings);
    if let Some((skip, component)) = shared.snapshots.as_ref().and_then(|all| all.read(&key)) {
        return Ok(Configured { component: Arc::new(component), skip, frozen: true });
    }
    let component = Arc::new(component);
    // In a task of its own: the code that takes snapshots panics when it is at its wits' end.
    let freezing =
        tokio::spawn(freeze(shared.clone(), facts.clone(), component.clone(), settings.clone()));
    let reason = match freezing.await {
        Ok(Ok(Freeze::Done { component, skip })) => {
            if let Some(snapshots) = &shared.snapshots {
                snapshots.write(&key, &skip, &component);
            }
            return Ok(Configured { component: Arc::new(component), skip, frozen: true });
        }
        Ok(Ok(Freeze::Impossible { reason })) => reason,
        Ok(Err(failure)) => return Err(failure),
        Err(error) => error.to_string(),
    };
    let plugin = &facts.name;
    tracing::warn!(plugin, reason, "plugin cannot be frozen: each copy is configured anew, slowly");
    let skip = configure_only(&shared, &facts, &component, &settings).await?;
    Ok(Configured { component, skip, frozen: false })
}

/// Runs a plugin's `configure`, and leaves it at that.
pub(super) async fn unfrozen(
    shared: &Arc<Shared>,
    facts: &Arc<Facts>,
    component: Vec<u8>,
    settings: &str,
) -> Result<Configured, LoadFailure> {
    let component = Arc::new(component);
    let skip = configure_only(shared, facts, &component, settings).await?;
    Ok(Configured { component, skip, frozen: false })
}

/// What came of the attempt to freeze a plugin.
enum Freeze {
    Done { component: Vec<u8>, skip: Vec<String> },
    Impossible { reason: String },
}

async fn freeze(
    shared: Arc<Shared>,
    facts: Arc<Facts>,
    component: Arc<Vec<u8>>,
    settings: Arc<str>,
) -> Result<Freeze, LoadFailure> {
    let wizer = Wizer::new();
    let (context, instrumented) = match wizer.instrument_component(&component) {
        Ok(done) => done,
        Err(error) => return Ok(Freeze::Impossible { reason: format!("{error:#}") }),
    };
    let pre = compile(&shared, instrumented).await?;
    let (mut store, instance, skip) = configure(&shared, &facts, &pre, &settings).await?;
    // The frozen memory would name handles that no copy has.
    if !store.data().table.is_empty() {
        let reason = "it kept handles (of standard output, for example) when it was configured";
        return Ok(Freeze::Impossible { reason: reason.into() });
    }
    let component = snapshot(&wizer, &context, &mut store, instance).await?;
    Ok(Freeze::Done { component, skip })
}

async fn snapshot(
    wizer: &Wizer,
    context: &ComponentContext<'_>,
    store: &mut Store<State>,
    instance: Instance,
) -> Result<Vec<u8>, LoadFailure> {
    // Reading the memory goes through the instance, which takes its time as any other call.
    store.data_mut().deadline = Instant::now() + CONFIGURE_TIME;
    // It comes as one list, however large; the memory has its own limit.
    store.set_hostcall_fuel(usize::MAX);
    wizer
        .snapshot_component(context, &mut WasmtimeWizerComponent { store, instance })
        .await
        .map_err(|error| LoadFailure::unfit(format!("{error:#}")))
}

async fn configure_only(
    shared: &Arc<Shared>,
    facts: &Arc<Facts>,
    component: &Arc<Vec<u8>>,
    settings: &str,
) -> Result<Vec<String>, LoadFailure> {
    let pre = compile(shared, component.to_vec()).await?;
    let (.., skip) = configure(shared, facts, &pre, settings).await?;
    Ok(skip)
}

/// Compiles a component and links it to the host.
pub(super) async fn compile(
    shared: &Arc<Shared>,
    component: Vec<u8>,
) -> Result<InstancePre<State>, LoadFailure> {
    let shared = shared.clone();
    blocking(move || {
        let component = Component::from_binary(&shared.wasm, &component)
            .map_err(|error| LoadFailure::unfit(format!("{error:#}")))?;
        super::load::check_contract(&shared.wasm, &component)?;
        shared
            .linker
            .instantiate_pre(&component)
            .map_err(|error| LoadFailure::unfit(format!("{error:#}")))
    })
    .await
}

async fn configure(
    shared: &Shared,
    facts: &Arc<Facts>,
    pre: &InstancePre<State>,
    settings: &str,
) -> Result<(Store<State>, Instance, Vec<String>), LoadFailure> {
    let _room = shared.loading.acquire().await;
    let deadline = Instant::now() + CONFIGURE_TIME;
    let mut store = State::store(&shared.wasm, facts.clone(), deadline);
    let work = async {
        let instance = pre.instantiate_async(&mut store).await?;
        let subscription = call_configure(&mut store, instance, settings).await?;
        Ok((instance, subscription))
    };
    let done = tokio::time::timeout_at(deadline.into(), work).await;
    store.data_mut().flush_log();
    let (instance, subscription) = match done {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => {
            return Err(LoadFailure::ConfigureFailed(failure(
                &error,
                store.data(),
                CONFIGURE_TIME,
            )));
        }
        Err(_) => return Err(LoadFailure::ConfigureTime(CONFIGURE_TIME)),
    };
    let subscription =
        subscription.map_err(|text| LoadFailure::Configure(printable(&text, ERROR_OCTETS)))?;
    Ok((store, instance, subscription))
}

/// Calls `configure` of a copy.
pub(super) async fn call_configure(
    store: &mut Store<State>,
    instance: Instance,
    settings: &str,
) -> wasmtime::Result<Result<Vec<String>, String>> {
    let interface = lifecycle();
    let interface = instance.get_export_index(&mut *store, None, &interface);
    let function = interface
        .and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), "configure"))
        .ok_or_else(|| wasmtime::Error::msg("lifecycle.configure is not exported"))?;
    let function = instance
        .get_typed_func::<(&str,), (Result<Subscription, String>,)>(&mut *store, &function)?;
    let (result,) = function.call_async(&mut *store, (settings,)).await?;
    Ok(result.map(|subscription| subscription.skip))
}

/// The name of the interface that `configure` is in.
pub(super) fn lifecycle() -> String {
    format!("{LIFECYCLE}@{CONTRACT_VERSION}")
}

/// The same without its version.
pub(super) const LIFECYCLE: &str = "smtp:filter/lifecycle";

/// For `configure`, which may read long lists or start a language's runtime.
const CONFIGURE_TIME: Duration = Duration::from_secs(30);

/// Of the text that a plugin refuses its settings with.
const ERROR_OCTETS: usize = 4 << 10;
