use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::memory::Memory;
use super::{Entry, Keys, StoreError, Stores};
use crate::config::{self, StoreKind};
use crate::metrics::{Metrics, Names};

const NOW: fn() -> Instant = Instant::now;
const MINUTE: Duration = Duration::from_mins(1);

fn memory(octets: u64) -> Memory {
    let metrics = Metrics::new(&Names::default());
    Memory::new(octets, metrics.store("test"))
}

fn store(kind: StoreKind, shared: bool) -> config::Store {
    config::Store { kind, shared, place: config::Place::default() }
}

fn stores(shared: bool) -> Stores {
    let memory = StoreKind::Memory { octets: 1 << 20 };
    let stores = BTreeMap::from([("state".to_owned(), store(memory, shared))]);
    Stores::open(&stores, None, &Metrics::new(&Names::default()))
}

fn keys(stores: &Stores, plugin: &str) -> Keys {
    Keys::of(stores.get("state").unwrap(), plugin)
}

fn value(memory: &Memory, key: &str, now: Instant) -> Option<String> {
    let found = memory.get(&[key.to_owned()], now).pop().unwrap();
    found.map(|entry| String::from_utf8(entry.value).unwrap())
}

#[test]
fn what_was_put_is_there_until_its_time_is_over() {
    let memory = memory(1 << 20);
    let now = NOW();
    memory.put("short", b"a".to_vec(), Some(MINUTE), None, now).unwrap();
    memory.put("long", b"b".to_vec(), None, None, now).unwrap();
    let later = now + MINUTE;
    assert_eq!(value(&memory, "short", later - Duration::from_millis(1)).as_deref(), Some("a"));
    assert_eq!(value(&memory, "short", later), None);
    assert_eq!(value(&memory, "long", later).as_deref(), Some("b"));
}

#[test]
fn a_put_can_expect_a_version() {
    let memory = memory(1 << 20);
    let now = NOW();
    let put = |value: &str, expect| memory.put("key", value.into(), None, expect, now);
    let first = put("a", Some(0)).unwrap();
    assert_eq!(put("b", Some(0)), Err(StoreError::Conflict));
    let second = put("b", Some(first)).unwrap();
    assert!(first != 0 && second != first);
    assert_eq!(put("c", Some(first)), Err(StoreError::Conflict));
    memory.delete(&["key".to_owned()]);
    let third = put("d", Some(0)).unwrap();
    assert!(third != first && third != second, "what is written anew has a new version");
}

#[test]
fn a_counter_has_its_time_to_live_from_when_it_was_made() {
    let memory = memory(1 << 20);
    let now = NOW();
    assert_eq!(memory.add("n", 2, Some(MINUTE), now), Ok(2));
    let soon = now + MINUTE / 2;
    assert_eq!(memory.add("n", 3, Some(MINUTE * 9), soon), Ok(5));
    assert_eq!(value(&memory, "n", soon).as_deref(), Some("5"));
    assert_eq!(memory.add("n", 1, None, now + MINUTE), Ok(1), "it has begun anew");
}

#[test]
fn only_numbers_are_added_to() {
    let memory = memory(1 << 20);
    let now = NOW();
    for text in ["", "x", " 1", "+1", "01", "-0", "1.5", "9223372036854775808"] {
        memory.put("n", text.into(), None, None, now).unwrap();
        assert_eq!(memory.add("n", 1, None, now), Err(StoreError::NotACounter), "{text:?}");
        assert_eq!(value(&memory, "n", now).as_deref(), Some(text));
    }
    memory.put("n", b"9223372036854775806".to_vec(), None, None, now).unwrap();
    assert_eq!(memory.add("n", 1, None, now), Ok(i64::MAX));
    assert_eq!(memory.add("n", 1, None, now), Err(StoreError::NotACounter));
    assert_eq!(memory.add("n", -1, None, now), Ok(i64::MAX - 1));
}

#[test]
fn in_a_full_store_what_ends_soonest_makes_room() {
    let memory = memory(4_000);
    let now = NOW();
    let put = |key: &str, time: u32| {
        memory.put(key, vec![b'x'; 840], Some(MINUTE * time), None, now).unwrap()
    };
    put("known", 1_000);
    put("first", 10);
    put("second", 11);
    for wave in 0..100 {
        put(&format!("flood-{wave}"), 12);
    }
    assert!(value(&memory, "known", now).is_some(), "who is known stays through a flood");
    assert!(value(&memory, "first", now).is_none());
    assert!(value(&memory, "flood-99", now).is_some());
}

#[test]
fn what_has_no_end_is_never_given_up() {
    let memory = memory(4_000);
    let now = NOW();
    let put = |key: &str| memory.put(key, vec![b'x'; 840], None, None, now);
    for key in ["a", "b", "c"] {
        put(key).unwrap();
    }
    assert!(matches!(put("d"), Err(StoreError::Unavailable(_))));
    assert!(matches!(
        memory.put("a", vec![0; 4_000], None, None, now),
        Err(StoreError::Unavailable(_))
    ));
    assert!(value(&memory, "a", now).is_some(), "what was there stays");
    memory.delete(&["a".to_owned()]);
    put("d").unwrap();
}

#[test]
fn expired_entries_go_as_others_come() {
    let memory = memory(1 << 20);
    let now = NOW();
    for key in 0..100 {
        memory.put(&key.to_string(), vec![0; 100], Some(MINUTE), None, now).unwrap();
    }
    for key in 0..10 {
        memory.put(&format!("new-{key}"), vec![0; 100], Some(MINUTE), None, now + MINUTE).unwrap();
    }
    assert_eq!(memory.get(&["0".to_owned()], now), [None]);
    assert_eq!(memory.get(&["99".to_owned()], now), [None]);
}

#[tokio::test]
async fn plugins_have_keys_of_their_own_unless_the_store_is_shared() {
    for shared in [false, true] {
        let stores = stores(shared);
        let (one, other) = (keys(&stores, "one"), keys(&stores, "other"));
        one.put("key", b"mine".to_vec(), None, None).await.unwrap();
        let seen = other.get(&["key".to_owned()]).await.unwrap().pop().unwrap();
        assert_eq!(seen.is_some(), shared);
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let stores = stores(false);
    let keys = keys(&stores, "plugin");
    let long = "k".repeat(1_025);
    assert_eq!(keys.add(&long, 1, None).await, Err(StoreError::TooLarge));
    assert!(keys.add(&long[1..], 1, None).await.is_ok());
    assert_eq!(keys.put("k", vec![0; 65_537], None, None).await, Err(StoreError::TooLarge));
    assert!(keys.put("k", vec![0; 65_536], None, None).await.is_ok());
    let many = vec!["k".to_owned(); 101];
    assert_eq!(keys.get(&many).await, Err(StoreError::TooLarge));
    assert_eq!(keys.delete(&many).await, Err(StoreError::TooLarge));
    assert_eq!(keys.get(&many[1..]).await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_new_configuration_keeps_what_a_store_holds() {
    let metrics = Metrics::new(&Names::default());
    let memory = |octets| {
        let memory = store(StoreKind::Memory { octets }, false);
        BTreeMap::from([("state".to_owned(), memory)])
    };
    let before = Stores::open(&memory(1 << 20), None, &metrics);
    let version = keys(&before, "p").put("key", b"v".to_vec(), None, None).await.unwrap();
    let after = Stores::open(&memory(1 << 21), Some(&before), &metrics);
    let found = keys(&after, "p").get(&["key".to_owned()]).await.unwrap();
    assert_eq!(found, [Some(Entry { value: b"v".to_vec(), version })]);
}

fn redb(file: &std::path::Path, octets: u64) -> BTreeMap<String, config::Store> {
    let timeout = Duration::from_secs(30);
    let redb = StoreKind::Redb { file: file.to_owned(), octets, timeout };
    BTreeMap::from([("state".to_owned(), store(redb, false))])
}

async fn text(keys: &Keys, key: &str) -> Option<String> {
    let found = keys.get(&[key.to_owned()]).await.unwrap().pop().unwrap();
    found.map(|entry| String::from_utf8(entry.value).unwrap())
}

#[tokio::test]
async fn a_file_keeps_what_it_is_given_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = redb(&folder.path().join("store.redb"), 1 << 20);
    let metrics = Metrics::new(&Names::default());
    let before = Stores::open(&config, None, &metrics);
    let state = keys(&before, "p");
    let version = state.put("key", b"v".to_vec(), Some(MINUTE), Some(0)).await.unwrap();
    assert_eq!(state.put("key", b"w".to_vec(), None, Some(0)).await, Err(StoreError::Conflict));
    assert_eq!(state.add("n", 5, None).await, Ok(5));
    before.close().await;
    drop((before, state));
    let after = Stores::open(&config, None, &metrics);
    let state = keys(&after, "p");
    assert_eq!(state.add("n", 6, None).await, Ok(11));
    let next = state.put("key", b"w".to_vec(), None, Some(version)).await.unwrap();
    assert!(next > version);
    assert_eq!(text(&state, "key").await.as_deref(), Some("w"));
    state.delete(&["key".to_owned()]).await.unwrap();
    assert_eq!(text(&state, "key").await, None);
    state.put("n", b"1x".to_vec(), None, None).await.unwrap();
    assert_eq!(state.add("n", 1, None).await, Err(StoreError::NotACounter));
    state.put("gone", b"v".to_vec(), Some(Duration::ZERO), None).await.unwrap();
    assert_eq!(text(&state, "gone").await, None);
}

#[tokio::test]
async fn a_full_file_gives_up_what_ends_soonest() {
    let folder = tempfile::tempdir().unwrap();
    let config = redb(&folder.path().join("store.redb"), 64 << 10);
    let stores = Stores::open(&config, None, &Metrics::new(&Names::default()));
    let state = keys(&stores, "p");
    let put = |key: String, time| {
        let state = state.clone();
        async move { state.put(&key, vec![0; 4 << 10], time, None).await }
    };
    put("known".into(), None).await.unwrap();
    for wave in 0..40 {
        put(format!("flood-{wave}"), Some(MINUTE)).await.unwrap();
    }
    assert!(state.get(&["known".into()]).await.unwrap()[0].is_some());
    assert!(state.get(&["flood-0".into()]).await.unwrap()[0].is_none());
    assert!(state.get(&["flood-39".into()]).await.unwrap()[0].is_some());
    for key in 0..14 {
        put(format!("kept-{key}"), None).await.unwrap();
    }
    assert!(matches!(put("one more".into(), None).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn a_damaged_file_is_unavailable_until_it_is_mended() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    std::fs::write(&file, vec![0xa5; 100_000]).unwrap();
    let stores = Stores::open(&redb(&file, 1 << 20), None, &Metrics::new(&Names::default()));
    let state = keys(&stores, "p");
    for _ in 0..3 {
        assert!(matches!(state.add("n", 1, None).await, Err(StoreError::Unavailable(_))));
    }
    std::fs::remove_file(&file).unwrap();
    let start = Instant::now();
    while state.add("n", 1, None).await.is_err() {
        assert!(start.elapsed() < MINUTE, "it never resumes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn many_at_once_are_counted_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let config = redb(&folder.path().join("store.redb"), 1 << 20);
    let stores = Stores::open(&config, None, &Metrics::new(&Names::default()));
    let state = keys(&stores, "p");
    let all = (0..500).map(|_| {
        let state = state.clone();
        tokio::spawn(async move { state.add("n", 1, None).await })
    });
    for one in all.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(state.add("n", 0, None).await, Ok(500));
}

#[tokio::test]
async fn a_redis_that_is_not_there_is_told_at_once() {
    let config = config::parse(
        std::path::Path::new("test.yaml"),
        "hostname: a.example\nlisteners: [{name: a, address: \"127.0.0.1:0\"}]\n\
         upstreams: {b: {address: \"127.0.0.1:9\"}}\ndefault_upstream: b\n\
         stores: {state: {kind: redis, url: \"redis://:s3cret@127.0.0.1:1/\", timeout: 10s}}",
    );
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let stores = Stores::open(&config.stores, None, &Metrics::new(&Names::default()));
    assert!(!format!("{config:?}{stores:?}").contains("s3cret"));
    let start = Instant::now();
    for _ in 0..100 {
        let refused = keys(&stores, "p").add("n", 1, None).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}
