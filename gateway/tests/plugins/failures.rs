//! What a plugin's failure is called, and that nobody else notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis::policy::{FailureReason, Hook, HookFailure, Opinion};

use crate::house::{House, call};
use crate::text::{self, Verdict};

async fn failure(code: &str) -> HookFailure {
    let house = House::new();
    let wasm = text::module(&["connect"], code);
    let plugin =
        house.load_with(&wasm, |plugin| plugin.time_limit = Duration::from_millis(300)).await;
    let mut copy = plugin.copy();
    let failure = copy.call(call(Hook::Connect)).await.unwrap_err();
    assert!(!failure.detail.contains(char::is_control), "{failure}");
    assert!(copy.call(call(Hook::Connect)).await.is_err(), "a copy that failed is not used again");
    failure
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_endless_loop_runs_out_of_time_and_others_are_served_meanwhile() {
    // One thread for both: the loop has to give way.
    let house = House::new();
    let endless = text::module(
        &["connect"],
        "(func $connect (param i32) (result i32) (loop (br 0)) (i32.const 0))",
    );
    let endless =
        house.load_with(&endless, |plugin| plugin.time_limit = Duration::from_millis(500)).await;
    let quick =
        text::module(&["connect"], "(func $connect (param i32) (result i32) (i32.const 0))");
    let quick = house.load(&quick).await;
    let over = Arc::new(AtomicBool::new(false));
    let serving = tokio::spawn({
        let over = over.clone();
        async move {
            let mut served = 0;
            while !over.load(Ordering::Relaxed) {
                let answer = quick.copy().call(call(Hook::Connect)).await.unwrap();
                assert_eq!(answer.opinion, Opinion::Next);
                served += 1;
                tokio::task::yield_now().await;
            }
            served
        }
    });
    let mut copy = endless.copy();
    let looping = tokio::spawn(async move { copy.call(call(Hook::Connect)).await });
    let failure = looping.await.unwrap().unwrap_err();
    over.store(true, Ordering::Relaxed);
    let served = serving.await.unwrap();
    assert_eq!(failure.reason, FailureReason::Timeout);
    assert!(served > 10, "{served}");
}

#[tokio::test]
async fn a_loop_when_it_is_made_or_configured_ends_too() {
    let house = House::new();
    let start = text::module(
        &["connect"],
        "(func $start (if (i32.load (i32.const 512)) (then (loop (br 0)))))
        (start $start)
        (func $configure (param i32 i32) (result i32)
            (i32.store (i32.const 512) (i32.const 1))
            (i32.const 0))
        (func $connect (param i32) (result i32) (i32.const 0))",
    );
    // The start function has run when memory is frozen, and does not run again.
    let plugin = house.load(&start).await;
    plugin.copy().call(call(Hook::Connect)).await.unwrap();
}

#[tokio::test]
async fn traps_name_what_happened_and_where() {
    let unreachable = failure("(func $connect (param i32) (result i32) (call $deep)) (func $deep (result i32) unreachable)").await;
    assert_eq!(unreachable.reason, FailureReason::Trap);
    assert!(unreachable.detail.contains("unreachable"), "{unreachable}");
    assert!(unreachable.detail.contains("deep < connect"), "{unreachable}");
    let outside =
        failure("(func $connect (param i32) (result i32) (i32.load (i32.const -1)))").await;
    assert_eq!(outside.reason, FailureReason::Trap);
    let address = failure("(func $connect (param i32) (result i32) (i32.const -4))").await;
    assert_eq!(address.reason, FailureReason::Trap);
    let case = failure(
        "(func $connect (param i32) (result i32) (i32.const 64)) (data (i32.const 64) \"\\77\")",
    )
    .await;
    assert_eq!(case.reason, FailureReason::Trap);
}

#[tokio::test]
async fn endless_recursion_is_a_trap() {
    let deep = failure("(func $connect (param i32) (result i32) (i32.add (i32.const 1) (call $connect (local.get 0))))").await;
    assert_eq!(deep.reason, FailureReason::Trap);
    assert!(deep.detail.contains("stack"), "{deep}");
}

#[tokio::test]
async fn eating_memory_is_told_from_a_trap() {
    let eater = failure(
        "(func $connect (param i32) (result i32)
            (loop
                (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
            unreachable)",
    )
    .await;
    assert_eq!(eater.reason, FailureReason::Memory, "{eater}");
}

#[tokio::test]
async fn answers_that_the_contract_forbids_are_failures() {
    for (verdict, code, text) in [
        (Verdict::Reject, 200, "welcome"),
        (Verdict::Reject, 450, "later"),
        (Verdict::Defer, 550, "no"),
        (Verdict::Disconnect, 250, "bye"),
        (Verdict::Reject, 550, "no\r\n250 yes"),
        (Verdict::Reject, 550, "gr\u{fc}n"),
    ] {
        let code = format!(
            "{} (func $connect (param i32) (result i32) (i32.const 1024))",
            text::reply(1024, verdict, code, text)
        );
        assert_eq!(failure(&code).await.reason, FailureReason::BadAnswer, "{text}");
    }
}

#[tokio::test]
async fn text_that_is_no_text_is_a_trap() {
    let broken = "(func $connect (param i32) (result i32) (i32.const 64))
        (data (i32.const 64) \"\\05\\00\\00\\00\\60\\00\\00\\00\\02\\00\\00\\00\")
        (data (i32.const 96) \"\\ff\\fe\")";
    assert_eq!(failure(broken).await.reason, FailureReason::Trap);
}

#[tokio::test]
async fn when_all_copies_are_in_use_the_next_one_waits_for_its_time() {
    let house = House::with_copies(1);
    let wasm = text::module(&["mail"], "(func $mail (param i32 i32) (result i32) (i32.const 0))");
    let plugin =
        house.load_with(&wasm, |plugin| plugin.time_limit = Duration::from_millis(100)).await;
    let mut first = plugin.copy();
    first.call(call(Hook::Mail)).await.unwrap();
    let failure = plugin.copy().call(call(Hook::Mail)).await.unwrap_err();
    assert_eq!(failure.reason, FailureReason::Busy);
    let mut waiting = plugin.copy();
    let waiting = tokio::spawn(async move { waiting.call(call(Hook::Mail)).await });
    tokio::task::yield_now().await;
    drop(first);
    waiting.await.unwrap().unwrap();
}
