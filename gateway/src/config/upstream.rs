//! Where mail goes.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_smtp::server::Protocol;

use super::names;
use super::section::{Entry, Reader, Section, Text};

/// One place where mail goes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Upstream {
    /// Nowhere: what goes there is taken and forgotten.
    Discard,
    /// The next hop, over SMTP or LMTP.
    Hop(Hop),
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

impl Upstream {
    pub(super) const KEYS: &'static [&'static str] =
        &["address", "connections", "idle_connections", "idle_time", "protocol", "timeouts", "tls"];
    pub(super) const TLS_KEYS: &'static [&'static str] = &["authority", "mode"];
    pub(super) const TIMEOUT_KEYS: &'static [&'static str] = &["command", "connect", "final"];

    /// An upstream, if it can be told where it is.
    pub(super) fn read<'a>(reader: &'a Reader<'a>, entry: &Entry<'a>) -> Option<Self> {
        let section = Section::under(reader, "an upstream", entry, Self::KEYS);
        match section.choice("protocol", KINDS).unwrap_or(Kind::Hop(Protocol::Smtp)) {
            Kind::Discard => {
                let others = Self::KEYS.iter().filter(|key| **key != "protocol");
                for key in others.filter(|key| section.entry(key).is_some()) {
                    let text = format!("\"{key}\" is nothing to \"protocol: discard\"");
                    reader.error(section.mark_of(key), text, Some("leave it out"));
                }
                Some(Self::Discard)
            }
            Kind::Hop(protocol) => Hop::read(reader, &section, protocol).map(Self::Hop),
        }
    }
}

impl Hop {
    fn read(reader: &Reader<'_>, section: &Section<'_>, protocol: Protocol) -> Option<Self> {
        let address = section.required("address", ADDRESS_HELP);
        let address = address.and_then(|text| read_address(reader, text));
        let tls = read_tls(section);
        if matches!(address, Some(UpstreamAddress::Unix(_))) && tls != UpstreamTls::None {
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

fn read_tls(section: &Section<'_>) -> UpstreamTls {
    let tls = section.section("tls", Upstream::TLS_KEYS);
    if tls.entry("mode").is_none() && !tls.is_empty() {
        tls.missing("mode", "none, opportunistic, starttls or implicit");
    }
    let authority = || {
        let help = "the PEM file of the authorities whose certificates are trusted; Debian keeps \
                    the world's in /etc/ssl/certs/ca-certificates.crt";
        tls.pem("authority", "CERTIFICATE", help)
    };
    let mode = tls.choice("mode", TLS_MODES);
    let verified = match mode {
        Some(Mode::Implicit) => authority().map(|authority| UpstreamTls::Implicit { authority }),
        Some(Mode::Starttls) => authority().map(|authority| UpstreamTls::Starttls { authority }),
        Some(Mode::None | Mode::Opportunistic) => {
            if tls.entry("authority").is_some() {
                let text = "\"authority\" is for verified TLS only";
                let help = "\"starttls\" and \"implicit\" verify the upstream's certificate";
                section.reader.error(tls.mark_of("authority"), text, Some(help));
            }
            None
        }
        None => None,
    };
    match (verified, mode) {
        (Some(verified), _) => verified,
        (None, Some(Mode::Opportunistic)) => UpstreamTls::Opportunistic,
        (None, _) => UpstreamTls::None,
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Implicit,
    None,
    Opportunistic,
    Starttls,
}

/// Reads `host:port`, `[v6]:port` or `unix:path`.
fn read_address(reader: &Reader<'_>, Text { text, mark }: Text<'_>) -> Option<UpstreamAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() {
            reader.error(mark, format!("\"{text}\" is no address"), Some(ADDRESS_HELP));
            return None;
        }
        return Some(UpstreamAddress::Unix(reader.path(path)));
    }
    let parsed = text.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match bare {
            Some(bare) => bare.parse::<std::net::Ipv6Addr>().ok().map(|ip| (ip.to_string(), port)),
            None => (names::is_domain(host) || is_ipv4(host)).then(|| (host.to_owned(), port)),
        }
    });
    if let Some((host, port)) = parsed {
        return Some(UpstreamAddress::Tcp { host, port });
    }
    let help = if text.starts_with('/') {
        format!("did you mean \"unix:{text}\"?")
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        format!("did you mean \"[{text}]:25\"?")
    } else if names::is_domain(text) || is_ipv4(text) {
        format!("did you mean \"{text}:25\"?")
    } else {
        ADDRESS_HELP.to_owned()
    };
    reader.error(mark, format!("\"{text}\" is no address"), Some(&help));
    None
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

const ADDRESS_HELP: &str = "a host and a port, such as mail.example.org:25, [::1]:25 or 192.0.2.1:25, or a Unix socket, \
     such as unix:/run/dovecot/lmtp";

#[derive(Clone, Copy)]
enum Kind {
    Discard,
    Hop(Protocol),
}

const KINDS: &[(&str, Kind)] = &[
    ("discard", Kind::Discard),
    ("lmtp", Kind::Hop(Protocol::Lmtp)),
    ("smtp", Kind::Hop(Protocol::Smtp)),
];

pub(super) const PROTOCOLS: &[(&str, Protocol)] =
    &[("lmtp", Protocol::Lmtp), ("smtp", Protocol::Smtp)];

const TLS_MODES: &[(&str, Mode)] = &[
    ("implicit", Mode::Implicit),
    ("none", Mode::None),
    ("opportunistic", Mode::Opportunistic),
    ("starttls", Mode::Starttls),
];
