//! The `streams` interface.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::Reader;
use crate::plugins::bindings::streams::{self, HostConnection, StreamError};
use crate::plugins::state::State;

/// A connection of the call in progress.
pub struct Connection;

impl streams::Host for State {}

impl HostConnection for State {
    async fn open(
        &mut self,
        _address: String,
        _timeout_ms: Option<u32>,
    ) -> Result<std::result::Result<Resource<Connection>, StreamError>> {
        Ok(Err(StreamError::Denied))
    }

    async fn write(
        &mut self,
        _: Resource<Connection>,
        _octets: Vec<u8>,
    ) -> Result<std::result::Result<(), StreamError>> {
        Ok(Err(StreamError::Denied))
    }

    async fn write_content(
        &mut self,
        _: Resource<Connection>,
        _content: Resource<Reader>,
        _max: u64,
    ) -> Result<std::result::Result<u64, StreamError>> {
        Ok(Err(StreamError::Denied))
    }

    async fn read(
        &mut self,
        _: Resource<Connection>,
        _max: u32,
    ) -> Result<std::result::Result<Vec<u8>, StreamError>> {
        Ok(Err(StreamError::Denied))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}
