//! Plugins that were built from source by `plugins/build.sh`. Where they are not there, nothing is
//! tested here; `make test` builds them first.

use std::time::Duration;

use portcullis::config::Grant;
use portcullis::plugins::LoadFailure;
use portcullis::policy::{FailureReason, Hook, HookFailure, Opinion};
use serde_json::json;

use crate::house::{House, built, call, message};

/// The two forms of the plugin that misbehaves.
fn misbehaving() -> Vec<Vec<u8>> {
    ["test-misbehave", "test-component"].into_iter().filter_map(built).collect()
}

async fn failure(house: &House, wasm: &[u8], mode: &str) -> HookFailure {
    let plugin = house
        .load_with(wasm, |plugin| {
            plugin.settings = json!({ "mode": mode });
            plugin.time_limit = Duration::from_millis(500);
        })
        .await;
    plugin.copy().call(call(Hook::Mail)).await.unwrap_err()
}

#[tokio::test]
async fn each_misbehaviour_is_the_failure_that_it_is() {
    let house = House::new();
    for wasm in misbehaving() {
        for (mode, reason) in [
            ("abort", FailureReason::Trap),
            ("crlf", FailureReason::BadAnswer),
            ("eat-memory", FailureReason::Memory),
            ("loop", FailureReason::Timeout),
            ("non-ascii", FailureReason::BadAnswer),
            ("recurse", FailureReason::Trap),
            ("trap", FailureReason::Trap),
            ("wrong-class", FailureReason::BadAnswer),
        ] {
            let failure = failure(&house, &wasm, mode).await;
            assert_eq!(failure.reason, reason, "{mode}: {failure}");
        }
    }
}

#[tokio::test]
async fn settings_that_are_refused_are_told_with_the_reason() {
    let house = House::new();
    for wasm in misbehaving() {
        let loaded =
            house.try_load(&wasm, |plugin| plugin.settings = json!({ "mode": "no" })).await;
        let Err(LoadFailure::Configure(text)) = loaded else { panic!("loaded") };
        assert!(text.contains("mode"), "{text}");
        let loaded = house
            .try_load(&wasm, |plugin| plugin.settings = json!({ "mode": "trap-configure" }))
            .await;
        assert!(matches!(loaded, Err(LoadFailure::ConfigureFailed(_))));
    }
}

#[tokio::test]
async fn edits_without_grants_are_denied_and_flooding_the_log_is_no_failure() {
    let house = House::new();
    for wasm in misbehaving() {
        for mode in ["edit", "flood-log"] {
            let settings = json!({ "mode": mode, "when": { "hook": "message" } });
            let plugin = house.load_with(&wasm, |plugin| plugin.settings = settings).await;
            let answer = plugin.copy().call(call(Hook::Message)).await.unwrap();
            assert_eq!(answer.opinion, Opinion::Next, "{mode}");
            assert!(answer.edits.is_empty());
        }
    }
}

#[tokio::test]
async fn no_copy_sees_what_another_one_saw() {
    let house = House::new();
    for wasm in misbehaving() {
        let settings = json!({ "mode": "remember" });
        let plugin = house.load_with(&wasm, |plugin| plugin.settings = settings).await;
        for _ in 0..1_000 {
            let answer = plugin.copy().call(call(Hook::Mail)).await.unwrap();
            assert_eq!(answer.opinion, Opinion::Next);
        }
    }
}

#[tokio::test]
async fn a_body_is_rewritten_with_the_grant() {
    let house = House::new();
    for wasm in misbehaving() {
        let settings =
            json!({ "mode": "rewrite-body", "when": { "hook": "message" }, "body": "a\nb" });
        let plugin = house
            .load_with(&wasm, |plugin| {
                plugin.settings = settings;
                plugin.grants = vec![Grant::RewriteBody];
            })
            .await;
        let answer = plugin.copy().call(call(Hook::Message)).await.unwrap();
        let mut edited = message();
        edited.apply(&answer.edits);
        let body = edited.body.segments().expect("in memory").collect::<Vec<_>>().concat();
        assert_eq!(body, b"a\r\nb");
    }
}
