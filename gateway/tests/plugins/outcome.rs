//! The hook `outcome`: told behind everybody's back.

use std::sync::Arc;
use std::time::Duration;

use portcullis::config;
use portcullis::message::SessionFacts;
use portcullis::policy::{Chain, Event, Hook, Link, Plugin, Stage};

use crate::house::{House, envelope};
use crate::text;

/// Counts events by their stage. An event takes 104 octets; its stage lies at 36.
fn counting() -> Vec<u8> {
    let imports = r#"(import "smtp:filter/metrics@0.1.0" "add"
        (func $add (param i32 i32 i64 i32 i32 i32 i32 i32)))"#;
    let code = format!(
        "(func $outcome (param $at i32) (param $left i32)
            (loop
                (if (i32.eqz (local.get $left)) (then return))
                (call $add (i32.const 1024) (i32.const 5) (i64.const 1) (i32.const 1)
                    (i32.const 1032) (i32.const 5)
                    (i32.load (i32.add (local.get $at) (i32.const 36)))
                    (i32.load (i32.add (local.get $at) (i32.const 40))))
                (local.set $at (i32.add (local.get $at) (i32.const 104)))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br 0)))
        {} {}",
        text::data(1024, b"heard"),
        text::data(1032, b"stage"),
    );
    text::module_importing(&["outcome"], imports, &code)
}

async fn chain(house: &House, wasm: &[u8], change: impl FnOnce(&mut config::Plugin)) -> Chain {
    let plugin = house.load_with(wasm, change).await;
    assert!(plugin.answers(Hook::Outcome));
    house.metrics.announce_plugin("test", &["outcome"]);
    Chain::new(vec![Link { plugin, metrics: house.metrics.plugin("test") }], false)
}

fn event(stage: Stage) -> Event {
    let session = SessionFacts::new("s1".into(), "mx", "192.0.2.1:4025".parse().unwrap());
    Event::new(stage, &session, Some(&envelope()))
}

/// The value of a line of the metrics.
#[track_caller]
fn value(house: &House, line: &str) -> u64 {
    let text = house.metrics.render();
    let found = text.lines().find_map(|one| one.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
}

#[tokio::test]
async fn events_come_with_what_they_are_about() {
    let house = House::new();
    let chain = chain(&house, &counting(), |_| {}).await;
    for stage in [Stage::Connect, Stage::Mail, Stage::Rcpt, Stage::Rcpt, Stage::Disconnect] {
        chain.tell(|| event(stage));
    }
    chain.told().await;
    let heard = |stage| {
        value(
            &house,
            &format!("portcullis_plugin_test_heard_total{{plugin=\"test\",stage=\"{stage}\"}}"),
        )
    };
    assert_eq!((heard("connect"), heard("rcpt"), heard("disconnect")), (1, 2, 1));
    assert_eq!(
        value(
            &house,
            "portcullis_plugin_calls_total{hook=\"outcome\",plugin=\"test\",result=\"next\"}"
        ),
        1,
        "one batch"
    );
}

#[tokio::test]
async fn too_many_push_out_the_oldest_and_are_counted() {
    let house = House::new();
    let chain = chain(&house, &counting(), |_| {}).await;
    chain.tell(|| event(Stage::Connect));
    for _ in 0..10_499 {
        chain.tell(|| event(Stage::Rcpt));
    }
    chain.told().await;
    let fate = |fate| {
        value(
            &house,
            &format!("portcullis_plugin_outcomes_total{{plugin=\"test\",result=\"{fate}\"}}"),
        )
    };
    assert_eq!((fate("delivered"), fate("dropped"), fate("failed")), (10_000, 500, 0));
    let text = house.metrics.render();
    let is_of_it = |line: &&str| line.contains("plugin=\"test\"");
    let mut of_it = text.lines().filter(is_of_it);
    assert!(!of_it.any(|line| line.contains("stage=\"connect\"")), "the oldest go");
    let calls = "portcullis_plugin_calls_total{hook=\"outcome\",plugin=\"test\",result=\"next\"}";
    assert_eq!(value(&house, calls), 10, "at most 1,000 a call");
}

#[tokio::test]
async fn a_failure_is_counted_and_the_next_batch_is_told_to_a_fresh_copy() {
    let house = House::new();
    // It notices if it was called before.
    let wasm = text::module(
        &["outcome"],
        "(global $before (mut i32) (i32.const 0))
        (func $outcome (param i32 i32)
            (if (i32.gt_u (local.get 1) (i32.const 1)) (then (loop (br 0))))
            (if (global.get $before) (then unreachable))
            (global.set $before (i32.const 1)))",
    );
    let limit = |plugin: &mut config::Plugin| plugin.time_limit = Duration::from_millis(100);
    let chain = chain(&house, &wasm, limit).await;
    for count in [1, 2, 1, 1] {
        for _ in 0..count {
            chain.tell(|| event(Stage::Mail));
        }
        chain.told().await;
    }
    let fate = |fate| {
        value(
            &house,
            &format!("portcullis_plugin_outcomes_total{{plugin=\"test\",result=\"{fate}\"}}"),
        )
    };
    assert_eq!((fate("delivered"), fate("failed")), (3, 2));
    let failures =
        "portcullis_plugin_failures_total{hook=\"outcome\",plugin=\"test\",reason=\"timeout\"}";
    assert_eq!(value(&house, failures), 1);
}

#[tokio::test]
async fn what_was_told_before_the_plugin_went_is_still_heard() {
    let house = House::new();
    let chain = chain(&house, &counting(), |_| {}).await;
    chain.tell(|| event(Stage::Mail));
    drop(chain);
    let delivered = "portcullis_plugin_outcomes_total{plugin=\"test\",result=\"delivered\"}";
    while value(&house, delivered) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn where_nobody_listens_no_event_is_made() {
    let house = House::new();
    let wasm = text::module(&["mail"], "(func $mail (param i32 i32) (result i32) (i32.const 0))");
    let plugin: Arc<dyn Plugin> = house.load(&wasm).await;
    let metrics = house.metrics.plugin("test");
    Chain::new(vec![Link { plugin, metrics }], false).tell(|| unreachable!("nobody listens"));
}
