//! What somebody wants to see of what goes on.

use std::net::IpAddr;

use super::{Pattern, SessionView};
use crate::config::Network;
use crate::message::SessionFacts;
use crate::telemetry::TransactionRecord;

/// Lets through what fits all that is asked for; without anything asked, everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// A part of the transaction's id, or of the session's.
    pub id: Option<Pattern>,
    /// The network that the client is in.
    pub client: Option<Network>,
    /// The listener's name.
    pub listener: Option<String>,
    /// The sender.
    pub sender: Option<Pattern>,
    /// Any of the recipients.
    pub recipient: Option<Pattern>,
    /// One of the outcomes of the metrics.
    pub outcome: Option<String>,
}

/// Why something is no filter. Whoever asks is to mend it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// A network that is none.
    #[error("\"{}\" is no client: an address, or a network such as 192.0.2.0/24", .0.escape_debug())]
    Client(String),
    /// A name that says nothing.
    #[error("\"{}\" is no filter", .0.escape_debug())]
    Unknown(String),
}

impl Filter {
    /// Takes one more condition; empty ones ask for nothing.
    ///
    /// # Errors
    ///
    /// If there is no such condition, or it cannot be met.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, FilterError> {
        let pattern = || Some(Pattern::new(value)).filter(|_| !value.is_empty());
        let word = || Some(value.to_owned()).filter(|word| !word.is_empty());
        match name {
            "id" => self.id = pattern(),
            "client" if value.is_empty() => self.client = None,
            "client" => self.client = Some(network(value)?),
            "listener" => self.listener = word(),
            "sender" => self.sender = pattern(),
            "recipient" => self.recipient = pattern(),
            "outcome" => self.outcome = word(),
            _ => return Err(FilterError::Unknown(name.to_owned())),
        }
        Ok(self)
    }

    /// Whether a session may be one of those that are wanted; its transactions are not looked at.
    #[must_use]
    pub fn takes_session(&self, facts: &SessionFacts) -> bool {
        let client = |network: &Network| facts.client.ip().is_some_and(|ip| network.contains(ip));
        self.client.as_ref().is_none_or(client)
            && self.listener.as_ref().is_none_or(|listener| *listener == facts.listener)
    }

    /// The rest, for a session that is in flight.
    pub(super) fn takes_view(&self, view: &SessionView) -> bool {
        let open = view.transaction.as_ref();
        let id = |id: &Pattern| id.fits(&view.id) || open.is_some_and(|open| id.fits(&open.id));
        self.id.as_ref().is_none_or(id)
            && self
                .sender
                .as_ref()
                .is_none_or(|sender| open.is_some_and(|open| sender.fits(&open.sender)))
            && self.recipient.as_ref().is_none_or(|recipient| {
                open.is_some_and(|open| open.recipients.iter().any(|one| recipient.fits(one)))
            })
    }

    /// Whether a transaction is one of those that are wanted.
    #[must_use]
    pub fn takes_record(&self, record: &TransactionRecord) -> bool {
        let client = |network: &Network| {
            // Where clients are hidden, a network may be all that is known.
            let address = record.client.address.split('/').next().map(str::parse::<IpAddr>);
            address.is_some_and(|address| address.is_ok_and(|ip| network.contains(ip)))
        };
        let recipient = |pattern: &Pattern| {
            record.recipients.iter().any(|one| {
                pattern.fits(&one.address)
                    || one.changed_to.as_ref().is_some_and(|changed| pattern.fits(changed))
            })
        };
        self.id.as_ref().is_none_or(|id| id.fits(&record.id))
            && self.client.as_ref().is_none_or(client)
            && self.listener.as_ref().is_none_or(|listener| *listener == record.listener)
            && self.sender.as_ref().is_none_or(|sender| sender.fits(&record.sender))
            && self.recipient.as_ref().is_none_or(recipient)
            && self.outcome.as_ref().is_none_or(|outcome| *outcome == record.outcome)
    }
}

/// An address or a network; of one that is not written from its beginning, the one around it.
fn network(text: &str) -> Result<Network, FilterError> {
    let wrong = || FilterError::Client(text.to_owned());
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let address = address.to_canonical();
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => {
            prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(wrong)?
        }
        None => longest,
    };
    Ok(Network::around(address, prefix))
}
