//! Random numbers that can be had again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of random numbers; which one it is is printed, and `PORTCULLIS_SEED` has it again.
#[derive(Debug)]
pub struct Seed(u64);

impl Seed {
    /// A new one, unless the environment says which.
    ///
    /// # Panics
    /// If what the environment says is no number.
    #[must_use]
    pub fn new() -> Self {
        let seed = match std::env::var("PORTCULLIS_SEED") {
            Ok(text) => text.parse().expect("PORTCULLIS_SEED is a number"),
            Err(_) => {
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos()
            }
        };
        eprintln!("PORTCULLIS_SEED={seed}");
        Self(u64::from(seed) << 1 | 1)
    }

    /// A number below this one.
    pub fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*, good enough to be unforeseen.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    /// A time below this one.
    pub fn time_below(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Default for Seed {
    fn default() -> Self {
        Self::new()
    }
}
