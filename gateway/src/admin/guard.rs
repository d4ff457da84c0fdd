//! Who may ask for what.
//!
//! A token, a client certificate or the file of a Unix socket says who asks. Where there are none,
//! whoever reaches loopback may look and give orders. A page of another site says its `Origin` wherever
//! it could do harm; it may not add the header field that orders have; and one whose name was made to
//! mean this machine (DNS rebinding) shows that name as `Host`.

mod failures;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tracing::warn;
use zeroize::Zeroizing;

use super::route::Access;
use super::{Answer, Role, Status};
use crate::config::{Admin, AdminClients};
use crate::message::ClientAddress;
use crate::metrics::{AdminMetrics, AdminRefused};
use failures::Failures;

/// Which only those add who mean to change something.
pub(super) const FIELD: &str = "portcullis-request";

/// Who may ask for what, as one configuration has it.
#[derive(Debug)]
pub struct Guard {
    /// In lower case.
    hosts: Vec<String>,
    tokens: Vec<Token>,
    clients: Option<AdminClients>,
    failures: Failures,
    metrics: Arc<AdminMetrics>,
}

/// Only what it hashes to is kept: whoever reads the memory cannot use it.
#[derive(Debug)]
struct Token {
    digest: [u8; 32],
    role: Role,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) address: ClientAddress,
    /// Those of the client's certificate, in lower case.
    pub(super) names: Vec<String>,
    /// Whether it came to an address that is there for scrapers.
    pub(super) is_scraper: bool,
}

/// No, and who is to be told that.
enum No {
    Host,
    Nobody,
    Often,
    Origin,
    Role,
    Unmeant,
    WrongToken,
}

impl Guard {
    /// What a configuration wants; the hostname is one of its names.
    #[must_use]
    pub fn new(admin: &Admin, hostname: &str, metrics: Arc<AdminMetrics>) -> Self {
        let token = |token: &crate::config::AdminToken| Token {
            digest: digest(token.secret.reveal()),
            role: token.role,
        };
        let clients = admin.tls.as_ref().and_then(|tls| tls.clients.clone());
        Self {
            hosts: admin.hosts.iter().cloned().chain([hostname.to_ascii_lowercase()]).collect(),
            tokens: admin.tokens.iter().map(token).collect(),
            clients,
            failures: Failures::default(),
            metrics,
        }
    }

    /// For this machine, without tokens and under no name.
    #[must_use]
    pub fn open(metrics: Arc<AdminMetrics>) -> Self {
        let (hosts, tokens, failures) = (Vec::new(), Vec::new(), Failures::default());
        Self { hosts, tokens, clients: None, failures, metrics }
    }

    /// Somebody did not even come to ask.
    pub(super) fn handshake_failed(&self) {
        self.metrics.refused(AdminRefused::Handshake);
    }

    /// The role of who asks, if one is needed; or the answer to who may not.
    pub(super) async fn admit(
        &self,
        head: &Parts,
        caller: &Caller,
        access: Access,
    ) -> Result<Option<Role>, Answer> {
        let admitted = self.judge(head, caller, access);
        if let Err(no) = &admitted {
            self.metrics.refused(no.reason());
        }
        match admitted {
            Err(No::WrongToken) => {
                warn!(client = %caller.address, "admin: a token that is none");
                tokio::time::sleep(PAUSE).await;
                Err(self.answer(&No::WrongToken, head))
            }
            Err(no) => Err(self.answer(&no, head)),
            Ok(role) => Ok(role),
        }
    }

    fn judge(&self, head: &Parts, caller: &Caller, access: Access) -> Result<Option<Role>, No> {
        let needed = match access {
            Access::Everyone => return Ok(None),
            Access::Scrapers if caller.is_scraper => None,
            Access::Scrapers => Some(Role::Reader),
            Access::Only(role) => Some(role),
        };
        let host = text(&head.headers, &HOST).unwrap_or_default();
        // No name leads a browser to a Unix socket.
        if caller.address != ClientAddress::Unix && !self.is_ours(host) {
            return Err(No::Host);
        }
        if !is_same_site(head, host) {
            return Err(No::Origin);
        }
        let Some(needed) = needed else { return Ok(None) };
        let role = self.identify(&head.headers, caller)?;
        if role < needed {
            return Err(No::Role);
        }
        if needed == Role::Writer && !head.headers.contains_key(FIELD) {
            return Err(No::Unmeant);
        }
        Ok(Some(role))
    }

    fn identify(&self, fields: &HeaderMap, caller: &Caller) -> Result<Role, No> {
        if caller.address == ClientAddress::Unix {
            return Ok(Role::Writer);
        }
        let certified = self.clients.as_ref().and_then(|clients| role_of(clients, &caller.names));
        let is_open = self.tokens.is_empty() && self.clients.is_none();
        let Some(address) = caller.address.ip() else { return certified.ok_or(No::Nobody) };
        // A proxy on this machine asks for somebody who may be anywhere.
        let is_proxied = PROXIED.iter().any(|name| fields.contains_key(*name));
        let is_here = address.to_canonical().is_loopback() && !is_proxied;
        match secret(fields).filter(|_| !self.tokens.is_empty()) {
            None if is_open && is_here => Ok(Role::Writer),
            None => certified.ok_or(No::Nobody),
            Some(secret) => {
                let (digest, now) = (digest(&secret), Instant::now());
                if self.failures.are_too_many(address, now) {
                    return Err(No::Often);
                }
                let role = self.role_of(&digest).max(certified);
                role.ok_or_else(|| {
                    self.failures.note(address, digest, now);
                    No::WrongToken
                })
            }
        }
    }

    /// Looks at every token in full, so that the time it takes says nothing.
    fn role_of(&self, digest: &[u8; 32]) -> Option<Role> {
        let fits = |token: &Token| token.digest.ct_eq(digest);
        let of = |role: Role| {
            let tokens = self.tokens.iter().filter(|token| token.role == role);
            bool::from(tokens.fold(Choice::from(0), |any, token| any | fits(token)))
        };
        let (reader, writer) = (of(Role::Reader), of(Role::Writer));
        writer.then_some(Role::Writer).or_else(|| reader.then_some(Role::Reader))
    }

    /// Whether `Host` means this gateway, and nobody else's name was made to mean it.
    fn is_ours(&self, host: &str) -> bool {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        is_here(host) || self.hosts.contains(&name)
    }

    fn answer(&self, no: &No, head: &Parts) -> Answer {
        let forbidden = |why: &str| Answer::refusal(Status::FORBIDDEN, why);
        // A browser asks for a password where somebody follows a link; our own page asks for itself.
        let mode = head.headers.get("sec-fetch-mode").and_then(|mode| mode.to_str().ok());
        let challenge = match mode {
            None | Some("navigate") => "Basic realm=\"Portcullis\", charset=\"UTF-8\"",
            Some(_) => "Bearer realm=\"Portcullis\"",
        };
        let ask = |why: &str| {
            Answer::refusal(Status::UNAUTHORIZED, why).with_field("www-authenticate", challenge)
        };
        match no {
            No::Host => forbidden(
                "Host has to be an IP address, localhost, the gateway's hostname or one of admin.hosts",
            ),
            No::Nobody if self.tokens.is_empty() && self.clients.is_none() => {
                forbidden("through a proxy this takes admin.tokens, or client certificates")
            }
            No::Nobody if self.tokens.is_empty() => {
                forbidden("this takes a client certificate, or the Unix socket")
            }
            No::Nobody => {
                ask("this takes a token: Authorization: Bearer TOKEN, or it as a password")
            }
            No::Often => {
                let why = "too many wrong tokens from your address: wait a minute";
                let refusal = Answer::refusal(Status::TOO_MANY_REQUESTS, why);
                refusal.with_field("retry-after", "60")
            }
            No::Origin => forbidden("this is not for pages of other sites"),
            No::Role => forbidden("readers may look only, and this is an order"),
            No::Unmeant => forbidden("who means it adds the field \"Portcullis-Request: 1\""),
            No::WrongToken => ask("this is no token"),
        }
    }
}

/// What proxies add.
const PROXIED: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

impl No {
    fn reason(&self) -> AdminRefused {
        match self {
            Self::Host => AdminRefused::Host,
            Self::Nobody => AdminRefused::Nobody,
            Self::Often => AdminRefused::Often,
            Self::Origin => AdminRefused::Origin,
            Self::Role => AdminRefused::Role,
            Self::Unmeant => AdminRefused::Unmeant,
            Self::WrongToken => AdminRefused::WrongToken,
        }
    }
}

/// What a client may do whose certificate has these names.
fn role_of(clients: &AdminClients, names: &[String]) -> Option<Role> {
    let has = |list: &[String]| names.iter().any(|name| list.contains(name));
    if has(&clients.writers) {
        return Some(Role::Writer);
    }
    let reads = match &clients.readers {
        Some(readers) => has(readers),
        None => !names.is_empty(),
    };
    reads.then_some(Role::Reader)
}

/// The token of a request: a bearer's (RFC 6750), or the password that a browser has asked for, with
/// whatever name (RFC 7617).
fn secret(fields: &HeaderMap) -> Option<Zeroizing<String>> {
    let (scheme, rest) = text(fields, &AUTHORIZATION)?.split_once(' ')?;
    let rest = rest.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Zeroizing::new(rest.to_owned()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(BASE64_STANDARD.decode(rest).ok()?);
    let (name, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Zeroizing::new(if password.is_empty() { name } else { password }.to_owned()))
}

fn digest(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether no page of another site asks. Whoever follows a link to us may look: the other page does not
/// see what comes.
fn is_same_site(head: &Parts, host: &str) -> bool {
    let fields = &head.headers;
    let origin = fields.contains_key(ORIGIN).then(|| text(fields, &ORIGIN).unwrap_or_default());
    let own = |origin: &str| {
        let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    };
    let says = |name: &str| fields.get(name).map(|value| value.to_str().unwrap_or_default());
    let site = match says("sec-fetch-site") {
        None | Some("same-origin") => true,
        Some("none") => head.method != Method::POST,
        Some(_) => {
            let linked = says("sec-fetch-mode") == Some("navigate")
                && says("sec-fetch-dest") == Some("document");
            linked && head.method == Method::GET
        }
    };
    site && origin.is_none_or(own)
}

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name)?.to_str().ok()
}

/// Whether this means a machine by itself, without DNS.
fn is_here(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
        || host.parse::<SocketAddr>().is_ok()
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Before who has a wrong token hears of it.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
