//! A certificate for a test.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A self-signed certificate for `localhost` and 127.0.0.1, in two PEM files.
#[derive(Debug)]
pub struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    /// Makes one.
    ///
    /// # Panics
    /// If the files cannot be written.
    #[must_use]
    pub fn new() -> Self {
        Self::of(&["localhost", "127.0.0.1", "gateway.example", "upstream.example"])
    }

    /// Makes one for other names.
    ///
    /// # Panics
    /// If the files cannot be written.
    #[must_use]
    pub fn of(names: &[&str]) -> Self {
        let this = Self { folder: tempfile::tempdir().expect("a folder can be made") };
        this.renew(names);
        this
    }

    /// Makes another in the same files.
    ///
    /// # Panics
    /// If the files cannot be written.
    pub fn renew(&self, names: &[&str]) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("the names are well-formed");
        fs::write(self.certificate(), made.cert.pem()).expect("the folder takes a file");
        fs::write(self.key(), made.signing_key.serialize_pem()).expect("the folder takes a file");
    }

    /// What a server with it needs for its side of TLS.
    ///
    /// # Panics
    /// If the files are not what was written.
    #[must_use]
    pub fn server_config(&self) -> ServerConfig {
        let chain = CertificateDer::pem_file_iter(self.certificate()).expect("a certificate");
        let chain = chain.collect::<Result<_, _>>().expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(self.key()).expect("a key");
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they belong together")
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}
