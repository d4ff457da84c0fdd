//! TLS towards clients: certificates from PEM files, who gets which, and what a handshake agreed on.

mod certificates;
mod client;
mod failure;
mod outgoing;
mod pair;
mod server;
mod x509;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_smtp::sasl::ChannelBindings;
use rustls::{ConnectionCommon, ProtocolVersion, ServerConfig, ServerConnection};
use rustls_pki_types::pem;

use crate::config::{ClientCertificates, TlsVersion};
use crate::message::TlsFacts;
use pair::Pair;

pub use certificates::{Certificates, Renewal};
pub use failure::failure;
pub use outgoing::{Believed, client_config};
pub use pair::CertificateFacts;
pub use server::server_config;

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("{} is not PEM: {source}", .file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// PEM, but no certificate in it.
    #[error("{} has no certificate", .file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// PEM, but no private key in it.
    #[error("{} has no private key", .file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// Both are there, but rustls does not take them.
    #[error("{} does not go with {}: {source}", .key.display(), .certificate.display())]
    Unusable {
        /// The file of the chain.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A certificate that cannot be read as one.
    #[error("{} has a certificate that is not X.509", .file.display())]
    NoX509 {
        /// The file.
        file: PathBuf,
    },
    /// What vouches for clients' certificates cannot do that.
    #[error("{} cannot vouch for clients: {text}", .file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        text: String,
    },
    /// The system has no authorities, or none that can be read.
    #[error("this system trusts nobody: {0}")]
    System(String),
    /// The library does not start.
    #[error("TLS cannot be set up: {0}")]
    Configure(#[source] rustls::Error),
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// What the handshake agreed on. Before its end the names are empty.
#[must_use]
pub fn facts(connection: &ServerConnection) -> TlsFacts {
    let version = connection.protocol_version();
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    TlsFacts {
        version: version.map(version_name).unwrap_or_default().to_owned(),
        cipher: cipher.unwrap_or_default().to_owned(),
        server_name: connection.server_name().map(str::to_owned),
        client_subject: certificate.map(|certificate| client::subject(certificate)),
        client_fingerprint: certificate.map(|certificate| client::fingerprint(certificate)),
        at_proxy: false,
    }
}

/// What the client's certificate may be known by, in lower case: its DNS names, and its common name.
/// Nothing of who shows none.
#[must_use]
pub fn client_names(connection: &ServerConnection) -> Vec<String> {
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    certificate.map(|certificate| client::names(certificate)).unwrap_or_default()
}

/// What SASL can bind to (RFC 5056), after the handshake; nothing under TLS 1.2.
#[must_use]
pub fn bindings<Side>(connection: &ConnectionCommon<Side>) -> Option<ChannelBindings> {
    // RFC 9266 section 4.2: with TLS 1.2 only if the extended master secret was agreed on, which
    // rustls does not tell.
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    let exporter =
        connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).ok()?;
    Some(ChannelBindings { exporter: Some(exporter), end_point: None })
}

/// A certificate that nobody vouches for, for tests and the demo.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    /// PEM. Clients that trust it can verify.
    pub certificate: String,
    /// PEM.
    pub key: String,
}

impl SelfSigned {
    /// What a listener needs to use it.
    ///
    /// # Errors
    ///
    /// If rustls does not take it.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let (certificate, key) = (Path::new("the made certificate"), Path::new("the made key"));
        let pair = Pair::of(certificate, self.certificate.as_bytes(), key, self.key.as_bytes())?;
        let certificates = Certificates::new(vec![Arc::new(pair)]);
        server_config(certificates, TlsVersion::default(), &ClientCertificates::None)
    }
}

/// Makes a certificate for these DNS names and IP addresses.
///
/// # Errors
///
/// If one of them is no DNS name.
pub fn self_signed(names: &[&str]) -> Result<SelfSigned, TlsError> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let made = rcgen::generate_simple_self_signed(names)?;
    Ok(SelfSigned { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() })
}

/// As OpenSSL writes it, which is what everyone greps for.
fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        other => other.as_str().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests;
