//! How often somebody may fail to log in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts failures by the address of the client.
///
/// A session that fails too often ends by itself; this is for who opens another one, and another.
#[derive(Debug)]
pub struct Throttle {
    failures: u32,
    window: Duration,
    counts: Mutex<HashMap<IpAddr, Count>>,
}

/// Failures since somebody's first one.
#[derive(Clone, Copy, Debug)]
struct Count {
    failures: u32,
    since: Instant,
}

impl Throttle {
    /// So many failures within so much time.
    #[must_use]
    pub fn new(failures: u32, window: Duration) -> Self {
        Self { failures, window, counts: Mutex::default() }
    }

    /// Whether another one lets clients fail as often.
    #[must_use]
    pub fn bounds_as(&self, other: &Self) -> bool {
        (self.failures, self.window) == (other.failures, other.window)
    }

    /// Whether this client may try.
    #[must_use]
    pub fn admits(&self, client: IpAddr, now: Instant) -> bool {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&network(client)).is_none_or(|count| {
            count.failures < self.failures || now.duration_since(count.since) >= self.window
        })
    }

    /// This client has failed.
    pub fn failed(&self, client: IpAddr, now: Instant) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network(client);
        if counts.len() >= NETWORKS && !counts.contains_key(&network) {
            counts.retain(|_, count| now.duration_since(count.since) < self.window);
            // All of them fail now. Who did so first is the first to be forgiven.
            if counts.len() >= NETWORKS
                && let Some(oldest) = counts.iter().min_by_key(|(_, count)| count.since)
            {
                let oldest = *oldest.0;
                counts.remove(&oldest);
            }
        }
        let count = counts.entry(network).or_insert(Count { failures: 0, since: now });
        if now.duration_since(count.since) >= self.window {
            *count = Count { failures: 0, since: now };
        }
        count.failures = count.failures.saturating_add(1);
    }
}

/// Whom an address counts for: itself, or in IPv6 its /64, which one host can use all of.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Clients that are remembered: about a megabyte. A botnet larger than this forgives its members a
/// little early.
const NETWORKS: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_fails_too_often_has_to_wait() {
        let throttle = Throttle::new(2, Duration::from_mins(10));
        let start = Instant::now();
        let client = ip("192.0.2.1");
        throttle.failed(client, start);
        assert!(throttle.admits(client, start));
        throttle.failed(client, start + Duration::from_mins(9));
        assert!(!throttle.admits(client, start + Duration::from_mins(9)));
        assert!(!throttle.admits(ip("::ffff:192.0.2.1"), start));
        assert!(throttle.admits(ip("192.0.2.2"), start));
        assert!(throttle.admits(client, start + Duration::from_mins(10)));
        throttle.failed(client, start + Duration::from_mins(10));
        assert!(throttle.admits(client, start + Duration::from_mins(10)));
    }

    #[test]
    fn the_addresses_of_one_host_count_together() {
        let throttle = Throttle::new(1, Duration::from_mins(10));
        let now = Instant::now();
        throttle.failed(ip("2001:db8::1"), now);
        assert!(!throttle.admits(ip("2001:db8::ffff:1"), now));
        assert!(throttle.admits(ip("2001:db8:0:1::1"), now));
    }

    #[test]
    fn a_botnet_fills_no_memory() {
        let throttle = Throttle::new(1, Duration::from_mins(10));
        let start = Instant::now();
        let client = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..NETWORKS as u32 + 10 {
            throttle.failed(client(number), start + Duration::from_millis(number.into()));
        }
        let later = start + Duration::from_mins(1);
        assert_eq!(throttle.counts.lock().unwrap().len(), NETWORKS);
        assert!(throttle.admits(client(9), later));
        assert!(!throttle.admits(client(10), later));
    }
}
