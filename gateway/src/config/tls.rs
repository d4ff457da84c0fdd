//! TLS of a listener.

use std::path::{Path, PathBuf};

use super::mistake::Place;
use super::section::Section;

/// TLS of a listener.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    /// When TLS starts.
    pub mode: TlsMode,
    /// The first one is for clients that ask for no name, or for one that nobody here has.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
}

/// When TLS starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TlsMode {
    /// With the first octet (port 465).
    Implicit,
    /// When the client asks for it.
    Starttls,
}

/// A version of TLS that can be the oldest one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// PEM, the chain.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
    /// Where it stands in the configuration, for errors that come up later.
    pub place: Place,
}

/// Whether clients show certificates. One that is shown must be good.
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    None,
    /// They are asked and may have none.
    Optional(Authority),
    /// Without one there is no handshake.
    Required(Authority),
}

/// Whose word counts.
#[derive(Clone, Debug)]
pub struct Authority {
    /// PEM of the authorities.
    pub file: PathBuf,
    /// Where it stands in the configuration, for errors that come up later.
    pub place: Place,
}

impl ListenerTls {
    pub(super) const KEYS: &'static [&'static str] =
        &["certificate", "certificates", "client_certificates", "key", "minimum", "mode"];
    pub(super) const CERTIFICATE_KEYS: &'static [&'static str] = &["certificate", "key"];
    pub(super) const CLIENT_KEYS: &'static [&'static str] = &["authority", "mode"];

    /// A listener's TLS, if it is to have any.
    pub(super) fn read(listener: &Section<'_>) -> Option<Self> {
        listener.entry("tls")?;
        let tls = listener.section("tls", Self::KEYS);
        tls.demand("mode", "\"starttls\" (ports 25 and 587) or \"implicit\" (port 465)");
        let mode = tls.choice("mode", MODES);
        let listed = tls.list("certificates").unwrap_or_default();
        let alone = tls.entry("certificate").is_some() || tls.entry("key").is_some();
        if tls.entry("certificates").is_some() && listed.is_empty() && !alone {
            let help = "a list of {certificate: FILE, key: FILE}";
            tls.reader.error(tls.mark_of("certificates"), "there are no certificates", Some(help));
        }
        let first = (alone || tls.entry("certificates").is_none()).then(|| certificate(&tls));
        let further = listed.iter().map(|node| {
            certificate(&Section::of(tls.reader, "a certificate", node, Self::CERTIFICATE_KEYS))
        });
        // All of them are looked at before one that is wrong makes an end.
        let certificates: Vec<_> = first.into_iter().chain(further).collect();
        let certificates: Option<Vec<_>> = certificates.into_iter().collect();
        let minimum = tls.choice_or("minimum", VERSIONS, TlsVersion::default());
        let clients = clients(&tls);
        Some(Self { mode: mode?, certificates: certificates?, minimum, clients })
    }
}

/// A certificate and its key.
pub(super) fn certificate(section: &Section<'_>) -> Option<CertificateFiles> {
    let certificate =
        section.pem("certificate", "CERTIFICATE", "the PEM file of the certificate and its chain");
    let key = section.pem("key", "PRIVATE KEY", "the PEM file of the certificate's private key");
    if let Some(key) = &key {
        warn_if_readable_by_all(section, key);
    }
    let place = section.reader.place(section.mark_of("certificate"));
    Some(CertificateFiles { certificate: certificate?, key: key?, place })
}

fn clients(tls: &Section<'_>) -> ClientCertificates {
    let section = tls.section("client_certificates", ListenerTls::CLIENT_KEYS);
    if section.entry("mode").is_none() && !section.is_empty() {
        section.missing("mode", "none, optional or required");
    }
    let mode = section.choice_or("mode", CLIENT_MODES, ClientMode::None);
    if mode == ClientMode::None {
        if section.entry("mode").is_some() && section.entry("authority").is_some() {
            let text = "\"authority\" is for clients that show certificates";
            let help = "the modes \"optional\" and \"required\" ask for them";
            section.reader.error(section.mark_of("authority"), text, Some(help));
        }
        return ClientCertificates::None;
    }
    let help = "the PEM file of the authorities that made your clients' certificates";
    let Some(file) = section.pem("authority", "CERTIFICATE", help) else {
        return ClientCertificates::None;
    };
    let place = section.reader.place(section.mark_of("authority"));
    let authority = Authority { file, place };
    match mode {
        ClientMode::Optional => ClientCertificates::Optional(authority),
        ClientMode::None | ClientMode::Required => ClientCertificates::Required(authority),
    }
}

fn warn_if_readable_by_all(section: &Section<'_>, key: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let readable = key.metadata().is_ok_and(|file| file.permissions().mode() & 0o004 != 0);
    if readable {
        let text = "every user of this machine can read the private key";
        let help = format!("chmod o-rwx {}", key.display());
        section.reader.warn(section.mark_of("key"), text, Some(&help));
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum ClientMode {
    None,
    Optional,
    Required,
}

const MODES: &[(&str, TlsMode)] =
    &[("implicit", TlsMode::Implicit), ("starttls", TlsMode::Starttls)];

const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

const CLIENT_MODES: &[(&str, ClientMode)] = &[
    ("none", ClientMode::None),
    ("optional", ClientMode::Optional),
    ("required", ClientMode::Required),
];
