//! What a plugin's file says of itself, and whether it can be loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmparser::{KnownCustom, Parser, Payload};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use super::component;
use super::engine::Engine;
use super::load::{LoadFailure, blocking, wanted};
use super::snapshot::{Configured, LIFECYCLE, compile, configured};
use super::state::{CONTRACT, CONTRACT_VERSION, Facts, State, interface};
use crate::config::{self, Digest};
use crate::policy::Hook;

/// What was found out about a plugin's file.
#[derive(Debug)]
pub struct Inspection {
    /// Its length.
    pub octets: usize,
    /// Its digest, by which it can be pinned.
    pub digest: Digest,
    /// What it says of itself.
    pub told: Told,
    /// What it exports and imports, or why it cannot be loaded.
    pub fit: Result<Fit, LoadFailure>,
    /// Whether copies start from a snapshot, if that was tried, or why that is not known: without
    /// its settings, a plugin may refuse to be configured.
    pub frozen: Option<Result<bool, LoadFailure>>,
}

/// What can be read without understanding it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Told {
    /// A component as it is, rather than a core module that the gateway wraps.
    pub is_component: bool,
    /// Octets of linear memory at the start.
    pub memory: u64,
    /// Whether functions have names, so that a trap can tell where it was.
    pub has_names: bool,
    /// Who made it: `language`, `processed-by`, `sdk`, each with names and versions.
    pub producers: BTreeMap<String, BTreeSet<String>>,
}

/// What a plugin and the gateway have to do with each other.
#[derive(Clone, Debug, Default)]
pub struct Fit {
    /// The contract that it was built for.
    pub contract: String,
    /// The hooks that it exports; with its settings, without those that they do not need.
    pub hooks: Vec<Hook>,
    /// What it exports of the contract that this gateway does not know, and so never calls.
    pub unknown: Vec<String>,
    /// The functions that it may call, by interface. Handles that are dropped are none.
    pub calls: BTreeMap<String, BTreeSet<String>>,
    /// How long the compilation took.
    pub compiled_in: Duration,
}

impl Fit {
    /// The grants without which some of its calls are denied, each with the reason. A call that it
    /// may make is one that it need not make.
    #[must_use]
    pub fn grants(&self) -> BTreeMap<&'static str, Vec<String>> {
        let mut grants: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
        for (interface, functions) in &self.calls {
            if let Some((grant, _)) =
                BY_INTERFACE.iter().find(|(_, known)| interface.contains(known))
            {
                grants.entry(*grant).or_default().push(interface.clone());
            }
            for function in functions {
                let by_function = BY_FUNCTION.iter();
                if let Some((grant, _)) = by_function.clone().find(|(_, known)| known == function) {
                    grants.entry(*grant).or_default().push(function.clone());
                }
            }
        }
        grants
    }
}

impl Engine {
    /// Looks at a plugin's file; to `freeze` it, too, takes as long again.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub async fn inspect(
        &self,
        plugin: &config::Plugin,
        freeze: bool,
    ) -> Result<Inspection, LoadFailure> {
        let file = plugin.file.clone();
        let octets = blocking(move || component::octets(&file)).await?;
        let (length, digest, told) = (octets.len(), Digest::of(&octets), Told::read(&octets));
        let mut fit = match component::named(&plugin.file, component::component(octets)) {
            Ok(component) => self.fit(component).await,
            Err(failure) => Err(failure),
        };
        let frozen = match &mut fit {
            Ok((fit, component)) if freeze => {
                let configured = self.freeze(plugin, component.clone()).await;
                Some(configured.map(|Configured { skip, frozen, .. }| {
                    fit.hooks.retain(|hook| !skip.iter().any(|name| name == hook.label()));
                    frozen
                }))
            }
            Ok(_) | Err(_) => None,
        };
        let fit = fit.map(|(fit, _)| fit);
        Ok(Inspection { octets: length, digest, told, fit, frozen })
    }

    async fn fit(&self, component: Vec<u8>) -> Result<(Fit, Vec<u8>), LoadFailure> {
        let started = Instant::now();
        let pre = compile(&self.shared, component.clone()).await?;
        let compiled_in = started.elapsed();
        let hooks = wanted(pre.component(), &[])?;
        let hooks = Hook::ALL.into_iter().zip(&hooks).filter(|(_, index)| index.is_some());
        let hooks = hooks.map(|(hook, _)| hook).collect();
        let engine = &self.shared.wasm;
        let contract = contract(engine, pre.component());
        let calls = calls(engine, &pre);
        let unknown = unknown(engine, pre.component());
        Ok((Fit { contract, hooks, unknown, calls, compiled_in }, component))
    }

    async fn freeze(
        &self,
        plugin: &config::Plugin,
        component: Vec<u8>,
    ) -> Result<Configured, LoadFailure> {
        let shared = &self.shared;
        let facts = Facts::of(shared, plugin, Arc::default());
        let settings = plugin.handed().to_string().into();
        configured(shared.clone(), facts, component, settings).await
    }
}

/// The version of the contract's interfaces that it exports.
fn contract(engine: &wasmtime::Engine, component: &Component) -> String {
    let kind = component.component_type();
    let exported = kind.exports(engine).find_map(|(name, _)| {
        let (interface, version) = name.split_once('@')?;
        interface.starts_with(CONTRACT).then(|| version.to_owned())
    });
    format!("{CONTRACT}@{}", exported.unwrap_or_else(|| CONTRACT_VERSION.to_owned()))
}

/// A misspelt hook, or one of a later version.
fn unknown(engine: &wasmtime::Engine, component: &Component) -> Vec<String> {
    let known = Hook::ALL.map(interface);
    let kind = component.component_type();
    let exports = kind.exports(engine).filter_map(|(name, _)| name.split('@').next());
    let ours = exports.filter(|name| name.split('/').next() == Some(CONTRACT));
    let unknown = ours.filter(|name| *name != LIFECYCLE && !known.iter().any(|hook| hook == name));
    unknown.map(str::to_owned).collect()
}

fn calls(
    engine: &wasmtime::Engine,
    pre: &InstancePre<State>,
) -> BTreeMap<String, BTreeSet<String>> {
    let kind = pre.component().component_type();
    let mut calls = BTreeMap::new();
    for (interface, item) in kind.imports(engine) {
        let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
        let functions = instance.exports(engine).filter_map(|(name, item)| {
            matches!(item.ty, ComponentItem::ComponentFunc(_)).then(|| name.to_owned())
        });
        let interface = interface.split('@').next().unwrap_or(interface);
        calls.insert(interface.to_owned(), functions.collect());
    }
    calls
}

impl Told {
    /// Of what cannot be read any more, what was read before.
    fn read(octets: &[u8]) -> Self {
        let mut told = Self { is_component: Parser::is_component(octets), ..Self::default() };
        for payload in Parser::new(0).parse_all(octets) {
            let Ok(payload) = payload else { break };
            match payload {
                Payload::MemorySection(memories) => {
                    let memories = memories.into_iter().filter_map(Result::ok);
                    told.memory += memories.map(|memory| memory.initial * PAGE_OCTETS).sum::<u64>();
                }
                Payload::CustomSection(section) => match section.as_known() {
                    KnownCustom::Name(_) => told.has_names = true,
                    KnownCustom::Producers(producers) => told.take(producers),
                    _ => {}
                },
                _ => {}
            }
        }
        told
    }

    fn take(&mut self, producers: wasmparser::ProducersSectionReader<'_>) {
        for field in producers.into_iter().filter_map(Result::ok) {
            let known = self.producers.entry(field.name.to_owned()).or_default();
            for value in field.values.into_iter().filter_map(Result::ok) {
                known.insert(format!("{} {}", value.name, value.version).trim().to_owned());
            }
        }
    }
}

/// What is granted by interfaces.
const BY_INTERFACE: &[(&str, &str)] = &[
    ("dns", "smtp:filter/dns"),
    ("http", "smtp:filter/http"),
    ("http", "wasi:http/outgoing-handler"),
    ("kv", "smtp:filter/kv"),
    ("mail-auth", "smtp:filter/mail-auth"),
    ("streams", "smtp:filter/streams"),
    ("upstreams", "smtp:filter/upstreams"),
];

/// What is granted by functions.
const BY_FUNCTION: &[(&str, &str)] = &[
    ("rewrite-body", "[method]message.replace-body"),
    ("rewrite-body", "[method]message.splice-body"),
    ("rewrite-envelope", "[method]transaction.add-recipient"),
    ("rewrite-envelope", "[method]transaction.drop-recipient"),
    ("rewrite-envelope", "[method]transaction.set-recipient"),
    ("rewrite-envelope", "[method]transaction.set-sender"),
    ("rewrite-headers", "[method]message.add-header"),
    ("rewrite-headers", "[method]message.drop-header"),
    ("rewrite-headers", "[method]message.set-header"),
    ("route", "[method]transaction.route"),
];

/// A page of WebAssembly.
const PAGE_OCTETS: u64 = 64 << 10;
