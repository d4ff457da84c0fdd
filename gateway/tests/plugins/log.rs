//! What plugins say in the log, and what is said about them.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use portcullis::config::Grant;
use portcullis::policy::{Hook, Opinion};
use portcullis_smtp::sasl::Secret;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::house::{House, built, call, credentials};
use crate::text;

/// Keeps what is logged on this thread.
#[derive(Clone, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// The lines that hold `text`.
    fn with(&self, text: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("portcullis")
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.lines.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        write!(self.0, " {field}={value}").unwrap();
    }
}

#[tokio::test]
async fn a_flood_is_cut_and_counted_and_control_characters_are_escaped() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let imports =
        r#"(import "smtp:filter/log@0.1.0" "write" (func $write (param i32 i32 i32 i32 i32)))"#;
    let code = format!(
        "(func $connect (param i32) (result i32)
            (local $left i32)
            (local.set $left (i32.const 150))
            (loop
                (call $write (i32.const 3) (i32.const 1024) (i32.const 7) (i32.const 1040) (i32.const 1))
                (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (i32.const 0))
        {} {}",
        text::data(1024, b"a\r\nb\x1b[m"),
        // One field: its name is the text's first letter, its value the first three.
        text::data(1040, &[0, 4, 0, 0, 1, 0, 0, 0, 0, 4, 0, 0, 3, 0, 0, 0]),
    );
    let house = House::new();
    let plugin = house.load(&text::module_importing(&["connect"], imports, &code)).await;
    for _ in 0..2 {
        plugin.copy().call(call(Hook::Connect)).await.unwrap();
    }
    let lines = log.with("message=a\\r\\nb\\u{1b}[m");
    assert_eq!(lines.len(), 200, "100 for each call");
    for part in ["WARN", "plugin=test", "hook=connect", "session=s1", "fields=a=a\\r\\n"] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    assert_eq!(log.with("dropped=50").len(), 2);
}

#[tokio::test]
async fn plugins_that_are_built_can_be_frozen_and_name_where_they_panic() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let house = House::new();
    for wasm in ["test-misbehave", "test-component"].into_iter().filter_map(built) {
        let plugin =
            house.load_with(&wasm, |plugin| plugin.settings = json!({ "mode": "trap" })).await;
        assert_eq!(log.with("cannot be frozen"), [""; 0]);
        let failure = plugin.copy().call(call(Hook::Mail)).await.unwrap_err();
        assert!(failure.detail.contains("misbehave"), "{failure}");
        assert!(!log.with("told to panic").is_empty(), "{:?}", log.lines.lock().unwrap());
    }
}

#[tokio::test]
async fn a_secret_is_in_no_line_and_no_reply_whatever_a_plugin_says() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let house = House::new();
    for wasm in ["test-misbehave", "test-component"].into_iter().filter_map(built) {
        let settings = json!({ "mode": "leak-secret", "when": { "hook": "auth" } });
        let plugin = house
            .load_with(&wasm, |plugin| {
                plugin.settings = settings;
                plugin.grants = vec![Grant::AuthSecret];
            })
            .await;
        for secret in ["open sesame", "e", "\u{1b}[31m\u{202e}", "a\\\"b"] {
            let mut call = call(Hook::Auth);
            let mut credentials = credentials();
            credentials.secret = Secret::Password(secret.to_owned());
            call.credentials = Some(Arc::new(credentials));
            match plugin.copy().call(call).await.map(|answer| answer.opinion) {
                Ok(Opinion::Reject(reply)) => {
                    assert_eq!(reply.to_string(), "535 5.7.8 not authenticated");
                }
                other => assert!(!format!("{other:?}").contains("[31m"), "{other:?}"),
            }
        }
        assert!(log.with("in a field").is_empty() && log.with("sesame").is_empty());
        assert!(
            log.with("\\u{1b}").is_empty() && log.with("it holds the client's secret").len() >= 8
        );
    }
}

#[tokio::test]
async fn what_a_plugin_prints_is_logged_as_lines() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    // Preview 1, as wasi-libc has it; the adapter makes WASI 0.2 of it.
    let imports = r#"(import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))"#;
    let code = format!(
        "(func $connect (param i32) (result i32)
            (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 512)))
            (drop (call $fd_write (i32.const 2) (i32.const 1024) (i32.const 1) (i32.const 512)))
            (i32.const 0))
        {} {}",
        text::data(1024, &[16, 4, 0, 0, 9, 0, 0, 0]),
        text::data(1040, b"one\ntwo\x07\n"),
    );
    let house = House::new();
    let plugin = house.load(&text::module_importing(&["connect"], imports, &code)).await;
    let answer = plugin.copy().call(call(Hook::Connect)).await.unwrap();
    assert_eq!(answer.opinion, Opinion::Next);
    assert_eq!(log.with("message=one").len(), 2);
    assert_eq!(log.with("message=two\\u{7}").len(), 2);
}

#[tokio::test]
async fn a_plugin_that_keeps_handles_when_it_is_configured_works_all_the_same() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    // The adapter keeps the handle of standard output that it got for the first line.
    let imports = r#"(import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))"#;
    let code = format!(
        "(func $print
            (drop (call $fd_write (i32.const 1) (i32.const 1024) (i32.const 1) (i32.const 512))))
        (func $configure (param i32 i32) (result i32) (call $print) (i32.const 0))
        (func $connect (param i32) (result i32) (call $print) (i32.const 0))
        {} {}",
        text::data(1024, &[16, 4, 0, 0, 6, 0, 0, 0]),
        text::data(1040, b"hello\n"),
    );
    let house = House::new();
    let plugin = house.load(&text::module_importing(&["connect"], imports, &code)).await;
    assert_eq!(log.with("cannot be frozen").len(), 1);
    for _ in 0..2 {
        plugin.copy().call(call(Hook::Connect)).await.unwrap();
    }
    assert!(log.with("message=hello").len() >= 4);
}
