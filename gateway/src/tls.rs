//! TLS towards clients: certificates from PEM files, and what a handshake agreed on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_smtp::sasl::ChannelBindings;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::message::TlsFacts;

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
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// Loads a chain and its key. Clients are not asked for certificates.
///
/// # Errors
///
/// If a file cannot be read, holds something else, or the two do not go together.
pub fn server_config(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = chain(&read(certificate)?, certificate)?;
    let private_key = private_key(&read(key)?, key)?;
    configure(chain, private_key).map_err(|source| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

/// What the handshake agreed on. Before its end the names are empty.
#[must_use]
pub fn facts(connection: &ServerConnection) -> TlsFacts {
    let version = connection.protocol_version();
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    TlsFacts {
        version: version.map(version_name).unwrap_or_default().to_owned(),
        cipher: cipher.unwrap_or_default().to_owned(),
        server_name: connection.server_name().map(str::to_owned),
        ..TlsFacts::default()
    }
}

/// What SASL can bind to (RFC 5056), after the handshake; nothing under TLS 1.2.
#[must_use]
pub fn bindings(connection: &ServerConnection) -> Option<ChannelBindings> {
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
        let chain = chain(self.certificate.as_bytes(), certificate)?;
        let private_key = private_key(self.key.as_bytes(), key)?;
        configure(chain, private_key).map_err(|source| TlsError::Unusable {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        })
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

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|source| TlsError::Read { file: file.to_owned(), source })
}

fn chain(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { file: file.to_owned(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { file: file.to_owned() });
    }
    Ok(chain)
}

fn private_key(pem: &[u8], file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoKey { file: file.to_owned() },
        source => TlsError::Pem { file: file.to_owned(), source },
    })
}

fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    // The provider is named, so that no other crate's choice of a process-wide one matters.
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
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
mod tests {
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use rustls_pki_types::ServerName;

    use super::*;

    fn write(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
        let file = directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    }

    /// Shakes hands in memory, with a client that verifies.
    fn handshake(
        made: &SelfSigned,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> TlsFacts {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(made.certificate.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("mx.example.org").unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(made.server_config().unwrap()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut octets = Vec::new();
            client.write_tls(&mut octets).unwrap();
            server.read_tls(&mut octets.as_slice()).unwrap();
            server.process_new_packets().unwrap();
            let mut octets = Vec::new();
            server.write_tls(&mut octets).unwrap();
            client.read_tls(&mut octets.as_slice()).unwrap();
            client.process_new_packets().unwrap();
        }
        facts(&server)
    }

    #[test]
    fn a_handshake_tells_version_cipher_and_name() {
        let made = self_signed(&["mx.example.org"]).unwrap();
        let facts = handshake(&made, &TLS13);
        assert_eq!(facts.version, "TLSv1.3");
        assert!(facts.cipher.starts_with("TLS13_"), "{}", facts.cipher);
        assert_eq!(facts.server_name.as_deref(), Some("mx.example.org"));
    }

    #[test]
    fn the_old_version_is_spoken_too() {
        let made = self_signed(&["mx.example.org"]).unwrap();
        assert_eq!(handshake(&made, &TLS12).version, "TLSv1.2");
    }

    #[test]
    fn chain_and_key_come_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let made = self_signed(&["mx.example.org", "127.0.0.1"]).unwrap();
        let certificate = write(&directory, "chain.pem", &made.certificate);
        let key = write(&directory, "key.pem", &made.key);
        server_config(&certificate, &key).unwrap();
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = server_config(Path::new("/nowhere/chain.pem"), Path::new("key.pem"));
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("cannot read /nowhere/chain.pem: No such file"), "{text}");
    }

    #[test]
    fn files_that_were_swapped_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let made = self_signed(&["mx.example.org"]).unwrap();
        let certificate = write(&directory, "chain.pem", &made.certificate);
        let key = write(&directory, "key.pem", &made.key);
        let text = server_config(&key, &key).unwrap_err().to_string();
        assert!(text.ends_with("key.pem has no certificate"), "{text}");
        let text = server_config(&certificate, &certificate).unwrap_err().to_string();
        assert!(text.ends_with("chain.pem has no private key"), "{text}");
    }

    #[test]
    fn a_key_of_another_certificate_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let made = self_signed(&["mx.example.org"]).unwrap();
        let other = self_signed(&["mx.example.org"]).unwrap();
        let certificate = write(&directory, "chain.pem", &made.certificate);
        let key = write(&directory, "key.pem", &other.key);
        let text = server_config(&certificate, &key).unwrap_err().to_string();
        assert!(text.contains("key.pem does not go with"), "{text}");
    }

    #[test]
    fn broken_pem_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let broken = write(&directory, "chain.pem", "-----BEGIN CERTIFICATE-----\n*\n");
        let text = server_config(&broken, &broken).unwrap_err().to_string();
        assert!(text.contains("chain.pem is not PEM"), "{text}");
    }
}
