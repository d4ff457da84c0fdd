//! TLS towards an upstream.

use std::path::Path;
use std::sync::Arc;

use portcullis_smtp::client::StartTls;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::TlsConnector;

use crate::config::{Hop, UpstreamAddress, UpstreamTls};

use super::UpstreamError;

/// How TLS is done with one upstream.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) server_name: ServerName<'static>,
    /// Never for implicit TLS.
    pub(super) starttls: StartTls,
}

impl Tls {
    /// What the configuration asks for; none is clear text.
    pub(super) fn new(name: &str, upstream: &Hop) -> Result<Option<Self>, UpstreamError> {
        let (authority, starttls) = match &upstream.tls {
            UpstreamTls::Implicit { authority } => (Some(authority), StartTls::Never),
            UpstreamTls::None => return Ok(None),
            UpstreamTls::Opportunistic => (None, StartTls::IfOffered),
            UpstreamTls::Starttls { authority } => (Some(authority), StartTls::Required),
        };
        let UpstreamAddress::Tcp { host, .. } = &upstream.address else { return Ok(None) };
        let server_name = ServerName::try_from(host.clone())
            .map_err(|_| UpstreamError::Host { upstream: name.to_owned() })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|source| UpstreamError::Tls { upstream: name.to_owned(), source })?;
        let config = match authority {
            Some(file) => config.with_root_certificates(authorities(name, file)?),
            None => config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
        };
        let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        Ok(Some(Self { connector, server_name, starttls }))
    }

    /// Whether clear text will do where TLS fails.
    pub(super) fn is_optional(&self) -> bool {
        self.starttls == StartTls::IfOffered
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("starttls", &self.starttls).finish_non_exhaustive()
    }
}

fn authorities(name: &str, file: &Path) -> Result<RootCertStore, UpstreamError> {
    let error = |reason: String| UpstreamError::Authority {
        upstream: name.to_owned(),
        file: file.to_owned(),
        reason,
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|e| error(e.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|e| error(e.to_string()))?;
        // A store of the world's authorities always holds some that cannot be used.
        let _ = roots.add(certificate);
    }
    if roots.is_empty() {
        return Err(error("no certificate of an authority in it".to_owned()));
    }
    Ok(roots)
}

/// Takes any certificate: TLS with somebody, which keeps off those who only listen (RFC 7435).
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
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
