//! Random octets.

use wasmtime::{Error, Result};

use crate::plugins::bindings::random;
use crate::plugins::state::{RANDOM_OCTETS, State};

impl random::Host for State {
    fn bytes(&mut self, count: u32) -> Result<Vec<u8>> {
        if self.call.is_none() {
            return Err(Error::msg("random octets of configure would be the same in every copy"));
        }
        if u64::from(count) > RANDOM_OCTETS {
            return Err(Error::msg(format!("more than {RANDOM_OCTETS} random octets at once")));
        }
        let mut octets = vec![0; count as usize];
        getrandom::fill(&mut octets).map_err(|error| Error::msg(error.to_string()))?;
        Ok(octets)
    }
}
