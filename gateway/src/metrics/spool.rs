//! What waits on the disk.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, Registry};

use super::family::{CALL_SECONDS, UNIQUE, counters, pulled};
use super::label::{Label, labels};

labels! {
    /// What the spool asks of the file system.
    SpoolStep {
        /// Making a file or a directory.
        Create = "create",
        /// Opening or reading a file, or listing a directory.
        Read = "read",
        /// Giving a file another name.
        Rename = "rename",
        /// Having a file on the disk.
        Sync = "sync",
        /// Having the names of a directory on the disk.
        SyncDirectory = "sync-directory",
        /// Removing a file.
        Unlink = "unlink",
        /// Writing a file.
        Write = "write",
    }
}

labels! {
    /// Why the spool takes no more. Its label is its name in the configuration.
    SpoolBound {
        /// The disk is nearly full, of whatever.
        Free = "free",
        /// As many messages as may wait.
        Messages = "messages",
        /// As many octets as may wait.
        Size = "size",
    }
}

/// The metrics of the spool.
#[derive(Debug)]
pub struct SpoolMetrics {
    registry: Registry,
    /// By step.
    errors: Vec<IntCounter>,
    /// By bound.
    refused: Vec<IntCounter>,
    sync_seconds: Histogram,
    torn: IntCounter,
}

/// What waits, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpoolUse {
    /// Messages.
    pub messages: u64,
    /// Octets of their files.
    pub octets: u64,
    /// When the oldest was accepted, in seconds since the epoch; 0 if there is none.
    pub oldest: i64,
    /// Octets that are free on the file system.
    pub free: u64,
}

impl SpoolMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let errors = counters(
            registry,
            "portcullis_spool_errors_total",
            "What the spool's disk could not do",
            &["op"],
        );
        let options = HistogramOpts::new(
            "portcullis_spool_fsync_duration_seconds",
            "How long the disk took to have a file, or the names of a directory",
        );
        let sync_seconds =
            Histogram::with_opts(options.buckets(CALL_SECONDS.to_vec())).expect(UNIQUE);
        registry.register(Box::new(sync_seconds.clone())).expect(UNIQUE);
        let torn = IntCounter::new(
            "portcullis_spool_torn_total",
            "Files that were no messages or states any more, and were put aside",
        );
        let torn = torn.expect(UNIQUE);
        registry.register(Box::new(torn.clone())).expect(UNIQUE);
        let refused = counters(
            registry,
            "portcullis_spool_refused_total",
            "Messages for which the spool had no room",
            &["limit"],
        );
        let errors = SpoolStep::ALL.iter().map(|op| errors.with_label_values(&[op.label()]));
        let refused = SpoolBound::ALL.iter().map(|it| refused.with_label_values(&[it.label()]));
        let (errors, refused) = (errors.collect(), refused.collect());
        Self { registry: registry.clone(), errors, refused, sync_seconds, torn }
    }

    /// The file system failed.
    pub fn failed(&self, step: SpoolStep) {
        if let Some(counter) = self.errors.get(step.position()) {
            counter.inc();
        }
    }

    /// There was no room for a message.
    pub fn refused(&self, bound: SpoolBound) {
        if let Some(counter) = self.refused.get(bound.position()) {
            counter.inc();
        }
    }

    /// Something is on the disk now, or failed to be.
    pub fn synced(&self, took: Duration) {
        self.sync_seconds.observe(took.as_secs_f64());
    }

    /// A file was put aside.
    pub fn torn(&self) {
        self.torn.inc();
    }

    /// Tells at each scrape what waits.
    pub fn watch(&self, uses: impl Fn() -> SpoolUse + Clone + Send + Sync + 'static) {
        let show = |name, help, part: fn(SpoolUse) -> f64| {
            let uses = uses.clone();
            pulled(&self.registry, name, help, move || part(uses()));
        };
        show("portcullis_spool_messages", "Messages that wait in the spool", |it| {
            it.messages as f64
        });
        show("portcullis_spool_bytes", "Octets of the files of messages that wait", |it| {
            it.octets as f64
        });
        show(
            "portcullis_spool_oldest_message_timestamp_seconds",
            "When the oldest message that waits was accepted; 0 if none waits",
            |it| it.oldest as f64,
        );
        show("portcullis_spool_free_bytes", "Octets that the spool's disk has free", |it| {
            it.free as f64
        });
    }
}
