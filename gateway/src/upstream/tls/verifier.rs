//! Certificates by other rules than the world's authorities.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::config::Digest;

/// Takes a certificate by its key: whoever has that is the upstream, whatever else the certificate
/// says. With authorities, what they say counts, too. With neither it takes any certificate: TLS with
/// somebody, which keeps off those who only listen (RFC 7435).
pub(super) struct ByKey {
    pins: Vec<Digest>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ByKey {
    pub(super) fn new(
        pins: Vec<Digest>,
        roots: Option<RootCertStore>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let verifier = |roots: RootCertStore| {
            WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build()
        };
        let authorities = roots.map(verifier).transpose().map_err(|error| error.to_string())?;
        Ok(Self { pins, authorities, provider })
    }
}

impl fmt::Debug for ByKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByKey").field("pins", &self.pins).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for ByKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.pins.is_empty() {
            let key = key(certificate)?;
            if !self.pins.contains(&key) {
                let error = CertificateError::Other(OtherError(Arc::new(NotPinned(key))));
                return Err(rustls::Error::InvalidCertificate(error));
            }
        }
        match &self.authorities {
            Some(verifier) => {
                verifier.verify_server_cert(certificate, intermediates, name, ocsp, now)
            }
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The upstream has another key than those that it may have.
#[derive(Debug, thiserror::Error)]
#[error("its key, {0}, is none of those that are pinned")]
pub(super) struct NotPinned(Digest);

/// The digest by which a certificate's key is pinned.
fn key(certificate: &CertificateDer<'_>) -> Result<Digest, rustls::Error> {
    let certificate = ParsedCertificate::try_from(certificate)?;
    Ok(Digest::of(&certificate.subject_public_key_info()))
}
