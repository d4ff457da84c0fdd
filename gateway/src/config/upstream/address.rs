//! Where upstreams listen.

use std::path::PathBuf;

use crate::config::names;
use crate::config::section::{Reader, Text};

/// Where an upstream listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum UpstreamAddress {
    /// A name or IP address, and a port.
    Tcp {
        /// Resolved at each connect.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(PathBuf),
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
