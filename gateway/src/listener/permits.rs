//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::metrics::Refused;

/// Counts connections.
#[derive(Debug)]
pub struct Permits {
    all: usize,
    per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Permits {
    /// None given yet.
    #[must_use]
    pub fn new(all: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self { all, per_address, counts: Mutex::default() })
    }

    /// A permit for one connection, given back when dropped. A client without an address counts for
    /// all only.
    ///
    /// # Errors
    ///
    /// Which bound is reached.
    pub fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Permit, Refused> {
        let client = client.map(network);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.all {
            return Err(Refused::Global);
        }
        if let Some(client) = client {
            let own = counts.by_address.entry(client).or_default();
            if *own >= self.per_address {
                return Err(Refused::PerAddress);
            }
            *own += 1;
        }
        counts.all += 1;
        Ok(Permit { permits: self.clone(), client })
    }
}

/// Leave for one connection.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    client: Option<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.permits.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(client) = self.client
            && let Some(own) = counts.by_address.get_mut(&client)
        {
            *own -= 1;
            if *own == 0 {
                counts.by_address.remove(&client);
            }
        }
    }
}

/// Whom an address counts for: itself, or in IPv6 its /64, which one host can use all of.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(prefix).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_and_gives_back_what_it_took() {
        let permits = Permits::new(3, 2);
        let ip = |text: &str| Some(text.parse::<IpAddr>().expect("an address"));
        let first = permits.take(ip("192.0.2.1")).expect("one of two");
        let _second = permits.take(ip("::ffff:192.0.2.1")).expect("two of two");
        assert_eq!(permits.take(ip("192.0.2.1")).err(), Some(Refused::PerAddress));
        let _third = permits.take(ip("2001:db8::1")).expect("three of three");
        assert_eq!(permits.take(ip("192.0.2.9")).err(), Some(Refused::Global));
        drop(first);
        let _fourth = permits.take(ip("2001:db8::2")).expect("a place is free again");
        drop(_fourth);
        let _fifth = permits.take(ip("2001:db8::3")).expect("a place is free again");
        assert_eq!(permits.take(ip("2001:db8::4")).err(), Some(Refused::Global));
    }

    #[test]
    fn clients_of_unix_sockets_count_for_all_and_not_for_an_address() {
        let permits = Permits::new(3, 1);
        let _three: Vec<_> = (0..3).map(|_| permits.take(None).expect("one of three")).collect();
        assert_eq!(permits.take(None).err(), Some(Refused::Global));
    }
}
