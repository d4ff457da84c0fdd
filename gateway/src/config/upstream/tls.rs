//! TLS to upstreams.

use std::path::PathBuf;

use rustls_pki_types::ServerName;

use crate::config::Digest;
use crate::config::reading::Shape;
use crate::config::section::{Section, Text};
use crate::config::tree::Value;

/// TLS to an upstream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UpstreamTls {
    /// When.
    pub mode: UpstreamTlsMode,
    /// The name that the certificate must have, and that is asked for; without it the host.
    pub name: Option<String>,
    /// PEM of the authorities; without it those that the system trusts.
    pub authority: Option<PathBuf>,
    /// Keys of which the upstream must have one: the SHA-256 of their `SubjectPublicKeyInfo`.
    pub pins: Vec<Digest>,
    /// What the gateway shows of itself.
    pub identity: Option<TlsIdentity>,
}

/// When there is TLS to an upstream, and whether its certificate counts.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UpstreamTlsMode {
    /// From the first octet, verified.
    Implicit,
    /// Never.
    #[default]
    None,
    /// STARTTLS where it is offered, certificate not verified: better than clear text, no more.
    Opportunistic,
    /// STARTTLS, certificate not verified; without it no mail.
    Required,
    /// STARTTLS, verified; without it no mail.
    Starttls,
}

/// A certificate of the gateway, for upstreams that ask for one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsIdentity {
    /// PEM of the chain.
    pub certificate: PathBuf,
    /// PEM of its key.
    pub key: PathBuf,
}

impl UpstreamTls {
    pub(super) const KEYS: &'static [&'static str] =
        &["authority", "certificate", "key", "mode", "name", "pin"];

    /// Whether everything goes in clear text.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.mode == UpstreamTlsMode::None
    }

    /// Whether there is mail only for whom the certificate proves.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        matches!(self.mode, UpstreamTlsMode::Implicit | UpstreamTlsMode::Starttls)
    }

    /// Whether files lie behind it, the system's included, which may change under the same name.
    #[must_use]
    pub fn reads_files(&self) -> bool {
        self.identity.is_some()
            || self.authority.is_some()
            || self.is_verified() && self.pins.is_empty()
    }

    pub(super) fn read(section: &Section<'_>) -> Self {
        let tls = section.section("tls", Self::KEYS);
        if tls.entry("mode").is_none() && !tls.is_empty() {
            tls.missing("mode", "none, opportunistic, required, starttls or implicit");
        }
        tls.by_default("mode", "none");
        let mode = tls.choice("mode", MODES);
        let read = Self {
            mode: mode.unwrap_or_default(),
            name: name(&tls),
            authority: tls
                .entry("authority")
                .and_then(|_| tls.pem("authority", "CERTIFICATE", AUTHORITY_HELP)),
            pins: pins(&tls),
            identity: identity(&tls),
        };
        if mode.is_some() {
            read.check(&tls);
        }
        read
    }

    /// What is given and would do nothing was meant for something.
    fn check(&self, tls: &Section<'_>) {
        let given =
            |keys: &[&'static str]| keys.iter().copied().find(|key| tls.entry(key).is_some());
        if let Some(key) = given(&["authority", "pin"]).filter(|_| !self.is_verified()) {
            let text = format!("\"{key}\" is for verified TLS only");
            let help = "\"starttls\" and \"implicit\" verify the upstream's certificate";
            tls.reader.error(tls.mark_of(key), text, Some(help));
        } else if let Some(key) = given(&["certificate", "key", "name"]).filter(|_| self.is_off()) {
            let text = format!("\"{key}\" is nothing to clear text");
            tls.reader.error(
                tls.mark_of(key),
                text,
                Some("choose another \"mode\", or leave it out"),
            );
        }
    }
}

fn name(tls: &Section<'_>) -> Option<String> {
    let Text { text, mark } = tls.text("name")?;
    if ServerName::try_from(text).is_err() {
        let text = format!("\"{text}\" is no name that a certificate could have");
        tls.reader.error(mark, text, Some("a domain such as mx.example.org, or an IP address"));
        return None;
    }
    Some(text.to_owned())
}

fn identity(tls: &Section<'_>) -> Option<TlsIdentity> {
    if tls.entry("certificate").is_none() && tls.entry("key").is_none() {
        return None;
    }
    let certificate = tls.pem("certificate", "CERTIFICATE", "the PEM file of the chain");
    let key = tls.pem("key", "PRIVATE KEY", "the PEM file of the certificate's key");
    Some(TlsIdentity { certificate: certificate?, key: key? })
}

/// One pin, or a list of them.
fn pins(tls: &Section<'_>) -> Vec<Digest> {
    tls.shaped("pin", Shape::OneOrList);
    let words = match tls.entry("pin") {
        None => return Vec::new(),
        Some(entry) if matches!(entry.node.value, Value::Sequence(_)) => {
            tls.words("pin").unwrap_or_default()
        }
        Some(_) => tls.text("pin").into_iter().collect(),
    };
    if words.is_empty() {
        tls.reader.error(tls.mark_of("pin"), "no key is good enough", Some(PIN_HELP));
    }
    let pin = |Text { text, mark }: Text<'_>| {
        let pin = Digest::from_hex_or_base64(text);
        if pin.is_none() {
            let text = format!("\"{text}\" is no SHA-256 of a public key");
            tls.reader.error(mark, text, Some(PIN_HELP));
        }
        pin
    };
    words.into_iter().filter_map(pin).collect()
}

const MODES: &[(&str, UpstreamTlsMode)] = &[
    ("implicit", UpstreamTlsMode::Implicit),
    ("none", UpstreamTlsMode::None),
    ("opportunistic", UpstreamTlsMode::Opportunistic),
    ("required", UpstreamTlsMode::Required),
    ("starttls", UpstreamTlsMode::Starttls),
];

const AUTHORITY_HELP: &str = "the PEM file of the authorities whose certificates are trusted; without it those that the \
     system trusts";

const PIN_HELP: &str = "openssl x509 -in certificate.pem -pubkey -noout | openssl pkey -pubin -outform DER | \
     openssl dgst -sha256 -binary | base64";
