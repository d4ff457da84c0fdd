//! The PROXY protocol: a header in which a trusted proxy says who the client is (versions 1 and 2
//! of HAProxy's proxy-protocol.txt).
//!
//! It comes before anything else on a connection, TLS included. A [`Parser`] takes the octets as
//! they come and never one beyond the header's end, so that what follows is still whole.

mod checksum;
mod v1;
mod v2;

use std::net::SocketAddr;

/// What a proxy says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// Who the client is.
    pub source: Source,
    /// The name that the client wanted to reach (SNI). Printable ASCII.
    pub authority: Option<String>,
    /// The client's TLS, which ended at the proxy.
    pub tls: Option<Tls>,
    /// How the proxy calls this connection: up to 128 octets of any kind.
    pub unique_id: Option<Vec<u8>>,
}

impl Header {
    fn new(source: Source) -> Self {
        Self { source, authority: None, tls: None, unique_id: None }
    }
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// The proxy's own, for example to see whether the server is well (LOCAL).
    Proxy,
    /// A client's, and nobody says which (UNKNOWN, UNSPEC), or it has no address (a Unix socket).
    Unknown,
    /// A client's. Addresses as the proxy wrote them.
    Client {
        /// The client.
        from: SocketAddr,
        /// What it has connected to.
        to: SocketAddr,
    },
}

/// TLS between a client and the proxy.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tls {
    /// As the proxy calls it, for example `TLSv1.3`. Printable ASCII.
    pub version: Option<String>,
    /// As the proxy calls it, for example `TLS_AES_256_GCM_SHA384`. Printable ASCII.
    pub cipher: Option<String>,
    /// The common name of the client's certificate, if the proxy has verified it. Nothing that
    /// would spoil a line of a log.
    pub common_name: Option<String>,
}

/// Why octets are no header. The proxy's fault, or that of whoever sits in its place; there is
/// nothing to answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// The checksum is another one.
    #[error("the header's checksum is wrong")]
    Checksum,
    /// It begins like a header and does not go on like one.
    #[error("malformed header")]
    Malformed,
    /// It does not begin like a header of either version.
    #[error("no header")]
    Missing,
    /// Longer than version 1 can be, or than [`HEADER_OCTETS`].
    #[error("header too long")]
    TooLong,
}

/// What became of some octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// So many of them belong to the header. The others do not.
    pub used: usize,
    /// The header, when it is complete.
    pub header: Option<Header>,
}

/// Reads one header.
#[derive(Debug, Default)]
pub struct Parser {
    octets: Vec<u8>,
}

impl Parser {
    /// One that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// At least so many octets are missing. Whoever reads no more at a time never reads what
    /// follows the header.
    #[must_use]
    pub fn wants(&self) -> usize {
        let octets = &self.octets[..];
        match Version::of(octets) {
            Some(Version::One) => v1::missing(octets),
            Some(Version::Two) => v2::missing(octets),
            None => 0,
        }
    }

    /// Takes octets, as far as they belong to the header.
    ///
    /// # Errors
    ///
    /// At the first octet that no header has there.
    pub fn receive(&mut self, octets: &[u8]) -> Result<Received, HeaderError> {
        let mut used = 0;
        loop {
            let wanted = self.wants();
            if wanted == 0 {
                let header = self.header()?;
                return Ok(Received { used, header: Some(header) });
            }
            let rest = &octets[used..];
            if rest.is_empty() {
                return Ok(Received { used, header: None });
            }
            let piece = &rest[..wanted.min(rest.len())];
            self.octets.extend_from_slice(piece);
            used += piece.len();
            self.check()?;
        }
    }

    /// Whether it may still become a header.
    fn check(&self) -> Result<(), HeaderError> {
        match Version::of(&self.octets) {
            Some(Version::One) => v1::check(&self.octets),
            Some(Version::Two) => v2::check(&self.octets),
            None => Err(HeaderError::Missing),
        }
    }

    fn header(&self) -> Result<Header, HeaderError> {
        match Version::of(&self.octets) {
            Some(Version::One) => v1::read(&self.octets),
            Some(Version::Two) => v2::read(&self.octets),
            None => Err(HeaderError::Missing),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// What the beginning of a header makes likely.
    fn of(octets: &[u8]) -> Option<Self> {
        let begins = |signature: &[u8]| {
            let common = signature.len().min(octets.len());
            signature[..common] == octets[..common]
        };
        if begins(v1::SIGNATURE) {
            Some(Self::One)
        } else if begins(v2::SIGNATURE) {
            Some(Self::Two)
        } else {
            None
        }
    }
}

/// The longest header that is read. Addresses need 52 octets and all TLVs that are known together
/// less than a thousand; a certificate's name may be long.
pub const HEADER_OCTETS: usize = 4096;

#[cfg(test)]
mod tests;
