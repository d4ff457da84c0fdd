//! The `mail-auth` interface.

use wasmtime::Result;
use wasmtime::component::Resource;

use super::{MessageHandle, SessionHandle, TransactionHandle};
use crate::plugins::bindings::mail_auth::{self, AuthError, Finding};
use crate::plugins::state::State;

impl mail_auth::Host for State {
    async fn sender(
        &mut self,
        _: Resource<SessionHandle>,
        _: Resource<TransactionHandle>,
    ) -> Result<std::result::Result<Vec<Finding>, AuthError>> {
        Ok(Err(AuthError::Denied))
    }

    async fn content(
        &mut self,
        _: Resource<SessionHandle>,
        _: Resource<TransactionHandle>,
        _: Resource<MessageHandle>,
    ) -> Result<std::result::Result<Vec<Finding>, AuthError>> {
        Ok(Err(AuthError::Denied))
    }
}
