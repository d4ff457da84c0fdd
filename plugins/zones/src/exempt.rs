//! Who is left alone.

use std::net::IpAddr;

use portcullis_plugin::Session;
use serde::Deserialize;
use terms::Networks;

/// Clients and users who are not strangers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exempt {
    /// Networks; at first those that no public list has.
    pub clients: Networks,
    /// Whoever has logged in.
    pub authenticated: bool,
}

impl Default for Exempt {
    fn default() -> Self {
        let mut clients = Networks::default();
        for network in INSIDE {
            clients.insert(network).expect("what is written below are networks");
        }
        Self { clients, authenticated: true }
    }
}

impl Exempt {
    /// Whether this client is left alone, as far as that is known now.
    pub fn has(&self, session: &Session, client: Option<IpAddr>) -> bool {
        client.is_some_and(|client| self.clients.contain(client))
            || (self.authenticated && session.user().is_some())
    }
}

/// Loopback, private and link-local networks.
const INSIDE: [&str; 8] = [
    "127.0.0.0/8",
    "::1",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_inside_is_exempt() {
        let exempt = Exempt::default();
        for (client, inside) in [
            ("127.0.0.1", true),
            ("192.168.7.1", true),
            ("::1", true),
            ("fd00::1", true),
            ("192.0.2.1", false),
            ("2001:db8::1", false),
            ("172.32.0.1", false),
        ] {
            assert_eq!(exempt.clients.contain(client.parse().unwrap()), inside, "{client}");
        }
    }
}
