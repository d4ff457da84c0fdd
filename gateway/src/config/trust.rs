//! Which peers may speak for others.

use std::net::IpAddr;

use super::network::Network;
use super::section::Section;

/// Which peers of a listener may speak for others. By default nobody.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Who must say whose connection it is before anything else (PROXY protocol).
    pub proxy_protocol: Vec<Network>,
    /// Who may say who the client is (XCLIENT).
    pub xclient: Vec<Network>,
    /// Who may say where a message comes from (XFORWARD).
    pub xforward: Vec<Network>,
}

impl Trust {
    pub(super) const KEYS: &'static [&'static str] = &["proxy_protocol", "xclient", "xforward"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            proxy_protocol: networks(section, "proxy_protocol"),
            xclient: networks(section, "xclient"),
            xforward: networks(section, "xforward"),
        }
    }
}

/// Whether an address lies in one of these networks. Who has none lies in none.
#[must_use]
pub fn covers(networks: &[Network], address: Option<IpAddr>) -> bool {
    address.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
}

fn networks(section: &Section<'_>, key: &str) -> Vec<Network> {
    let networks = section.networks(key);
    if networks.iter().any(Network::is_everything) {
        let text = format!("everybody in the world is trusted with \"{key}\"");
        let help = "name the proxies: whoever is listed can pretend to be any client";
        section.reader.warn(section.mark_of(key), text, Some(help));
    }
    networks
}
