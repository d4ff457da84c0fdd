//! Where mail goes.

mod address;
mod auth;
mod client;
mod tls;

use std::time::Duration;

use portcullis_smtp::server::Protocol;

use super::maildir::Maildir;
use super::section::{Entry, Reader, Section};

pub use address::UpstreamAddress;
pub use auth::{Password, UpstreamAuth};
pub use client::UpstreamClient;
pub use tls::{TlsIdentity, UpstreamTls, UpstreamTlsMode};

/// One place where mail goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Upstream {
    /// Nowhere: what goes there is taken and forgotten.
    Discard,
    /// The next hop, over SMTP or LMTP.
    Hop(Hop),
    /// Mailboxes on this machine.
    Maildir(Maildir),
}

/// A server to which mail is handed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hop {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: UpstreamAddress,
    /// Whether and how TLS is used.
    pub tls: UpstreamTls,
    /// As whom the gateway logs in.
    pub auth: Option<UpstreamAuth>,
    /// What it is told of the client whose mail it gets.
    pub client: UpstreamClient,
    /// Connections in use at once; idle ones come on top.
    pub connections: usize,
    /// Idle connections that are kept, shared out among the threads.
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

impl Upstream {
    pub(super) const KEYS: &'static [&'static str] = &[
        "address",
        "auth",
        "client",
        "connections",
        "create",
        "delimiter",
        "idle_connections",
        "idle_time",
        "path",
        "protocol",
        "timeouts",
        "tls",
    ];
    pub(super) const AUTH_KEYS: &'static [&'static str] = UpstreamAuth::KEYS;
    pub(super) const TLS_KEYS: &'static [&'static str] = UpstreamTls::KEYS;
    pub(super) const TIMEOUT_KEYS: &'static [&'static str] = &["command", "connect", "final"];

    /// An upstream, if it can be told where it is.
    pub(super) fn read<'a>(reader: &'a Reader<'a>, entry: &Entry<'a>) -> Option<Self> {
        let section = Section::under(reader, "an upstream", entry, Self::KEYS);
        let kind = section.choice("protocol", KINDS).unwrap_or(Kind::Hop(Protocol::Smtp));
        let protocol = KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name);
        let others = Self::KEYS.iter().filter(|key| **key != "protocol" && !kind.knows(key));
        for key in others.filter(|key| section.entry(key).is_some()) {
            let text = format!("\"{key}\" is nothing to \"protocol: {protocol}\"");
            reader.error(section.mark_of(key), text, Some("leave it out"));
        }
        match kind {
            Kind::Discard => Some(Self::Discard),
            Kind::Hop(protocol) => Hop::read(reader, &section, protocol).map(Self::Hop),
            Kind::Maildir => Maildir::read(reader, &section).map(Self::Maildir),
        }
    }
}

impl Hop {
    fn read(reader: &Reader<'_>, section: &Section<'_>, protocol: Protocol) -> Option<Self> {
        let address = section.required("address", address::HELP);
        let address = address.and_then(|text| UpstreamAddress::read(reader, text));
        let tls = UpstreamTls::read(section);
        if matches!(address, Some(UpstreamAddress::Unix(_))) && !tls.is_off() {
            let text = "there is no TLS over a Unix socket";
            reader.error(section.mark_of("tls"), text, Some("leave \"tls\" out"));
        }
        let connections = section.count("connections", 1..=100_000, 100) as usize;
        let idle_connections = section.count("idle_connections", 0..=100_000, 10) as usize;
        if section.entry("idle_connections").is_some() && idle_connections > connections {
            let text = "more connections are kept idle than there may be";
            let help = format!("\"connections\" is {connections}");
            reader.error(section.mark_of("idle_connections"), text, Some(&help));
        }
        let second = Duration::from_secs(1);
        let idle_range = second..=Duration::from_hours(1);
        let idle_time = section.duration("idle_time", idle_range, Duration::from_secs(30));
        let timeouts = section.section("timeouts", Upstream::TIMEOUT_KEYS);
        let wait = |key, default| {
            timeouts.duration(key, Duration::from_millis(100)..=Duration::from_hours(1), default)
        };
        Some(Self {
            protocol,
            tls,
            auth: UpstreamAuth::read(section),
            client: UpstreamClient::read(section),
            connections,
            idle_connections: idle_connections.min(connections),
            idle_time,
            connect_timeout: wait("connect", Duration::from_secs(30)),
            command_timeout: wait("command", Duration::from_mins(4)),
            final_timeout: wait("final", Duration::from_mins(10)),
            address: address?,
        })
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Discard,
    Hop(Protocol),
    Maildir,
}

impl Kind {
    /// Whether a key says anything to it.
    fn knows(self, key: &str) -> bool {
        match self {
            Self::Discard => false,
            Self::Hop(_) => !Maildir::KEYS.contains(&key),
            Self::Maildir => Maildir::KEYS.contains(&key),
        }
    }
}

const KINDS: &[(&str, Kind)] = &[
    ("discard", Kind::Discard),
    ("lmtp", Kind::Hop(Protocol::Lmtp)),
    ("maildir", Kind::Maildir),
    ("smtp", Kind::Hop(Protocol::Smtp)),
];

pub(super) const PROTOCOLS: &[(&str, Protocol)] =
    &[("lmtp", Protocol::Lmtp), ("smtp", Protocol::Smtp)];
