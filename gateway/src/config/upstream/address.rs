//! Where upstreams listen.

use std::fmt;
use std::path::PathBuf;

use crate::config::names;
use crate::config::section::{Reader, Text};

/// Where an upstream listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UpstreamAddress {
    /// A name or IP address, and a port.
    Tcp {
        /// Resolved anew every few seconds.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
    /// The mail exchangers of a domain (RFC 5321 section 5.1).
    Mx {
        /// The domain.
        domain: String,
        /// The port of all of them.
        port: u16,
    },
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Mx { domain, port } => write!(f, "mx:{domain}:{port}"),
        }
    }
}

impl UpstreamAddress {
    /// Reads `host:port`, `[v6]:port` or `unix:path`.
    pub(super) fn read(reader: &Reader<'_>, Text { text, mark }: Text<'_>) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                reader.error(mark, format!("\"{text}\" is no address"), Some(HELP));
                return None;
            }
            return Some(Self::Unix(reader.path(path)));
        }
        let parsed = text.rsplit_once(':').and_then(|(host, port)| {
            let port = port.parse().ok().filter(|port| *port > 0)?;
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            match bare {
                Some(bare) => {
                    bare.parse::<std::net::Ipv6Addr>().ok().map(|ip| (ip.to_string(), port))
                }
                None => (names::is_domain(host) || is_ipv4(host)).then(|| (host.to_owned(), port)),
            }
        });
        if let Some((host, port)) = parsed {
            return Some(Self::Tcp { host, port });
        }
        let help = if text.starts_with('/') {
            format!("did you mean \"unix:{text}\"?")
        } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
            format!("did you mean \"[{text}]:25\"?")
        } else if names::is_domain(text) || is_ipv4(text) {
            format!("did you mean \"{text}:25\"?")
        } else {
            HELP.to_owned()
        };
        reader.error(mark, format!("\"{text}\" is no address"), Some(&help));
        None
    }
}

fn is_ipv4(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

pub(super) const HELP: &str = "a host and a port, such as mail.example.org:25, [::1]:25 or 192.0.2.1:25, or a Unix socket, \
     such as unix:/run/dovecot/lmtp";
