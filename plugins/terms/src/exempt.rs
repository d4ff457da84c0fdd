//! Who is left alone.

use portcullis_plugin::{Session, Transaction};
use serde::Deserialize;

use crate::clients::named;
use crate::{Addresses, Clients, Networks};

/// The section `exempt` of the settings: [`Clients`], and what only a transaction shows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "Written")]
pub struct Exempt {
    /// These, whatever they send.
    pub clients: Clients,
    senders: Addresses,
    recipients: Addresses,
    /// Transactions that a plugin before this one has scored by one of these names.
    symbols: Vec<String>,
}

/// As it is written: in one section.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    authenticated: bool,
    #[serde(deserialize_with = "named")]
    clients: Option<Networks>,
    listeners: Vec<String>,
    senders: Addresses,
    recipients: Addresses,
    symbols: Vec<String>,
}

impl Default for Written {
    fn default() -> Self {
        Self {
            authenticated: Clients::default().authenticated,
            clients: None,
            listeners: Vec::new(),
            senders: Addresses::default(),
            recipients: Addresses::default(),
            symbols: Vec::new(),
        }
    }
}

impl From<Written> for Exempt {
    fn from(written: Written) -> Self {
        let Written { authenticated, clients, listeners, senders, recipients, symbols } = written;
        Self {
            clients: Clients::new(authenticated, clients, listeners),
            senders,
            recipients,
            symbols,
        }
    }
}

// Each fact is a call into the gateway: what no list needs is not asked for.
impl Exempt {
    /// The mistake to have lists that the plugin cannot heed. `instead` says why, and what to write.
    pub fn without(&self, keys: &[&str], instead: &str) -> Result<(), String> {
        let named = [
            ("senders", !self.senders.is_empty()),
            ("recipients", !self.recipients.is_empty()),
            ("symbols", !self.symbols.is_empty()),
        ];
        match named.iter().find(|(key, named)| *named && keys.contains(key)) {
            Some((key, _)) => Err(format!("exempt.{key}: {instead}")),
            None => Ok(()),
        }
    }

    /// Whether all of a transaction is, whoever its recipients are: by its client, by its sender, or
    /// since an earlier plugin has said enough.
    pub fn transaction(&self, session: &Session, transaction: &Transaction) -> bool {
        self.clients.contain(session)
            || (!self.senders.is_empty() && self.sender(transaction.sender().as_deref()))
            || self.scored(transaction)
    }

    /// Whether a message is, which has one verdict: its transaction is, or every recipient.
    pub fn message(&self, session: &Session, transaction: &Transaction) -> bool {
        self.transaction(session, transaction)
            || (!self.recipients.is_empty()
                && transaction.recipients().iter().all(|one| self.recipient(&one.address)))
    }

    /// Whether this reverse-path is.
    pub fn sender(&self, sender: Option<&str>) -> bool {
        self.senders.contain(sender)
    }

    /// Whether this recipient is.
    pub fn recipient(&self, address: &str) -> bool {
        self.recipients.contain(Some(address))
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

    fn exempt(json: &str) -> Exempt {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn who_is_left_alone() {
        let exempt = exempt(
            r#"{"clients": ["192.0.2.0/24"], "listeners": ["inside"], "senders": ["a.example"],
                "recipients": ["abuse@"], "symbols": ["BATV_VALID"]}"#,
        );
        let stranger = || Session::fake().with_client("203.0.113.1");
        let transaction = Transaction::fake();
        assert!(!exempt.transaction(&stranger(), &transaction));
        assert!(exempt.transaction(&stranger().with_user("ann"), &transaction));
        assert!(exempt.transaction(&stranger().with_listener("inside"), &transaction));
        assert!(exempt.sender(Some("x@a.example")) && !exempt.sender(None));
        assert!(exempt.recipient("abuse@b.example") && !exempt.recipient("ann@b.example"));
        transaction.score("BATV_VALID", -0.5).unwrap();
        assert!(exempt.scored(&transaction));
        assert!(exempt.transaction(&stranger(), &transaction));
    }

    #[test]
    fn lists_that_a_plugin_cannot_heed_are_a_mistake() {
        let keys = ["senders", "recipients", "symbols"];
        assert_eq!(exempt(r#"{"listeners": ["a"]}"#).without(&keys, "no"), Ok(()));
        for key in keys {
            let exempt = exempt(&format!(r#"{{"{key}": ["a.example"]}}"#));
            assert_eq!(exempt.without(&keys, "no"), Err(format!("exempt.{key}: no")));
            assert_eq!(exempt.without(&[], "no"), Ok(()));
        }
        assert!(serde_json::from_str::<Exempt>(r#"{"networks": []}"#).is_err());
    }
}
