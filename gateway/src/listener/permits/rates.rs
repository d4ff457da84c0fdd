//! How often something may happen: token buckets, of which only the time is kept when they will be
//! full again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// So many in a second, and as many at once after a second of rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    interval: Duration,
    burst: Duration,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        let interval = Duration::from_secs(1) / per_second.max(1);
        Self { interval, burst: Duration::from_secs(1) - interval }
    }

    /// When the bucket will be full again after one more was taken, or nothing if it is empty.
    fn take(self, full: Instant, now: Instant) -> Option<Instant> {
        (full <= now + self.burst).then(|| full.max(now) + self.interval)
    }
}

/// One bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    full: Option<Instant>,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, full: None }
    }

    /// Sets another rate, and fills it.
    pub(super) fn set(&mut self, rate: Rate) {
        *self = Self::new(rate);
    }

    /// Whether one more may happen now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full = self.rate.take(self.full.unwrap_or(now), now);
        self.full = full.or(self.full);
        full.is_some()
    }
}

/// A bucket for each of many, of a bounded number: full ones are as good as new ones and are
/// forgotten.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    most: usize,
    full: HashMap<K, Instant>,
    swept: Option<Instant>,
}

impl<K: Copy + Eq + Hash> Buckets<K> {
    pub(super) fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most, full: HashMap::new(), swept: None }
    }

    /// Sets another rate, and fills all of them.
    pub(super) fn set(&mut self, rate: Rate) {
        *self = Self::new(rate, self.most);
    }

    /// Whether one more of this may happen now. Where there is no room for another bucket, it may:
    /// then there are so many who come that what each of them does is not the trouble.
    pub(super) fn take(&mut self, key: K, now: Instant) -> bool {
        if self.full.len() >= self.most {
            self.sweep(now);
        }
        let room = self.full.len() < self.most;
        match self.full.entry(key) {
            Entry::Occupied(mut entry) => {
                let full = self.rate.take(*entry.get(), now);
                full.inspect(|full| *entry.get_mut() = *full).is_some()
            }
            Entry::Vacant(entry) => {
                if let (true, Some(full)) = (room, self.rate.take(now, now)) {
                    entry.insert(full);
                }
                true
            }
        }
    }

    /// Forgets the full ones; once a second at most, since it looks at all of them.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + Duration::from_secs(1)) {
            return;
        }
        self.swept = Some(now);
        self.full.retain(|_, full| *full > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_with_time() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Rate::new(4));
        let taken = (0..10).filter(|_| bucket.take(now)).count();
        assert_eq!(taken, 4);
        let later = now + Duration::from_millis(500);
        assert_eq!((0..10).filter(|_| bucket.take(later)).count(), 2);
        let much_later = now + Duration::from_mins(5);
        assert_eq!((0..10).filter(|_| bucket.take(much_later)).count(), 4);
    }

    #[test]
    fn each_has_its_own_bucket_and_there_is_a_bound_to_them() {
        let now = Instant::now();
        let mut buckets = Buckets::new(Rate::new(1), 100);
        assert!(buckets.take(0, now) && !buckets.take(0, now) && buckets.take(1, now));
        for key in 0..1000 {
            buckets.take(key, now);
        }
        assert_eq!(buckets.full.len(), 100);
        assert!(buckets.take(1000, now), "no room for its bucket");
        let later = now + Duration::from_secs(2);
        assert!(buckets.take(1000, later) && !buckets.take(1000, later));
        assert_eq!(buckets.full.len(), 1);
    }
}
