//! Where plugins may open streams to.

use std::path::PathBuf;

use super::address;
use super::origin;
use super::section::{Reader, Text};

/// A service that is not HTTP.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Service {
    /// As it is granted, and so as plugins name it.
    pub address: String,
    /// Where that is.
    pub place: ServicePlace,
    /// Whether its name may lead to addresses that are not public.
    pub private: bool,
}

/// Where a service is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ServicePlace {
    /// In a network.
    Host {
        /// A name in small letters, or an IP address without brackets.
        host: String,
        /// Of TCP.
        port: u16,
    },
    /// On this machine: the file of its socket.
    Unix(PathBuf),
}

impl Service {
    /// Reads one; says what is wrong with it.
    pub(super) fn read(
        reader: &Reader<'_>,
        given @ Text { text, mark }: Text<'_>,
        private: bool,
    ) -> Option<Self> {
        let address = text.to_owned();
        if let Some(path) = text.strip_prefix("unix:") {
            let path = address::read_path(reader, given, path)?;
            return Some(Self { address, place: ServicePlace::Unix(path), private });
        }
        match host(text) {
            Ok((host, port, itself)) => {
                let place = ServicePlace::Host { host, port };
                // Who names an address means that address.
                Some(Self { address, place, private: private || itself })
            }
            Err(help) => {
                reader.error(mark, format!("\"{text}\" is no address of a service"), Some(&help));
                None
            }
        }
    }
}

/// Host, port, and whether the host is an address of its own.
fn host(text: &str) -> Result<(String, u16, bool), String> {
    let help = || "such as 10.0.0.7:3310, clamd.internal:3310 or unix:/run/clamav/clamd.ctl";
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(match scheme {
            "http" | "https" => format!("HTTP is a grant of its own: {{http: [\"{text}\"]}}"),
            _ => format!("it has no scheme; did you mean \"{rest}\"?"),
        });
    }
    if text.starts_with('/') {
        return Err(format!("did you mean \"unix:{text}\"?"));
    }
    let (host, port) = text
        .rsplit_once(':')
        .filter(|(_, port)| !port.contains(']'))
        .ok_or_else(|| format!("a port is missing; an address is {}", help()))?;
    let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(help)?;
    let (host, itself) = origin::host(&host.to_ascii_lowercase()).ok_or_else(help)?;
    Ok((host, port, itself))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_services_are_read() {
        for (text, expected) in [
            ("10.0.0.7:3310", ("10.0.0.7", 3310, true)),
            ("Clamd.Internal:3310", ("clamd.internal", 3310, false)),
            ("localhost:3310", ("localhost", 3310, true)),
            ("[0:0::1]:3310", ("::1", 3310, true)),
        ] {
            let (host, port, itself) = host(text).unwrap();
            assert_eq!((host.as_str(), port, itself), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_service() {
        for text in [
            "",
            "clamd.internal",
            "clamd.internal:",
            "clamd.internal:0",
            "clamd.internal:70000",
            "::1:3310:x",
            "[::1]",
            "a b:3310",
            "u@a.example:3310",
            "*.example:3310",
            "/run/clamav/clamd.ctl",
            "http://a.example:80",
            "tcp://a.example:80",
        ] {
            assert!(host(text).is_err(), "{text:?}");
        }
        assert_eq!(
            host("tcp://a.example:80").unwrap_err(),
            "it has no scheme; did you mean \"a.example:80\"?"
        );
    }
}
