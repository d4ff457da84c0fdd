//! What the operator has decided. Loaded, checked and complete, or not there at all.
//!
//! [`load`] reads a file and tells all of its [`Mistakes`] at once, each with its place.

mod address;
mod admin;
mod auth;
mod check;
mod digest;
mod dns;
mod duplicates;
mod effective;
mod extensions;
mod failure;
pub(crate) mod grant;
mod history;
mod host;
mod limits;
mod listener;
mod lock;
mod log;
mod maildir;
mod map;
mod mistake;
pub(crate) mod names;
mod network;
mod origin;
mod pattern;
mod plugin;
mod plugin_file;
mod quantity;
pub(crate) mod reading;
mod redelivery;
pub(crate) mod reference;
mod route;
mod schema;
mod scores;
mod secret;
pub(crate) mod section;
mod service;
mod session;
pub(crate) mod settings;
pub(crate) mod spelling;
mod spool;
mod store;
mod survey;
mod tls;
mod traces;
pub(crate) mod tree;
mod trust;
mod upstream;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use address::{ListenerAddress, UnixSocket};
pub use admin::{Admin, AdminAddress, AdminClients, AdminRole, AdminTls, AdminToken, TokenSecret};
pub use auth::Auth;
pub use digest::Digest;
pub use dns::Dns;
pub use duplicates::Duplicates;
pub use effective::{
    Change, Effective, Entry as EffectiveEntry, From as EffectiveFrom, changes,
    entries as effective_entries,
};
pub use failure::{Breaker, Poison};
pub use grant::Grant;
pub use history::History;
pub use host::cache_directory;
pub use limits::Limits;
pub use listener::{DeliveryMode, EarlyTalkers, Listener, Mixed};
pub use lock::{Locked, lock_command, lock_file, read_lock, write_lock};
pub use log::{HashKey, Log, LogAddresses, LogFormat, LogOutput};
pub use maildir::{Maildir, Part, Placeholder};
pub use map::{Map, MapEntry, MapFile, Stamp};
pub use mistake::{Mistake, Mistakes, Place, Severity};
pub use network::Network;
pub use origin::Origin;
pub use pattern::{Pattern, fitting, key as pattern_key};
pub use plugin::{Isolation, OnFailure, Pin, PinnedBy, Plugin};
pub use plugin_file::{FileFailure, PluginFile};
pub use redelivery::Redelivery;
pub use route::{Route, RouteMap, Target};
pub use schema::schema;
pub use scores::{SCORES, Scores};
pub use secret::Secrets;
pub use service::{Service, ServicePlace};
pub use session::{SessionLimits, SessionTimeouts};
pub use spool::Spool;
pub use store::{RedisUrl, Store, StoreKind};
pub use survey::{Survey, admin_of, survey};
pub use tls::{Authority, CertificateFiles, ClientCertificates, ListenerTls, TlsMode, TlsVersion};
pub use traces::Traces;
pub use trust::{Peers, Trust};
pub use upstream::{
    Hop, Member, Password, TlsIdentity, Upstream, UpstreamAddress, UpstreamAuth, UpstreamClient,
    UpstreamHealth, UpstreamTls, UpstreamTlsMode,
};

use grant::Grantable;
use section::{Entry, Reader, Section};
use tree::{Mark, Node, Source, Value};

/// One configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway's own name: banner, EHLO (both ways), `Received`.
    pub hostname: String,
    /// Where mail comes in; at least one.
    pub listeners: Vec<Listener>,
    /// Where mail goes, by name.
    pub upstreams: BTreeMap<String, Upstream>,
    /// Which recipients go to which upstream; the first that fits.
    pub routes: Vec<Route>,
    /// For recipients that no route and no plugin sends elsewhere.
    pub default_upstream: Option<String>,
    /// The plugins, in the order in which they are asked.
    pub plugins: Vec<Plugin>,
    /// What plugins may remember things in, by name.
    pub stores: BTreeMap<String, Store>,
    /// Where accepted messages wait, if any may.
    pub spool: Option<Spool>,
    /// Bounds for the process as a whole.
    pub limits: Limits,
    /// Metrics and health.
    pub admin: Admin,
    /// The resolver.
    pub dns: Dns,
    /// What is known of messages that come again.
    pub duplicates: Duplicates,
    /// How much is kept of what went on.
    pub history: History,
    /// The log.
    pub log: Log,
    /// Traces of transactions.
    pub traces: Traces,
    /// How long transactions in flight may take after SIGTERM.
    pub shutdown_deadline: Duration,
    /// How long it serves on after SIGTERM, not ready any more.
    pub drain_delay: Duration,
    /// Where compiled plugins are cached.
    pub cache_directory: PathBuf,
    /// What is legal but dangerous.
    pub warnings: Mistakes,
    /// What was brought from files and the environment, and is not to be told.
    pub secrets: Secrets,
    /// Every key with its value and where that comes from.
    pub effective: Arc<Effective>,
}

/// Reads a configuration file, and its lock file if there is one. Relative paths in it are relative
/// to its directory.
///
/// # Errors
/// All mistakes of the files.
pub fn load(path: &Path) -> Result<Config, Mistakes> {
    let octets = octets(path)?;
    let (mut config, locked) = match (parse(path, octets), read_lock(&lock_file(path))) {
        (Ok(config), Ok(locked)) => (config, locked),
        (Err(mistakes), Ok(_)) | (Ok(_), Err(mistakes)) => return Err(mistakes),
        (Err(mut mistakes), Err(more)) => {
            more.iter().for_each(|mistake| mistakes.push(mistake.clone()));
            return Err(mistakes);
        }
    };
    let mut mistakes = Mistakes::default();
    if let Some(locked) = locked {
        lock::pin(path, &locked, &mut config, &mut mistakes);
    }
    mistakes.or_fail()?;
    lock::warn_of_unpinned(&mut config);
    Ok(config)
}

/// Reads a configuration file and minds no lock file, for whoever writes that.
///
/// # Errors
/// All mistakes of the file.
pub fn load_unlocked(path: &Path) -> Result<Config, Mistakes> {
    parse(path, octets(path)?)
}

fn octets(path: &Path) -> Result<Vec<u8>, Mistakes> {
    let mut octets = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(FILE_OCTETS + 1).read_to_end(&mut octets));
    let mut mistakes = Mistakes::default();
    if let Err(error) = read {
        mistakes.at(&Place::file(path), format!("cannot read the configuration: {error}"), None);
    } else if octets.len() as u64 > FILE_OCTETS {
        let text = format!("the configuration is larger than {}", quantity::show_size(FILE_OCTETS));
        mistakes.at(&Place::file(path), text, None);
    }
    mistakes.or_fail()?;
    Ok(octets)
}

/// Reads a configuration that need not be a file; `path` is for messages and for relative paths.
///
/// # Errors
/// All mistakes of the text.
pub fn parse(path: &Path, octets: impl Into<Vec<u8>>) -> Result<Config, Mistakes> {
    let Decoded { config, mistakes, .. } = decode(path, octets.into())?;
    mistakes.or_fail()?;
    Ok(config)
}

/// What a file says, as far as that can be told.
struct Decoded {
    /// After a mistake, not what the file says.
    config: Config,
    mistakes: Mistakes,
    root: Node,
}

fn decode(path: &Path, octets: Vec<u8>) -> Result<Decoded, Mistakes> {
    let source = Source::new(path, octets)?;
    let mut mistakes = Mistakes::default();
    let root = tree::parse(&source, &mut mistakes);
    let mut root = match root {
        Some(root) => root,
        None if mistakes.is_empty() => empty(),
        None => return Err(mistakes),
    };
    let reader = Reader::new(&source, mistakes);
    root.settle("");
    let secrets = secret::bring(&reader, &mut root);
    let config = Config::read(&reader, &root);
    let Reader { mistakes, warnings, readings, .. } = reader;
    let mistakes = secrets.hidden_in(&mistakes.into_inner());
    let warnings = secrets.hidden_in(&warnings.into_inner());
    let effective = Arc::new(Effective::of(path, &root, &readings.into_inner()));
    Ok(Decoded { config: Config { warnings, secrets, effective, ..config }, mistakes, root })
}

/// What a file without content says.
fn empty() -> Node {
    let mark = Mark { line: 1, column: 1, ..Mark::default() };
    Node::new(mark, Value::Mapping(Vec::new()))
}

/// Every key that a configuration may have, by section. `[]` is any item of a list, `*` any name.
pub const KEYS: &[(&str, &[&str])] = &[
    ("", Config::KEYS),
    ("admin", Admin::KEYS),
    ("admin.tls", Admin::TLS_KEYS),
    ("admin.tokens[]", Admin::TOKEN_KEYS),
    ("dns", Dns::KEYS),
    ("duplicates", Duplicates::KEYS),
    ("history", History::KEYS),
    ("limits", Limits::KEYS),
    ("listeners[]", Listener::KEYS),
    ("listeners[].auth", Auth::KEYS),
    ("listeners[].future_release", Listener::FUTURE_RELEASE_KEYS),
    ("listeners[].limits", SessionLimits::KEYS),
    ("listeners[].scores", Scores::KEYS),
    ("listeners[].timeouts", SessionTimeouts::KEYS),
    ("listeners[].tls", ListenerTls::KEYS),
    ("listeners[].tls.certificates[]", ListenerTls::CERTIFICATE_KEYS),
    ("listeners[].tls.client_certificates", ListenerTls::CLIENT_KEYS),
    ("listeners[].trust", Trust::KEYS),
    ("log", Log::KEYS),
    ("plugins[]", Plugin::KEYS),
    ("plugins[].breaker", Breaker::KEYS),
    ("plugins[].poison", Poison::KEYS),
    ("routes[]", Route::KEYS),
    ("session", Config::SESSION_KEYS),
    ("session.limits", SessionLimits::KEYS),
    ("session.timeouts", SessionTimeouts::KEYS),
    ("shutdown", Config::SHUTDOWN_KEYS),
    ("spool", Spool::KEYS),
    ("spool.retry", Redelivery::RETRY_KEYS),
    ("stores.*", Store::KEYS),
    ("traces", Traces::KEYS),
    ("upstreams.*", Upstream::KEYS),
    ("upstreams.*.addresses[]", Upstream::ADDRESS_KEYS),
    ("upstreams.*.health", Upstream::HEALTH_KEYS),
    ("upstreams.*.timeouts", Upstream::TIMEOUT_KEYS),
    ("upstreams.*.auth", Upstream::AUTH_KEYS),
    ("upstreams.*.tls", Upstream::TLS_KEYS),
];

impl Config {
    const KEYS: &'static [&'static str] = &[
        "admin",
        "cache_directory",
        "default_upstream",
        "dns",
        "duplicates",
        "history",
        "hostname",
        "limits",
        "listeners",
        "log",
        "plugins",
        "routes",
        "session",
        "shutdown",
        "spool",
        "stores",
        "traces",
        "upstreams",
    ];
    const SESSION_KEYS: &'static [&'static str] = &["limits", "timeouts"];
    const SHUTDOWN_KEYS: &'static [&'static str] = &["deadline", "drain_delay"];

    /// The maps that routes name.
    pub fn maps(&self) -> impl Iterator<Item = &Path> {
        self.routes.iter().filter_map(|route| match &route.target {
            Target::Map(map) => Some(&*map.file.path),
            Target::Upstream(_) => None,
        })
    }

    /// After a mistake this is not what the file says; [`parse`] does not let it out.
    fn read(reader: &Reader<'_>, root: &Node) -> Self {
        let section = Section::of(reader, "the configuration", root, Self::KEYS);
        let plugins = section.list("plugins").unwrap_or_default();
        names::refuse_duplicates("plugin", &section, plugins.iter());
        let plugin_names: Vec<_> =
            plugins.iter().filter_map(names::declared).map(|name| name.text).collect();
        let stores = stores(&section);
        let store_names: Vec<_> = stores.iter().map(|entry| entry.key.text).collect();
        let upstreams = upstreams(&section);
        let upstream_names: Vec<_> = upstreams.iter().map(|entry| entry.key.text).collect();
        let grantable = Grantable { stores: &store_names, upstreams: &upstream_names };
        let session = section.section("session", Self::SESSION_KEYS);
        let known = listener::Known {
            plugins: &plugin_names,
            upstreams: &upstream_names,
            spool: section.entry("spool").is_some(),
            limits: &SessionLimits::read(
                &session.section("limits", SessionLimits::KEYS),
                &SessionLimits::default(),
            ),
            timeouts: &SessionTimeouts::read(
                &session.section("timeouts", SessionTimeouts::KEYS),
                &SessionTimeouts::default(),
            ),
        };
        let shutdown = section.section("shutdown", Self::SHUTDOWN_KEYS);
        let config = Self {
            hostname: host::name(&section),
            listeners: listeners(&section, &known),
            upstreams: upstreams
                .iter()
                .filter_map(|entry| {
                    Some((entry.key.text.to_owned(), Upstream::read(reader, entry)?))
                })
                .collect(),
            routes: routes(reader, &section, &upstream_names),
            default_upstream: section
                .text("default_upstream")
                .map(|text| section.known_name("upstream", text, &upstream_names)),
            plugins: plugins
                .iter()
                .filter_map(|node| Plugin::read(reader, node, grantable))
                .collect(),
            stores: stores
                .iter()
                .filter_map(|entry| Some((entry.key.text.to_owned(), Store::read(reader, entry)?)))
                .collect(),
            spool: Spool::read(&section, &upstream_names),
            limits: Limits::read(&section.section("limits", Limits::KEYS)),
            admin: Admin::read(&section.section("admin", Admin::KEYS)),
            dns: Dns::read(&section.section("dns", Dns::KEYS)),
            duplicates: Duplicates::read(&section.section("duplicates", Duplicates::KEYS)),
            history: History::read(&section.section("history", History::KEYS)),
            log: Log::read(&section.section("log", Log::KEYS)),
            traces: Traces::read(&section.section("traces", Traces::KEYS)),
            drain_delay: shutdown.duration(
                "drain_delay",
                Duration::ZERO..=Duration::from_mins(10),
                Duration::ZERO,
            ),
            shutdown_deadline: shutdown.duration(
                "deadline",
                Duration::from_secs(1)..=Duration::from_hours(1),
                Duration::from_secs(30),
            ),
            cache_directory: section
                .text("cache_directory")
                .map_or_else(|| host::cache(&section), |text| reader.path(text.text)),
            warnings: Mistakes::default(),
            secrets: Secrets::default(),
            effective: Arc::default(),
        };
        check::check(&config, &section, &upstreams);
        config
    }
}

fn routes(reader: &Reader<'_>, section: &Section<'_>, upstreams: &[&str]) -> Vec<Route> {
    let listeners = &names::declared_in(section, "listeners");
    let known = route::Known { listeners, upstreams };
    Route::read_all(reader, section.list("routes").unwrap_or_default(), &known)
}

fn listeners(section: &Section<'_>, known: &listener::Known<'_>) -> Vec<Listener> {
    const HELP: &str = "without a listener, no mail comes in: \
                        listeners: [{name: inbound, address: \"0.0.0.0:25\"}]";
    section.demand("listeners", HELP);
    let nodes = section.list("listeners");
    if nodes.is_some_and(<[Node]>::is_empty) {
        section.reader.error(section.mark_of("listeners"), "there are no listeners", Some(HELP));
    }
    let nodes = nodes.unwrap_or_default();
    names::refuse_duplicates("listener", section, nodes.iter());
    nodes.iter().filter_map(|node| Listener::read(section.reader, node, known)).collect()
}

fn stores<'a>(section: &Section<'a>) -> Vec<Entry<'a>> {
    let stores = section.names("stores", &[]).entries;
    for entry in &stores {
        names::check(section, entry.key);
    }
    stores
}

fn upstreams<'a>(section: &Section<'a>) -> Vec<Entry<'a>> {
    const HELP: &str = "without an upstream, mail has nowhere to go: \
                        upstreams: {store: {address: \"192.0.2.1:25\"}}";
    section.demand("upstreams", HELP);
    if section.entry("upstreams").is_none() {
        return Vec::new();
    }
    let upstreams = section.names("upstreams", &[]);
    if upstreams.is_empty() {
        section.reader.error(section.mark_of("upstreams"), "there are no upstreams", Some(HELP));
    }
    for entry in &upstreams.entries {
        names::check(section, entry.key);
    }
    upstreams.entries
}

/// What is or is not.
const SWITCH: &[(&str, bool)] = &[("false", false), ("true", true)];

/// Larger than any list that is kept by hand, small enough to be read by mistake.
const FILE_OCTETS: u64 = 16 << 20;
