//! A store in the memory of the process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Entry, StoreError, full, sum};
use crate::metrics::StoreMetrics;

/// Entries by key. Bounded: what is to end soonest goes first when there is no more room.
#[derive(Debug)]
pub(super) struct Memory {
    entries: Mutex<Entries>,
    metrics: Arc<StoreMetrics>,
}

#[derive(Debug)]
struct Entries {
    by_key: HashMap<Arc<str>, Slot>,
    /// Those that have an end, the soonest first: nothing is ever looked for.
    ends: BTreeSet<(Instant, Arc<str>)>,
    octets: u64,
    bound: u64,
    /// Of the last write. One for all keys, so that what is deleted and written anew has another.
    version: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Slot {
    value: Box<[u8]>,
    version: u64,
    end: Option<Instant>,
}

impl Memory {
    pub(super) fn new(bound: u64, metrics: Arc<StoreMetrics>) -> Self {
        metrics.up(true);
        let entries = Entries {
            by_key: HashMap::new(),
            ends: BTreeSet::new(),
            octets: 0,
            bound,
            version: 0,
            evicted: 0,
        };
        Self { entries: Mutex::new(entries), metrics }
    }

    /// Sets another bound; what is beyond goes when something is written.
    pub(super) fn bound(&self, octets: u64) {
        self.lock().bound = octets;
    }

    pub(super) fn get(&self, keys: &[String], now: Instant) -> Vec<Option<Entry>> {
        let entries = self.lock();
        let get = |key: &String| entries.living(key, now).map(Slot::entry);
        keys.iter().map(get).collect()
    }

    pub(super) fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        time_to_live: Option<Duration>,
        expect: Option<u64>,
        now: Instant,
    ) -> Result<u64, StoreError> {
        self.write(now, |entries| {
            let stored = entries.living(key, now).map_or(0, |slot| slot.version);
            if expect.is_some_and(|expected| expected != stored) {
                return Err(StoreError::Conflict);
            }
            entries.set(key, value.into(), end(now, time_to_live), now)
        })
    }

    pub(super) fn add(
        &self,
        key: &str,
        by: i64,
        time_to_live: Option<Duration>,
        now: Instant,
    ) -> Result<i64, StoreError> {
        self.write(now, |entries| {
            let stored = entries.living(key, now);
            let sum = sum(stored.map(|slot| &*slot.value), by)?;
            let end = stored.map_or_else(|| end(now, time_to_live), |slot| slot.end);
            entries.set(key, sum.to_string().into_bytes().into(), end, now)?;
            Ok(sum)
        })
    }

    pub(super) fn delete(&self, keys: &[String]) {
        let mut entries = self.lock();
        for key in keys {
            entries.remove(key);
        }
        self.metrics.holds(entries.octets);
    }

    fn write<T>(
        &self,
        now: Instant,
        work: impl FnOnce(&mut Entries) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut entries = self.lock();
        entries.expire(now, EXPIRED_AT_ONCE);
        let done = work(&mut entries);
        self.metrics.holds(entries.octets);
        self.metrics.evicted(std::mem::take(&mut entries.evicted));
        done
    }

    // Nothing in here panics half-way.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn living(&self, key: &str, now: Instant) -> Option<&Slot> {
        self.by_key.get(key).filter(|slot| slot.end.is_none_or(|end| end > now))
    }

    fn set(
        &mut self,
        key: &str,
        value: Box<[u8]>,
        end: Option<Instant>,
        now: Instant,
    ) -> Result<u64, StoreError> {
        let before = self.remove(key);
        if !self.make_room(cost(key, &value), now) {
            if let Some(before) = before {
                self.insert(key, before);
            }
            return Err(full());
        }
        self.version += 1;
        let version = self.version;
        self.insert(key, Slot { value, version, end });
        Ok(version)
    }

    /// Expired entries go first, then those that are to end soonest. What has no end stays.
    fn make_room(&mut self, octets: u64, now: Instant) -> bool {
        while self.octets.saturating_add(octets) > self.bound {
            let Some((end, key)) = self.ends.first().cloned() else { return false };
            self.evicted += u64::from(end > now);
            self.remove(&key);
        }
        true
    }

    /// Forgets some of what has come to its end.
    fn expire(&mut self, now: Instant, most: usize) {
        for _ in 0..most {
            let Some((end, key)) = self.ends.first() else { return };
            if *end > now {
                return;
            }
            let key = Arc::clone(key);
            self.remove(&key);
        }
    }

    fn insert(&mut self, key: &str, slot: Slot) {
        let key: Arc<str> = key.into();
        self.octets += cost(&key, &slot.value);
        if let Some(end) = slot.end {
            self.ends.insert((end, Arc::clone(&key)));
        }
        self.by_key.insert(key, slot);
    }

    fn remove(&mut self, key: &str) -> Option<Slot> {
        let (key, slot) = self.by_key.remove_entry(key)?;
        self.octets -= cost(&key, &slot.value);
        if let Some(end) = slot.end {
            self.ends.remove(&(end, key));
        }
        Some(slot)
    }
}

impl Slot {
    fn entry(&self) -> Entry {
        Entry { value: self.value.to_vec(), version: self.version }
    }
}

/// When something ends; never, if that is beyond what the clock can tell.
fn end(now: Instant, time_to_live: Option<Duration>) -> Option<Instant> {
    time_to_live.and_then(|time| now.checked_add(time))
}

fn cost(key: &str, value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64 + OVERHEAD_OCTETS
}

/// What the tables take for an entry, as measured with short keys: two nodes, a key that is counted,
/// and the room that a table keeps.
const OVERHEAD_OCTETS: u64 = 160;

/// Each write takes away more than it brings, and none waits for a heap of old ones.
const EXPIRED_AT_ONCE: usize = 16;
