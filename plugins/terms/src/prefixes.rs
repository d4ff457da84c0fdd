//! How much of an address is the network.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer};

use crate::clients::named;
use crate::network;

/// Bits of a network, with what they are where the settings do not say.
#[derive(Clone, Copy, Debug)]
pub struct Prefixes<const IPV4: u32, const IPV6: u32> {
    ipv4: u32,
    ipv6: u32,
}

impl<const IPV4: u32, const IPV6: u32> Default for Prefixes<IPV4, IPV6> {
    fn default() -> Self {
        Self { ipv4: IPV4, ipv6: IPV6 }
    }
}

impl<const IPV4: u32, const IPV6: u32> Prefixes<IPV4, IPV6> {
    /// The mistake in it, of the section of this name. Nobody means half of the world by a network.
    pub fn check(&self, section: &str) -> Result<(), String> {
        for (key, length, most) in [("ipv4", self.ipv4, 32), ("ipv6", self.ipv6, 128)] {
            if !(8..=most).contains(&length) {
                return Err(format!("{section}.{key}: {length} is not from 8 to {most}"));
            }
        }
        Ok(())
    }

    /// The network of an address, as in `192.0.2.0/24`.
    pub fn network(&self, address: IpAddr) -> String {
        let length = if address.is_ipv4() { self.ipv4 } else { self.ipv6 };
        format!("{}/{length}", network(address, length))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, deserialize_with = "named")]
    ipv4: Option<u32>,
    #[serde(default, deserialize_with = "named")]
    ipv6: Option<u32>,
}

// Serde's derive knows no constants.
impl<'de, const IPV4: u32, const IPV6: u32> Deserialize<'de> for Prefixes<IPV4, IPV6> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { ipv4, ipv6 } = Written::deserialize(deserializer)?;
        Ok(Self { ipv4: ipv4.unwrap_or(IPV4), ipv6: ipv6.unwrap_or(IPV6) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_as_usual() {
        let prefixes: Prefixes<24, 64> = serde_json::from_str(r#"{"ipv4": 16}"#).unwrap();
        assert_eq!(prefixes.network("192.0.2.1".parse().unwrap()), "192.0.0.0/16");
        assert_eq!(prefixes.network("2001:db8::1".parse().unwrap()), "2001:db8::/64");
        assert_eq!(prefixes.check("network"), Ok(()));
    }

    #[test]
    fn what_is_no_network_is_a_mistake() {
        for (json, mistake) in [
            (r#"{"ipv4": 7}"#, "network.ipv4: 7 is not from 8 to 32"),
            (r#"{"ipv6": 129}"#, "network.ipv6: 129 is not from 8 to 128"),
        ] {
            let prefixes: Prefixes<24, 48> = serde_json::from_str(json).unwrap();
            assert_eq!(prefixes.check("network"), Err(mistake.to_owned()));
        }
    }
}
