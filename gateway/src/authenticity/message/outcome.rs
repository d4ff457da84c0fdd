//! From the library's words to those of RFC 8601.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_auth::arc::ArcError;
use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::{DkimError, Signature};
use mail_auth::dmarc::Policy;
use mail_auth::{DkimOutput, DkimResult, DmarcResult, DnsError, Error};

use crate::message::Outcome;

type Explained = (Outcome, Option<String>);

/// The signatures that may count for a policy: RFC 8301 section 3.1 has one with SHA-1 fail.
pub(super) fn strong<'a>(all: &[DkimOutput<'a>]) -> Vec<DkimOutput<'a>> {
    let weak = |output: &DkimOutput<'_>| output.signature().is_some_and(is_weak);
    all.iter().filter(|output| !weak(output)).cloned().collect()
}

fn is_weak(signature: &Signature) -> bool {
    signature.a == Algorithm::RsaSha1
}

/// RFC 8601 section 2.7.1. The library calls a body that was changed neutral; it is a failure.
pub(super) fn dkim(result: &DkimResult, signature: Option<&Signature>) -> Explained {
    let weak = signature.is_some_and(is_weak);
    let (outcome, error) = match result {
        // RFC 8301 section 3.1.
        DkimResult::Pass if weak => {
            return (Outcome::Policy, Some("rsa-sha1 is not to be used any more".into()));
        }
        DkimResult::Pass => return (Outcome::Pass, None),
        DkimResult::None => return (Outcome::None, None),
        DkimResult::Neutral(error @ Error::Dkim(DkimError::FailedBodyHashMatch)) => {
            (Outcome::Fail, error)
        }
        DkimResult::Neutral(error @ Error::Dkim(DkimError::SignatureLength)) => {
            (Outcome::Policy, error)
        }
        DkimResult::Neutral(error) => (Outcome::Neutral, error),
        DkimResult::Fail(error) => (Outcome::Fail, error),
        DkimResult::PermError(error) => (Outcome::PermanentError, error),
        DkimResult::TempError(error) => (Outcome::TemporaryError, error),
    };
    (outcome, Some(reason(error)))
}

/// RFC 8617 section 5.2: a chain is there, broken, or whole.
pub(super) fn arc(result: &DkimResult) -> Explained {
    match result {
        DkimResult::Pass => (Outcome::Pass, None),
        DkimResult::None => (Outcome::None, None),
        DkimResult::TempError(error) => (Outcome::TemporaryError, Some(reason(error))),
        DkimResult::Fail(error) | DkimResult::Neutral(error) | DkimResult::PermError(error) => {
            (Outcome::Fail, Some(reason(error)))
        }
    }
}

/// RFC 7489 section 11.2.
pub(super) fn dmarc(result: &DmarcResult) -> Explained {
    match result {
        DmarcResult::Pass => (Outcome::Pass, None),
        DmarcResult::None => (Outcome::None, None),
        DmarcResult::Fail(_) => {
            let reason = "neither SPF nor a signature passes for the author's domain";
            (Outcome::Fail, Some(reason.into()))
        }
        DmarcResult::TempError(error) => (Outcome::TemporaryError, Some(reason(error))),
        DmarcResult::PermError(error) => (Outcome::PermanentError, Some(reason(error))),
    }
}

/// RFC 9989 section 4.7: a policy that is only being tried out.
pub(super) fn lowered(policy: Policy) -> Policy {
    match policy {
        Policy::Reject => Policy::Quarantine,
        Policy::Quarantine => Policy::None,
        other => other,
    }
}

pub(super) fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RsaSha1 => "rsa-sha1",
        Algorithm::RsaSha256 => "rsa-sha256",
        Algorithm::Ed25519Sha256 => "ed25519-sha256",
    }
}

/// RFC 6008: enough of a signature to tell it from others.
pub(super) fn start(signature: &[u8]) -> String {
    STANDARD.encode(signature).chars().take(8).collect()
}

pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::Dns(DnsError::RecordNotFound(_)) => "there is no key".into(),
        Error::Dns(DnsError::InvalidRecordType) => "there is no key, but something else".into(),
        Error::Dns(DnsError::Resolver(why)) if why.is_empty() => "name servers failed".into(),
        Error::Dns(DnsError::Resolver(why)) => why.clone(),
        Error::Dkim(DkimError::FailedBodyHashMatch) | Error::Arc(ArcError::FailedBodyHashMatch) => {
            "the body was changed".into()
        }
        Error::Dkim(DkimError::RevokedPublicKey) => "the key was revoked".into(),
        Error::Dkim(DkimError::SignatureExpired) | Error::Arc(ArcError::SignatureExpired) => {
            "the signature has expired".into()
        }
        Error::Dkim(DkimError::SignatureLength) | Error::Arc(ArcError::SignatureLength) => {
            "the signature covers a part of the body only".into()
        }
        Error::Crypto(_) => {
            "the signature does not fit: headers were changed, or the key is another".into()
        }
        // Our own words.
        Error::Io(why) => why.clone(),
        error => {
            let mut text = error.to_string();
            text.truncate(text.trim_end_matches('.').len());
            text.to_lowercase()
        }
    }
}
