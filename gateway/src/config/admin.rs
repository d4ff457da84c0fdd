//! Metrics and health.

use std::net::SocketAddr;

use super::address;
use super::mistake::Place;
use super::section::Section;

/// Metrics and health.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where HTTP listens; none is no admin interface.
    pub address: Option<SocketAddr>,
    /// Where the address stands in the configuration, for errors that come up later.
    pub place: Place,
}

impl Admin {
    pub(super) const KEYS: &'static [&'static str] = &["address"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let reader = section.reader;
        let default = Some(SocketAddr::from(([127, 0, 0, 1], 9925)));
        section.by_default("address", "127.0.0.1:9925");
        let Some(given) = section.text("address") else {
            return Self { address: default, place: reader.place(section.mark) };
        };
        let place = reader.place(given.mark);
        if given.text == "none" {
            return Self { address: None, place };
        }
        let address = address::read_ip(reader, given, ADDRESS_HELP);
        if address.is_some_and(|address| !address.ip().to_canonical().is_loopback()) {
            let text = "whoever reaches this address reads the metrics: there is no password";
            let help = "listen at 127.0.0.1, or behind a firewall";
            reader.warn(given.mark, text, Some(help));
        }
        Self { address, place }
    }
}

const ADDRESS_HELP: &str = "an IP address and a port, such as 127.0.0.1:9925";
