//! A certificate for tests.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Digest;
use crate::tls::{SelfSigned, self_signed};

pub(super) struct Certificate {
    pub(super) file: tempfile::NamedTempFile,
    made: SelfSigned,
}

impl Certificate {
    /// Self-signed, and its own authority.
    pub(super) fn new(name: &str) -> Self {
        let made = self_signed(&[name]).expect("a name");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), &made.certificate).expect("written");
        Self { file, made }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.made.server_config().expect("usable"))
    }

    /// One that talks only to whoever shows the other certificate.
    pub(super) fn acceptor_for_clients_of(&self, other: &Self) -> TlsAcceptor {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(other.der()).expect("an authority");
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let key = PrivateKeyDer::from_pem_slice(self.made.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(clients.build().expect("an authority"))
            .with_single_cert(vec![self.der()], key);
        TlsAcceptor::from(Arc::new(config.expect("usable")))
    }

    /// The key in a file of its own.
    pub(super) fn key(&self) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), &self.made.key).expect("written");
        file
    }

    /// What its key is pinned by.
    pub(super) fn pin(&self) -> Digest {
        let certificate = self.der();
        let parsed = rustls::server::ParsedCertificate::try_from(&certificate).expect("X.509");
        Digest::of(&parsed.subject_public_key_info())
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.made.certificate.as_bytes()).expect("PEM")
    }
}
