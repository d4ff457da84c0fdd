//! Where mail goes.

mod address;
mod auth;
mod client;
mod health;
mod member;
mod tls;

use std::time::Duration;

use portcullis_smtp::server::Protocol;

use super::maildir::Maildir;
use super::section::{Entry, Reader, Section};

pub use address::UpstreamAddress;
pub use auth::{Password, UpstreamAuth};
pub use client::UpstreamClient;
pub use health::UpstreamHealth;
pub use member::Member;
pub use tls::{TlsIdentity, UpstreamTls, UpstreamTlsMode};

/// One place where mail goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Upstream {
    /// Nowhere: what goes there is taken and forgotten.
    Discard,
    /// The next hop, over SMTP or LMTP.
    Hop(Box<Hop>),
    /// Mailboxes on this machine.
    Maildir(Maildir),
}

/// A server to which mail is handed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hop {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Where it listens; at least one.
    pub members: Vec<Member>,
    /// When an address counts as down, and how it comes back.
    pub health: UpstreamHealth,
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
    /// How old a connection may become; it ends after a transaction.
    pub age: Duration,
    /// Transactions over one connection.
    pub uses: u32,
    /// To find an address that answers, banner included, however many are tried.
    pub connect_timeout: Duration,
    /// Of that for one address while there is another to try.
    pub attempt_timeout: Duration,
    /// For a connection to become free where all are in use.
    pub busy_timeout: Duration,
    /// For a reply to a command.
    pub command_timeout: Duration,
    /// For the reply to the final dot (RFC 5321 section 4.5.3.2.6 asks for 10 minutes).
    pub final_timeout: Duration,
}

impl Upstream {
    pub(super) const KEYS: &'static [&'static str] = &[
        "address",
        "addresses",
        "age",
        "auth",
        "client",
        "connections",
        "create",
        "delimiter",
        "health",
        "idle_connections",
        "idle_time",
        "mx",
        "path",
        "port",
        "protocol",
        "timeouts",
        "tls",
        "uses",
    ];
    pub(super) const ADDRESS_KEYS: &'static [&'static str] = Member::KEYS;
    pub(super) const AUTH_KEYS: &'static [&'static str] = UpstreamAuth::KEYS;
    pub(super) const HEALTH_KEYS: &'static [&'static str] = UpstreamHealth::KEYS;
    pub(super) const TLS_KEYS: &'static [&'static str] = UpstreamTls::KEYS;
    pub(super) const TIMEOUT_KEYS: &'static [&'static str] =
        &["attempt", "busy", "command", "connect", "final"];

    /// An upstream, if it can be told where it is.
    pub(super) fn read<'a>(reader: &'a Reader<'a>, entry: &Entry<'a>) -> Option<Self> {
        let section = Section::under(reader, "an upstream", entry, Self::KEYS);
        let kind = section.choice_or("protocol", KINDS, Kind::Hop(Protocol::Smtp));
        let protocol = KINDS.iter().find(|(_, known)| *known == kind).map_or("", |(name, _)| name);
        let others = Self::KEYS.iter().filter(|key| **key != "protocol" && !kind.knows(key));
        for key in others.filter(|key| section.entry(key).is_some()) {
            let text = format!("\"{key}\" is nothing to \"protocol: {protocol}\"");
            reader.error(section.mark_of(key), text, Some("leave it out"));
        }
        match kind {
            Kind::Discard => Some(Self::Discard),
            Kind::Hop(protocol) => {
                Hop::read(reader, &section, protocol).map(Box::new).map(Self::Hop)
            }
            Kind::Maildir => Maildir::read(reader, &section).map(Self::Maildir),
        }
    }
}

impl Hop {
    fn read(reader: &Reader<'_>, section: &Section<'_>, protocol: Protocol) -> Option<Self> {
        let members = Member::read_all(section);
        let tls = UpstreamTls::read(section);
        let unix = |member: &Member| matches!(member.address, UpstreamAddress::Unix(_));
        if members.iter().any(unix) && !tls.is_off() {
            let text = "there is no TLS over a Unix socket";
            reader.error(section.mark_of("tls"), text, Some("leave \"tls\" out"));
        }
        let connections = section.count("connections", 1..=100_000, 100) as usize;
        let idle_connections =
            section.count("idle_connections", 0..=100_000, connections.min(10) as u64) as usize;
        if section.entry("idle_connections").is_some() && idle_connections > connections {
            let text = "more connections are kept idle than there may be";
            let help = format!("\"connections\" is {connections}");
            reader.error(section.mark_of("idle_connections"), text, Some(&help));
        }
        let (second, hour) = (Duration::from_secs(1), Duration::from_hours(1));
        let timeouts = section.section("timeouts", Upstream::TIMEOUT_KEYS);
        let wait =
            |key, default| timeouts.duration(key, Duration::from_millis(100)..=hour, default);
        let connect_timeout = wait("connect", Duration::from_secs(30));
        let hop = Self {
            protocol,
            tls,
            auth: UpstreamAuth::read(section),
            client: UpstreamClient::read(section),
            health: UpstreamHealth::read(section),
            connections,
            idle_connections: idle_connections.min(connections),
            idle_time: section.duration("idle_time", second..=hour, Duration::from_secs(30)),
            age: section.duration("age", second..=24 * hour, Duration::from_mins(10)),
            uses: section.count("uses", 1..=1_000_000, 500) as u32,
            connect_timeout,
            attempt_timeout: wait("attempt", Duration::from_secs(10).min(connect_timeout))
                .min(connect_timeout),
            busy_timeout: wait("busy", Duration::from_secs(30)),
            command_timeout: wait("command", Duration::from_mins(4)),
            final_timeout: wait("final", Duration::from_mins(10)),
            members,
        };
        (!hop.members.is_empty()).then_some(hop)
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
