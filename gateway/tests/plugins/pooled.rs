//! Copies that serve several transactions: what they share, and when they do not come back.

use portcullis::config::Isolation;
use portcullis::policy::{FailureReason, Hook, Opinion};

use crate::house::{House, call};
use crate::text::{self, Verdict};

/// At `mail` it refuses if this copy was asked before, after it has done something.
fn asked_before(work: &str) -> Vec<u8> {
    asked_before_importing("", work)
}

fn asked_before_importing(imports: &str, work: &str) -> Vec<u8> {
    let code = format!(
        "(global $asked (mut i32) (i32.const 0))
        (func $mail (param i32 i32) (result i32)
            {work}
            (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
            (select (i32.const 0) (i32.const 1024) (i32.eq (global.get $asked) (i32.const 1))))
        {}",
        text::reply(1024, Verdict::Reject, 550, "asked before")
    );
    text::module_importing(&["mail"], imports, &code)
}

/// How many of so many transactions met a copy that had seen others.
async fn meetings(house: &House, wasm: &[u8], transactions: usize) -> usize {
    let plugin = house.load_with(wasm, |plugin| plugin.isolation = Isolation::Pooled).await;
    let mut met = 0;
    for _ in 0..transactions {
        let answer = plugin.copy().call(call(Hook::Mail)).await;
        met += usize::from(answer.is_ok_and(|answer| answer.opinion != Opinion::Next));
    }
    met
}

#[tokio::test]
async fn a_pooled_copy_serves_one_transaction_after_another_and_no_two_at_once() {
    let house = House::new();
    let wasm = asked_before("");
    let plugin = house.load_with(&wasm, |plugin| plugin.isolation = Isolation::Pooled).await;
    let (mut one, mut two) = (plugin.copy(), plugin.copy());
    for copy in [&mut one, &mut two] {
        assert_eq!(copy.call(call(Hook::Mail)).await.unwrap().opinion, Opinion::Next);
    }
    drop((one, two));
    for _ in 0..3 {
        let answer = plugin.copy().call(call(Hook::Mail)).await.unwrap();
        assert!(matches!(answer.opinion, Opinion::Reject(_)), "{answer:?}");
    }
}

#[tokio::test]
async fn a_copy_ends_after_a_thousand_transactions() {
    assert_eq!(meetings(&House::new(), &asked_before(""), 2_001).await, 2_001 - 3);
}

#[tokio::test]
async fn a_copy_that_failed_is_not_met_again() {
    let failing = "(if (global.get $asked) (then unreachable))";
    assert_eq!(meetings(&House::new(), &asked_before(failing), 9).await, 0);
}

#[tokio::test]
async fn a_copy_that_keeps_a_handle_or_has_grown_large_is_not_met_again() {
    // 9 MiB of 16.
    let grown = asked_before("(drop (memory.grow (i32.const 144)))");
    assert_eq!(meetings(&House::new(), &grown, 5).await, 0);
    let import = r#"(import "smtp:filter/types@0.1.0" "[method]message.read-all"
        (func $read (param i32) (result i32)))"#;
    let code = format!(
        "(global $asked (mut i32) (i32.const 0))
        (func $message (param i32 i32 i32) (result i32)
            (drop (call $read (local.get 2)))
            (global.set $asked (i32.add (global.get $asked) (i32.const 1)))
            (select (i32.const 0) (i32.const 1024) (i32.eq (global.get $asked) (i32.const 1))))
        {}",
        text::reply(1024, Verdict::Reject, 550, "asked before")
    );
    let house = House::new();
    let wasm = text::module_importing(&["message"], import, &code);
    let plugin = house.load_with(&wasm, |plugin| plugin.isolation = Isolation::Pooled).await;
    for _ in 0..5 {
        let answer = plugin.copy().call(call(Hook::Message)).await.unwrap();
        assert_eq!(answer.opinion, Opinion::Next);
    }
}

#[tokio::test]
async fn a_copy_that_waits_gives_way_to_one_that_is_needed() {
    let house = House::with_copies(1);
    assert_eq!(meetings(&house, &asked_before(""), 2).await, 1);
    let idle =
        house.load_with(&asked_before(""), |plugin| plugin.isolation = Isolation::Pooled).await;
    idle.copy().call(call(Hook::Mail)).await.unwrap();
    let other = house.load(&asked_before("")).await;
    let mut held = other.copy();
    held.call(call(Hook::Mail)).await.unwrap();
    // What is in use does not.
    let short = |plugin: &mut portcullis::config::Plugin| {
        plugin.isolation = Isolation::Pooled;
        plugin.time_limit = std::time::Duration::from_millis(50);
    };
    let third = house.load_with(&asked_before(""), short).await;
    let failure = third.copy().call(call(Hook::Mail)).await.unwrap_err();
    assert_eq!(failure.reason, FailureReason::Busy);
}

#[tokio::test]
async fn a_copy_that_comes_back_gives_way_to_one_that_is_waited_for() {
    let house = House::with_copies(1);
    let pooled = |plugin: &mut portcullis::config::Plugin| plugin.isolation = Isolation::Pooled;
    let one = house.load_with(&asked_before(""), pooled).await;
    let two = house.load_with(&asked_before(""), pooled).await;
    let (mut held, mut wanted) = (one.copy(), two.copy());
    held.call(call(Hook::Mail)).await.unwrap();
    // The second one waits by the time the first one's transaction ends.
    let (answer, ()) = tokio::join!(wanted.call(call(Hook::Mail)), async { drop(held) });
    assert_eq!(answer.unwrap().opinion, Opinion::Next);
}

#[tokio::test]
async fn each_transaction_has_its_own_share_of_the_log() {
    let house = House::new();
    let imports =
        r#"(import "smtp:filter/log@0.1.0" "write" (func $write (param i32 i32 i32 i32 i32)))"#;
    let work =
        r#"(call $write (i32.const 1) (i32.const 2048) (i32.const 1) (i32.const 0) (i32.const 0))"#;
    let wasm = asked_before_importing(imports, work);
    assert_eq!(meetings(&house, &wasm, 500).await, 499);
}
