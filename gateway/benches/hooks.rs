//! What a hook call costs: a fresh copy with its first call, a pooled one, and further calls of the
//! same copy.
//!
//! With the bundled plugin `access`, which `plugins/build.sh` builds: `cargo bench --bench hooks`.

#![expect(clippy::unwrap_used, reason = "nobody depends on it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::config::{self, Isolation, Limits};
use portcullis::message::{Budget, Envelope, Scores, SessionFacts};
use portcullis::metrics::{Metrics, Names};
use portcullis::plugins::{Engine, Services};
use portcullis::policy::{Hook, HookCall, Plugin, PluginCopy};
use portcullis_smtp::{Mailbox, ReversePath};

#[tokio::main]
async fn main() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins/access.wasm");
    if !file.exists() {
        return eprintln!("{} is not there: build the plugins first", file.display());
    }
    let cache = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let plugin = load(cache.path(), &file, Isolation::Transaction).await;
    println!("load, compile, configure and freeze {:>12.1?}", started.elapsed());
    let started = Instant::now();
    let pooled = load(cache.path(), &file, Isolation::Pooled).await;
    println!("the same from the cache             {:>12.1?}", started.elapsed());

    let call = call(Hook::Mail);
    for round in 1..=3 {
        println!("round {round}");
        let fresh = time(20_000, async || {
            plugin.copy().call(call.clone()).await.unwrap();
        });
        println!("  fresh copy and first call         {:>12.2?}", fresh.await);
        let reused = time(CALLS, async || {
            pooled.copy().call(call.clone()).await.unwrap();
        });
        println!("  pooled copy and its call          {:>12.2?}", reused.await);
        let mut copy = plugin.copy();
        let further = further(&mut *copy, &call).await;
        println!("  further call of the same copy     {further:>12.2?}");
    }
}

async fn further(copy: &mut dyn PluginCopy, call: &HookCall) -> Duration {
    copy.call(call.clone()).await.unwrap();
    let started = Instant::now();
    for _ in 0..CALLS {
        copy.call(call.clone()).await.unwrap();
    }
    started.elapsed() / CALLS
}

async fn time(count: u32, mut work: impl AsyncFnMut()) -> Duration {
    let started = Instant::now();
    for _ in 0..count {
        work().await;
    }
    started.elapsed() / count
}

async fn load(cache: &Path, file: &Path, isolation: Isolation) -> Arc<dyn Plugin> {
    let limits = Limits { plugin_copies: 1_000, ..Limits::default() };
    let budget = Budget::new(1 << 20, 1 << 20, 1 << 20, std::env::temp_dir());
    let metrics = Arc::new(Metrics::new(&Names::default()));
    let services = Services::nowhere(&metrics).unwrap();
    let engine = Engine::new(&limits, cache, budget, metrics, services).unwrap();
    let plugin = config::Plugin {
        settings: serde_json::json!({ "deny": { "senders": ["spam.example", ".spam.example"] } }),
        isolation,
        ..config::Plugin::new("bench", file.into())
    };
    engine.load(&plugin, Arc::new(BTreeSet::new())).await.unwrap()
}

fn call(hook: Hook) -> HookCall {
    let session = SessionFacts {
        helo: Some("client.example".into()),
        esmtp: true,
        ..SessionFacts::new("bench".into(), "mx", "192.0.2.1:4025".parse().unwrap())
    };
    let envelope = Envelope {
        id: "bench.1".into(),
        reverse_path: ReversePath::Mailbox(Mailbox::parse("sender@example.com").unwrap()),
        parameters: Vec::new(),
        recipients: Vec::new(),
        scores: Scores::default(),
    };
    HookCall {
        hook,
        session: Arc::new(session),
        credentials: None,
        envelope: Some(Arc::new(envelope)),
        recipient: None,
        next_index: 0,
        message: None,
        saved: None,
        notes: Arc::new(BTreeMap::new()),
        message_octets: 1 << 20,
        findings: Arc::default(),
        upstreams: None,
    }
}

const CALLS: u32 = 100_000;
