//! Networks by prefix: one look-up for each length of prefix that is in use, the longest first.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

use terms::prefix;

use crate::settings::Patterns;

/// A set of IPv4 and IPv6 networks, each with a number.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    v4: BTreeMap<u32, HashMap<u32, u32>>,
    v6: BTreeMap<u32, HashMap<u128, u32>>,
    /// Of `*`.
    everybody: Option<u32>,
}

impl Patterns for Networks {
    /// Adds an address, a network in CIDR notation, or `*`.
    fn insert(&mut self, pattern: &str, number: u32) -> Result<(), String> {
        if pattern == "*" {
            insert(&mut self.v4, 0, 0, number);
            insert(&mut self.v6, 0, 0, number);
            self.everybody.get_or_insert(number);
            return Ok(());
        }
        let (network, length) = prefix(pattern)?;
        match network {
            IpAddr::V4(network) => insert(&mut self.v4, length, network.to_bits(), number),
            IpAddr::V6(network) => insert(&mut self.v6, length, network.to_bits(), number),
        }
        Ok(())
    }
}

impl Networks {
    /// The number of the smallest network that holds this address.
    pub(crate) fn find(&self, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => {
                let bits = address.to_bits();
                find(&self.v4, |length| bits & mask4(length))
            }
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                find(&self.v6, |length| bits & mask6(length))
            }
        }
    }

    /// The number of `*`, which holds also an address that nobody knows.
    pub(crate) fn everybody(&self) -> Option<u32> {
        self.everybody
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn insert<N: Eq + Hash>(
    networks: &mut BTreeMap<u32, HashMap<N, u32>>,
    length: u32,
    network: N,
    number: u32,
) {
    networks.entry(length).or_default().entry(network).or_insert(number);
}

fn find<N: Eq + Hash>(
    networks: &BTreeMap<u32, HashMap<N, u32>>,
    network: impl Fn(u32) -> N,
) -> Option<u32> {
    networks.iter().rev().find_map(|(length, known)| known.get(&network(*length)).copied())
}

fn mask4(length: u32) -> u32 {
    u32::MAX.checked_shl(32 - length).unwrap_or_default()
}

fn mask6(length: u32) -> u128 {
    u128::MAX.checked_shl(128 - length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(patterns: &[&str]) -> Networks {
        let mut networks = Networks::default();
        for (number, pattern) in (0..).zip(patterns) {
            networks.insert(pattern, number).unwrap();
        }
        networks
    }

    #[test]
    fn the_smallest_network_is_found() {
        let networks =
            networks(&["192.0.2.0/24", "192.0.2.128/25", "192.0.2.200", "2001:db8::/32", "::1"]);
        for (address, number) in [
            ("192.0.2.1", Some(0)),
            ("192.0.2.129", Some(1)),
            ("192.0.2.200", Some(2)),
            ("192.0.3.1", None),
            ("2001:db8:1::1", Some(3)),
            ("::1", Some(4)),
            ("::2", None),
        ] {
            assert_eq!(networks.find(address.parse().unwrap()), number, "{address}");
        }
    }

    #[test]
    fn a_star_is_everybody() {
        for star in ["*", "0.0.0.0/0"] {
            assert_eq!(networks(&[star]).find("192.0.2.1".parse().unwrap()), Some(0), "{star}");
        }
        for star in ["*", "::/0"] {
            assert_eq!(networks(&[star]).find("2001:db8::1".parse().unwrap()), Some(0), "{star}");
        }
    }

    #[test]
    fn patterns_that_are_not() {
        for (pattern, mistake) in [
            ("192.0.2", "`192.0.2` is not an address or a network"),
            ("192.0.2.0/33", "the prefix of `192.0.2.0/33` is not from 0 to 32"),
            ("::/129", "the prefix of `::/129` is not from 0 to 128"),
            ("::/", "the prefix of `::/` is not from 0 to 128"),
            ("192.0.2.1/24", "`192.0.2.1/24` has bits behind its prefix; is `192.0.2.0/24` meant?"),
        ] {
            assert_eq!(Networks::default().insert(pattern, 0), Err(mistake.to_owned()));
        }
    }
}
