//! Loading: from one plugin of the configuration to one that can be asked, or to what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::Component;

use super::component;
use super::copy::{Loaded, WasmPlugin};
use super::engine::{Engine, Services, Shared};
use super::host::printable;
use super::snapshot::{compile, configured, lifecycle, unfrozen};
use super::state::{CONTRACT, CONTRACT_VERSION, Facts, interface};
use crate::config::{self, Digest, Pin, PinnedBy};
use crate::metrics::PluginMetrics;
use crate::policy::{Hook, HookFailure};
use crate::store::{Store, Stores};

impl Engine {
    /// Loads, configures and freezes a plugin. `upstreams` are the names that it may route to.
    ///
    /// # Errors
    ///
    /// If it cannot be loaded, does not fit, or refuses its settings.
    pub async fn load(
        &self,
        plugin: &config::Plugin,
        upstreams: Arc<BTreeSet<String>>,
    ) -> Result<Arc<WasmPlugin>, LoadError> {
        let loaded = self.try_load(plugin, upstreams, Start::Snapshot).await;
        let loaded =
            loaded.map_err(|failure| LoadError { plugin: plugin.name.clone(), failure })?;
        Ok(Arc::new(loaded))
    }

    /// Loads a plugin of which each copy is configured anew: of a large one, a snapshot takes as long
    /// to make as the whole file to compile, and there is one for each settings.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn load_unfrozen(
        &self,
        plugin: &config::Plugin,
        upstreams: Arc<BTreeSet<String>>,
    ) -> Result<Arc<WasmPlugin>, LoadError> {
        let loaded = self.try_load(plugin, upstreams, Start::Configure).await;
        let loaded =
            loaded.map_err(|failure| LoadError { plugin: plugin.name.clone(), failure })?;
        Ok(Arc::new(loaded))
    }

    async fn try_load(
        &self,
        plugin: &config::Plugin,
        upstreams: Arc<BTreeSet<String>>,
        start: Start,
    ) -> Result<WasmPlugin, LoadFailure> {
        let shared = &self.shared;
        if plugin.memory_limit as u64 > shared.memory_octets {
            let (limit, most) = (plugin.memory_limit, shared.memory_octets);
            return Err(LoadFailure::MemoryLimit { limit, most });
        }
        let (file, pins) = (plugin.file.clone(), plugin.pins.clone());
        let (digest, component) = blocking(move || component::read(&file, &pins)).await?;
        let facts = Facts::of(shared, plugin, upstreams);
        let settings: Arc<str> = plugin.handed().to_string().into();
        let configured = match start {
            Start::Configure => unfrozen(shared, &facts, component, &settings).await?,
            Start::Snapshot => {
                configured(shared.clone(), facts.clone(), component, settings.clone()).await?
            }
        };
        let pre = compile(shared, configured.component.to_vec()).await?;
        let hooks = wanted(pre.component(), &configured.skip)?;
        let settings = (!configured.frozen).then_some(settings);
        let loaded = Loaded::new(shared.clone(), facts, plugin, pre, hooks, settings);
        loaded.try_out().await?;
        let digest = digest.to_string();
        shared.metrics.plugin(&plugin.name).is_file(digest.get(..DIGEST_SHOWN).unwrap_or(&digest));
        Ok(WasmPlugin::new(loaded))
    }
}

/// Where copies start from.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// From `configure`, each of them.
    Configure,
    /// From what it left, if that can be frozen.
    Snapshot,
}

impl Facts {
    pub(super) fn of(
        shared: &Shared,
        plugin: &config::Plugin,
        upstreams: Arc<BTreeSet<String>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: plugin.name.clone(),
            grants: plugin.grants.clone(),
            upstreams,
            stores: granted(&shared.services.stores, plugin),
            origins: plugin.origins.clone().into(),
            asks: plugin.upstreams.clone().into(),
            streams: plugin.services.clone().into(),
            memory_limit: plugin.memory_limit,
            budget: shared.budget.clone(),
            metrics: shared.metrics.plugin(&plugin.name),
            services: shared.services.clone(),
        })
    }

    /// The same with other services.
    pub(super) fn double(&self, services: &Services, metrics: Arc<PluginMetrics>) -> Self {
        let stores = self.stores.keys();
        let stores = stores.filter_map(|name| Some((name.clone(), services.stores.get(name)?)));
        Self {
            name: self.name.clone(),
            grants: self.grants.clone(),
            upstreams: self.upstreams.clone(),
            stores: stores.collect(),
            origins: self.origins.clone(),
            asks: self.asks.clone(),
            streams: self.streams.clone(),
            memory_limit: self.memory_limit,
            budget: self.budget.clone(),
            metrics,
            services: services.clone(),
        }
    }
}

/// The stores that a plugin may open.
fn granted(stores: &Stores, plugin: &config::Plugin) -> BTreeMap<String, Arc<Store>> {
    let named = plugin.stores.iter();
    named.filter_map(|name| Some((name.clone(), stores.get(name)?))).collect()
}

/// Why a plugin cannot be used. The operator's or the author's fault; the configuration is refused.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin}: {failure}")]
pub struct LoadError {
    /// Its name in the configuration.
    pub plugin: String,
    /// What is wrong and what to do about it.
    #[source]
    pub failure: LoadFailure,
}

/// What is wrong with a plugin and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    /// Damaged, truncated, or of a version of wasm that does not exist.
    #[error("the file is damaged: {0}; build or copy it again")]
    Broken(String),
    /// It was built to be started, not to be called.
    #[error(
        "it is a command (it exports _start), not a plugin; \
         build it as a library (Rust: crate-type cdylib, C: -mexec-model=reactor)"
    )]
    Command,
    /// In the plugin's own words.
    #[error("it refuses its settings: {0}")]
    Configure(String),
    /// It trapped, ran for too long or wanted too much memory.
    #[error("it fails when it is configured: {0}")]
    ConfigureFailed(HookFailure),
    /// It waited for too long.
    #[error("it is not configured within {0:?}")]
    ConfigureTime(Duration),
    /// Not there, or not readable.
    #[error("{} cannot be read: {source}", file.display())]
    File {
        /// As in the configuration.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A capability that the gateway does not have.
    #[error(
        "it imports {0}, which the gateway does not offer; \
         it offers {CONTRACT}@{CONTRACT_VERSION} and WASI 0.2 with outgoing HTTP, without files and sockets"
    )]
    Import(String),
    /// More than the reservation of address space allows.
    #[error("memory_limit is {limit} octets, and at most {most} are possible here")]
    MemoryLimit {
        /// As in the configuration.
        limit: usize,
        /// What is possible.
        most: u64,
    },
    /// A core module that says nothing about interfaces.
    #[error(
        "it is a core module without a component type section; build it with wit-bindgen, \
         or add the section with `wasm-tools component embed`"
    )]
    NoContract,
    /// Nothing to ask it.
    #[error(
        "it exports no hook of {CONTRACT}@{CONTRACT_VERSION}; \
         export at least one of on-connect, on-helo, on-auth, on-mail, on-rcpt, on-data, \
         on-headers, on-message, on-outcome"
    )]
    NoHook,
    /// Nothing to configure it with.
    #[error("it does not export {CONTRACT}/lifecycle@{CONTRACT_VERSION}; every plugin has to")]
    NoLifecycle,
    /// Something else altogether.
    #[error("{} is not a WebAssembly file", file.display())]
    NotWasm {
        /// As in the configuration.
        file: PathBuf,
    },
    /// Another file than the one that was approved.
    #[error("{}", mispinned(found, *octets, pin))]
    Pinned {
        /// What the file is.
        found: Digest,
        /// How long it is.
        octets: u64,
        /// What it has to be.
        pin: Box<Pin>,
    },
    /// It skips what is not there.
    #[error("it wants to skip the hook {0:?}, which does not exist")]
    Skip(String),
    /// Nobody needs that much.
    #[error("{} is larger than {most} octets", file.display())]
    TooLarge {
        /// As in the configuration.
        file: PathBuf,
        /// The bound.
        most: u64,
    },
    /// Types or imports differ from the contract's.
    #[error("it does not fit the gateway: {0}")]
    Unfit(String),
    /// Made for a contract of the past or of the future.
    #[error(
        "it was built for {wanted}, and this gateway offers {CONTRACT}@{CONTRACT_VERSION}; \
         build it with the SDK of this version, or use the gateway that it was built for"
    )]
    Version {
        /// The interface with the version that it was built for.
        wanted: String,
    },
}

impl LoadFailure {
    /// What to do about it, where the text itself does not say.
    #[must_use]
    pub fn help(&self, plugin: &config::Plugin) -> Option<String> {
        let Self::Pinned { found, pin, .. } = self else { return None };
        let then = match pin.by {
            PinnedBy::Key => format!("sha256: \"{found}\""),
            PinnedBy::Lock { .. } => config::lock_command(&plugin.place.file),
        };
        Some(format!("if that is intended: {then}; if not, find out who changed the file"))
    }

    /// Where it stands in the configuration, or beside it.
    #[must_use]
    pub fn place<'a>(&'a self, plugin: &'a config::Plugin) -> &'a config::Place {
        match self {
            Self::Configure(_) => &plugin.settings_place,
            Self::Pinned { pin, .. } => &pin.place,
            _ => &plugin.place,
        }
    }
}

fn mispinned(found: &Digest, octets: u64, pin: &Pin) -> String {
    let wanted = pin.sha256;
    match pin.by {
        PinnedBy::Key => {
            format!("its file is not the one that is pinned: its SHA-256 is {found}, not {wanted}")
        }
        PinnedBy::Lock { octets: before } => format!(
            "its file changed on disk since it was locked: \
             its SHA-256 is {found} ({octets} octets), and was {wanted} ({before} octets)"
        ),
    }
}

impl LoadFailure {
    pub(super) fn broken(error: impl Display) -> Self {
        Self::Broken(line(error))
    }

    pub(super) fn unfit(error: impl Display) -> Self {
        Self::Unfit(line(error))
    }
}

/// What others say of a file may hold names that are in it, and go over many lines.
fn line(error: impl Display) -> String {
    let text = error.to_string();
    printable(&text.split_whitespace().collect::<Vec<_>>().join(" "), DETAIL_OCTETS)
}

/// Of what is said of a file.
const DETAIL_OCTETS: usize = 1 << 10;

/// Work that takes a thread for a while.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadFailure> + Send + 'static,
) -> Result<T, LoadFailure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(LoadFailure::unfit(error)))
}

/// Whether a component speaks of the same things as the gateway, before the linker looks closer.
pub(super) fn check_contract(
    engine: &wasmtime::Engine,
    component: &Component,
) -> Result<(), LoadFailure> {
    let kind = component.component_type();
    let exports: Vec<&str> = kind.exports(engine).map(|(name, _)| name).collect();
    for (import, _) in kind.imports(engine) {
        let (interface, version) = import.split_once('@').unwrap_or((import, ""));
        if OFFERED.contains(&interface) {
            check_version(import, version)?;
        } else if !WASI.iter().any(|package| interface.starts_with(package)) {
            return Err(LoadFailure::Import(import.into()));
        }
    }
    for export in &exports {
        if let Some((interface, version)) = export.split_once('@')
            && interface.split_once('/').is_some_and(|(package, _)| package == CONTRACT)
        {
            check_version(export, version)?;
        }
    }
    if component.get_export_index(None, &*lifecycle()).is_none() {
        return Err(LoadFailure::NoLifecycle);
    }
    Ok(())
}

/// Before 1.0 the second number is the one that must be equal.
fn check_version(wanted: &str, version: &str) -> Result<(), LoadFailure> {
    let series = |version: &str| {
        let mut numbers = version.split('.').map(str::to_owned);
        let major = numbers.next();
        let minor = if major.as_deref() == Some("0") { numbers.next() } else { None };
        (major, minor)
    };
    if series(version) == series(CONTRACT_VERSION) {
        return Ok(());
    }
    Err(LoadFailure::Version { wanted: wanted.into() })
}

/// The hooks that it exports and does not skip.
pub(super) fn wanted(component: &Component, skip: &[String]) -> Result<Hooks, LoadFailure> {
    let unknown = |name: &&String| !Hook::ALL.iter().any(|hook| hook.label() == **name);
    if let Some(name) = skip.iter().find(unknown) {
        return Err(LoadFailure::Skip(name.clone()));
    }
    let mut exported = false;
    let hooks = Hook::ALL.map(|hook| {
        let interface = format!("{}@{CONTRACT_VERSION}", interface(hook));
        let interface = component.get_export_index(None, &*interface)?;
        let handle = component.get_export_index(Some(&interface), "handle")?;
        exported = true;
        (!skip.iter().any(|name| name == hook.label())).then_some(handle)
    });
    if exported { Ok(hooks) } else { Err(LoadFailure::NoHook) }
}

/// Where the functions of the hooks are, in the order of [`Hook::ALL`].
pub(super) type Hooks = [Option<wasmtime::component::ComponentExportIndex>; Hook::ALL.len()];

/// What the gateway implements of the contract.
const OFFERED: [&str; 11] = [
    "smtp:filter/clock",
    "smtp:filter/dns",
    "smtp:filter/http",
    "smtp:filter/kv",
    "smtp:filter/log",
    "smtp:filter/mail-auth",
    "smtp:filter/metrics",
    "smtp:filter/random",
    "smtp:filter/streams",
    "smtp:filter/types",
    "smtp:filter/upstreams",
];

/// What there is of WASI; files and sockets are there and empty, because runtimes ask for them.
const WASI: [&str; 7] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:http/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Of a plugin's digest, as much as tells files apart.
const DIGEST_SHOWN: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_series_fit() {
        for (version, fits) in
            [("0.1.0", true), ("0.1.7", true), ("0.2.0", false), ("1.0.0", false), ("", false)]
        {
            assert_eq!(check_version("x", version).is_ok(), fits, "{version}");
        }
    }
}
