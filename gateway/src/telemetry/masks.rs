//! Whose addresses are told: all of them, their domains, hashes, or none (`log.addresses`).
//!
//! It is applied where a line is written and where a record is made, so that nothing else has to think
//! of it. What is said by peers and plugins is searched for addresses: an upstream that refuses a
//! recipient likes to repeat it.

mod fields;
mod scan;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

pub(super) use fields::mask_fields;

/// What is told of addresses of mail, of clients, and of what these call themselves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Addresses {
    /// Domains and networks.
    Domain,
    /// All.
    #[default]
    Full,
    /// What is the same for the same address, and tells it to nobody who has not the key.
    Hashed,
    /// Nothing.
    None,
}

/// What stands for addresses.
#[derive(Clone)]
pub struct Masks {
    addresses: Addresses,
    key: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masks").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Default for Masks {
    fn default() -> Self {
        Self { addresses: Addresses::Full, key: Zeroizing::default() }
    }
}

impl Masks {
    /// With the key of hashes; without one, one is made that holds until the end of the process.
    #[must_use]
    pub fn new(addresses: Addresses, key: Option<&[u8]>) -> Self {
        let key = match key {
            Some(key) => Zeroizing::new(key.to_vec()),
            None => PROCESS_KEY.clone(),
        };
        Self { addresses, key }
    }

    /// Those that the log has now. What shows a session or a transaction to people asks them, too.
    #[must_use]
    pub fn current() -> Arc<Self> {
        CURRENT.load_full()
    }

    pub(super) fn become_current(self) {
        CURRENT.store(Arc::new(self));
    }

    /// Whether everything is told.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.addresses == Addresses::Full
    }

    /// An address of mail, or the name by which somebody logs in. The null path hides nobody.
    #[must_use]
    pub fn address<'a>(&self, address: &'a str) -> Cow<'a, str> {
        if address.is_empty() {
            return Cow::Borrowed("");
        }
        match (self.addresses, address.rsplit_once('@')) {
            (Addresses::Full, _) => Cow::Borrowed(address),
            (Addresses::Domain, Some((_, domain))) => format!("*@{domain}").into(),
            (Addresses::Hashed, Some((_, domain))) => {
                format!("{}@{}", self.hash(address), self.hash(domain)).into()
            }
            (Addresses::Hashed, None) => self.hash(address).into(),
            (Addresses::Domain, None) | (Addresses::None, _) => Cow::Borrowed(HIDDEN),
        }
    }

    /// The address of a client, with its port or without; `unix` and `unknown` are none.
    #[must_use]
    pub fn client<'a>(&self, client: &'a str) -> Cow<'a, str> {
        let with_port = || client.parse::<SocketAddr>().map(|address| address.ip());
        let Ok(ip) = client.parse::<IpAddr>().or_else(|_| with_port()) else {
            return Cow::Borrowed(client);
        };
        match self.addresses {
            Addresses::Full => Cow::Borrowed(client),
            Addresses::Domain => network(ip).into(),
            Addresses::Hashed => self.hash(&ip.to_string()).into(),
            Addresses::None => Cow::Borrowed(HIDDEN),
        }
    }

    /// The name of a client, as it or a proxy says it; an address in brackets is one, too.
    #[must_use]
    pub fn host<'a>(&self, name: &'a str) -> Cow<'a, str> {
        let literal = name.trim_start_matches('[').trim_end_matches(']');
        let literal = literal.strip_prefix("IPv6:").unwrap_or(literal);
        if !self.is_full() && literal.parse::<IpAddr>().is_ok() {
            return self.client(literal).into_owned().into();
        }
        match (self.addresses, name.split_once('.')) {
            (Addresses::Full, _) => Cow::Borrowed(name),
            (Addresses::Domain, Some((_, domain))) if domain.contains('.') => {
                format!("*.{domain}").into()
            }
            (Addresses::Domain, Some(_)) => Cow::Borrowed(name),
            (Addresses::Hashed, _) => self.hash(name).into(),
            (Addresses::Domain, None) | (Addresses::None, _) => Cow::Borrowed(HIDDEN),
        }
    }

    /// Words of a peer or a plugin, without the addresses of mail that are in them.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.is_full() || !text.contains('@') {
            return Cow::Borrowed(text);
        }
        scan::addresses(text, |address| self.address(address).into_owned()).into()
    }

    /// A value that may be anything, a subject for example.
    fn value(&self, value: &str) -> String {
        match self.addresses {
            Addresses::Full => value.to_owned(),
            Addresses::Hashed => self.hash(value),
            Addresses::Domain | Addresses::None => format!("({} octets)", value.len()),
        }
    }

    /// The same for the same words, whatever their case.
    fn hash(&self, words: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any key will do");
        mac.update(words.to_lowercase().as_bytes());
        mac.finalize().into_bytes().iter().take(HASH).map(|octet| format!("{octet:02x}")).collect()
    }
}

/// Where a client is, roughly: what is usual for networks of one customer.
fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, ..] = ip.segments();
            format!("{}/48", std::net::Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0))
        }
    }
}

static CURRENT: LazyLock<ArcSwap<Masks>> = LazyLock::new(ArcSwap::default);

static PROCESS_KEY: LazyLock<Zeroizing<Vec<u8>>> = LazyLock::new(|| {
    let mut key = Zeroizing::new(vec![0; 32]);
    // Without it the hashes are those of a known key, as they are for whoever knows the key file.
    let _ = getrandom::fill(&mut key);
    key
});

/// What stands for what is not told.
const HIDDEN: &str = "*";

/// Octets of a hash: enough that two of a million addresses do not meet.
const HASH: usize = 6;

#[cfg(test)]
mod tests;
