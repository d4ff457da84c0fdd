//! TLS towards an upstream.

mod verifier;

use std::io;
use std::path::Path;
use std::sync::Arc;

use portcullis_smtp::client::StartTls;
use rustls::crypto::aws_lc_rs;
use rustls::{CertificateError, ClientConfig, InvalidMessage, OtherError, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::TlsConnector;

use crate::config::{Hop, TlsIdentity, UpstreamAddress, UpstreamTls, UpstreamTlsMode};

use super::UpstreamError;
use super::failure::Failure;
use verifier::{ByKey, NotPinned};

/// How TLS is done with one upstream.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    /// In place of each host's own.
    server_name: Option<ServerName<'static>>,
    /// Never for implicit TLS.
    pub(super) starttls: StartTls,
}

impl Tls {
    /// What the configuration asks for; none is clear text.
    pub(super) fn new(name: &str, upstream: &Hop) -> Result<Option<Self>, UpstreamError> {
        let tls = &upstream.tls;
        let starttls = match tls.mode {
            UpstreamTlsMode::None => return Ok(None),
            UpstreamTlsMode::Implicit => StartTls::Never,
            UpstreamTlsMode::Opportunistic => StartTls::IfOffered,
            UpstreamTlsMode::Required | UpstreamTlsMode::Starttls => StartTls::Required,
        };
        let own = |host: &str| {
            ServerName::try_from(host.to_owned())
                .map_err(|_| UpstreamError::Host { upstream: name.to_owned() })
        };
        let server_name = tls.name.as_deref().map(own).transpose()?;
        for member in &upstream.members {
            if let (UpstreamAddress::Tcp { host, .. }, None) = (&member.address, &server_name) {
                own(host)?;
            }
        }
        let connector = TlsConnector::from(Arc::new(client_config(name, tls)?));
        Ok(Some(Self { connector, server_name, starttls }))
    }

    /// The name that a certificate must have, of a host that was found by this one.
    pub(super) fn server_name(&self, host: &str) -> Result<ServerName<'static>, Failure> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        ServerName::try_from(host.to_owned())
            .map_err(|error| Failure::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))
    }

    /// Whether clear text will do where TLS fails.
    pub(super) fn is_optional(&self) -> bool {
        self.starttls == StartTls::IfOffered
    }
}

/// Why a handshake has failed, for an operator who does not know the library's words.
pub(super) fn in_words(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let cause = match cause {
        Some(rustls::Error::InvalidCertificate(cause)) => cause,
        Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            return io::Error::new(error.kind(), "what it says is not TLS");
        }
        _ => return error,
    };
    let words = match cause {
        CertificateError::UnknownIssuer => {
            "its certificate is from no authority that counts here (tls.authority)".to_owned()
        }
        CertificateError::Other(OtherError(cause)) if cause.is::<NotPinned>() => cause.to_string(),
        // What "openssl req -x509" makes; webpki says it under this name only.
        CertificateError::Other(OtherError(cause))
            if format!("{cause:?}").contains("CaUsedAsEndEntity") =>
        {
            "its certificate is that of an authority, signed by itself: pin its key (tls.pin)"
                .to_owned()
        }
        _ => return error,
    };
    io::Error::new(error.kind(), words)
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("starttls", &self.starttls).finish_non_exhaustive()
    }
}

fn client_config(name: &str, tls: &UpstreamTls) -> Result<ClientConfig, UpstreamError> {
    let error = |source| UpstreamError::Tls { upstream: name.to_owned(), source };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(error)?;
    let config = match roots(name, tls)? {
        Some(roots) if tls.pins.is_empty() => config.with_root_certificates(roots),
        roots => {
            let verifier = ByKey::new(tls.pins.clone(), roots, provider)
                .map_err(|reason| UpstreamError::Verifier { upstream: name.to_owned(), reason })?;
            config.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let Some(identity) = &tls.identity else { return Ok(config.with_no_client_auth()) };
    let (chain, key) = read_identity(name, identity)?;
    config.with_client_auth_cert(chain, key).map_err(error)
}

/// Whose certificates count; nobody's where nothing is verified, or the key alone decides.
fn roots(name: &str, tls: &UpstreamTls) -> Result<Option<RootCertStore>, UpstreamError> {
    match &tls.authority {
        Some(file) => authorities(name, file).map(Some),
        None if tls.is_verified() && tls.pins.is_empty() => system_authorities(name).map(Some),
        None => Ok(None),
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

fn system_authorities(name: &str) -> Result<RootCertStore, UpstreamError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map(ToString::to_string);
        let reason = reason.unwrap_or_else(|| "there are none".to_owned());
        return Err(UpstreamError::SystemAuthorities { upstream: name.to_owned(), reason });
    }
    Ok(roots)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_identity(name: &str, identity: &TlsIdentity) -> Result<Identity, UpstreamError> {
    let error = |file: &Path, reason: String| UpstreamError::Identity {
        upstream: name.to_owned(),
        file: file.to_owned(),
        reason,
    };
    let file = &identity.certificate;
    let chain = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|e| error(file, e.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&identity.key);
    Ok((chain, key.map_err(|e| error(&identity.key, e.to_string()))?))
}
