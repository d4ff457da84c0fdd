//! A store that is read and never written to: what is written is kept beside it, and goes with it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Entry, Kind, StoreError, sum};

/// What is written in a rehearsal, over a store.
#[derive(Debug)]
pub(super) struct Rehearsed {
    below: Kind,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// None of what was deleted.
    by_key: HashMap<String, Option<Entry>>,
    writes: u64,
}

impl Rehearsed {
    pub(super) fn over(below: Kind) -> Self {
        Self { below, written: Mutex::default() }
    }

    pub(super) async fn get(&self, keys: Vec<String>) -> Result<Vec<Option<Entry>>, StoreError> {
        let mut entries = self.below(keys.clone()).await?;
        let written = self.written();
        for (key, entry) in keys.iter().zip(&mut entries) {
            if let Some(written) = written.by_key.get(key) {
                entry.clone_from(written);
            }
        }
        Ok(entries)
    }

    pub(super) async fn put(
        &self,
        key: String,
        value: Vec<u8>,
        expect: Option<u64>,
    ) -> Result<u64, StoreError> {
        let stored = self.one(&key).await?.map_or(0, |entry| entry.version);
        if expect.is_some_and(|expected| expected != stored) {
            return Err(StoreError::Conflict);
        }
        Ok(self.written().put(key, value))
    }

    pub(super) async fn add(&self, key: String, by: i64) -> Result<i64, StoreError> {
        let stored = self.one(&key).await?;
        let sum = sum(stored.as_ref().map(|entry| &*entry.value), by)?;
        self.written().put(key, sum.to_string().into_bytes());
        Ok(sum)
    }

    pub(super) fn delete(&self, keys: Vec<String>) {
        self.written().by_key.extend(keys.into_iter().map(|key| (key, None)));
    }

    async fn one(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.get(vec![key.to_owned()]).await?.pop().flatten())
    }

    async fn below(&self, keys: Vec<String>) -> Result<Vec<Option<Entry>>, StoreError> {
        match &self.below {
            // To read it, it would be made.
            Kind::Redb(redb, _) if !redb.file.exists() => Ok(vec![None; keys.len()]),
            below => Box::pin(below.get(keys)).await,
        }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // Each step leaves entries that can be worked with.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Written {
    /// The new version, which no store has come to.
    fn put(&mut self, key: String, value: Vec<u8>) -> u64 {
        self.writes += 1;
        let version = FIRST_VERSION + self.writes;
        self.by_key.insert(key, Some(Entry { value, version }));
        version
    }
}

/// Further than any store counts.
const FIRST_VERSION: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::super::memory::Memory;
    use super::*;
    use crate::metrics::{Metrics, Names};

    #[tokio::test]
    async fn what_is_written_is_true_here_alone() {
        let metrics = Metrics::new(&Names::default()).store("x");
        let memory = Arc::new(Memory::new(1 << 20, metrics));
        memory.put("a", b"1".to_vec(), None, None, Instant::now()).expect("room");
        let rehearsed = Rehearsed::over(Kind::Memory(memory.clone()));
        let keys = || ["a", "b", "c"].map(str::to_owned).to_vec();
        let value = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.value.clone());
        let first = rehearsed.one("a").await.expect("it is there").expect("it is there");
        let conflict = rehearsed.put("a".into(), b"x".to_vec(), Some(0)).await;
        assert_eq!(conflict, Err(StoreError::Conflict));
        let put = rehearsed.put("a".into(), b"2".to_vec(), Some(first.version)).await;
        assert_eq!(rehearsed.one("a").await.expect("one").map(|it| it.version), put.ok());
        assert_eq!(rehearsed.add("a".into(), 3).await, Ok(5));
        assert_eq!(rehearsed.add("b".into(), -1).await, Ok(-1));
        let got = rehearsed.get(keys()).await.expect("entries");
        assert_eq!(
            got.iter().map(value).collect::<Vec<_>>(),
            [Some(b"5".to_vec()), Some(b"-1".to_vec()), None]
        );
        rehearsed.delete(keys());
        assert_eq!(rehearsed.get(keys()).await, Ok(vec![None, None, None]));
        let below = memory.get(&keys(), Instant::now());
        assert_eq!(below.iter().map(value).collect::<Vec<_>>(), [Some(b"1".to_vec()), None, None]);
    }
}
