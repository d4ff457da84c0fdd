//! Networks by prefix.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A list of addresses and networks in CIDR notation.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Networks(Vec<(IpAddr, u32)>);

impl Networks {
    /// Adds an address or a network.
    pub fn insert(&mut self, pattern: &str) -> Result<(), String> {
        self.0.push(prefix(pattern)?);
        Ok(())
    }

    /// Whether the address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|(base, length)| {
            base.is_ipv4() == address.is_ipv4() && network(address, *length) == *base
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut networks = Self::default();
        for pattern in Vec::<String>::deserialize(deserializer)? {
            networks.insert(&pattern).map_err(D::Error::custom)?;
        }
        Ok(networks)
    }
}

/// An address or a network in CIDR notation: its first address, and how many bits are the same.
pub fn prefix(pattern: &str) -> Result<(IpAddr, u32), String> {
    let (address, length) = match pattern.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (pattern, None),
    };
    let address: IpAddr =
        address.parse().map_err(|_| format!("`{pattern}` is not an address or a network"))?;
    if address.to_canonical() != address {
        // Clients are known by their IPv4 address, however they come, and this would never fit.
        let plain = address.to_canonical();
        return Err(format!("`{pattern}` is an IPv4 address in IPv6; is `{plain}` meant?"));
    }
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(bits), |length| length.parse().ok());
    let length = length
        .filter(|length| *length <= bits)
        .ok_or_else(|| format!("the prefix of `{pattern}` is not from 0 to {bits}"))?;
    let network = network(address, length);
    if network != address {
        return Err(format!(
            "`{pattern}` has bits behind its prefix; is `{network}/{length}` meant?"
        ));
    }
    Ok((network, length))
}

/// The first so many bits of an address, the others 0.
pub fn network(address: IpAddr, length: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(length)).unwrap_or_default();
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length)).unwrap_or_default();
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_networks_only() {
        let networks: Networks =
            serde_json::from_str(r#"["192.0.2.0/25", "198.51.100.7", "2001:db8::/32"]"#).unwrap();
        for (address, within) in [
            ("192.0.2.1", true),
            ("192.0.2.129", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("::ffff:192.0.2.1", false),
        ] {
            assert_eq!(networks.contain(address.parse().unwrap()), within, "{address}");
        }
        let mut all = Networks::default();
        all.insert("0.0.0.0/0").unwrap();
        assert!(all.contain("203.0.113.1".parse().unwrap()));
        assert!(!all.contain("::1".parse().unwrap()));
    }

    #[test]
    fn patterns_that_are_not() {
        for (pattern, mistake) in [
            ("192.0.2", "`192.0.2` is not an address or a network"),
            ("192.0.2.0/33", "the prefix of `192.0.2.0/33` is not from 0 to 32"),
            (
                "::ffff:192.0.2.1",
                "`::ffff:192.0.2.1` is an IPv4 address in IPv6; is `192.0.2.1` meant?",
            ),
            ("192.0.2.1/24", "`192.0.2.1/24` has bits behind its prefix; is `192.0.2.0/24` meant?"),
        ] {
            assert_eq!(Networks::default().insert(pattern), Err(mistake.to_owned()));
        }
    }
}
