//! Where a client is.

use std::fmt;
use std::net::{AddrParseError, IpAddr, SocketAddr};
use std::str::FromStr;

/// Where a client is: what logs, plugins and `Received` tell of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ClientAddress {
    /// Somewhere in a network.
    Ip(SocketAddr),
    /// On this machine, at a Unix socket. Who may connect is a matter of the socket's mode.
    Unix,
    /// Nobody knows: a trusted peer speaks for a client and does not say where it is.
    Unknown,
}

impl ClientAddress {
    /// Its IP address, if it has one. An IPv4 client of an IPv6 socket is an IPv4 client.
    #[must_use]
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Unix | Self::Unknown => None,
        }
    }

    /// Its port, if it has one.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Unix | Self::Unknown => None,
        }
    }

    /// The IP address alone, `unix` or `unknown`.
    #[must_use]
    pub fn host(self) -> String {
        match self {
            Self::Ip(address) => address.ip().to_canonical().to_string(),
            Self::Unix => UNIX.to_owned(),
            Self::Unknown => UNKNOWN.to_owned(),
        }
    }
}

impl From<SocketAddr> for ClientAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl FromStr for ClientAddress {
    type Err = AddrParseError;

    /// Reads what it is shown as.
    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text {
            UNIX => Ok(Self::Unix),
            UNKNOWN => Ok(Self::Unknown),
            _ => text.parse::<SocketAddr>().map(Self::from),
        }
    }
}

impl fmt::Display for ClientAddress {
    /// `192.0.2.1:4711`, `unix` or `unknown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix => f.write_str(UNIX),
            Self::Unknown => f.write_str(UNKNOWN),
        }
    }
}

/// What stands for an address where there is none.
const UNIX: &str = "unix";
const UNKNOWN: &str = "unknown";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
        let client: ClientAddress = "[::ffff:192.0.2.1]:25".parse().expect("an address");
        assert_eq!(client.to_string(), "192.0.2.1:25");
        assert_eq!((client.host().as_str(), client.port()), ("192.0.2.1", Some(25)));
    }

    #[test]
    fn a_client_at_a_unix_socket_has_no_address_but_a_word() {
        let client: ClientAddress = "unix".parse().expect("the word");
        assert_eq!(client, ClientAddress::Unix);
        assert_eq!((client.ip(), client.port()), (None, None));
        assert_eq!((client.to_string(), client.host()), ("unix".into(), "unix".into()));
    }
}
