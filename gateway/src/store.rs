//! Stores: what plugins remember longer than a transaction.
//!
//! A plugin opens a store by the name that it has in the configuration and gets [`Keys`]: its own
//! part of the store, or the common one if the store is shared. Whatever goes wrong with a store is
//! `unavailable` to the plugin, soon: mail waits for an answer.

mod memory;
mod redb;
mod redis;
mod rehearsed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::{self, StoreKind};
use crate::metrics::{Metrics, StoreMetrics, StoreOperation, StoreResult};
use memory::Memory;
use redb::{Answer, Redb, Request};
use redis::Redis;
use rehearsed::Rehearsed;

/// All stores of a configuration.
#[derive(Debug, Default)]
pub struct Stores(BTreeMap<String, Arc<Store>>);

/// One store.
#[derive(Debug)]
pub struct Store {
    name: String,
    shared: bool,
    /// In octets; not known of a Redis.
    bound: u64,
    kind: Kind,
    metrics: Arc<StoreMetrics>,
}

/// Cheap to clone: who reads the configuration anew takes over what is the same.
#[derive(Clone, Debug)]
enum Kind {
    Memory(Arc<Memory>),
    /// With the time for one operation.
    Redb(Arc<Redb>, Duration),
    Redis(Arc<Redis>, Duration),
    Rehearsed(Arc<Rehearsed>),
}

/// What is kept under a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The octets.
    pub value: Vec<u8>,
    /// Another one after each write; never 0.
    pub version: u64,
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has written.
    #[error("the stored version is another one")]
    Conflict,
    /// It, or the sum, is no number of 64 bits.
    #[error("not a counter")]
    NotACounter,
    /// A key, a value, or keys beyond the contract's bounds.
    #[error("too large")]
    TooLarge,
    /// Full, failed, or too late. Perhaps it was done all the same.
    #[error("{0}")]
    Unavailable(String),
}

impl Stores {
    /// Makes the stores of a configuration. What `earlier` ones hold stays where a store is still
    /// the same.
    #[must_use]
    pub fn open(
        stores: &BTreeMap<String, config::Store>,
        earlier: Option<&Self>,
        metrics: &Metrics,
    ) -> Self {
        let open = |(name, config): (&String, &config::Store)| {
            let metrics = metrics.store(name);
            let known = earlier.and_then(|stores| stores.get(name));
            let kind = Kind::open(name, config, known.as_deref(), &metrics);
            let bound = match config.kind {
                StoreKind::Memory { octets } | StoreKind::Redb { octets, .. } => octets,
                StoreKind::Redis { .. } => 0,
            };
            let store = Store { name: name.clone(), shared: config.shared, bound, kind, metrics };
            (name.clone(), Arc::new(store))
        };
        Self(stores.iter().map(open).collect())
    }

    /// The same stores for a rehearsal: what is written to them is only true there.
    #[must_use]
    pub fn rehearsed(&self, metrics: &Metrics) -> Self {
        let double = |(name, store): (&String, &Arc<Store>)| {
            let kind = Kind::Rehearsed(Arc::new(Rehearsed::over(store.kind.clone())));
            let (name, shared, bound) = (name.clone(), store.shared, store.bound);
            let metrics = metrics.store(&name);
            (name.clone(), Arc::new(Store { name, shared, bound, kind, metrics }))
        };
        Self(self.0.iter().map(double).collect())
    }

    /// This configuration is used now: opens files and connects, rather than when the first plugin
    /// asks, and keeps to its bounds.
    pub fn start(&self) {
        for store in self.0.values() {
            match &store.kind {
                Kind::Memory(memory) => memory.bound(store.bound),
                Kind::Redb(redb, _) => {
                    redb.bound(store.bound);
                    redb.start();
                }
                Kind::Redis(redis, _) => redis.start(),
                Kind::Rehearsed(_) => {}
            }
        }
    }

    /// Closes files in order; what was answered is safe without it.
    pub async fn close(&self) {
        for store in self.0.values() {
            if let Kind::Redb(redb, time) = &store.kind {
                // It is closed without an answer.
                let _ = redb.ask(Request::Close, *time).await;
            }
        }
    }

    /// The store of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Store>> {
        self.0.get(name).cloned()
    }
}

impl Kind {
    fn open(
        name: &str,
        config: &config::Store,
        known: Option<&Store>,
        metrics: &Arc<StoreMetrics>,
    ) -> Self {
        let metrics = || Arc::clone(metrics);
        match (&config.kind, known.map(|store| &store.kind)) {
            (StoreKind::Memory { .. }, Some(Self::Memory(memory))) => {
                Self::Memory(Arc::clone(memory))
            }
            (StoreKind::Memory { octets }, _) => {
                Self::Memory(Arc::new(Memory::new(*octets, metrics())))
            }
            (StoreKind::Redb { file, timeout, .. }, Some(Self::Redb(redb, _)))
                if redb.file == *file =>
            {
                Self::Redb(Arc::clone(redb), *timeout)
            }
            (StoreKind::Redb { file, octets, timeout }, _) => {
                let redb = Redb::new(name, file.clone(), *octets, metrics());
                Self::Redb(Arc::new(redb), *timeout)
            }
            (StoreKind::Redis { url, timeout }, Some(Self::Redis(redis, _)))
                if redis.url == *url =>
            {
                Self::Redis(Arc::clone(redis), *timeout)
            }
            (StoreKind::Redis { url, timeout }, _) => {
                Self::Redis(Arc::new(Redis::new(name, url.clone(), metrics())), *timeout)
            }
        }
    }
}

impl Kind {
    async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Entry>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(&keys, Instant::now())),
            Self::Redb(redb, time) => match redb.ask(Request::Get(keys), *time).await? {
                Answer::Entries(entries) => Ok(entries),
                _ => Err(confused()),
            },
            Self::Redis(redis, time) => redis.get(&keys, *time).await,
            Self::Rehearsed(rehearsed) => Box::pin(rehearsed.get(keys)).await,
        }
    }
}

/// The part of a store that a plugin sees.
#[derive(Clone, Debug)]
pub struct Keys {
    store: Arc<Store>,
    /// Nobody's, if the store is shared. Plugins' names are letters, digits, `_` and `-`.
    prefix: String,
}

impl Keys {
    /// What this plugin sees of a store.
    #[must_use]
    pub fn of(store: Arc<Store>, plugin: &str) -> Self {
        let owner = if store.shared { "" } else { plugin };
        Self { prefix: format!("{owner}:"), store }
    }

    /// What is there, in the order of the keys.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub async fn get(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, StoreError> {
        let work = async {
            let keys = self.all(keys)?;
            self.store.kind.get(keys).await
        };
        self.counted(StoreOperation::Get, work).await
    }

    /// Writes a value, if the stored version is the expected one; 0 expects none at all.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        time_to_live: Option<Duration>,
        expect: Option<u64>,
    ) -> Result<u64, StoreError> {
        let work = async {
            let key = self.one(key)?;
            if value.len() > VALUE_OCTETS {
                return Err(StoreError::TooLarge);
            }
            match &self.store.kind {
                Kind::Memory(memory) => {
                    memory.put(&key, value, time_to_live, expect, Instant::now())
                }
                Kind::Redb(redb, time) => {
                    let request = Request::Put { key, value, time_to_live, expect };
                    match redb.ask(request, *time).await? {
                        Answer::Version(version) => Ok(version),
                        _ => Err(confused()),
                    }
                }
                Kind::Redis(redis, time) => {
                    redis.put(&key, value, time_to_live, expect, *time).await
                }
                Kind::Rehearsed(rehearsed) => rehearsed.put(key, value, expect).await,
            }
        };
        self.counted(StoreOperation::Put, work).await
    }

    /// Adds to a counter; the sum. A counter that is made by it ends after its time to live.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn add(
        &self,
        key: &str,
        by: i64,
        time_to_live: Option<Duration>,
    ) -> Result<i64, StoreError> {
        let work = async {
            let key = self.one(key)?;
            match &self.store.kind {
                Kind::Memory(memory) => memory.add(&key, by, time_to_live, Instant::now()),
                Kind::Redb(redb, time) => {
                    match redb.ask(Request::Add { key, by, time_to_live }, *time).await? {
                        Answer::Sum(sum) => Ok(sum),
                        _ => Err(confused()),
                    }
                }
                Kind::Redis(redis, time) => redis.add(&key, by, time_to_live, *time).await,
                Kind::Rehearsed(rehearsed) => rehearsed.add(key, by).await,
            }
        };
        self.counted(StoreOperation::Add, work).await
    }

    /// Deletes what is there under these keys.
    ///
    /// # Errors
    /// Why it was not done.
    pub async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        let work = async {
            let keys = self.all(keys)?;
            match &self.store.kind {
                Kind::Memory(memory) => {
                    memory.delete(&keys);
                    Ok(())
                }
                Kind::Redb(redb, time) => redb.ask(Request::Delete(keys), *time).await.map(|_| ()),
                Kind::Redis(redis, time) => redis.delete(&keys, *time).await,
                Kind::Rehearsed(rehearsed) => {
                    rehearsed.delete(keys);
                    Ok(())
                }
            }
        };
        self.counted(StoreOperation::Delete, work).await
    }

    fn one(&self, key: &str) -> Result<String, StoreError> {
        if key.len() > KEY_OCTETS {
            return Err(StoreError::TooLarge);
        }
        Ok(format!("{}{key}", self.prefix))
    }

    fn all(&self, keys: &[String]) -> Result<Vec<String>, StoreError> {
        if keys.len() > KEYS {
            return Err(StoreError::TooLarge);
        }
        keys.iter().map(|key| self.one(key)).collect()
    }

    async fn counted<T>(
        &self,
        operation: StoreOperation,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let start = Instant::now();
        let done = work.await;
        let result = match &done {
            Ok(_) => StoreResult::Ok,
            Err(StoreError::Conflict) => StoreResult::Conflict,
            Err(StoreError::NotACounter) => StoreResult::NotACounter,
            Err(StoreError::TooLarge) => StoreResult::TooLarge,
            Err(StoreError::Unavailable(reason)) => {
                tracing::debug!(store = self.store.name, reason, "unavailable");
                StoreResult::Unavailable
            }
        };
        self.store.metrics.operation(operation, result, start.elapsed());
        done
    }
}

/// A stored number and another one. Only what Redis takes for a number is one: no sign but a minus,
/// no zeros in front.
fn sum(stored: Option<&[u8]>, by: i64) -> Result<i64, StoreError> {
    let number = match stored {
        None => Some(0),
        Some(octets) => std::str::from_utf8(octets)
            .ok()
            .and_then(|text| text.parse().ok().filter(|number: &i64| number.to_string() == text)),
    };
    number.and_then(|number| number.checked_add(by)).ok_or(StoreError::NotACounter)
}

fn full() -> StoreError {
    StoreError::Unavailable("the store is full".to_owned())
}

/// An answer to something else; the thread answers each in its turn.
fn confused() -> StoreError {
    StoreError::Unavailable("the store has failed".to_owned())
}

/// Longer than an address, a message id or a digest with a word in front.
const KEY_OCTETS: usize = 1 << 10;

/// What one call may carry; larger things are no state of a filter.
const VALUE_OCTETS: usize = 64 << 10;

/// Keys of one call.
const KEYS: usize = 100;

#[cfg(test)]
mod tests;
