//! The `kv` interface.

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::plugins::bindings::kv::{self, Entry, KvError};
use crate::plugins::state::State;

/// An open store.
#[derive(Debug)]
pub struct Store;

type Outcome<T> = Result<std::result::Result<T, KvError>>;

impl kv::Host for State {}

impl kv::HostStore for State {
    fn open(&mut self, _name: String) -> Outcome<Resource<Store>> {
        Ok(Err(KvError::Denied))
    }

    async fn get(&mut self, _: Resource<Store>, _keys: Vec<String>) -> Outcome<Vec<Option<Entry>>> {
        Ok(Err(KvError::Denied))
    }

    async fn put(
        &mut self,
        _: Resource<Store>,
        _key: String,
        _value: Vec<u8>,
        _ttl_seconds: Option<u32>,
        _expect: Option<u64>,
    ) -> Outcome<u64> {
        Ok(Err(KvError::Denied))
    }

    async fn add(
        &mut self,
        _: Resource<Store>,
        _key: String,
        _by: i64,
        _ttl_seconds: Option<u32>,
    ) -> Outcome<i64> {
        Ok(Err(KvError::Denied))
    }

    async fn delete(&mut self, _: Resource<Store>, _keys: Vec<String>) -> Outcome<()> {
        Ok(Err(KvError::Denied))
    }

    fn drop(&mut self, store: Resource<Store>) -> Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}
