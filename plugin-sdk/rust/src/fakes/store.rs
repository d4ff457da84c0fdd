//! Stores in memory, for this thread and so for this test.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::kv::{Entry, KvError};

thread_local! {
    static STORES: RefCell<BTreeMap<String, Contents>> = const { RefCell::new(BTreeMap::new()) };
}

/// One store. Nothing in it grows old.
#[derive(Clone, Debug, Default)]
struct Contents {
    entries: BTreeMap<String, Entry>,
    unavailable: bool,
}

/// Grants a store that is empty, and opens it.
pub fn grant_store(name: &str) -> Store {
    STORES.with_borrow_mut(|stores| stores.insert(name.to_owned(), Contents::default()));
    Store(name.to_owned())
}

/// Makes a granted store answer `Unavailable`, or answer again.
pub fn set_unavailable(name: &str, unavailable: bool) {
    STORES.with_borrow_mut(|stores| {
        stores.entry(name.to_owned()).or_default().unavailable = unavailable;
    });
}

/// A store of the configuration.
#[derive(Clone, Debug)]
pub struct Store(String);

impl Store {
    /// Opens a store that the test has granted.
    pub fn open(name: &str) -> Result<Self, KvError> {
        STORES.with_borrow(|stores| {
            stores.contains_key(name).then(|| Self(name.to_owned())).ok_or(KvError::Denied)
        })
    }

    /// In the order of the keys; none where there is nothing.
    pub fn get(&self, keys: &[String]) -> Result<Vec<Option<Entry>>, KvError> {
        keys.iter().try_for_each(|key| fits(key, &[]))?;
        count_fits(keys)?;
        self.with(|contents| {
            Ok(keys.iter().map(|key| contents.entries.get(key).cloned()).collect())
        })
    }

    /// The new version. With `expect`, only if the stored version is that one (0: only if absent).
    pub fn put(
        &self,
        key: &str,
        value: &[u8],
        _ttl_seconds: Option<u32>,
        expect: Option<u64>,
    ) -> Result<u64, KvError> {
        fits(key, value)?;
        self.with(|contents| {
            let version = contents.entries.get(key).map_or(0, |entry| entry.version);
            if expect.is_some_and(|expect| expect != version) {
                return Err(KvError::Conflict);
            }
            let entry = Entry { value: value.to_vec(), version: version + 1 };
            contents.entries.insert(key.to_owned(), entry);
            Ok(version + 1)
        })
    }

    /// Atomic; the sum.
    pub fn add(&self, key: &str, by: i64, _ttl_seconds: Option<u32>) -> Result<i64, KvError> {
        fits(key, &[])?;
        self.with(|contents| {
            let entry = contents.entries.get(key);
            let (text, version) = match entry {
                Some(entry) => (String::from_utf8_lossy(&entry.value).into_owned(), entry.version),
                None => ("0".to_owned(), 0),
            };
            let known: i64 = text.parse().map_err(|_| KvError::NotACounter)?;
            let sum = known.checked_add(by).ok_or(KvError::NotACounter)?;
            let entry = Entry { value: sum.to_string().into_bytes(), version: version + 1 };
            contents.entries.insert(key.to_owned(), entry);
            Ok(sum)
        })
    }

    /// What is absent is no error.
    pub fn delete(&self, keys: &[String]) -> Result<(), KvError> {
        count_fits(keys)?;
        self.with(|contents| {
            contents.entries.retain(|key, _| !keys.contains(key));
            Ok(())
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut Contents) -> Result<T, KvError>,
    ) -> Result<T, KvError> {
        STORES.with_borrow_mut(|stores| match stores.get_mut(&self.0) {
            Some(contents) if contents.unavailable => {
                Err(KvError::Unavailable("the test says so".to_owned()))
            }
            Some(contents) => work(contents),
            None => Err(KvError::Denied),
        })
    }
}

fn fits(key: &str, value: &[u8]) -> Result<(), KvError> {
    let fits = key.len() <= MAX_KEY && value.len() <= MAX_VALUE;
    if fits { Ok(()) } else { Err(KvError::TooLarge) }
}

fn count_fits(keys: &[String]) -> Result<(), KvError> {
    if keys.len() <= MAX_KEYS { Ok(()) } else { Err(KvError::TooLarge) }
}

const MAX_KEY: usize = 1024;
const MAX_VALUE: usize = 64 * 1024;
const MAX_KEYS: usize = 100;
