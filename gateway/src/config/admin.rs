//! Metrics, health, and what operators ask and order: where, and who may.

use std::fmt;
use std::net::SocketAddr;

use zeroize::Zeroizing;

use super::address::{ListenerAddress, UnixSocket};
use super::mistake::Place;
use super::names;
use super::reading::Shape;
use super::section::{Section, Text};
use super::tls::{Authority, CertificateFiles, certificate};
use super::tree::Value;

/// Metrics, health, and what operators ask and order.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where everything is asked for; none is no admin interface.
    pub addresses: Vec<AdminAddress>,
    /// Where everyone may ask for metrics and health, and for nothing else.
    pub metrics: Vec<AdminAddress>,
    /// Names of the gateway in URLs, beside its hostname, in lower case.
    pub hosts: Vec<String>,
    /// Who has one of these may ask.
    pub tokens: Vec<AdminToken>,
    /// For all of its IP addresses; none is clear text.
    pub tls: Option<AdminTls>,
}

/// One address of the admin interface.
#[derive(Clone, Debug)]
pub struct AdminAddress {
    /// Never one of systemd's.
    pub at: ListenerAddress,
    /// Where it stands in the configuration, for errors that come up later.
    pub place: Place,
}

/// What somebody may do at the admin interface, the less first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum AdminRole {
    /// Look.
    Reader,
    /// Change things, too.
    Writer,
}

/// A secret, and what it is good for.
#[derive(Clone, Debug)]
pub struct AdminToken {
    /// The secret.
    pub secret: TokenSecret,
    /// What who has it may do.
    pub role: AdminRole,
}

/// A token itself. Nothing shows it.
#[derive(Clone)]
pub struct TokenSecret(Zeroizing<String>);

impl TokenSecret {
    /// Keeps it, if it is one.
    ///
    /// # Errors
    ///
    /// What a token is.
    pub fn new(secret: Zeroizing<String>) -> Result<Self, String> {
        let fit = secret.bytes().all(|octet| octet.is_ascii_graphic());
        if fit && TOKEN_OCTETS.contains(&secret.len()) {
            return Ok(Self(secret));
        }
        let (least, most) = (TOKEN_OCTETS.start(), TOKEN_OCTETS.end());
        Err(format!(
            "{least} to {most} letters, digits and signs of ASCII, such as openssl rand -hex 32 makes"
        ))
    }

    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TokenSecret {
    /// Never the token: what is debugged ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(..)")
    }
}

/// TLS of the admin interface.
#[derive(Clone, Debug)]
pub struct AdminTls {
    /// What it shows.
    pub certificate: CertificateFiles,
    /// Whose certificates let in; none is nobody's.
    pub clients: Option<AdminClients>,
}

/// Clients that are known by their certificates.
#[derive(Clone, Debug)]
pub struct AdminClients {
    /// Who makes their certificates.
    pub authority: Authority,
    /// Names of those who may look; none is everyone who has a certificate.
    pub readers: Option<Vec<String>>,
    /// Names of those who may change things.
    pub writers: Vec<String>,
}

impl Admin {
    pub(super) const KEYS: &'static [&'static str] =
        &["address", "hosts", "metrics", "socket_group", "socket_mode", "tls", "tokens"];
    pub(super) const TLS_KEYS: &'static [&'static str] =
        &["certificate", "clients", "key", "readers", "writers"];
    pub(super) const TOKEN_KEYS: &'static [&'static str] = &["file", "role", "token"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let reader = section.reader;
        section.by_default("address", "127.0.0.1:9925");
        section.by_default("metrics", "none");
        section.by_default("hosts", "[]");
        section.by_default("socket_mode", "0600");
        section.by_default("tokens", "[]");
        let owners = ListenerAddress::read_owners(section, SOCKET_MODE, EVERYONE);
        let addresses = match section.entry("address") {
            None => {
                let at = ListenerAddress::Ip(SocketAddr::from(([127, 0, 0, 1], 9925)));
                vec![AdminAddress { at, place: reader.place(section.mark) }]
            }
            Some(_) => read_addresses(section, "address", owners),
        };
        let metrics = read_addresses(section, "metrics", owners);
        if section.entry("socket_mode").is_some() || section.entry("socket_group").is_some() {
            warn_without_socket(section, addresses.iter().chain(&metrics));
        }
        let hosts = section.words("hosts").unwrap_or_default();
        let hosts = hosts.into_iter().map(|host| read_host(section, host)).collect();
        let admin = Self { addresses, metrics, hosts, tokens: tokens(section), tls: tls(section) };
        admin.refuse_open_doors(section);
        admin
    }

    /// Whether nobody is asked who he is.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.tls.as_ref().is_none_or(|tls| tls.clients.is_none())
    }

    /// Who is not on this machine has to show who he is.
    fn refuse_open_doors(&self, section: &Section<'_>) {
        // A mistake in one of them is not also that there is none.
        let meant = section.entry("tokens").is_some_and(|entry| !is_empty_list(&entry.node.value));
        let far = |address: &&AdminAddress| {
            address.at.ip().is_some_and(|ip| !ip.ip().to_canonical().is_loopback())
        };
        for AdminAddress { at, place } in self.addresses.iter().filter(far) {
            if self.is_open() && !meant && section.entry("tls").is_none_or(|_| self.tls.is_some()) {
                let text = format!("everyone who reaches {at} could look and give orders");
                let help = format!(
                    "give \"tokens\", or \"tls\" with \"clients\"; or listen at 127.0.0.1 or a Unix \
                     socket, with \"metrics: {at}\" for Prometheus and probes"
                );
                section.reader.error_at(place, text, Some(&help));
            } else if meant && section.entry("tls").is_none() {
                let text = format!("tokens come to {at} in clear text");
                let help = "tls: {certificate: FILE, key: FILE}, or a network that is yours alone";
                section.reader.warn_at(place, text, Some(help));
            }
        }
    }
}

fn is_empty_list(value: &Value) -> bool {
    matches!(value, Value::Sequence(items) if items.is_empty())
}

/// One address, or a list of them, or none.
fn read_addresses(
    section: &Section<'_>,
    key: &str,
    (mode, group): (u32, Option<u32>),
) -> Vec<AdminAddress> {
    section.shaped(key, Shape::OneOrList);
    let Some(entry) = section.entry(key) else { return Vec::new() };
    let given = match entry.node.value {
        Value::Sequence(_) => section.words(key).unwrap_or_default(),
        Value::Broken | Value::Mapping(_) | Value::Scalar { .. } => {
            section.text(key).into_iter().filter(|one| one.text != "none").collect()
        }
    };
    let read = |given: Text<'_>| {
        let place = section.reader.place(given.mark);
        let at = match given.text.strip_prefix("unix:") {
            Some(path) => {
                let path = super::address::read_path(section.reader, given, path)?;
                ListenerAddress::Unix(UnixSocket { path, mode, group })
            }
            None => {
                let ip = super::address::read_ip(section.reader, given, ADDRESS_HELP)?;
                ListenerAddress::Ip(ip)
            }
        };
        Some(AdminAddress { at, place })
    };
    given.into_iter().filter_map(read).collect()
}

fn warn_without_socket<'a>(section: &Section<'_>, mut all: impl Iterator<Item = &'a AdminAddress>) {
    if all.any(|address| matches!(address.at, ListenerAddress::Unix(_))) {
        return;
    }
    for key in ["socket_group", "socket_mode"] {
        if section.entry(key).is_some() {
            let text = format!("\"{key}\" does nothing here: it is for Unix sockets");
            let help = "address: unix:/run/portcullis/admin.sock";
            section.reader.warn(section.mark_of(key), text, Some(help));
        }
    }
}

fn read_host(section: &Section<'_>, Text { text, mark }: Text<'_>) -> String {
    if !names::is_domain(text) {
        let help =
            "a name as it stands in a URL, without the port; IP addresses need not be listed";
        section.reader.error(mark, format!("\"{text}\" is no host name"), Some(help));
    }
    text.to_ascii_lowercase()
}

fn tokens(section: &Section<'_>) -> Vec<AdminToken> {
    let listed = section.list("tokens").unwrap_or_default();
    let token = |node| {
        let token = Section::of(section.reader, "a token", node, Admin::TOKEN_KEYS);
        token.demand("role", "reader (looks) or writer (gives orders, too)");
        let role = token.choice("role", ROLES);
        let secret = secret(&token);
        Some(AdminToken { secret: secret?, role: role? })
    };
    listed.iter().filter_map(token).collect()
}

fn secret(token: &Section<'_>) -> Option<TokenSecret> {
    let given = ["file", "token"].map(|key| token.entry(key).is_some());
    let (secret, mark) = match given {
        [true, true] => {
            let text = "there are two secrets for one token";
            let help = "either \"file\" or \"token\"";
            token.reader.error(token.mark_of("token"), text, Some(help));
            return None;
        }
        [false, true] => {
            let Text { text, mark } = token.text("token")?;
            token.warn_if_shared(&token.reader.source.file, mark);
            (Zeroizing::new(text.to_owned()), mark)
        }
        [_, false] => token.secret("file", "a file with the token alone in it")?,
    };
    let secret = TokenSecret::new(secret);
    secret.map_err(|help| token.reader.error(mark, "this is no token", Some(&help))).ok()
}

fn tls(section: &Section<'_>) -> Option<AdminTls> {
    section.entry("tls")?;
    let tls = section.section("tls", Admin::TLS_KEYS);
    let certificate = certificate(&tls);
    let names = |key| {
        let words = tls.words(key)?;
        Some(words.into_iter().map(|word| word.text.to_ascii_lowercase()).collect::<Vec<_>>())
    };
    let (readers, writers) = (names("readers"), names("writers"));
    let clients = match tls.entry("clients") {
        Some(_) => {
            let help =
                "the PEM file of the authorities that make certificates of those who may ask";
            let file = tls.pem("clients", "CERTIFICATE", help);
            let place = tls.reader.place(tls.mark_of("clients"));
            let authority = file.map(|file| Authority { file, place });
            authority.map(|authority| AdminClients {
                authority,
                readers,
                writers: writers.unwrap_or_default(),
            })
        }
        None => {
            for key in ["readers", "writers"] {
                if tls.entry(key).is_some() {
                    let text =
                        format!("\"{key}\" names clients, and none are asked for certificates");
                    let help = "clients: FILE, with the authorities that make their certificates";
                    tls.reader.error(tls.mark_of(key), text, Some(help));
                }
            }
            None
        }
    };
    Some(AdminTls { certificate: certificate?, clients })
}

const ROLES: &[(&str, AdminRole)] = &[("reader", AdminRole::Reader), ("writer", AdminRole::Writer)];

const ADDRESS_HELP: &str = "an IP address and a port, such as 127.0.0.1:9925, or a Unix socket, such as \
     unix:/run/portcullis/admin.sock";

/// Below that, a token can be guessed; above, no header field takes it.
const TOKEN_OCTETS: std::ops::RangeInclusive<usize> = 16..=512;

/// The gateway's own user alone, and root: who may connect may give orders.
const SOCKET_MODE: u32 = 0o600;
const EVERYONE: &str = "every user of this machine can look and give orders through this socket";
