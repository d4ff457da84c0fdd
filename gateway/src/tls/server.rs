//! How a listener speaks TLS.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::TlsError;
use super::certificates::Certificates;
use super::pair;
use crate::config::{Authority, ClientCertificates, TlsVersion};

/// How a listener speaks TLS, with these certificates.
///
/// # Errors
///
/// If the authorities of clients cannot be used.
pub fn server_config(
    certificates: Arc<Certificates>,
    minimum: TlsVersion,
    clients: &ClientCertificates,
) -> Result<Arc<ServerConfig>, TlsError> {
    // The provider is named, so that no other crate's choice of a process-wide one matters.
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[&SupportedProtocolVersion] = match minimum {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(TlsError::Configure)?;
    let verifier = verifier(clients)?;
    let asked = verifier.is_some();
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if asked {
        // A session that is resumed shows no certificate: one that has expired meanwhile would do.
        config.send_tls13_tickets = 0;
    } else {
        // What a session needs to go on is with the client, so that no client can fill memory. One
        // ticket: a client that comes with several connections at once gets one on each.
        config.ticketer = Ticketer::new().map_err(TlsError::Configure)?;
        config.send_tls13_tickets = 1;
    }
    Ok(Arc::new(config))
}

fn verifier(clients: &ClientCertificates) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let (authority, required) = match clients {
        ClientCertificates::None => return Ok(None),
        ClientCertificates::Optional(authority) => (authority, false),
        ClientCertificates::Required(authority) => (authority, true),
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(roots(authority)?.into(), provider);
    let builder = if required { builder } else { builder.allow_unauthenticated() };
    let unusable = |error: rustls::server::VerifierBuilderError| TlsError::Authority {
        file: authority.file.clone(),
        text: error.to_string(),
    };
    builder.build().map(Some).map_err(unusable)
}

fn roots(authority: &Authority) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pair::read_chain(&authority.file)? {
        roots.add(certificate).map_err(|error| TlsError::Authority {
            file: authority.file.clone(),
            text: error.to_string(),
        })?;
    }
    Ok(roots)
}
