//! How we speak TLS to another gateway's admin interface, or our own.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{TlsError, pair};

/// Whose certificates count.
#[derive(Clone, Copy, Debug)]
pub enum Believed<'a> {
    /// Those that authorities in this PEM file vouch for.
    Authority(&'a Path),
    /// The very certificate that is in this PEM file, whatever it says of names and dates.
    Same(&'a Path),
    /// Those that the system trusts.
    System,
}

/// How to speak TLS to who is believed so.
///
/// # Errors
///
/// If what is to be believed cannot be read.
pub fn client_config(believed: Believed<'_>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Configure)?;
    let builder = match believed {
        Believed::Authority(file) => builder.with_root_certificates(authorities(file)?),
        Believed::System => builder.with_root_certificates(system()?),
        Believed::Same(file) => {
            let certificate = pair::read_chain(file)?.swap_remove(0);
            let algorithms = provider.signature_verification_algorithms;
            let same = Arc::new(Same { certificate, algorithms });
            builder.dangerous().with_custom_certificate_verifier(same)
        }
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let (_, unusable) = roots.add_parsable_certificates(pair::read_chain(file)?);
    match roots.is_empty() {
        false => Ok(roots),
        true => Err(TlsError::Authority {
            file: file.to_owned(),
            text: format!("{unusable} certificates that are no authority's"),
        }),
    }
}

fn system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    match (roots.is_empty(), found.errors.first()) {
        (false, _) => Ok(roots),
        (true, Some(error)) => Err(TlsError::System(error.to_string())),
        (true, None) => Err(TlsError::System("no certificates of authorities".to_owned())),
    }
}

/// Takes one certificate and no other.
#[derive(Debug)]
struct Same {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Same {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *shown == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
