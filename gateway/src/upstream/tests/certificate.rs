//! A certificate for tests.

use tokio_rustls::TlsAcceptor;

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
}
