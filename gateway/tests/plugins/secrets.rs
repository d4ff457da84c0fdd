//! Promise 4: no mail sees another's data. A plugin looks for what it hid in its memory before.

use portcullis::config::Isolation;
use portcullis::policy::{Hook, Opinion};

use crate::house::{House, call};
use crate::text::{self, Verdict};

/// It takes another megabyte of memory, looks for anything in there and in a global and a table,
/// refuses if there is something, and hides a secret in each of them. At `mail` it looks and hides in
/// one place of each 64 KiB, at `data` it looks at everything and hides on every page.
fn spy() -> Vec<u8> {
    let code = format!(
        "(global $secret (mut i64) (i64.const 0))
        (table $hidden 2 funcref)
        (elem declare func $spy)
        (func $mail (param i32 i32) (result i32)
            (call $spy (i32.const 65536) (i32.const 65536)))
        (func $data (param i32 i32) (result i32) (call $spy (i32.const 8) (i32.const 4096)))
        (func $spy (param $step i32) (param $hiding i32) (result i32)
            (local $at i32) (local $end i32) (local $found i64)
            (drop (memory.grow (i32.const 16)))
            (local.set $end (i32.shl (memory.size) (i32.const 16)))
            (local.set $found (global.get $secret))
            (if (i32.eqz (ref.is_null (table.get $hidden (i32.const 1))))
                (then (local.set $found (i64.const 1))))
            ;; Behind the settings.
            (local.set $at (i32.const 131072))
            (loop
                (local.set $found (i64.or (local.get $found) (i64.load (local.get $at))))
                (local.set $at (i32.add (local.get $at) (local.get $step)))
                (br_if 0 (i32.lt_u (local.get $at) (local.get $end))))
            (global.set $secret (i64.const 0x7365637265742121))
            (table.set $hidden (i32.const 1) (ref.func $spy))
            (local.set $at (i32.const 131072))
            (loop
                (i64.store (local.get $at) (global.get $secret))
                (local.set $at (i32.add (local.get $at) (local.get $hiding)))
                (br_if 0 (i32.lt_u (local.get $at) (local.get $end))))
            (select (i32.const 0) (i32.const 1024) (i64.eqz (local.get $found))))
        {}",
        text::reply(1024, Verdict::Reject, 550, "found a secret")
    );
    text::module(&["mail", "data"], &code)
}

async fn found(isolation: Isolation, transactions: u32) -> u32 {
    let house = House::with_copies(2);
    let plugin = house.load_with(&spy(), |plugin| plugin.isolation = isolation).await;
    let mut found = 0;
    for n in 0..transactions {
        let hook = if n % 200 == 0 { Hook::Data } else { Hook::Mail };
        let answer = plugin.copy().call(call(hook)).await.unwrap();
        found += u32::from(answer.opinion != Opinion::Next);
    }
    found
}

#[tokio::test]
async fn in_a_hundred_thousand_transactions_no_secret_of_another_is_found() {
    assert_eq!(found(Isolation::Transaction, 100_000).await, 0);
}

#[tokio::test]
async fn nor_from_one_call_to_the_next_with_a_copy_for_each() {
    assert_eq!(found(Isolation::Call, 1_000).await, 0);
}

/// The same spy finds something where something is to be found.
#[tokio::test]
async fn a_pooled_plugin_finds_the_secrets_of_those_before() {
    // Each time it takes a megabyte, and after eight of them it is thrown away.
    assert!(found(Isolation::Pooled, 100).await >= 80);
}
