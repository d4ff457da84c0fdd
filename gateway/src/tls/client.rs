//! What a client's certificate says of the client.

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use webpki::EndEntityCert;

use super::x509;

/// Its subject as RFC 4514 writes it, such as `CN=ann,O=Example`; empty where it has none.
pub(super) fn subject(certificate: &CertificateDer<'_>) -> String {
    let mut subject = x509::subject(certificate).unwrap_or_default();
    let end = subject.floor_char_boundary(SUBJECT_OCTETS);
    subject.truncate(end);
    subject
}

/// What it may be known by, in lower case: its DNS names, and its common name.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let parsed = EndEntityCert::try_from(certificate);
    let dns = parsed.iter().flat_map(|parsed| parsed.valid_dns_names()).map(str::to_owned);
    dns.chain(x509::common_name(certificate)).map(|name| name.to_lowercase()).collect()
}

/// Its SHA-256 fingerprint, in lower-case hexadecimal.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    Sha256::digest(certificate).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Longer than any that is made by hand; it is in each record of the client's transactions.
const SUBJECT_OCTETS: usize = 512;
