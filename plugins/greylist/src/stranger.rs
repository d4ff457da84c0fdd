//! Who sends: by what a sender is known, and whether that is suspicious.

use std::fmt;

use portcullis_plugin::mail_auth::{self, Finding};
use portcullis_plugin::{Session, Transaction, metrics, split_address};

use crate::sender;
use crate::settings::Settings;

/// What one transaction is about.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) id: String,
    pub(crate) sender: Option<String>,
    /// Whoever the recipient is.
    pub(crate) exempt: bool,
    /// A pass of it has been counted.
    pub(crate) counted: bool,
    pub(crate) passed: Option<Reason>,
    /// The client's network.
    network: String,
    findings: Vec<Finding>,
    /// The domain by which SPF lets it be known.
    domain: Option<String>,
}

/// Why a recipient has passed.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reason {
    Exempt,
    NotSuspicious,
    StoreAway,
    Allowed,
    Known,
    Waited(u64),
}

impl Current {
    pub(crate) fn of(session: &Session, transaction: &Transaction, settings: &Settings) -> Self {
        let sender = transaction.sender();
        let client = session.client_ip();
        // Who is at a Unix socket is no stranger.
        let exempt = (client.is_none() && session.client_address() == "unix")
            || settings.exempt.clients.contain(session)
            || settings.exempt.sender(sender.as_deref());
        let network =
            client.map_or_else(|| "unknown".to_owned(), |client| settings.network.network(client));
        let mut current = Self {
            id: transaction.id(),
            sender,
            exempt,
            counted: false,
            passed: None,
            network,
            findings: Vec::new(),
            domain: None,
        };
        if !exempt && (settings.spf || settings.only_if.findings()) {
            // Without the grant nobody passes SPF, and everybody is known by the network.
            current.findings = mail_auth::sender(session, transaction).unwrap_or_default();
            if settings.spf {
                current.domain = current.vouched();
            }
        }
        current
    }

    /// The domain whose SPF record names this client.
    fn vouched(&self) -> Option<String> {
        let passed = |finding: &&Finding| finding.method == "spf" && finding.outcome == "pass";
        let finding = self.findings.iter().find(passed)?;
        let domain = match &self.sender {
            Some(sender) => split_address(sender).1,
            // RFC 7208 section 2.4: of a bounce it is the HELO name.
            None => finding.property("smtp.helo"),
        };
        domain.filter(|domain| !domain.is_empty()).map(str::to_ascii_lowercase)
    }

    /// By what this sender is known; none if there is nothing suspicious about it.
    pub(crate) fn stranger(
        &self,
        transaction: &Transaction,
        settings: &Settings,
    ) -> Option<String> {
        let suspicious = settings.only_if.always() || self.suspicious(transaction, settings);
        suspicious.then(|| self.domain.as_ref().unwrap_or(&self.network).clone())
    }

    fn suspicious(&self, transaction: &Transaction, settings: &Settings) -> bool {
        let only_if = &settings.only_if;
        let found = |method: &str, wanted: &[crate::settings::Outcome]| {
            self.findings.iter().any(|finding| {
                finding.method == method && wanted.iter().any(|one| one.is(&finding.outcome))
            })
        };
        if found("spf", &only_if.spf) || found("iprev", &only_if.iprev) {
            return true;
        }
        if only_if.score.is_none() && only_if.symbols.is_empty() {
            return false;
        }
        let scores = transaction.scores();
        only_if
            .score
            .is_some_and(|least| scores.iter().map(|(_, points)| points).sum::<f64>() >= least)
            || scores.iter().any(|(symbol, _)| only_if.symbols.contains(symbol))
    }

    /// The key of a triplet. Who is known by the domain may send from any address of it.
    pub(crate) fn triplet(&self, name: &str, recipient: &str) -> String {
        let sender = match (&self.domain, &self.sender) {
            (None, Some(sender)) => sender::lasting(sender),
            (Some(_), Some(_)) => "*".to_owned(),
            (_, None) => "<>".to_owned(),
        };
        let mut key = format!("t {name} {sender} {}", recipient.to_ascii_lowercase());
        // A store takes no more; nobody's address is that long.
        key.truncate(key.floor_char_boundary(1000));
        key
    }

    /// Says why recipients have passed. Of several reasons the header has the one that took longest.
    pub(crate) fn note(&mut self, reason: Reason, recipients: usize) {
        let by = u64::try_from(recipients).unwrap_or(u64::MAX);
        metrics::add("recipients", by, Some(("result", reason.label())));
        self.passed = self.passed.max(Some(reason));
    }
}

impl Reason {
    fn label(self) -> &'static str {
        match self {
            Self::Exempt => "exempt",
            Self::NotSuspicious => "not_suspicious",
            Self::StoreAway => "store_away",
            Self::Allowed => "allowed",
            Self::Known => "known",
            Self::Waited(_) => "waited",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exempt => out.write_str("exempt"),
            Self::NotSuspicious => out.write_str("not suspicious"),
            Self::StoreAway => out.write_str("not asked, store away"),
            Self::Allowed => out.write_str("sender known"),
            Self::Known => out.write_str("known"),
            Self::Waited(seconds) => write!(out, "delayed {seconds} seconds"),
        }
    }
}
