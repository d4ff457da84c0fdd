//! Where mail comes in.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use portcullis_smtp::server::{BareNewlines, FutureRelease, Protocol};
use portcullis_smtp::{Grammar, Offers};

use super::mistake::Place;
use super::section::{Reader, Section, Text};
use super::session::{SessionLimits, SessionTimeouts};
use super::tree::Node;
use super::upstream::PROTOCOLS;
use super::{extensions, names};

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
    /// What is offered beyond what always is.
    pub extensions: Offers,
    /// How long a message may be held, where FUTURERELEASE is offered.
    pub future_release: Option<FutureRelease>,
    /// Bounds of one session.
    pub limits: SessionLimits,
    /// Deadlines of one session.
    pub timeouts: SessionTimeouts,
    /// Where its address stands in the configuration, for errors that come up later.
    pub place: Place,
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
    /// Where it stands in the configuration, for errors that come up later.
    pub place: Place,
}

/// When TLS starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsMode {
    /// With the first octet (port 465).
    Implicit,
    /// When the client asks for it.
    Starttls,
}

/// What a listener may refer to.
pub(super) struct Known<'a> {
    pub(super) plugins: &'a [&'a str],
    pub(super) upstreams: &'a [&'a str],
    pub(super) limits: &'a SessionLimits,
    pub(super) timeouts: &'a SessionTimeouts,
}

impl Listener {
    pub(super) const KEYS: &'static [&'static str] = &[
        "address",
        "address_syntax",
        "bare_newlines",
        "extensions",
        "future_release",
        "limits",
        "name",
        "plugins",
        "protocol",
        "quarantine",
        "timeouts",
        "tls",
        "upstream",
    ];
    pub(super) const FUTURE_RELEASE_KEYS: &'static [&'static str] = extensions::FUTURE_RELEASE_KEYS;
    pub(super) const TLS_KEYS: &'static [&'static str] = &["certificate", "key", "mode"];

    /// A listener, if it can be told what it is called and where it is.
    pub(super) fn read(reader: &Reader<'_>, node: &Node, known: &Known<'_>) -> Option<Self> {
        let section = Section::of(reader, "a listener", node, Self::KEYS);
        let name = names::name(&section);
        let given = section.required("address", ADDRESS_HELP);
        let address = given.and_then(|text| read_address(reader, text));
        let protocol = section.choice("protocol", PROTOCOLS).unwrap_or_default();
        if let (Some(given), Protocol::Lmtp, Some(25)) =
            (given, protocol, address.map(|address| address.port()))
        {
            let help = "port 24 is LMTP's own";
            reader.error(given.mark, "RFC 2033 section 5 forbids LMTP on port 25", Some(help));
        }
        let upstream = |key| {
            let text = section.text(key)?;
            Some(section.known_name("upstream", text, known.upstreams))
        };
        let extensions = extensions::read(&section, protocol);
        let limits = section.section("limits", SessionLimits::KEYS);
        let timeouts = section.section("timeouts", SessionTimeouts::KEYS);
        Some(Self {
            tls: read_tls(&section),
            plugins: plugins(&section, known.plugins),
            upstream: upstream("upstream"),
            quarantine: upstream("quarantine"),
            address_syntax: section.choice("address_syntax", GRAMMARS).unwrap_or_default(),
            bare_newlines: section.choice("bare_newlines", NEWLINES).unwrap_or_default(),
            future_release: extensions::future_release(&section, extensions),
            extensions,
            limits: SessionLimits::read(&limits, known.limits),
            timeouts: SessionTimeouts::read(&timeouts, known.timeouts),
            place: given.map(|text| reader.place(text.mark)).unwrap_or_default(),
            protocol,
            name: name?,
            address: address?,
        })
    }
}

fn plugins(section: &Section<'_>, known: &[&str]) -> Vec<String> {
    let plugins: Vec<String> = match section.words("plugins") {
        None => known.iter().map(|name| (*name).to_owned()).collect(),
        Some(words) => {
            words.into_iter().map(|word| section.known_name("plugin", word, known)).collect()
        }
    };
    if plugins.is_empty() {
        let help = "list plugins here, or define some: without them, every mail passes";
        let text = "nobody filters what comes in here";
        section.reader.warn(section.mark_of("plugins"), text, Some(help));
    }
    plugins
}

fn read_tls(section: &Section<'_>) -> Option<ListenerTls> {
    section.entry("tls")?;
    let tls = section.section("tls", Listener::TLS_KEYS);
    let mode = match tls.entry("mode") {
        None => {
            tls.missing("mode", "\"starttls\" (ports 25 and 587) or \"implicit\" (port 465)");
            None
        }
        Some(_) => tls.choice("mode", MODES),
    };
    let certificate =
        tls.pem("certificate", "CERTIFICATE", "the PEM file of the certificate and its chain");
    let key = tls.pem("key", "PRIVATE KEY", "the PEM file of the certificate's private key");
    if let Some(key) = &key {
        warn_if_readable_by_all(&tls, key);
    }
    let place = section.reader.place(tls.mark_of("certificate"));
    Some(ListenerTls { mode: mode?, certificate: certificate?, key: key?, place })
}

fn warn_if_readable_by_all(tls: &Section<'_>, key: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let readable = key.metadata().is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
    if readable {
        let text = "every user of this machine can read the private key";
        let help = format!("chmod o-rwx {}", key.display());
        tls.reader.warn(tls.mark_of("key"), text, Some(&help));
    }
}

/// Reads an IP address and a port.
pub(super) fn read_address(
    reader: &Reader<'_>,
    Text { text, mark }: Text<'_>,
) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let help = match text.rsplit_once(':') {
        _ if text.parse::<u16>().is_ok() => format!("did you mean \"127.0.0.1:{text}\"?"),
        _ if text.parse::<std::net::Ipv6Addr>().is_ok() => format!("did you mean \"[{text}]:25\"?"),
        _ if text.parse::<std::net::Ipv4Addr>().is_ok() => format!("did you mean \"{text}:25\"?"),
        Some(("localhost", port)) => format!("did you mean \"127.0.0.1:{port}\"?"),
        Some(("" | "*", port)) => {
            format!("did you mean \"[::]:{port}\" (every address) or \"127.0.0.1:{port}\"?")
        }
        _ => ADDRESS_HELP.to_owned(),
    };
    reader.error(mark, format!("\"{text}\" is no address to listen at"), Some(&help));
    None
}

const ADDRESS_HELP: &str = "an IP address and a port, such as 192.0.2.1:25 or [::]:25";

const GRAMMARS: &[(&str, Grammar)] = &[("lenient", Grammar::Lenient), ("strict", Grammar::Strict)];

const NEWLINES: &[(&str, BareNewlines)] =
    &[("normalize", BareNewlines::Normalize), ("refuse", BareNewlines::Refuse)];

const MODES: &[(&str, TlsMode)] =
    &[("implicit", TlsMode::Implicit), ("starttls", TlsMode::Starttls)];
