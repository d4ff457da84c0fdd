//! How many connections there may be: in all, from one address, from one network, and how often.

mod rates;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::config::{Limits, Network};
use crate::metrics::Refused;
use rates::{Bucket, Buckets, Rate};

/// Counts connections.
#[derive(Debug)]
pub struct Permits(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    bounds: Bounds,
    all: usize,
    /// An IPv6 client counts for its /64, of which one host can use every address.
    by_address: HashMap<Network, usize>,
    by_network: HashMap<Network, usize>,
    rate: Bucket,
    rate_by_address: Buckets<Network>,
}

/// How many there may be. A reload brings others, for those who come then.
#[derive(Debug)]
struct Bounds {
    all: usize,
    per_address: usize,
    per_network: usize,
    exempt: Vec<Network>,
}

impl Bounds {
    fn of(limits: &Limits) -> Self {
        Self {
            all: limits.connections,
            per_address: limits.connections_per_address,
            per_network: limits.connections_per_network,
            exempt: limits.exempt.clone(),
        }
    }
}

impl Permits {
    /// None given yet.
    #[must_use]
    pub fn new(limits: &Limits) -> Arc<Self> {
        let rate_per_address = Rate::new(limits.connection_rate_per_address);
        Arc::new(Self(Mutex::new(Counts {
            bounds: Bounds::of(limits),
            all: 0,
            by_address: HashMap::new(),
            by_network: HashMap::new(),
            rate: Bucket::new(Rate::new(limits.connection_rate)),
            rate_by_address: Buckets::new(rate_per_address, ADDRESSES),
        })))
    }

    /// Sets other bounds. Who is here stays, also where there are too many now.
    pub fn bound(&self, limits: &Limits) {
        let mut counts = self.counts();
        counts.bounds = Bounds::of(limits);
        counts.rate.set(Rate::new(limits.connection_rate));
        counts.rate_by_address.set(Rate::new(limits.connection_rate_per_address));
    }

    /// A permit for one connection, given back when dropped. A client without an address counts for
    /// all only.
    ///
    /// # Errors
    ///
    /// Which bound is reached.
    pub fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Permit, Refused> {
        let mut permit = self.enter()?;
        if let Some(client) = client {
            permit.admit(client)?;
        }
        Ok(permit)
    }

    /// A permit for one connection of somebody who is not known yet (behind a proxy). To be
    /// followed by [`Permit::admit`].
    ///
    /// # Errors
    ///
    /// Which bound is reached.
    pub fn enter(self: &Arc<Self>) -> Result<Permit, Refused> {
        let mut counts = self.counts();
        if counts.all >= counts.bounds.all {
            return Err(Refused::Global);
        }
        if !counts.rate.take(Instant::now()) {
            return Err(Refused::Rate);
        }
        counts.all += 1;
        Ok(Permit { permits: self.clone(), client: None })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave for one connection.
#[derive(Debug)]
pub struct Permit {
    permits: Arc<Permits>,
    client: Option<IpAddr>,
}

impl Permit {
    /// Says whose connection it is; it counts for that address from now on.
    ///
    /// # Errors
    ///
    /// Which bound is reached. The permit is then worth as much as before.
    pub fn admit(&mut self, client: IpAddr) -> Result<(), Refused> {
        self.leave();
        let (host, network) = (host(client), neighbours(client));
        let mut counts = self.permits.counts();
        if counts.bounds.exempt.iter().any(|network| network.contains(client)) {
            return Ok(());
        }
        // Whoever is turned away has come, too: else a flood would cost its sender nothing.
        if !counts.rate_by_address.take(host, Instant::now()) {
            return Err(Refused::RatePerAddress);
        }
        if count(&counts.by_address, host) >= counts.bounds.per_address {
            return Err(Refused::PerAddress);
        }
        if count(&counts.by_network, network) >= counts.bounds.per_network {
            return Err(Refused::PerNetwork);
        }
        *counts.by_address.entry(host).or_default() += 1;
        *counts.by_network.entry(network).or_default() += 1;
        self.client = Some(client);
        Ok(())
    }

    /// Counts for no address any more.
    fn leave(&mut self) {
        let Some(client) = self.client.take() else { return };
        let mut counts = self.permits.counts();
        give_back(&mut counts.by_address, host(client));
        give_back(&mut counts.by_network, neighbours(client));
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.leave();
        self.permits.counts().all -= 1;
    }
}

fn count<K: Eq + Hash>(counts: &HashMap<K, usize>, key: K) -> usize {
    counts.get(&key).copied().unwrap_or_default()
}

fn give_back<K: Copy + Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

/// Whom an address counts for: itself, or in IPv6 its /64.
fn host(client: IpAddr) -> Network {
    Network::around(client, if client.to_canonical().is_ipv4() { 32 } else { 64 })
}

/// What is usually one owner's: a /24, or in IPv6 a /48.
fn neighbours(client: IpAddr) -> Network {
    Network::around(client, if client.to_canonical().is_ipv4() { 24 } else { 48 })
}

/// Addresses whose rate is known at a time: some megabytes, and more than honestly come in a second.
const ADDRESSES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn one_address_cannot_take_all_and_gives_back_what_it_took() {
        let limits = Limits { connections: 3, connections_per_address: 2, ..Limits::default() };
        let permits = Permits::new(&limits);
        let first = permits.take(ip("192.0.2.1")).expect("one of two");
        let _second = permits.take(ip("::ffff:192.0.2.1")).expect("two of two");
        assert_eq!(permits.take(ip("192.0.2.1")).err(), Some(Refused::PerAddress));
        let _third = permits.take(ip("2001:db8::1")).expect("three of three");
        assert_eq!(permits.take(ip("192.0.2.9")).err(), Some(Refused::Global));
        drop(first);
        let fourth = permits.take(ip("2001:db8::2")).expect("a place is free again");
        drop(fourth);
        let _fifth = permits.take(None).expect("a place is free again");
        assert_eq!(permits.take(None).err(), Some(Refused::Global));
    }

    #[test]
    fn an_ipv6_host_counts_for_its_64_and_neighbours_count_together() {
        let limits =
            Limits { connections_per_address: 2, connections_per_network: 3, ..Limits::default() };
        let permits = Permits::new(&limits);
        let mut held = Vec::new();
        let mut take = |address| permits.take(ip(address)).map(|permit| held.push(permit)).err();
        assert_eq!(take("2001:db8::1"), None);
        assert_eq!(take("2001:db8::2"), None);
        assert_eq!(take("2001:db8::3"), Some(Refused::PerAddress));
        assert_eq!(take("2001:db8:0:1::1"), None);
        assert_eq!(take("2001:db8:0:2::1"), Some(Refused::PerNetwork));
        assert_eq!(take("2001:db8:1::1"), None);
        assert_eq!(take("192.0.2.1"), None);
        assert_eq!(take("192.0.2.2"), None);
        assert_eq!(take("192.0.2.3"), None);
        assert_eq!(take("192.0.2.4"), Some(Refused::PerNetwork));
        assert_eq!(take("192.0.3.4"), None);
        held.clear();
        let counts = permits.counts();
        assert_eq!((counts.all, counts.by_address.len(), counts.by_network.len()), (0, 0, 0));
    }

    #[test]
    fn who_connects_too_often_is_turned_away_and_who_is_exempt_is_not() {
        let limits = Limits {
            connection_rate_per_address: 2,
            exempt: vec![Network::around([127, 0, 0, 1].into(), 8)],
            connections_per_address: 1,
            ..Limits::default()
        };
        let permits = Permits::new(&limits);
        drop(permits.take(ip("192.0.2.1")).expect("one"));
        drop(permits.take(ip("192.0.2.1")).expect("two"));
        assert_eq!(permits.take(ip("192.0.2.1")).err(), Some(Refused::RatePerAddress));
        drop(permits.take(ip("192.0.2.2")).expect("somebody else"));
        let held: Vec<_> = (0..20).map(|_| permits.take(ip("127.0.0.9"))).collect();
        assert!(held.iter().all(Result::is_ok));
        drop(held);
        assert_eq!(permits.counts().all, 0);
    }

    #[test]
    fn too_many_connections_a_second_are_too_many_whoever_makes_them() {
        let limits = Limits { connection_rate: 3, ..Limits::default() };
        let permits = Permits::new(&limits);
        for host in 1..=3 {
            drop(permits.take(Some([192, 0, 2, host].into())).expect("within the rate"));
        }
        assert_eq!(permits.take(ip("192.0.2.9")).err(), Some(Refused::Rate));
    }

    #[test]
    fn other_bounds_are_for_those_who_come_then() {
        let limits = |connections, per_address| Limits {
            connections,
            connections_per_address: per_address,
            ..Limits::default()
        };
        let permits = Permits::new(&limits(2, 2));
        let held: Vec<_> = (0..2).map(|_| permits.take(ip("192.0.2.1")).expect("room")).collect();
        permits.bound(&limits(3, 1));
        assert_eq!(permits.take(ip("192.0.2.1")).err(), Some(Refused::PerAddress));
        let _other = permits.take(ip("192.0.2.2")).expect("room for one more");
        permits.bound(&limits(1, 1));
        assert_eq!(permits.take(ip("192.0.2.3")).err(), Some(Refused::Global));
        drop(held);
        assert_eq!(permits.take(ip("192.0.2.3")).err(), Some(Refused::Global));
        permits.bound(&limits(2, 1));
        permits.take(ip("192.0.2.3")).expect("room again");
    }

    #[test]
    fn another_rate_holds_at_once() {
        let limits = |rate| Limits { connection_rate_per_address: rate, ..Limits::default() };
        let permits = Permits::new(&limits(1));
        drop(permits.take(ip("192.0.2.1")).expect("one"));
        assert_eq!(permits.take(ip("192.0.2.1")).err(), Some(Refused::RatePerAddress));
        permits.bound(&limits(1000));
        drop(permits.take(ip("192.0.2.1")).expect("another"));
    }

    #[test]
    fn a_permit_can_be_for_somebody_else_later() {
        let limits = Limits { connections_per_address: 1, ..Limits::default() };
        let permits = Permits::new(&limits);
        let mut permit = permits.enter().expect("nobody is here");
        permit.admit([192, 0, 2, 1].into()).expect("the first");
        assert_eq!(permits.take(ip("192.0.2.1")).err(), Some(Refused::PerAddress));
        permit.admit([192, 0, 2, 2].into()).expect("the first of another");
        let _other = permits.take(ip("192.0.2.1")).expect("free again");
        assert_eq!(permit.admit([192, 0, 2, 1].into()).err(), Some(Refused::PerAddress));
    }
}
