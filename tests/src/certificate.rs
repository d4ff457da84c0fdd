//! A certificate for a test.

use std::fs;
use std::path::PathBuf;

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
        let names = ["localhost", "127.0.0.1", "gateway.example", "upstream.example"];
        let made = rcgen::generate_simple_self_signed(names.map(str::to_owned))
            .expect("the names are well-formed");
        let this = Self { folder: tempfile::tempdir().expect("a folder can be made") };
        fs::write(this.certificate(), made.cert.pem()).expect("a new folder takes a file");
        fs::write(this.key(), made.signing_key.serialize_pem()).expect("a new folder takes a file");
        this
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
