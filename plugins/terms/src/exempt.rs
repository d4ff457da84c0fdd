//! Who is left alone.

use portcullis_plugin::{Session, Transaction};
use serde::Deserialize;

use crate::{Addresses, Networks};

/// The section `exempt` of the settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exempt {
    /// Who has logged in. By default they are.
    pub authenticated: bool,
    /// Who connects from here. Who is at a Unix socket is in no network.
    pub clients: Networks,
    /// What came in by these listeners.
    pub listeners: Vec<String>,
    /// Reverse-paths.
    pub senders: Addresses,
    /// Recipients.
    pub recipients: Addresses,
    /// Transactions that a plugin before this one has scored by one of these names.
    pub symbols: Vec<String>,
}

impl Default for Exempt {
    fn default() -> Self {
        Self {
            authenticated: true,
            clients: Networks::default(),
            listeners: Vec::new(),
            senders: Addresses::default(),
            recipients: Addresses::default(),
            symbols: Vec::new(),
        }
    }
}

// Each fact is a call into the gateway: what no list needs is not asked for.
impl Exempt {
    /// Whether this client is, whatever it sends.
    pub fn client(&self, session: &Session) -> bool {
        (self.authenticated && session.user().is_some())
            || (!self.clients.is_empty()
                && session.client_ip().is_some_and(|client| self.clients.contain(client)))
            || (!self.listeners.is_empty() && self.listeners.contains(&session.listener()))
    }

    /// Whether this reverse-path is.
    pub fn sender(&self, sender: Option<&str>) -> bool {
        !self.senders.is_empty() && self.senders.contain(sender)
    }

    /// Whether this recipient is.
    pub fn recipient(&self, address: &str) -> bool {
        !self.recipients.is_empty() && self.recipients.contain(Some(address))
    }

    /// Whether an earlier plugin has said enough.
    pub fn scored(&self, transaction: &Transaction) -> bool {
        !self.symbols.is_empty()
            && transaction.scores().iter().any(|(symbol, _)| self.symbols.contains(symbol))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left_alone() {
        let exempt: Exempt = serde_json::from_str(
            r#"{"clients": ["192.0.2.0/24"], "listeners": ["inside"], "senders": ["a.example"],
                "recipients": ["abuse@"], "symbols": ["BATV_VALID"]}"#,
        )
        .unwrap();
        let stranger = || Session::fake().with_client("203.0.113.1");
        assert!(!exempt.client(&stranger()));
        assert!(exempt.client(&stranger().with_user("ann")));
        assert!(exempt.client(&stranger().with_listener("inside")));
        assert!(exempt.client(&Session::fake()));
        assert!(exempt.client(&Session::fake().with_client("::ffff:192.0.2.1")));
        assert!(!exempt.client(&Session::fake().with_client("unix")));
        assert!(exempt.sender(Some("x@a.example")) && !exempt.sender(None));
        assert!(exempt.recipient("abuse@b.example") && !exempt.recipient("ann@b.example"));
        let transaction = Transaction::fake();
        assert!(!exempt.scored(&transaction));
        transaction.score("BATV_VALID", -0.5).unwrap();
        assert!(exempt.scored(&transaction));
    }
}
