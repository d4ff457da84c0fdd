//! Wrong tokens, by the address that they came from.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who has guessed lately. A program that has one wrong token and goes on trying does not guess.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<HashMap<IpAddr, Guesses>>);

#[derive(Debug)]
struct Guesses {
    since: Instant,
    count: u32,
    last: Option<[u8; 32]>,
}

impl Failures {
    /// Whether the tokens of this address are not looked at any more.
    pub(super) fn are_too_many(&self, address: IpAddr, now: Instant) -> bool {
        let guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let guesses = guesses.get(&network(address));
        guesses.is_some_and(|guesses| guesses.is_recent(now) && guesses.count >= GUESSES)
    }

    /// A wrong token, by its digest.
    pub(super) fn note(&self, address: IpAddr, digest: [u8; 32], now: Instant) {
        let mut guesses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if guesses.len() >= ADDRESSES {
            guesses.retain(|_, guesses| guesses.is_recent(now));
        }
        if guesses.len() >= ADDRESSES {
            // So many addresses at once guess faster than this could slow them down.
            guesses.clear();
        }
        let fresh = Guesses { since: now, count: 0, last: None };
        let own = guesses.entry(network(address)).or_insert(fresh);
        if !own.is_recent(now) {
            *own = Guesses { since: now, count: 0, last: None };
        }
        if own.last != Some(digest) {
            own.count += 1;
            own.last = Some(digest);
        }
    }
}

impl Guesses {
    fn is_recent(&self, now: Instant) -> bool {
        now.duration_since(self.since) < MEMORY
    }
}

/// In IPv6 a host has a /64 to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}

/// Different wrong tokens before no more are looked at: a person with several to choose from needs few.
const GUESSES: u32 = 10;

/// For how long; 10 guesses a minute find nothing of 16 octets.
const MEMORY: Duration = Duration::from_mins(1);

/// Addresses that are remembered: half a megabyte at most.
const ADDRESSES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_guesses_is_not_heard_for_a_minute_and_who_repeats_a_mistake_is() {
        let (failures, begin) = (Failures::default(), Instant::now());
        let at = |last: &str| last.parse::<IpAddr>().unwrap();
        for guess in 0..10 {
            assert!(!failures.are_too_many(at("192.0.2.1"), begin));
            failures.note(at("192.0.2.1"), [guess; 32], begin);
            failures.note(at("192.0.2.2"), [1; 32], begin);
            failures.note(at("2001:db8::1"), [guess + 1; 32], begin);
        }
        assert!(failures.are_too_many(at("::ffff:192.0.2.1"), begin));
        assert!(failures.are_too_many(at("2001:db8::2"), begin));
        assert!(!failures.are_too_many(at("192.0.2.2"), begin));
        let later = begin + MEMORY;
        assert!(!failures.are_too_many(at("192.0.2.1"), later));
        failures.note(at("192.0.2.1"), [77; 32], later);
        assert!(!failures.are_too_many(at("192.0.2.1"), later));
    }

    #[test]
    fn not_every_address_of_the_world_is_remembered() {
        let (failures, now) = (Failures::default(), Instant::now());
        for number in 0..10_000_u32 {
            failures.note(IpAddr::V4(number.into()), [1; 32], now);
        }
        assert!(failures.0.lock().unwrap().len() <= ADDRESSES);
    }
}
