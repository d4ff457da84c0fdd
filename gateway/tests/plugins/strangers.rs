//! Files that a stranger gave: whatever is in them, they are loaded or refused, and it is said why.

use std::fs::File;
use std::time::{Duration, Instant};

use portcullis::plugins::LoadFailure;
use portcullis::policy::{Hook, Opinion};

use crate::house::{House, call};
use crate::text::{self, Verdict};

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound as u64) as usize
    }
}

#[track_caller]
fn assert_clear(failure: &LoadFailure) {
    let text = failure.to_string();
    assert!(!text.contains("panic") && !text.contains(char::is_control), "{text}");
    assert!(text.len() > 15, "{text}");
}

#[tokio::test]
async fn a_thousand_random_files_are_refused() {
    let house = House::new();
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for n in 0..1_000 {
        let mut octets: Vec<u8> = (0..dice.below(2_000)).map(|_| dice.roll() as u8).collect();
        let header: &[u8] = match n % 3 {
            0 => b"",
            1 => b"\0asm\x01\0\0\0",
            _ => b"\0asm\x0d\0\x01\0",
        };
        octets.splice(..0, header.iter().copied());
        let failure = house.try_load(&octets, |_| {}).await.expect_err("random octets");
        assert_clear(&failure);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_damaged_plugins_are_refused_or_do_no_harm() {
    let house = House::new();
    let code = format!(
        "(func $mail (param i32 i32) (result i32) (i32.const 1024)) {}",
        text::reply(1024, Verdict::Reject, 550, "no")
    );
    let whole = [text::module(&["mail"], &code), text::component(&["mail"], &code)];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut loaded = 0;
    for n in 0..1_000 {
        let mut octets = whole[n % 2].clone();
        match n % 5 {
            0 => octets.truncate(8 + dice.below(octets.len() - 8)),
            _ => {
                for _ in 0..=dice.below(4) {
                    let at = 8 + dice.below(octets.len() - 8);
                    octets[at] = dice.roll() as u8;
                }
            }
        }
        let limit = |plugin: &mut portcullis::config::Plugin| {
            plugin.time_limit = Duration::from_millis(200);
        };
        match house.try_load(&octets, limit).await {
            // An answer or a failure, but an end.
            Ok(plugin) => {
                loaded += 1;
                if plugin.answers(Hook::Mail) {
                    let _ = plugin.copy().call(call(Hook::Mail)).await;
                }
            }
            Err(failure) => assert_clear(&failure),
        }
    }
    assert!((1..1_000).contains(&loaded), "{loaded}");
}

/// Adds a section that says nothing, to the end.
fn padded(mut wasm: Vec<u8>, octets: usize) -> Vec<u8> {
    wasm.push(0);
    let mut left = octets;
    loop {
        let low = (left & 0x7f) as u8;
        left >>= 7;
        wasm.push(if left == 0 { low } else { low | 0x80 });
        if left == 0 {
            break;
        }
    }
    wasm.push(3);
    wasm.extend(b"pad");
    wasm.resize(wasm.len() + octets - 4, 0);
    wasm
}

#[tokio::test]
async fn a_component_of_a_hundred_megabytes_is_loaded_and_a_larger_one_refused_at_once() {
    let house = House::new();
    let code = "(func $mail (param i32 i32) (result i32) (i32.const 0))";
    let large = padded(text::component(&["mail"], code), 100 << 20);
    let started = Instant::now();
    let plugin = house.load(&large).await;
    let answer = plugin.copy().call(call(Hook::Mail)).await.unwrap();
    assert_eq!(answer.opinion, Opinion::Next);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let path = house.directory.path().join("huge.wasm");
    File::create(&path).unwrap().set_len(129 << 20).unwrap();
    let failure = house.try_load(b"", |plugin| plugin.file = path).await.unwrap_err();
    assert!(matches!(failure, LoadFailure::TooLarge { .. }), "{failure}");
}

#[tokio::test]
async fn who_wants_more_memory_tables_or_instances_than_there_may_be_is_told() {
    let house = House::new();
    let hook = "(func $mail (param i32 i32) (result i32) (i32.const 0))";
    // 100 MB of initial memory, as data of that size need; the limit is 16 MiB.
    let memory = text::component(&["mail"], hook);
    let large = |plugin: &mut portcullis::config::Plugin| plugin.memory_limit = 1 << 16;
    let failure = house.try_load(&memory, large).await.unwrap_err();
    assert!(failure.to_string().contains("memory"), "{failure}");
    let table = text::module(&["mail"], &format!("(table 1000000 funcref) {hook}"));
    let failure = house.try_load(&table, |_| {}).await.unwrap_err();
    assert!(failure.to_string().contains("table"), "{failure}");
    let many = "(core instance (instantiate $m))".repeat(1_000);
    let many = wat::parse_str(format!("(component (core module $m) {many})")).unwrap();
    let failure = house.try_load(&many, |_| {}).await.unwrap_err();
    assert!(failure.to_string().contains("instances"), "{failure}");
}

#[tokio::test]
async fn a_table_grows_to_its_bound_and_no_further() {
    let house = House::new();
    let code = format!(
        "(table $t 1 funcref)
        (func $mail (param i32 i32) (result i32)
            (loop (br_if 0
                (i32.ne (i32.const -1) (table.grow $t (ref.null func) (i32.const 10000)))))
            (select (i32.const 0) (i32.const 1024) (i32.le_u (table.size $t) (i32.const 100000))))
        {}",
        text::reply(1024, Verdict::Reject, 550, "it grew")
    );
    let plugin = house.load(&text::module(&["mail"], &code)).await;
    let answer = plugin.copy().call(call(Hook::Mail)).await.unwrap();
    assert_eq!(answer.opinion, Opinion::Next);
}
