//! Networks as people write them: `192.0.2.0/24`, `2001:db8::/32`, or one address.

use std::fmt;
use std::net::IpAddr;

use super::section::{Section, Text};

/// A network, or a single address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Reads one; the error says what is wrong with it.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| HELP.to_owned())?;
        if address != address.to_canonical() {
            return Err("an IPv4 network is written as one, such as 192.0.2.0/24".to_owned());
        }
        let longest = width(address);
        let prefix = match prefix {
            None => longest,
            Some(prefix) => match prefix.parse() {
                Ok(prefix) if prefix <= longest && digits(text) => prefix,
                _ => return Err(format!("the part behind \"/\" is from 0 to {longest}")),
            },
        };
        let begin = first(address, prefix);
        if begin != address {
            return Err(format!("did you mean \"{begin}/{prefix}\"?"));
        }
        Ok(Self { address, prefix })
    }

    /// Whether an address lies in it. An IPv4 address in IPv6's clothes is an IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first(address, self.prefix) == self.address
    }

    /// Whether all of another network lies in it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// The network around an address, with a prefix of this length (at most all of it).
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let address = address.to_canonical();
        let prefix = prefix.min(width(address));
        Self { address: first(address, prefix), prefix }
    }

    /// Whether every address of its kind lies in it.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }

    /// Its first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Section<'_> {
    /// A list of networks; empty if it is not given.
    pub(super) fn networks(&self, key: &str) -> Vec<Network> {
        let words = self.words(key).unwrap_or_default();
        words.iter().filter_map(|word| self.network(word)).collect()
    }

    /// One of a list.
    pub(super) fn network(&self, word: &Text<'_>) -> Option<Network> {
        match Network::read(word.text) {
            Ok(network) => Some(network),
            Err(help) => {
                let text = format!("\"{}\" is no network", word.text);
                self.reader.error(word.mark, text, Some(&help));
                None
            }
        }
    }
}

/// The first address of the network around an address.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn digits(text: &str) -> bool {
    text.rsplit('/').next().is_some_and(|prefix| prefix.bytes().all(|octet| octet.is_ascii_digit()))
}

const HELP: &str = "a network is such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1";

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(network: &str, address: &str) -> bool {
        Network::read(network).expect("a network").contains(address.parse().expect("an address"))
    }

    #[test]
    fn what_lies_in_a_network() {
        assert!(holds("192.0.2.0/24", "192.0.2.255"));
        assert!(holds("192.0.2.0/24", "::ffff:192.0.2.7"));
        assert!(!holds("192.0.2.0/24", "192.0.3.0"));
        assert!(holds("192.0.2.1", "192.0.2.1"));
        assert!(!holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("0.0.0.0/0", "198.51.100.1"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(holds("::/0", "2001:db8::1"));
        assert!(!holds("::1", "::2"));
    }

    #[test]
    fn what_is_no_network() {
        for text in
            ["", "example.org", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/+8", "::/129", "1.2.3/8"]
        {
            assert!(Network::read(text).is_err(), "{text:?}");
        }
        assert_eq!(Network::read("192.0.2.1/24"), Err("did you mean \"192.0.2.0/24\"?".to_owned()));
        assert!(Network::read("::ffff:192.0.2.0/120").is_err());
    }
}
