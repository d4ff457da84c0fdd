//! An engine, plugins in it, and calls of their hooks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use portcullis::config::{self, Limits};
use portcullis::message::{
    Budget, Content, Envelope, HeaderSection, Message, Recipient, Scores, SessionFacts,
};
use portcullis::metrics::{Metrics, Names};
use portcullis::plugins::{Engine, LoadFailure, Services};
use portcullis::policy::{Hook, HookCall, Plugin};
use portcullis_smtp::sasl::{Credentials, Mechanism, Secret};
use portcullis_smtp::{Mailbox, ReversePath};
use tempfile::TempDir;

pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) directory: TempDir,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with_copies(8)
    }

    pub(crate) fn with_copies(copies: u32) -> Self {
        // Where nobody at all listens, what is logged first is taken for nothing that anybody wants,
        // also by a test in another thread that begins to listen at that moment.
        drop(tracing::subscriber::set_global_default(tracing_subscriber::registry()));
        let directory = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new(&Names::default()));
        let engine = engine(directory.path(), copies, metrics.clone());
        Self { engine, metrics, directory }
    }

    /// Another engine on the same cache, as after a restart.
    pub(crate) fn restarted(self) -> Self {
        let engine = engine(self.directory.path(), 8, self.metrics.clone());
        Self { engine, ..self }
    }

    pub(crate) async fn load(&self, wasm: &[u8]) -> Arc<dyn Plugin> {
        self.load_with(wasm, |_| {}).await
    }

    pub(crate) async fn load_with(
        &self,
        wasm: &[u8],
        change: impl FnOnce(&mut config::Plugin),
    ) -> Arc<dyn Plugin> {
        self.try_load(wasm, change).await.unwrap_or_else(|failure| panic!("{failure}"))
    }

    pub(crate) async fn try_load(
        &self,
        wasm: &[u8],
        change: impl FnOnce(&mut config::Plugin),
    ) -> Result<Arc<dyn Plugin>, LoadFailure> {
        let file = self.directory.path().join("plugin.wasm");
        std::fs::write(&file, wasm).unwrap();
        let mut plugin = plugin(file);
        change(&mut plugin);
        let upstreams = BTreeSet::from(["store".to_owned()]);
        let loaded = self.engine.load(&plugin, Arc::new(upstreams)).await;
        let loaded = loaded.map_err(|error| error.failure)?;
        Ok(loaded)
    }
}

fn engine(cache: &Path, copies: u32, metrics: Arc<Metrics>) -> Engine {
    let limits = Limits {
        connections: 1,
        connections_per_address: 1,
        content_memory_octets: 1 << 20,
        content_disk_octets: 1 << 20,
        message_memory_octets: 1 << 20,
        plugin_copies: copies,
        ..Limits::default()
    };
    let budget = Budget::new(1 << 20, 1 << 20, 1 << 20, std::env::temp_dir());
    let services = Services::nowhere(&metrics).unwrap();
    Engine::new(&limits, cache, budget, metrics, services).unwrap()
}

pub(crate) fn plugin(file: PathBuf) -> config::Plugin {
    config::Plugin {
        time_limit: Duration::from_secs(10),
        memory_limit: 16 << 20,
        ..config::Plugin::new("test", file)
    }
}

pub(crate) fn call(hook: Hook) -> HookCall {
    let session = SessionFacts {
        helo: Some("client.example".into()),
        esmtp: true,
        ..SessionFacts::new("s1".into(), "mx", "[::ffff:192.0.2.1]:4025".parse().unwrap())
    };
    let judged = recipient(1, "judged@example.org");
    HookCall {
        hook,
        session: Arc::new(session),
        credentials: (hook == Hook::Auth).then(|| credentials().into()),
        envelope: (hook >= Hook::Mail).then(|| envelope().into()),
        recipient: (hook == Hook::Rcpt).then_some(judged),
        next_index: 2,
        message: (hook >= Hook::Headers).then(message),
        saved: None,
        notes: Arc::new(BTreeMap::new()),
        message_octets: 1_000,
        findings: Arc::default(),
        upstreams: None,
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials {
        mechanism: Mechanism::Plain,
        user: "ann".into(),
        authorization: None,
        secret: Secret::Password("open sesame".into()),
    }
}

pub(crate) fn envelope() -> Envelope {
    Envelope {
        id: "s1.1".into(),
        reverse_path: ReversePath::Mailbox(mailbox("sender@example.com")),
        parameters: Vec::new(),
        recipients: vec![recipient(0, "first@example.org")],
        scores: Scores::default(),
    }
}

pub(crate) fn recipient(index: u32, address: &str) -> Recipient {
    Recipient { index, address: mailbox(address), parameters: Vec::new(), route: None }
}

pub(crate) fn mailbox(address: &str) -> Mailbox {
    Mailbox::parse(address).unwrap()
}

pub(crate) fn message() -> Message {
    let header = "From: a@example.com\r\nSubject: one\r\nSubject: two\r\n\r\n";
    let body = Content::from_bytes(b"line one\r\nline two\r\n".to_vec());
    Message::new(Arc::new(HeaderSection::parse(header.into())), body)
}

/// A plugin that is built from source, if it is there; where it must be, in CI, its absence fails the
/// test. Only the component may be left out: not every toolchain has its target.
pub(crate) fn built(name: &str) -> Option<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let plugin = std::fs::read(root.join("target/plugins").join(name).with_extension("wasm"));
    if let Err(error) = &plugin {
        let optional = name == "test-component" || std::env::var_os("CI").is_none();
        assert!(optional, "{name} is not built: {error}");
        eprintln!("SKIPPED: {name} is not built (make plugins): {error}");
    }
    plugin.ok()
}
