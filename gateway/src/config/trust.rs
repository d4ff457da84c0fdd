//! Which peers may speak for others.

use std::net::IpAddr;

use super::network::Network;
use super::section::Section;

/// Which peers of a listener may speak for others. By default nobody.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Who must say whose connection it is before anything else (PROXY protocol).
    pub proxy_protocol: Peers,
    /// Who may say who the client is (XCLIENT).
    pub xclient: Peers,
    /// Who may say where a message comes from (XFORWARD).
    pub xforward: Peers,
}

impl Trust {
    pub(super) const KEYS: &'static [&'static str] = &["proxy_protocol", "xclient", "xforward"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            proxy_protocol: peers(section, "proxy_protocol"),
            xclient: peers(section, "xclient"),
            xforward: peers(section, "xforward"),
        }
    }
}

/// Some peers.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    networks: Vec<Network>,
    unix: bool,
}

impl Peers {
    /// Whether an address is one of theirs.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether they have everybody who may connect to the listener's Unix socket.
    #[must_use]
    pub fn has_unix(&self) -> bool {
        self.unix
    }
}

fn peers(section: &Section<'_>, key: &str) -> Peers {
    let mut peers = Peers::default();
    for word in section.words(key).unwrap_or_default() {
        if word.text == UNIX {
            peers.unix = true;
        } else {
            peers.networks.extend(section.network(&word));
        }
    }
    if peers.networks.iter().any(Network::is_everything) {
        let text = format!("everybody in the world is trusted with \"{key}\"");
        let help = "name the proxies: whoever is listed can pretend to be any client";
        section.reader.warn(section.mark_of(key), text, Some(help));
    }
    peers
}

/// Stands for the peers of a Unix socket, which have no address.
const UNIX: &str = "unix";
