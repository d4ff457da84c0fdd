//! The `metrics` interface.

use wasmtime::Result;

use crate::plugins::bindings::metrics::Host;
use crate::plugins::state::State;

impl Host for State {
    fn add(&mut self, name: String, by: u64, label: Option<(String, String)>) -> Result<()> {
        let label = label.as_ref().map(|(name, value)| (&**name, &**value));
        self.facts.metrics.add(&name, by, label);
        Ok(())
    }

    fn observe(&mut self, name: String, value: f64) -> Result<()> {
        self.facts.metrics.observe(&name, value);
        Ok(())
    }
}
