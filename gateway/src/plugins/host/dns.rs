//! The `dns` interface.

use wasmtime::Result;

use crate::plugins::bindings::dns::{self, Answer, LookupError, Query};
use crate::plugins::state::State;

impl dns::Host for State {
    async fn lookup(
        &mut self,
        _queries: Vec<Query>,
    ) -> Result<std::result::Result<Vec<Answer>, LookupError>> {
        Ok(Err(LookupError::Denied))
    }
}
