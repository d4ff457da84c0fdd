//! What a plugin answers, and what it sees of what it answered before.

use std::sync::Arc;

use portcullis::policy::{Hook, Opinion};

use crate::house::{House, call};
use crate::text::{self, Verdict};

#[tokio::test]
async fn core_modules_and_components_answer_alike() {
    let house = House::new();
    let reject = text::reply(1024, Verdict::Reject, 550, "not here\nnever");
    let code = format!("{reject} (func $connect (param i32) (result i32) (i32.const 1024))");
    for wasm in [text::module(&["connect"], &code), text::component(&["connect"], &code)] {
        let plugin = house.load(&wasm).await;
        assert!(plugin.answers(Hook::Connect));
        assert!(!plugin.answers(Hook::Helo));
        let answer = plugin.copy().call(call(Hook::Connect)).await.unwrap();
        let Opinion::Reject(reply) = answer.opinion else { panic!("{answer:?}") };
        assert_eq!((reply.code(), &*reply.text()), (550, "not here\nnever"));
    }
}

#[tokio::test]
async fn every_hook_can_be_asked() {
    let house = House::new();
    let hooks = Hook::ALL.map(Hook::label);
    let code = "
        (func $connect (param i32) (result i32) (i32.const 0))
        (func $helo (param i32 i32 i32) (result i32) (i32.const 0))
        (func $auth (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
            (i32.const 0))
        (func $mail (param i32 i32) (result i32) (i32.const 0))
        (func $rcpt (param i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 0))
        (func $data (param i32 i32) (result i32) (i32.const 0))
        (func $headers (param i32 i32 i32) (result i32) (i32.const 0))
        (func $message (param i32 i32 i32) (result i32) (i32.const 0))
        (func $outcome (param i32 i32))";
    let plugin = house.load(&text::module(&hooks, code)).await;
    let mut copy = plugin.copy();
    for hook in Hook::ALL {
        assert!(plugin.answers(hook));
        if hook == Hook::Outcome {
            continue;
        }
        assert_eq!(copy.call(call(hook)).await.unwrap().opinion, Opinion::Next, "{hook}");
    }
}

/// Answers `next` (0) the first time, and 450 from the second time on.
fn counting() -> Vec<u8> {
    let defer = text::reply(1024, Verdict::Defer, 450, "again");
    let code = format!(
        "{defer}
        (global $count (mut i32) (i32.const 0))
        (func $mail (param i32 i32) (result i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (i32.store (i32.const 2048) (global.get $count))
            (if (result i32) (i32.gt_u (i32.load (i32.const 2048)) (i32.const 1))
                (then (i32.const 1024))
                (else (i32.const 0))))"
    );
    text::module(&["mail"], &code)
}

#[tokio::test]
async fn a_copy_remembers_and_no_other_copy_does() {
    let house = House::new();
    let plugin = house.load(&counting()).await;
    for _ in 0..1_000 {
        let mut copy = plugin.copy();
        assert_eq!(copy.call(call(Hook::Mail)).await.unwrap().opinion, Opinion::Next);
    }
    let mut copy = plugin.copy();
    copy.call(call(Hook::Mail)).await.unwrap();
    let second = copy.call(call(Hook::Mail)).await.unwrap();
    assert!(matches!(second.opinion, Opinion::Defer(_)), "{second:?}");
}

#[tokio::test]
async fn nothing_that_a_copy_wrote_is_ever_in_another_one() {
    // Fails if a page that should be empty is not; then fills all there is, and more.
    let pages = "
            (if (i32.ne (memory.size) (i32.const 8)) (then unreachable))
            (drop (memory.grow (i32.const 16)))
            (local.set $at (i32.const 131072))
            (loop
                (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then unreachable))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if 0 (i32.lt_u (local.get $at) (i32.const 1572864))))
            (memory.fill (i32.const 131072) (i32.const 255) (i32.const 1441792))";
    let table = "
            (if (i32.eqz (ref.is_null (table.get (i32.const 7)))) (then unreachable))
            (table.set (i32.const 7) (ref.func $mail))";
    let house = House::with_copies(1);
    // With and without being frozen: what can write to a table cannot.
    for checks in [pages.to_owned(), format!("{pages} {table}")] {
        let code = format!(
            "(table 64 funcref)
            (elem declare func $mail)
            (func $mail (param i32 i32) (result i32) (local $at i32) {checks} (i32.const 0))"
        );
        let plugin = house.load(&text::module(&["mail"], &code)).await;
        for _ in 0..300 {
            plugin.copy().call(call(Hook::Mail)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_configure_left_in_memory_is_in_every_copy_after_a_restart_too() {
    let code = format!(
        "{}
        (func $configure (param i32 i32) (result i32)
            ;; The settings' second octet, where the reply's text begins.
            (i32.store8 (i32.const 1048) (i32.load8_u (i32.add (local.get 0) (i32.const 1))))
            (i32.const 0))
        (func $connect (param i32) (result i32) (i32.const 1024))",
        text::reply(1024, Verdict::Reject, 550, "?")
    );
    let wasm = text::module(&["connect"], &code);
    let mut house = House::new();
    for _ in 0..2 {
        let plugin =
            house.load_with(&wasm, |plugin| plugin.settings = serde_json::json!("X")).await;
        let answer = plugin.copy().call(call(Hook::Connect)).await.unwrap();
        let Opinion::Reject(reply) = answer.opinion else { panic!("{answer:?}") };
        assert_eq!(reply.text(), "X");
        house = house.restarted();
    }
}

#[tokio::test]
async fn state_is_saved_for_the_session_and_loaded_again() {
    let imports = r#"
        (import "smtp:filter/types@0.1.0" "[method]session.load" (func $load (param i32 i32)))
        (import "smtp:filter/types@0.1.0" "[method]session.save"
            (func $save (param i32 i32 i32 i32)))"#;
    // Saves one octet more than it loaded.
    let code = "
        (func $connect (param i32) (result i32)
            (call $load (local.get 0) (i32.const 512))
            (call $save (local.get 0) (i32.const 1024)
                (i32.add (i32.load (i32.const 520)) (i32.const 1)) (i32.const 528))
            (i32.const 0))";
    let house = House::new();
    let plugin = house.load(&text::module_importing(&["connect"], imports, code)).await;
    let first = plugin.copy().call(call(Hook::Connect)).await.unwrap();
    assert_eq!(first.saved, Some(vec![0]));
    let mut again = call(Hook::Connect);
    again.saved = Some(Arc::new(vec![1, 2, 3]));
    let second = plugin.copy().call(again).await.unwrap();
    assert_eq!(second.saved, Some(vec![0; 4]));
}
