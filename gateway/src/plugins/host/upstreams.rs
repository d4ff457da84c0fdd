//! The `upstreams` interface.

use wasmtime::Result;

use crate::plugins::bindings::types::Reply;
use crate::plugins::bindings::upstreams::{self, UpstreamError};
use crate::plugins::state::State;

impl upstreams::Host for State {
    async fn verify(
        &mut self,
        _upstream: String,
        _sender: Option<String>,
        _recipients: Vec<String>,
    ) -> Result<std::result::Result<Vec<Reply>, UpstreamError>> {
        Ok(Err(UpstreamError::Denied))
    }

    async fn state(
        &mut self,
        _upstream: String,
    ) -> Result<std::result::Result<Vec<(String, u64)>, UpstreamError>> {
        Ok(Err(UpstreamError::Denied))
    }
}
