//! One certificate with its key: read from files, and what it says.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use webpki::EndEntityCert;

use super::{TlsError, x509};
use crate::config::CertificateFiles;

/// A certificate with its key, ready for use.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) facts: CertificateFacts,
}

/// What a certificate says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateFacts {
    /// Where it was read.
    pub file: PathBuf,
    /// The DNS names that it is for, in lower case; some may begin with `*.`.
    pub names: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
}

impl CertificateFacts {
    /// Whether it is for this name. A wildcard stands for one label (RFC 6125 section 6.4.3).
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        self.names(&name) || self.covers_by_wildcard(&name)
    }

    /// Whether it has this very name, given in lower case.
    pub(super) fn names(&self, name: &str) -> bool {
        self.names.iter().any(|own| own == name)
    }

    /// Whether a wildcard of it stands for this name, given in lower case.
    pub(super) fn covers_by_wildcard(&self, name: &str) -> bool {
        let Some((label, rest)) = name.split_once('.') else { return false };
        !label.is_empty() && self.names.iter().any(|own| own.strip_prefix("*.") == Some(rest))
    }
}

impl Pair {
    /// Reads a pair.
    pub(super) fn read(files: &CertificateFiles) -> Result<Self, TlsError> {
        let CertificateFiles { certificate, key, .. } = files;
        Self::of(certificate, &read(certificate)?, key, &read(key)?)
    }

    /// A pair whose PEM is there already; the names of the files are for errors.
    pub(super) fn of(
        certificate: &Path,
        certificate_pem: &[u8],
        key: &Path,
        key_pem: &[u8],
    ) -> Result<Self, TlsError> {
        let chain = chain(certificate_pem, certificate)?;
        let private_key = private_key(key_pem, key)?;
        let facts = facts(&chain, certificate)?;
        let certified = CertifiedKey::from_der(chain, private_key, &aws_lc_rs::default_provider())
            .map_err(|source| TlsError::Unusable {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
                source,
            })?;
        Ok(Self { certified: Arc::new(certified), facts })
    }
}

/// What tells that files are not those that were read. None where one cannot be looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp(Option<[FileStamp; 2]>);

/// Of one file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct FileStamp {
    device: u64,
    inode: u64,
    octets: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
}

impl Stamp {
    /// That of a pair as it is now.
    pub(super) fn of(files: &CertificateFiles) -> Self {
        let one = |file: &Path| {
            let file = fs::metadata(file).ok()?;
            Some(FileStamp {
                device: file.dev(),
                inode: file.ino(),
                octets: file.size(),
                modified: (file.mtime(), file.mtime_nsec()),
            })
        };
        Self(one(&files.certificate).zip(one(&files.key)).map(|(a, b)| [a, b]))
    }
}

/// The certificates of a PEM file.
pub(super) fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    chain(&read(file)?, file)
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    let read = fs::metadata(file).and_then(|metadata| {
        if metadata.len() > PEM_OCTETS {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read(file)
    });
    read.map_err(|source| TlsError::Read { file: file.to_owned(), source })
}

fn chain(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { file: file.to_owned(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { file: file.to_owned() });
    }
    Ok(chain)
}

fn private_key(pem: &[u8], file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoKey { file: file.to_owned() },
        source => TlsError::Pem { file: file.to_owned(), source },
    })
}

fn facts(chain: &[CertificateDer<'_>], file: &Path) -> Result<CertificateFacts, TlsError> {
    let unreadable = || TlsError::NoX509 { file: file.to_owned() };
    let first = chain.first().ok_or_else(unreadable)?;
    let certificate = EndEntityCert::try_from(first).map_err(|_| unreadable())?;
    let names = certificate.valid_dns_names().map(str::to_ascii_lowercase);
    let not_after = x509::not_after(first).ok_or_else(unreadable)?;
    Ok(CertificateFacts { file: file.to_owned(), names: names.collect(), not_after })
}

/// Larger than all authorities of the world together.
const PEM_OCTETS: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(names: &[&str]) -> CertificateFacts {
        let names = names.iter().map(ToString::to_string).collect();
        CertificateFacts { file: PathBuf::new(), names, not_after: 0 }
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let facts = facts(&["mx.example.org", "*.example.com"]);
        assert!(facts.covers("mx.example.org") && facts.covers("MX.Example.Org"));
        assert!(facts.covers("a.example.com"));
        for name in
            ["example.org", "a.mx.example.org", "example.com", "a.b.example.com", ".example.com"]
        {
            assert!(!facts.covers(name), "{name}");
        }
    }
}
