//! Why a handshake with a client failed, in the few words that a metric has.

use std::io;

use rustls::Error;

use crate::metrics::HandshakeFailure;

/// What an error of a handshake comes to.
#[must_use]
pub fn failure(error: &io::Error) -> HandshakeFailure {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    match (cause, error.kind()) {
        (Some(Error::PeerIncompatible(_)), _) => HandshakeFailure::Incompatible,
        (Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented), _) => {
            HandshakeFailure::ClientCertificate
        }
        (Some(Error::InvalidMessage(_)), _) => HandshakeFailure::NotTls,
        (Some(Error::AlertReceived(_)), _) => HandshakeFailure::Alert,
        (None, io::ErrorKind::TimedOut) => HandshakeFailure::Timeout,
        (
            None,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe,
        ) => HandshakeFailure::PeerLeft,
        _ => HandshakeFailure::Other,
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn each_cause_has_its_reason() {
        let tls = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        for (error, reason) in [
            (io::ErrorKind::TimedOut.into(), "timeout"),
            (io::ErrorKind::UnexpectedEof.into(), "peer-left"),
            (io::ErrorKind::ConnectionReset.into(), "peer-left"),
            (io::ErrorKind::OutOfMemory.into(), "other"),
            (tls(Error::NoCertificatesPresented), "client-certificate"),
            (tls(Error::InvalidCertificate(CertificateError::Expired)), "client-certificate"),
            (tls(Error::InvalidMessage(InvalidMessage::InvalidContentType)), "not-tls"),
            (tls(Error::AlertReceived(AlertDescription::UnknownCA)), "alert"),
            (
                tls(Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon)),
                "incompatible",
            ),
            (tls(Error::DecryptError), "other"),
        ] {
            assert_eq!(failure(&error).label(), reason, "{error}");
        }
    }
}
