//! What the gateway knows of its upstreams, and what they say of recipients. Grant
//! `upstreams: [names]`.

pub use crate::bindings::smtp::filter::upstreams::UpstreamError;

use crate::Reply;

/// Whether an upstream would take mail for these recipients, at most 100; a reply each, in their order.
/// No sender is the null reverse-path. The time counts into the plugin's `time_limit`.
pub fn verify(
    upstream: &str,
    sender: Option<&str>,
    recipients: &[String],
) -> Result<Vec<Reply>, UpstreamError> {
    backend::verify(upstream, sender, recipients)
}

/// The same for one.
pub fn verify_one(
    upstream: &str,
    sender: Option<&str>,
    recipient: &str,
) -> Result<Reply, UpstreamError> {
    let none = || Err(UpstreamError::Unavailable("no answer".to_owned()));
    verify(upstream, sender, &[recipient.to_owned()])?.pop().map_or_else(none, Ok)
}

/// Numbers of how an upstream is.
pub fn state(upstream: &str) -> Result<State, UpstreamError> {
    backend::state(upstream).map(State)
}

/// Numbers of how an upstream is: `available` (0 or 1), `connections`, `busy` (in a transaction),
/// `waiting` (for a connection), `limit` (of connections). Others may come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State(Vec<(String, u64)>);

impl State {
    /// One of them, if the gateway tells it.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, number)| *number)
    }

    /// Whether mail can go there, as far as is known.
    pub fn is_available(&self) -> bool {
        self.get("available") != Some(0)
    }

    /// Those that are in a transaction or wait for a connection, as a share of those that may be; as
    /// a number where there is no limit.
    pub fn load(&self) -> f64 {
        let busy = self.get("busy").unwrap_or(0) + self.get("waiting").unwrap_or(0);
        busy as f64 / self.get("limit").unwrap_or(1).max(1) as f64
    }
}

#[cfg(not(target_family = "wasm"))]
use crate::fakes::upstreams as backend;

#[cfg(target_family = "wasm")]
use crate::bindings::smtp::filter::upstreams as backend;
