//! What plugins may know of the places where mail goes, and ask of them.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use portcullis_smtp::{Mailbox, Reply, ReversePath};

use super::BoxFuture;
use crate::message::Provenance;

/// The upstreams of a configuration, for plugins that want to know of them.
pub trait Destinations: fmt::Debug + Send + Sync {
    /// Asks an upstream whether it would take mail for these recipients; a reply each, in their order.
    fn verify<'a>(
        &'a self,
        upstream: &'a str,
        asked: &'a CallAhead,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Unverified>>;

    /// Numbers of how an upstream is, by their names in the contract; none if there is no such upstream.
    fn state(&self, upstream: &str) -> Option<Vec<(&'static str, u64)>>;
}

/// What an upstream is asked before there is a message for it.
#[derive(Clone, Debug)]
pub struct CallAhead {
    /// Who would send.
    pub sender: ReversePath,
    /// Whom it would be for.
    pub recipients: Vec<Mailbox>,
    /// Whose mail it would be.
    pub provenance: Arc<Provenance>,
    /// Until when the answer is of use.
    pub deadline: Instant,
}

/// Why an upstream did not say whom it would take.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unverified {
    /// It is no server that could be asked, or there is none of this name.
    #[error("cannot be asked")]
    Unsupported,
    /// Not by the deadline.
    #[error("no answer in time")]
    TimedOut,
    /// It is not there, or takes not even the sender.
    #[error("{0}")]
    Unavailable(String),
}
