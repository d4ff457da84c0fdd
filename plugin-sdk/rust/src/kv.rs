//! Stores of the configuration, which outlive a transaction. Grant `kv: [names]`.
//!
//! A store is opened in the hook that uses it, not in `configure`: what a plugin holds there cannot be
//! copied. That costs one call into the gateway and no connection.

#[cfg(target_family = "wasm")]
pub use crate::bindings::smtp::filter::kv::Store;
pub use crate::bindings::smtp::filter::kv::{Entry, KvError};
#[cfg(not(target_family = "wasm"))]
pub use crate::fakes::Store;

impl Store {
    /// What is stored under one key.
    pub fn get_one(&self, key: &str) -> Result<Option<Entry>, KvError> {
        Ok(self.get(&[key.to_owned()])?.pop().flatten())
    }

    /// Puts a value for so many seconds, whatever was there.
    pub fn put_for(&self, key: &str, value: &[u8], ttl_seconds: u32) -> Result<(), KvError> {
        self.put(key, value, Some(ttl_seconds), None).map(drop)
    }
}
