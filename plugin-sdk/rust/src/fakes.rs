//! What stands in for the gateway in native tests: the same methods, kept in memory.

mod message;
mod reach;
mod record;
mod session;
mod store;
mod stream;
mod transaction;

pub use self::message::{Message, Reader, Writer};
pub use self::reach::{
    answer_dns, answer_http, answer_upstream, fail_upstream, find, requested, set_upstream,
    stop_clock, verified,
};
pub(crate) use self::reach::{clock, dns, http, mail_auth, random, upstreams};
pub use self::record::{counted, logged};
pub(crate) use self::record::{log, metrics};
pub use self::session::Session;
pub use self::store::{Store, grant_store, set_unavailable};
pub use self::stream::{Connection, answer_stream, streamed};
pub use self::transaction::{Edit, Transaction};

use crate::EditError;

/// A right that the configuration gives to a plugin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Grant {
    /// Write a new body.
    RewriteBody,
    /// Change sender and recipients.
    RewriteEnvelope,
    /// Add, set and drop headers.
    RewriteHeaders,
    /// Choose upstreams.
    Route,
}

fn require(grants: &[Grant], grant: Grant) -> Result<(), EditError> {
    if grants.contains(&grant) { Ok(()) } else { Err(EditError::Denied) }
}
