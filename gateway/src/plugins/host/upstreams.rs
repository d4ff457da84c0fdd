//! The `upstreams` interface.

use std::sync::Arc;

use portcullis_smtp::{Mailbox, Reply, ReversePath};
use wasmtime::Result;

use super::printable;
use crate::message::Provenance;
use crate::plugins::bindings::types;
use crate::plugins::bindings::upstreams::{self, UpstreamError};
use crate::plugins::convert;
use crate::plugins::state::State;
use crate::policy::{CallAhead, Destinations, Unverified};

impl upstreams::Host for State {
    async fn verify(
        &mut self,
        upstream: String,
        sender: Option<String>,
        recipients: Vec<String>,
    ) -> Result<std::result::Result<Vec<types::Reply>, UpstreamError>> {
        let Some(upstreams) = self.upstreams_with(&upstream) else {
            return Ok(Err(UpstreamError::Denied));
        };
        if recipients.len() > RECIPIENTS_AT_ONCE {
            return Ok(Err(UpstreamError::TooMany));
        }
        let said = match self.call_ahead(sender.as_deref(), &recipients)? {
            Some(asked) if asked.recipients.is_empty() => Ok(Vec::new()),
            Some(asked) => upstreams.verify(&upstream, &asked).await,
            None => Err(Unverified::Unavailable(NO_ADDRESS.to_owned())),
        };
        let label = said.as_ref().map_or_else(label, |_| "ok");
        self.facts.metrics.call_ahead(label);
        self.asked(|| format!("upstreams verify {upstream}: {}", shown(&recipients, &said)));
        Ok(match said {
            Ok(said) => Ok(said.iter().map(convert::said).collect()),
            Err(failure) => Err(error(failure)),
        })
    }

    async fn state(
        &mut self,
        upstream: String,
    ) -> Result<std::result::Result<Vec<(String, u64)>, UpstreamError>> {
        let Some(upstreams) = self.upstreams_with(&upstream) else {
            return Ok(Err(UpstreamError::Denied));
        };
        let Some(state) = upstreams.state(&upstream) else {
            return Ok(Err(UpstreamError::Unsupported));
        };
        self.asked(|| {
            let numbers = state.iter().map(|(name, number)| format!("{name} {number}"));
            format!("upstreams state {upstream}: {}", numbers.collect::<Vec<_>>().join(", "))
        });
        Ok(Ok(state.into_iter().map(|(name, number)| (name.to_owned(), number)).collect()))
    }
}

impl State {
    /// The upstreams, if the plugin may ask this one now: not while it is configured, not after the
    /// event.
    fn upstreams_with(&self, upstream: &str) -> Option<Arc<dyn Destinations>> {
        // Before the grant is looked at: what is frozen does not depend on grants.
        let upstreams = self.call.as_ref()?.given.upstreams.clone()?;
        self.facts.asks.iter().any(|name| name == upstream).then_some(upstreams)
    }

    /// What is asked; nothing, if there is something that is no address.
    fn call_ahead(&self, sender: Option<&str>, recipients: &[String]) -> Result<Option<CallAhead>> {
        let given = &self.call()?.given;
        let id = given.envelope.as_ref().map_or(&given.session.id, |envelope| &envelope.id);
        let sender = match sender {
            None => Some(ReversePath::Null),
            Some(address) => Mailbox::parse(address).map(ReversePath::Mailbox),
        };
        let recipients = recipients.iter().map(|one| Mailbox::parse(one)).collect::<Option<_>>();
        Ok(sender.zip(recipients).map(|(sender, recipients)| CallAhead {
            sender,
            recipients,
            provenance: Provenance::new(&given.session, id).into(),
            deadline: self.patience(),
        }))
    }
}

/// For people.
fn shown(recipients: &[String], said: &std::result::Result<Vec<Reply>, Unverified>) -> String {
    match said {
        Ok(said) => {
            let said = recipients.iter().zip(said);
            said.map(|(one, reply)| format!("{one}: {reply}")).collect::<Vec<_>>().join(", ")
        }
        Err(failure) => failure.to_string(),
    }
}

fn label(failure: &Unverified) -> &'static str {
    match failure {
        Unverified::TimedOut => "timed-out",
        Unverified::Unavailable(_) => "unavailable",
        Unverified::Unsupported => "unsupported",
    }
}

fn error(failure: Unverified) -> UpstreamError {
    match failure {
        Unverified::TimedOut => UpstreamError::TimedOut,
        Unverified::Unavailable(why) => UpstreamError::Unavailable(printable(&why, WHY_OCTETS)),
        Unverified::Unsupported => UpstreamError::Unsupported,
    }
}

const NO_ADDRESS: &str = "what is no address cannot be asked for";

/// As the contract says: as many as a transaction usually has.
const RECIPIENTS_AT_ONCE: usize = 100;

/// Of what an upstream says instead of an answer.
const WHY_OCTETS: usize = 1 << 10;
