//! Version 1: a line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::{self, FromStr};

use super::{Header, HeaderError, Source};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// At least so many octets are missing in a beginning that passes [`check`].
pub(super) fn missing(octets: &[u8]) -> usize {
    let shortest = if octets.starts_with(b"PROXY TCP") { SHORTEST_TCP } else { SHORTEST };
    match octets {
        [.., b'\r', b'\n'] => 0,
        [.., b'\r'] => 1,
        _ if octets.len() < shortest => shortest - octets.len(),
        _ if octets.len() + 2 > LONGEST => 1,
        _ => 2,
    }
}

/// CR and LF stand at the end and nowhere else, and the end comes.
pub(super) fn check(octets: &[u8]) -> Result<(), HeaderError> {
    let end = octets.iter().position(|octet| matches!(octet, b'\r' | b'\n'));
    match end.map(|at| &octets[at..]) {
        Some(b"\r\n") if octets.len() <= LONGEST => Ok(()),
        Some(b"\r") | None if octets.len() < LONGEST => Ok(()),
        Some(b"\r\n" | b"\r") | None => Err(HeaderError::TooLong),
        Some(_) => Err(HeaderError::Malformed),
    }
}

/// Reads a whole line.
pub(super) fn read(octets: &[u8]) -> Result<Header, HeaderError> {
    let line = octets.strip_suffix(b"\r\n").and_then(|line| line.strip_prefix(SIGNATURE));
    let line = line.and_then(|line| str::from_utf8(line).ok());
    let source = line.and_then(source).ok_or(HeaderError::Malformed)?;
    Ok(Header::new(source))
}

fn source(line: &str) -> Option<Source> {
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    match family {
        "TCP4" => addresses::<Ipv4Addr>(rest),
        "TCP6" => addresses::<Ipv6Addr>(rest),
        // "The receiver must ignore anything presented before the CRLF is found."
        "UNKNOWN" => Some(Source::Unknown),
        _ => None,
    }
}

/// Source address, destination address, source port, destination port, with one space between.
fn addresses<A: FromStr + Into<IpAddr>>(text: &str) -> Option<Source> {
    let mut words = text.split(' ');
    let mut address = || words.next()?.parse::<A>().ok();
    let (from, to) = (address()?, address()?);
    let mut port = || port(words.next()?);
    let (from, to) = (SocketAddr::new(from.into(), port()?), SocketAddr::new(to.into(), port()?));
    words.next().is_none().then_some(Source::Client { from, to })
}

/// Decimal, "without leading zeroes".
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    if digits && plain { text.parse().ok() } else { None }
}

/// "A 108-byte buffer is always enough to store all the line and a trailing zero."
const LONGEST: usize = 107;
/// `PROXY UNKNOWN` with its CRLF; version 2 has 16.
const SHORTEST: usize = 15;
/// `PROXY TCP6 :: :: 0 0` with its CRLF.
const SHORTEST_TCP: usize = 22;
