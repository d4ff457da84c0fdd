//! The plugins and what they may do.

use std::path::PathBuf;
use std::time::Duration;

use super::failure::{Breaker, Poison};
use super::grant::{Grant, Grantable, Grants};
use super::mistake::Place;
use super::names;
use super::plugin_file::PluginFile;
use super::reading::Shape;
use super::scores::SCORES;
use super::section::{Entry, Reader, Section};
use super::settings::to_json;
use super::tree::{Node, Value};
use super::{Digest, Origin, Service};

/// One plugin.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// In logs, metrics and routes.
    pub name: String,
    /// A component or a core module with a component type section.
    pub file: PathBuf,
    /// What the file has to be; what is pinned twice has to be both.
    pub pins: Vec<Pin>,
    /// The operator's; [`handed`](Self::handed) to `lifecycle.configure`.
    pub settings: serde_json::Value,
    /// Texts that it gets with them.
    pub files: Vec<PluginFile>,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// The stores that it may open.
    pub stores: Vec<String>,
    /// Where it may send HTTP requests to.
    pub origins: Vec<Origin>,
    /// The upstreams that it may ask.
    pub upstreams: Vec<String>,
    /// Where it may open streams to.
    pub services: Vec<Service>,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// For one hook call.
    pub time_limit: Duration,
    /// Of linear memory, for one copy, in octets.
    pub memory_limit: usize,
    /// How long a copy lives.
    pub isolation: Isolation,
    /// When it is not called for a while.
    pub breaker: Breaker,
    /// When it is not called for a message.
    pub poison: Poison,
    /// Where its `file` stands in the configuration, for errors that come up later.
    pub place: Place,
    /// Where its `settings` stand (the plugin itself if it has none), for what
    /// `lifecycle.configure` has to say about them.
    pub settings_place: Place,
}

/// The only file that a plugin may be.
#[derive(Clone, Debug)]
pub struct Pin {
    /// The file's digest.
    pub sha256: Digest,
    /// Who says so.
    pub by: PinnedBy,
    /// Where that stands.
    pub place: Place,
}

/// Who pins a plugin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PinnedBy {
    /// `sha256` in the configuration.
    Key,
    /// The lock file.
    Lock {
        /// How long the file was.
        octets: u64,
    },
}

/// What a plugin's failure means for the transaction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnFailure {
    /// As if it had no opinion. The mail passes unfiltered by it; nobody is authenticated.
    Accept,
    /// 421 4.3.0, and the end of the connection.
    Disconnect,
    /// 554 5.3.0; at AUTH 535 5.7.8.
    Reject,
    /// 451 4.3.0, at AUTH 454 4.7.0: the client keeps the mail and tries again.
    #[default]
    Tempfail,
}

impl OnFailure {
    /// Its name in the configuration and in the metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Disconnect => "disconnect",
            Self::Reject => "reject",
            Self::Tempfail => "tempfail",
        }
    }
}

/// How long a copy of a plugin lives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Isolation {
    /// One hook call.
    Call,
    /// Many transactions, one after the other: what it remembers of one mail the next may meet.
    Pooled,
    /// One transaction.
    #[default]
    Transaction,
}

impl Plugin {
    pub(crate) const KEYS: &'static [&'static str] = &[
        "breaker",
        "file",
        "files",
        "grants",
        "isolation",
        "memory_limit",
        "name",
        "on_failure",
        "poison",
        "settings",
        "sha256",
        "time_limit",
    ];

    /// A plugin with nothing but defaults.
    #[must_use]
    pub fn new(name: &str, file: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            file,
            pins: Vec::new(),
            settings: serde_json::Value::Object(serde_json::Map::new()),
            files: Vec::new(),
            grants: Vec::new(),
            stores: Vec::new(),
            origins: Vec::new(),
            upstreams: Vec::new(),
            services: Vec::new(),
            on_failure: OnFailure::default(),
            time_limit: TIME_LIMIT,
            memory_limit: MEMORY_LIMIT,
            isolation: Isolation::default(),
            breaker: Breaker::default_for(OnFailure::default()),
            poison: Poison::default(),
            place: Place::default(),
            settings_place: Place::default(),
        }
    }

    /// The settings as the plugin gets them: with the texts of its files, if it has any.
    #[must_use]
    pub fn handed(&self) -> serde_json::Value {
        let mut settings = self.settings.clone();
        if let (serde_json::Value::Object(keys), false) = (&mut settings, self.files.is_empty()) {
            let text = |file: &PluginFile| {
                (file.name.clone(), serde_json::Value::String(file.text.clone()))
            };
            let texts: serde_json::Map<_, _> = self.files.iter().map(text).collect();
            keys.insert(FILES.to_owned(), texts.into());
        }
        settings
    }

    /// A plugin, if it can be told what it is called and where it lies. `grantable` names all
    /// stores and upstreams.
    pub(super) fn read(reader: &Reader<'_>, node: &Node, grantable: Grantable<'_>) -> Option<Self> {
        let section = Section::of(reader, "a plugin", node, Self::KEYS);
        let name = names::name(&section);
        if name.as_deref() == Some(SCORES) {
            let text = format!("no plugin can be called \"{SCORES}\"");
            let help = "in logs that name stands for a listener's thresholds";
            reader.error(section.mark_of("name"), text, Some(help));
        }
        let file = section.file("file", "the path of the plugin's .wasm file");
        let known = name.is_some() && file.is_some();
        let plugin =
            Self::of(&section, name.unwrap_or_default(), file.unwrap_or_default(), grantable);
        known.then_some(plugin)
    }

    /// A plugin of which it is known what it is called and where it lies.
    pub(crate) fn of(
        section: &Section<'_>,
        name: String,
        file: PathBuf,
        grantable: Grantable<'_>,
    ) -> Self {
        let reader = section.reader;
        let pins = pins(section);
        let settings = settings(section);
        let files = files(section, &settings);
        let Grants { words: grants, stores, origins, services, upstreams } =
            Grants::read(section, grantable);
        let on_failure = on_failure(section);
        let isolation = isolation(section);
        let time_limit = section.duration(
            "time_limit",
            Duration::from_millis(1)..=Duration::from_mins(1),
            TIME_LIMIT,
        );
        let memory_limit =
            section.size("memory_limit", 1 << 20..=4 << 30, MEMORY_LIMIT as u64) as usize;
        Self {
            name,
            pins,
            settings,
            files,
            grants,
            stores,
            origins,
            upstreams,
            services,
            on_failure,
            time_limit,
            memory_limit,
            isolation,
            breaker: Breaker::read(section, on_failure),
            poison: Poison::read(section),
            place: section
                .entry("file")
                .map(|file| reader.place(file.node.mark))
                .unwrap_or_default(),
            settings_place: reader.place(section.mark_of("settings")),
            file,
        }
    }
}

/// The files; their texts are the setting `files`.
fn files(section: &Section<'_>, settings: &serde_json::Value) -> Vec<PluginFile> {
    let files = PluginFile::read_all(section);
    if !files.is_empty() && settings.get(FILES).is_some() {
        let text = "the plugin would get \"files\" twice";
        let help =
            "its texts are handed to it as the setting \"files\": leave that out of \"settings\"";
        section.reader.error(section.mark_of("files"), text, Some(help));
    }
    files
}

fn pins(section: &Section<'_>) -> Vec<Pin> {
    let pin = section.digest("sha256", None);
    pin.map(|(sha256, place)| Pin { sha256, by: PinnedBy::Key, place }).into_iter().collect()
}

/// The settings as JSON; what is not given is an empty section.
fn settings(section: &Section<'_>) -> serde_json::Value {
    section.shaped("settings", Shape::Any(|| serde_json::json!({"type": ["object", "null"]})));
    section.by_default("settings", "{}");
    let Some(Entry { node, .. }) = section.entry("settings") else {
        return serde_json::Value::Object(serde_json::Map::new());
    };
    if node.is_null() {
        return serde_json::Value::Object(serde_json::Map::new());
    }
    if !matches!(node.value, Value::Mapping(_) | Value::Broken) {
        let text = "\"settings\" must be a section, whose keys the plugin defines";
        let help = "such as settings: {key: value}; the plugin's README tells the keys";
        section.reader.error(node.mark, text, Some(help));
    }
    to_json(section.reader, node)
}

fn isolation(section: &Section<'_>) -> Isolation {
    let isolation = section.choice_or("isolation", ISOLATIONS, Isolation::default());
    if isolation == Isolation::Pooled {
        let text = "this plugin can carry data from one mail to another";
        let help = "a filter that a mail has taken over sees those that come after it; \
                    \"transaction\" makes that impossible";
        section.reader.warn(section.mark_of("isolation"), text, Some(help));
    }
    isolation
}

fn on_failure(section: &Section<'_>) -> OnFailure {
    let on_failure = section.choice_or("on_failure", FAILURES, OnFailure::default());
    if on_failure == OnFailure::Accept {
        let text = "mail passes unfiltered when this plugin fails";
        let help = "a sender who can make it fail gets everything through; \
                    \"tempfail\" lets the client try again";
        section.reader.warn(section.mark_of("on_failure"), text, Some(help));
    }
    on_failure
}

pub(super) const FAILURES: &[(&str, OnFailure)] = &[
    ("accept", OnFailure::Accept),
    ("disconnect", OnFailure::Disconnect),
    ("reject", OnFailure::Reject),
    ("tempfail", OnFailure::Tempfail),
];

const ISOLATIONS: &[(&str, Isolation)] = &[
    ("call", Isolation::Call),
    ("pooled", Isolation::Pooled),
    ("transaction", Isolation::Transaction),
];

/// For one hook call: a hundred times what a well-made filter needs for a large message, and
/// short enough that a looping one does not hold a client for long.
const TIME_LIMIT: Duration = Duration::from_secs(1);

/// The setting that has the texts of files.
const FILES: &str = "files";

/// Linear memory of one copy.
const MEMORY_LIMIT: usize = 64 << 20;
