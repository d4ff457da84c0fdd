//! The `http` interface.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::Reader;
use crate::plugins::bindings::http::{self, HttpError, Request, Response};
use crate::plugins::state::State;

impl http::Host for State {
    async fn send(
        &mut self,
        requests: Vec<Request>,
    ) -> Result<Vec<std::result::Result<Response, HttpError>>> {
        Ok(requests.iter().map(|_| Err(HttpError::Denied)).collect())
    }

    async fn send_content(
        &mut self,
        _request: Request,
        _content: Resource<Reader>,
    ) -> Result<std::result::Result<Response, HttpError>> {
        Ok(Err(HttpError::Denied))
    }
}
