//! The `kv` interface.
//!
//! A store is opened by each copy, or at each call: a handle that `configure` kept would be frozen
//! with the plugin and name nothing in its copies. So nothing can be opened there.

use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::plugins::bindings::kv::{self, Entry, KvError};
use crate::plugins::state::State;
use crate::store::{self, Keys, StoreError};

/// An open store.
#[derive(Debug)]
pub struct Store(Keys);

type Outcome<T> = Result<std::result::Result<T, KvError>>;

impl kv::Host for State {}

impl kv::HostStore for State {
    fn open(&mut self, name: String) -> Outcome<Resource<Store>> {
        // Before the grant is looked at: what is frozen does not depend on grants.
        if self.call.is_none() {
            let text = "a store is not open while the plugin is configured";
            return Ok(Err(KvError::Unavailable(text.to_owned())));
        }
        let Some(store) = self.facts.stores.get(&name) else { return Ok(Err(KvError::Denied)) };
        let keys = Keys::of(store.clone(), &self.facts.name);
        Ok(Ok(self.table.push(Store(keys))?))
    }

    async fn get(&mut self, of: Resource<Store>, keys: Vec<String>) -> Outcome<Vec<Option<Entry>>> {
        let found = self.table.get(&of)?.0.get(&keys).await;
        self.asked(|| {
            let there = |found: &Vec<Option<_>>| found.iter().flatten().count();
            let found = found.as_ref().map(there);
            let found = found.map_or_else(ToString::to_string, |count| format!("{count} found"));
            format!("kv get {}: {found}", keys.join(", "))
        });
        let entries = found.map(|found| found.into_iter().map(|one| one.map(entry)).collect());
        Ok(self.told_by_store(entries))
    }

    async fn put(
        &mut self,
        of: Resource<Store>,
        key: String,
        value: Vec<u8>,
        ttl_seconds: Option<u32>,
        expect: Option<u64>,
    ) -> Outcome<u64> {
        let (keys, octets) = (&self.table.get(&of)?.0, value.len());
        let put = keys.put(&key, value, time(ttl_seconds), expect).await;
        self.asked(|| format!("kv put {key}, {octets} octets: {}", shown(&put)));
        Ok(self.told_by_store(put))
    }

    async fn add(
        &mut self,
        of: Resource<Store>,
        key: String,
        by: i64,
        ttl_seconds: Option<u32>,
    ) -> Outcome<i64> {
        let sum = self.table.get(&of)?.0.add(&key, by, time(ttl_seconds)).await;
        self.asked(|| format!("kv add {by} to {key}: {}", shown(&sum)));
        Ok(self.told_by_store(sum))
    }

    async fn delete(&mut self, of: Resource<Store>, keys: Vec<String>) -> Outcome<()> {
        let deleted = self.table.get(&of)?.0.delete(&keys).await;
        self.asked(|| format!("kv delete {}", keys.join(", ")));
        Ok(self.told_by_store(deleted))
    }

    fn drop(&mut self, of: Resource<Store>) -> Result<()> {
        self.table.delete(of)?;
        Ok(())
    }
}

/// For people.
fn shown<T: ToString>(done: &std::result::Result<T, StoreError>) -> String {
    done.as_ref().map_or_else(ToString::to_string, ToString::to_string)
}

fn time(seconds: Option<u32>) -> Option<Duration> {
    seconds.map(|seconds| Duration::from_secs(seconds.into()))
}

fn entry(store::Entry { value, version }: store::Entry) -> Entry {
    Entry { value, version }
}

impl State {
    /// What the plugin hears. If it fails then, it was not its fault.
    fn told_by_store<T>(
        &mut self,
        done: std::result::Result<T, StoreError>,
    ) -> std::result::Result<T, KvError> {
        if let (Err(StoreError::Unavailable(_)), Some(call)) = (&done, &mut self.call) {
            call.store_unavailable = true;
        }
        done.map_err(error)
    }
}

fn error(error: StoreError) -> KvError {
    match error {
        StoreError::Conflict => KvError::Conflict,
        StoreError::NotACounter => KvError::NotACounter,
        StoreError::TooLarge => KvError::TooLarge,
        StoreError::Unavailable(reason) => KvError::Unavailable(reason),
    }
}
