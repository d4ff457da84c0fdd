//! Where plugins may send HTTP requests to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use super::names;

/// A scheme, a host and a port (RFC 6454).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// Whether it is `https`.
    pub tls: bool,
    /// A name in small letters, or an IP address without brackets.
    pub host: String,
    /// The scheme's own, if none is given.
    pub port: u16,
    /// Whether its name may lead to addresses that are not public.
    pub private: bool,
}

impl Origin {
    /// Reads one; the error says what would be.
    pub(super) fn read(text: &str, private: bool) -> Result<Self, String> {
        let help = || {
            "an origin is such as https://filter.example.org or http://10.0.0.7:11333".to_owned()
        };
        let lower = text.to_ascii_lowercase();
        let (tls, rest) = match (lower.strip_prefix("https://"), lower.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) if !lower.contains("://") && !lower.is_empty() => {
                return Err(format!("did you mean \"https://{text}\"?"));
            }
            (None, None) => return Err(help()),
        };
        if rest.contains('@') {
            return Err("an origin has no user and no password".to_owned());
        }
        if let Some((origin, _)) = rest.split_once(['/', '?', '#']) {
            let scheme = if tls { "https" } else { "http" };
            return Err(format!("an origin has no path; did you mean \"{scheme}://{origin}\"?"));
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(help)?;
                (host, port)
            }
            _ => (rest, if tls { 443 } else { 80 }),
        };
        let (host, itself) = self::host(host).ok_or_else(help)?;
        // Who names an address means that address.
        let private = private || itself;
        Ok(Self { tls, host, port, private })
    }
}

/// A name, or an IP address without brackets; and whether it leads to no other address than it says.
pub(super) fn host(text: &str) -> Option<(String, bool)> {
    let bare = text.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok().filter(IpAddr::is_ipv4),
    };
    match address {
        Some(address) => Some((address.to_string(), true)),
        None if names::is_domain(text) => Some((text.to_owned(), text == "localhost")),
        None => None,
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read() {
        for (text, shown, private) in [
            ("https://filter.example.org", "https://filter.example.org:443", false),
            ("HTTP://Filter.Example.org:8080", "http://filter.example.org:8080", false),
            ("http://10.0.0.7", "http://10.0.0.7:80", true),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443", true),
            ("http://[::1]", "http://[::1]:80", true),
            ("http://localhost:11333", "http://localhost:11333", true),
        ] {
            let origin = Origin::read(text, false).unwrap();
            assert_eq!((origin.to_string().as_str(), origin.private), (shown, private));
        }
        assert!(Origin::read("http://rspamd.internal", true).unwrap().private);
    }

    #[test]
    fn what_is_no_origin() {
        for text in [
            "",
            "filter.example.org",
            "ftp://a.example",
            "https://",
            "https://a.example/check",
            "https://a.example/",
            "https://a.example:0",
            "https://a.example:70000",
            "https://u:p@a.example",
            "https://a b.example",
            "https://[::1",
            "https://::1",
            "https://a.example?x",
            "https://*.example.org",
        ] {
            assert!(Origin::read(text, false).is_err(), "{text:?}");
        }
    }
}
