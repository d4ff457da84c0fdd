//! Version 2: binary, with extensions as type-length-value vectors (TLVs).

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str;

use super::checksum::crc32c;
use super::{HEADER_OCTETS, Header, HeaderError, Source, Tls};
use crate::address::is_safe;

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// So many octets are missing in a beginning that passes [`check`].
pub(super) fn missing(octets: &[u8]) -> usize {
    length(octets).unwrap_or(FIXED) - octets.len()
}

/// Nothing is waited for that will be refused.
pub(super) fn check(octets: &[u8]) -> Result<(), HeaderError> {
    let Some(command) = octets.get(12) else { return Ok(()) };
    if !matches!(*command, LOCAL | PROXY) {
        return Err(HeaderError::Malformed);
    }
    if length(octets).is_some_and(|length| length > HEADER_OCTETS) {
        return Err(HeaderError::TooLong);
    }
    Ok(())
}

/// The length of the whole header, if it can be told yet.
fn length(octets: &[u8]) -> Option<usize> {
    let length = octets.get(14..FIXED)?;
    Some(FIXED + usize::from(u16::from_be_bytes([length[0], length[1]])))
}

/// Reads a whole header.
pub(super) fn read(octets: &[u8]) -> Result<Header, HeaderError> {
    let malformed = HeaderError::Malformed;
    let (fixed, rest) = octets.split_at_checked(FIXED).ok_or(malformed)?;
    let (command, family) = (fixed[12], fixed[13]);
    if command == LOCAL {
        // "The receiver [...] must discard the protocol block including the family."
        return Ok(Header::new(Source::Proxy));
    }
    let mut reader = Reader(rest);
    let source = source(family, &mut reader).ok_or(malformed)?;
    let mut header = Header::new(source);
    let mut seen = [false; 256];
    while let Some(vector) = reader.vector()? {
        let counts = matches!(vector.kind, AUTHORITY | CRC32C | SSL | UNIQUE_ID);
        // Which of two would be meant?
        if counts && mem::replace(&mut seen[usize::from(vector.kind)], true) {
            return Err(malformed);
        }
        match vector.kind {
            AUTHORITY => header.authority = printable(vector.value),
            CRC32C => verify(octets, vector.value, reader.0.len())?,
            SSL => header.tls = tls(vector.value)?,
            UNIQUE_ID if vector.value.len() > UNIQUE_ID_OCTETS => return Err(malformed),
            UNIQUE_ID => header.unique_id = Some(vector.value.to_vec()),
            // ALPN, NOOP, NETNS, and what was not thought of yet.
            _ => {}
        }
    }
    Ok(header)
}

fn source(family: u8, reader: &mut Reader<'_>) -> Option<Source> {
    match family {
        UNSPEC => Some(Source::Unknown),
        TCP4 => addresses(reader, |reader| reader.array::<4>().map(|a| Ipv4Addr::from(a).into())),
        TCP6 => addresses(reader, |reader| reader.array::<16>().map(|a| Ipv6Addr::from(a).into())),
        UNIX_STREAM => {
            reader.take(2 * UNIX_OCTETS)?;
            Some(Source::Unknown)
        }
        // Datagrams carry no conversation; other values are reserved.
        _ => None,
    }
}

fn addresses<'a>(
    reader: &mut Reader<'a>,
    address: impl Fn(&mut Reader<'a>) -> Option<IpAddr>,
) -> Option<Source> {
    let (from, to) = (address(reader)?, address(reader)?);
    let (from_port, to_port) = (reader.array()?, reader.array()?);
    Some(Source::Client {
        from: SocketAddr::new(from, u16::from_be_bytes(from_port)),
        to: SocketAddr::new(to, u16::from_be_bytes(to_port)),
    })
}

/// Checks the sum, in whose field there were zeros when it was made; `behind` octets follow it.
fn verify(octets: &[u8], sum: &[u8], behind: usize) -> Result<(), HeaderError> {
    let sum: [u8; 4] = sum.try_into().map_err(|_| HeaderError::Malformed)?;
    let (before, behind) = octets.split_at(octets.len() - behind);
    let before = &before[..before.len() - sum.len()];
    if crc32c([before, &[0; 4], behind]) == u32::from_be_bytes(sum) {
        Ok(())
    } else {
        Err(HeaderError::Checksum)
    }
}

/// The client's TLS; none if it did without.
fn tls(value: &[u8]) -> Result<Option<Tls>, HeaderError> {
    let mut reader = Reader(value);
    let (client, verify) =
        reader.array::<1>().zip(reader.array::<4>()).ok_or(HeaderError::Malformed)?;
    let mut tls = Tls::default();
    let verified = verify == [0; 4] && client[0] & (CERTIFICATE_NOW | CERTIFICATE_EARLIER) != 0;
    while let Some(vector) = reader.vector()? {
        match vector.kind {
            SSL_VERSION => tls.version = printable(vector.value),
            SSL_CIPHER => tls.cipher = printable(vector.value),
            SSL_COMMON_NAME if verified => tls.common_name = text(vector.value),
            _ => {}
        }
    }
    Ok((client[0] & CLIENT_TLS != 0).then_some(tls))
}

/// What is no such text is the client's doing, not the proxy's; it is left out.
fn printable(octets: &[u8]) -> Option<String> {
    text(octets).filter(|text| text.bytes().all(|octet| matches!(octet, b' '..=b'~')))
}

fn text(octets: &[u8]) -> Option<String> {
    let text = str::from_utf8(octets).ok()?;
    let fine = (1..=TEXT_OCTETS).contains(&text.len()) && text.chars().all(is_safe);
    fine.then(|| text.to_owned())
}

/// What is left of a header.
struct Reader<'a>(&'a [u8]);

/// A TLV.
struct Vector<'a> {
    kind: u8,
    value: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The next vector; none at the end.
    fn vector(&mut self) -> Result<Option<Vector<'a>>, HeaderError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let vector = self.array().and_then(|[kind, high, low]| {
            let value = self.take(usize::from(u16::from_be_bytes([high, low])))?;
            Some(Vector { kind, value })
        });
        vector.map(Some).ok_or(HeaderError::Malformed)
    }
}

/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// Version 2, and the command.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Address family and transport.
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX_STREAM: u8 = 0x31;
/// Octets of a path to a Unix socket.
const UNIX_OCTETS: usize = 108;
/// Kinds of vectors.
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_COMMON_NAME: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
/// Bits of what a client did.
const CLIENT_TLS: u8 = 1;
const CERTIFICATE_NOW: u8 = 2;
const CERTIFICATE_EARLIER: u8 = 4;
/// "An opaque byte sequence of up to 128 bytes."
const UNIQUE_ID_OCTETS: usize = 128;
/// The longest name of a host; longer names of other things are of no use in a log either.
const TEXT_OCTETS: usize = 255;
