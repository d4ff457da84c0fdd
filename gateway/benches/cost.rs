//! What plugins cost: a hook that does nothing, a look at one header, a look at each octet of 1 MiB; in each
//! language, as a fresh copy, as a further call of the same copy, and pooled; beside a policy that is
//! not wasm.
//!
//! `cargo bench -p portcullis --bench cost`, once plugins/build.sh and tests/bench/plugins/build.sh have built
//! target/plugins/cost-*.wasm. A language that is not there is left out.

#![expect(clippy::unwrap_used, reason = "nobody depends on it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis::config::{self, Isolation, Limits, OnFailure};
use portcullis::message::{
    Budget, Content, Envelope, HeaderSection, Message, Recipient, Scores, SessionFacts,
};
use portcullis::metrics::{Metrics, Names};
use portcullis::plugins::{Engine, Services};
use portcullis::policy::{
    Answer, BoxFuture, Guard, Hook, HookCall, HookFailure, Opinion, Plugin, PluginCopy,
};
use portcullis_smtp::{Mailbox, ReversePath};

#[tokio::main]
async fn main() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/plugins");
    let cache = tempfile::tempdir().unwrap();
    let engine = engine(cache.path());
    println!("{:<22}{:>12}{:>12}{:>14}", "", "no-op", "header", "1 MiB body");
    let native: Arc<dyn Plugin> = Arc::new(Native::new());
    row("native", &native, &native).await;
    for language in ["rust", "c", "go", "js", "python"] {
        let file = plugins.join(format!("cost-{language}.wasm"));
        if !file.exists() {
            println!("{language:<22}  not built");
            continue;
        }
        for isolation in [Isolation::Transaction, Isolation::Pooled] {
            let plain = load(&engine, &file, isolation, false).await;
            let scanning = load(&engine, &file, isolation, true).await;
            match isolation {
                Isolation::Pooled => row(&format!("{language}, pooled"), &plain, &scanning).await,
                Isolation::Call | Isolation::Transaction => {
                    row(&format!("{language}, fresh copy"), &plain, &scanning).await;
                    further(&format!("{language}, same copy"), &plain, &scanning).await;
                }
            }
        }
    }
}

/// A line of the table, with a copy for each call.
async fn row(name: &str, plain: &Arc<dyn Plugin>, scanning: &Arc<dyn Plugin>) {
    let mut times = Vec::new();
    for (hook, plugin) in columns(plain, scanning) {
        let call = call(hook);
        let once = async || {
            plugin.copy().call(call.clone()).await.unwrap();
        };
        times.push(time(once).await);
    }
    print(name, &times);
}

/// A line of the table, with all calls to one copy.
async fn further(name: &str, plain: &Arc<dyn Plugin>, scanning: &Arc<dyn Plugin>) {
    let mut times = Vec::new();
    for (hook, plugin) in columns(plain, scanning) {
        let (call, mut copy) = (call(hook), plugin.copy());
        copy.call(call.clone()).await.unwrap();
        let again = async || {
            copy.call(call.clone()).await.unwrap();
        };
        times.push(time(again).await);
    }
    print(name, &times);
}

fn columns<'a>(
    plain: &'a Arc<dyn Plugin>,
    scanning: &'a Arc<dyn Plugin>,
) -> [(Hook, &'a Arc<dyn Plugin>); 3] {
    [(Hook::Rcpt, plain), (Hook::Headers, plain), (Hook::Message, scanning)]
}

fn print(name: &str, times: &[Duration]) {
    let times: Vec<_> = times.iter().map(|time| format!("{time:.2?}")).collect();
    println!("{name:<22}{:>12}{:>12}{:>14}", times[0], times[1], times[2]);
}

/// The median of some rounds, each of so many calls that looking at the clock does not count.
async fn time(mut work: impl AsyncFnMut()) -> Duration {
    let mut count = 1;
    while rounds(&mut work, count).await < ROUND {
        count *= 2;
    }
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(rounds(&mut work, count).await / count);
    }
    times.sort();
    times[ROUNDS / 2]
}

async fn rounds(work: &mut impl AsyncFnMut(), count: u32) -> Duration {
    let started = Instant::now();
    for _ in 0..count {
        work().await;
    }
    started.elapsed()
}

fn engine(cache: &Path) -> Engine {
    let limits = Limits { plugin_copies: 1_000, ..Limits::default() };
    let budget = Budget::new(1 << 30, 1 << 30, 1 << 30, std::env::temp_dir());
    let metrics = Arc::new(Metrics::new(&Names::default()));
    let services = Services::nowhere(&metrics).unwrap();
    Engine::new(&limits, cache, budget, metrics, services).unwrap()
}

async fn load(engine: &Engine, file: &Path, isolation: Isolation, scan: bool) -> Arc<dyn Plugin> {
    let plugin = config::Plugin {
        settings: serde_json::json!({ "scan": scan }),
        on_failure: OnFailure::Reject,
        time_limit: Duration::from_secs(10),
        memory_limit: 256 << 20,
        isolation,
        ..config::Plugin::new("cost", file.into())
    };
    engine.load(&plugin, Arc::new(BTreeSet::new())).await.unwrap()
}

/// A policy that is a part of the program: what the seam itself costs.
#[derive(Debug)]
struct Native(Guard);

impl Native {
    fn new() -> Self {
        let metrics = Metrics::new(&Names::default()).plugin("native");
        Self(Guard::new(&config::Plugin::new("native", "".into()), metrics))
    }
}

impl Plugin for Native {
    fn name(&self) -> &str {
        "native"
    }

    fn answers(&self, _: Hook) -> bool {
        true
    }

    fn guard(&self) -> &Guard {
        &self.0
    }

    fn fresh_each_call(&self) -> bool {
        false
    }

    fn copy(&self) -> Box<dyn PluginCopy> {
        Box::new(NativeCopy)
    }
}

struct NativeCopy;

impl PluginCopy for NativeCopy {
    fn call<'a>(&'a mut self, _: HookCall) -> BoxFuture<'a, Result<Answer, HookFailure>> {
        Box::pin(async {
            Ok(Answer { opinion: Opinion::Next, edits: Vec::new(), saved: None, notes: Vec::new() })
        })
    }
}

fn call(hook: Hook) -> HookCall {
    let session = SessionFacts {
        helo: Some("client.example".into()),
        esmtp: true,
        ..SessionFacts::new("bench".into(), "mx", "192.0.2.1:4025".parse().unwrap())
    };
    let recipient = Recipient {
        index: 0,
        address: Mailbox::parse("recipient@example.com").unwrap(),
        parameters: Vec::new(),
        route: None,
    };
    let envelope = Envelope {
        id: "bench.1".into(),
        reverse_path: ReversePath::Mailbox(Mailbox::parse("sender@example.com").unwrap()),
        parameters: Vec::new(),
        recipients: vec![recipient.clone()],
        scores: Scores::default(),
    };
    HookCall {
        hook,
        session: Arc::new(session),
        credentials: None,
        envelope: Some(Arc::new(envelope)),
        recipient: (hook == Hook::Rcpt).then_some(recipient),
        next_index: 1,
        message: (hook >= Hook::Headers).then(|| message(hook)),
        saved: None,
        notes: Arc::new(BTreeMap::new()),
        message_octets: 1 << 30,
        findings: Arc::default(),
        upstreams: None,
    }
}

/// Thirty header fields, and lines of text up to 1 MiB.
fn message(hook: Hook) -> Message {
    let mut header = b"Subject: an offer\r\n".to_vec();
    for n in 0..29 {
        header.extend(format!("X-Field-{n}: some value of no great length\r\n").bytes());
    }
    header.extend(b"\r\n");
    let line = b"The quick brown fox jumps over the lazy dog, and over it again.\r\n";
    let body = if hook == Hook::Message { line.repeat((1 << 20) / line.len()) } else { Vec::new() };
    Message::new(Arc::new(HeaderSection::parse(header)), Content::from_bytes(body))
}

const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(100);
