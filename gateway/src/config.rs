//! What the operator has decided. Loaded, checked and complete, or not there at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_smtp::Grammar;
use portcullis_smtp::server::{BareNewlines, Protocol};

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
    /// Bounds for the process as a whole.
    pub limits: Limits,
    /// Metrics and health.
    pub admin: Admin,
    /// The log.
    pub log: Log,
    /// How long transactions in flight may take after SIGTERM.
    pub shutdown_deadline: Duration,
    /// Where compiled plugins are cached.
    pub cache_directory: PathBuf,
}

/// One address where mail comes in.
#[derive(Clone, Debug)]
pub struct Listener {
    /// In logs, metrics and the plugins' eyes.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Certificate and when TLS starts; none is clear text only.
    pub tls: Option<ListenerTls>,
    /// Names of the plugins that judge here, in this order; all of them by default.
    pub plugins: Vec<String>,
    /// Goes before `default_upstream`.
    pub upstream: Option<String>,
    /// Where `quarantine` verdicts deliver to; without it they are a failure of the plugin.
    pub quarantine: Option<String>,
    /// How addresses are read.
    pub address_syntax: Grammar,
    /// What happens to a CR or LF that stands alone in content.
    pub bare_newlines: BareNewlines,
    /// Bounds of one session.
    pub limits: SessionLimits,
    /// Deadlines of one session.
    pub timeouts: SessionTimeouts,
}

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// When TLS starts.
    pub mode: TlsMode,
    /// PEM, the chain.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// When TLS starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsMode {
    /// With the first octet (port 465).
    Implicit,
    /// When the client asks for it.
    Starttls,
}

/// Bounds of one session.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Octets of a command line, CRLF included.
    pub command_octets: usize,
    /// Octets of a message, announced as SIZE.
    pub message_octets: u64,
    /// Octets of a header section.
    pub header_octets: usize,
    /// Recipients of a transaction.
    pub recipients: usize,
    /// Errors that the client may make.
    pub errors: u32,
    /// `Received` fields of a message; more is a loop.
    pub received_hops: usize,
}

/// Deadlines of one session (RFC 5321 section 4.5.3.2).
#[derive(Clone, Debug)]
pub struct SessionTimeouts {
    /// For the next command.
    pub command: Duration,
    /// For the next block of content.
    pub content: Duration,
    /// For one write.
    pub write: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
}

/// Bounds for the process as a whole.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
    /// Octets of message content in memory.
    pub content_memory_octets: u64,
    /// Octets of message content in temporary files.
    pub content_disk_octets: u64,
    /// Octets of one message that may lie in memory.
    pub message_memory_octets: u64,
    /// Copies of plugins at once.
    pub plugin_copies: u32,
}

/// One plugin.
#[derive(Clone, Debug)]
pub struct Plugin {
    /// In logs, metrics and routes.
    pub name: String,
    /// A component or a core module with a component type section.
    pub file: PathBuf,
    /// Handed to `lifecycle.configure`, as JSON.
    pub settings: serde_json::Value,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// What its failure means.
    pub on_failure: OnFailure,
    /// For one hook call.
    pub time_limit: Duration,
    /// Of linear memory, for one copy, in octets.
    pub memory_limit: usize,
    /// How long a copy lives.
    pub isolation: Isolation,
    /// Where the plugin and its settings stand in the file, for errors that come up later.
    pub place: Place,
}

/// What a plugin may do beyond having an opinion.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grant {
    /// `rewrite-body`.
    RewriteBody,
    /// `rewrite-envelope`.
    RewriteEnvelope,
    /// `rewrite-headers`.
    RewriteHeaders,
    /// `route`.
    Route,
}

/// What a plugin's failure means for the transaction.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnFailure {
    /// As if it had no opinion. The mail passes unfiltered by it.
    Accept,
    /// 421 4.3.0, and the end of the connection.
    Disconnect,
    /// 554 5.3.0.
    Reject,
    /// 451 4.3.0: the client keeps the mail and tries again.
    #[default]
    Tempfail,
}

/// How long a copy of a plugin lives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Isolation {
    /// One hook call.
    Call,
    /// One transaction.
    #[default]
    Transaction,
}

/// One place where mail goes.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: UpstreamAddress,
    /// Whether and how TLS is used.
    pub tls: UpstreamTls,
    /// Connections at once.
    pub connections: usize,
    /// Idle connections that are kept.
    pub idle_connections: usize,
    /// How long a connection may be idle before it is closed.
    pub idle_time: Duration,
    /// To connect, and for the banner.
    pub connect_timeout: Duration,
    /// For a reply to a command.
    pub command_timeout: Duration,
    /// For the reply to the final dot (RFC 5321 section 4.5.3.2.6 asks for 10 minutes).
    pub final_timeout: Duration,
}

/// Where an upstream listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UpstreamAddress {
    /// A name or IP address, and a port.
    Tcp {
        /// Resolved at each connect.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

/// TLS to an upstream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum UpstreamTls {
    /// From the first octet, certificate verified.
    Implicit {
        /// PEM of the authorities; the name that the certificate must have.
        authority: PathBuf,
    },
    /// Clear text.
    #[default]
    None,
    /// STARTTLS, certificate verified; without it no mail.
    Starttls {
        /// PEM of the authorities.
        authority: PathBuf,
    },
    /// STARTTLS where it is offered, certificate not verified: better than clear text, no more.
    Opportunistic,
}

/// One rule of where recipients go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Recipient domains, lower case; `.example.org` fits every name below it; `*` fits all.
    pub domains: Vec<String>,
    /// A name from `upstreams`.
    pub upstream: String,
}

/// Metrics and health.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where HTTP listens; none is no admin interface.
    pub address: Option<SocketAddr>,
}

/// The log.
#[derive(Clone, Debug)]
pub struct Log {
    /// Text or JSON.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug` or `trace`, or a filter such as `info,portcullis::upstream=debug`.
    pub level: String,
}

/// How log records look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// A place in a configuration file, for messages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1; 0 if unknown.
    pub line: usize,
    /// Counted from 1; 0 if unknown.
    pub column: usize,
}
