//! Certificates from files, and handshakes in memory.

use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use super::*;
use crate::config::{CertificateFiles, Place};

fn read(certificate: &Path, key: &Path) -> Result<Pair, TlsError> {
    Pair::read(&CertificateFiles {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        place: Place::default(),
    })
}

fn write(directory: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let file = directory.path().join(name);
    std::fs::write(&file, text).unwrap();
    file
}

/// Shakes hands in memory, with a client that verifies.
fn handshake(made: &SelfSigned, version: &'static rustls::SupportedProtocolVersion) -> TlsFacts {
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
    read(&certificate, &key).unwrap();
}

#[test]
fn a_missing_file_is_named() {
    let error = read(Path::new("/nowhere/chain.pem"), Path::new("key.pem"));
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("cannot read /nowhere/chain.pem: No such file"), "{text}");
}

#[test]
fn files_that_were_swapped_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let made = self_signed(&["mx.example.org"]).unwrap();
    let certificate = write(&directory, "chain.pem", &made.certificate);
    let key = write(&directory, "key.pem", &made.key);
    let text = read(&key, &key).unwrap_err().to_string();
    assert!(text.ends_with("key.pem has no certificate"), "{text}");
    let text = read(&certificate, &certificate).unwrap_err().to_string();
    assert!(text.ends_with("chain.pem has no private key"), "{text}");
}

#[test]
fn a_key_of_another_certificate_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let made = self_signed(&["mx.example.org"]).unwrap();
    let other = self_signed(&["mx.example.org"]).unwrap();
    let certificate = write(&directory, "chain.pem", &made.certificate);
    let key = write(&directory, "key.pem", &other.key);
    let text = read(&certificate, &key).unwrap_err().to_string();
    assert!(text.contains("key.pem does not go with"), "{text}");
}

#[test]
fn broken_pem_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let broken = write(&directory, "chain.pem", "-----BEGIN CERTIFICATE-----\n*\n");
    let text = read(&broken, &broken).unwrap_err().to_string();
    assert!(text.contains("chain.pem is not PEM"), "{text}");
}
