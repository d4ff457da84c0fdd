//! What travels through the gateway, as records tell of it.

use portcullis_smtp::Parameter;

use crate::message::{ClientAddress, Forwarded, SessionFacts, TlsFacts};
use crate::routing::By;
use crate::telemetry::{
    CertificateRecord, ClientRecord, ForwardedRecord, PeerRecord, RouteRecord, TlsRecord,
};

/// Parameters as they stand in a command.
pub(in crate::pipeline) fn words(parameters: &[Parameter]) -> Vec<String> {
    parameters.iter().filter_map(Parameter::word).collect()
}

impl From<&SessionFacts> for ClientRecord {
    fn from(session: &SessionFacts) -> Self {
        Self {
            address: session.client.host(),
            port: session.client.port(),
            name: session.client_name.clone(),
            via: session.via.map(PeerRecord::from),
        }
    }
}

impl From<ClientAddress> for PeerRecord {
    fn from(address: ClientAddress) -> Self {
        Self { address: address.host(), port: address.port() }
    }
}

impl From<&Forwarded> for ForwardedRecord {
    fn from(said: &Forwarded) -> Self {
        Self {
            name: said.name.clone(),
            address: said.address.map(|address| address.to_string()),
            port: said.port,
            protocol: said.protocol.clone(),
            helo: said.helo.clone(),
            identity: said.identity.clone(),
            source: said.source.clone(),
        }
    }
}

impl From<&TlsFacts> for TlsRecord {
    fn from(tls: &TlsFacts) -> Self {
        let known = |word: &String| (!word.is_empty()).then(|| word.clone());
        let (subject, fingerprint) = (tls.client_subject.clone(), tls.client_fingerprint.clone());
        let showed = subject.is_some() || fingerprint.is_some();
        Self {
            version: known(&tls.version),
            cipher: known(&tls.cipher),
            server_name: tls.server_name.clone(),
            at_proxy: tls.at_proxy,
            certificate: showed.then_some(CertificateRecord { subject, fingerprint }),
        }
    }
}

impl From<By<'_>> for RouteRecord {
    fn from(by: By<'_>) -> Self {
        match by {
            By::Default => Self::Default,
            By::Listener => Self::Listener,
            By::Plugin => Self::Plugin,
            By::Route(place, _, map_line) => Self::Route { number: place + 1, map_line },
        }
    }
}
