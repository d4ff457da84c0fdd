//! What would become of a message, and who would say so: asked of the code that serves.
//!
//! Each part of the answer is a section of its own ([`Way`] is the one about routes), made from what
//! the part's own code says, and shown by [`fmt::Display`] to people and by serde to programs.

mod way;

use std::fmt;
use std::net::IpAddr;

use portcullis_smtp::server::Protocol;
use portcullis_smtp::{Mailbox, ReversePath};
use serde::Serialize;

use crate::config::{Config, DeliveryMode, Grant, Listener, Mixed};
use crate::routing::Routes;

pub use way::{Decision, Destination, Way};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The listener's name; none is the first.
    pub listener: Option<String>,
    /// Who sends the message.
    pub sender: ReversePath,
    /// Whom it is for.
    pub recipients: Vec<Mailbox>,
    /// Where the client is; none at a Unix socket.
    pub client: Option<IpAddr>,
    /// Who has logged in.
    pub user: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The listener's name.
    pub listener: String,
    /// What it speaks.
    pub protocol: &'static str,
    /// Who sends the message; empty is the null reverse-path.
    pub sender: String,
    /// Where the client is.
    pub client: Option<IpAddr>,
    /// Who has logged in.
    pub user: Option<String>,
    /// Whether upstreams are asked while the client waits, or later: relay or spool.
    pub delivery: &'static str,
    /// What becomes of each recipient.
    pub recipients: Vec<Way>,
    /// What becomes of recipients of several upstreams in one transaction.
    pub together: Option<Together>,
    /// Plugins of the listener that may decide otherwise.
    pub plugins: Vec<MayChange>,
    /// Where the listener sends what a plugin wants in quarantine.
    pub quarantine: Option<Destination>,
}

/// Several upstreams in one transaction.
#[derive(Debug, Serialize)]
pub struct Together {
    /// What the listener does with them.
    pub rule: &'static str,
    /// The same in words.
    pub text: String,
    /// Recipients that are to be sent again by themselves.
    pub deferred: Vec<String>,
}

/// A plugin that may decide otherwise.
#[derive(Debug, Serialize)]
pub struct MayChange {
    /// Its name.
    pub name: String,
    /// The grants that let it.
    pub grants: Vec<&'static str>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The listener.
    #[error("there is no listener \"{0}\"; there is {1}")]
    UnknownListener(String, String),
}

impl Explanation {
    /// What a configuration says to an inquiry.
    ///
    /// # Errors
    ///
    /// If the listener is not there.
    pub fn of(config: &Config, inquiry: &Inquiry) -> Result<Self, ExplainError> {
        let listener = listener(config, inquiry)?;
        let routes = Routes::new(config);
        let recipients: Vec<_> = inquiry
            .recipients
            .iter()
            .map(|recipient| Way::of(config, &routes, listener, inquiry, recipient))
            .collect();
        Ok(Self {
            listener: listener.name.clone(),
            protocol: protocol(listener.protocol),
            sender: inquiry.sender.to_string(),
            client: inquiry.client,
            user: inquiry.user.clone(),
            delivery: match listener.delivery {
                DeliveryMode::Relay => "relay",
                DeliveryMode::Spool => "spool",
            },
            together: Together::of(listener, &recipients),
            recipients,
            plugins: may_change(config, listener),
            quarantine: listener
                .quarantine
                .as_ref()
                .and_then(|name| Destination::of(config, name, None)),
        })
    }

    /// Whether every recipient has a way.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.recipients.iter().all(|way| way.upstream.is_some())
    }
}

fn listener<'a>(config: &'a Config, inquiry: &Inquiry) -> Result<&'a Listener, ExplainError> {
    let wanted =
        |listener: &&Listener| inquiry.listener.as_ref().is_none_or(|name| *name == listener.name);
    config.listeners.iter().find(wanted).ok_or_else(|| {
        let names: Vec<_> = config.listeners.iter().map(|one| one.name.as_str()).collect();
        let wanted = inquiry.listener.clone().unwrap_or_default();
        ExplainError::UnknownListener(wanted, names.join(", "))
    })
}

fn may_change(config: &Config, listener: &Listener) -> Vec<MayChange> {
    const GRANTS: &[(Grant, &str)] =
        &[(Grant::Route, "route"), (Grant::RewriteEnvelope, "rewrite-envelope")];
    let asked = config.plugins.iter().filter(|plugin| listener.plugins.contains(&plugin.name));
    let may = asked.filter_map(|plugin| {
        let granted = GRANTS.iter().filter(|(grant, _)| plugin.grants.contains(grant));
        let grants: Vec<_> = granted.map(|(_, word)| *word).collect();
        (!grants.is_empty()).then(|| MayChange { name: plugin.name.clone(), grants })
    });
    may.collect()
}

impl Together {
    fn of(listener: &Listener, ways: &[Way]) -> Option<Self> {
        let named = |way: &Way| way.upstream.as_ref().map(|upstream| upstream.name.clone());
        let first = ways.iter().find_map(named)?;
        let others = ways.iter().filter(|way| named(way).is_some_and(|name| name != first));
        let others: Vec<_> = others.map(|way| way.recipient.clone()).collect();
        if others.is_empty() {
            return None;
        }
        if listener.delivery == DeliveryMode::Spool {
            let text =
                "all are taken as soon as the message is on the disk, and delivered afterwards";
            return Some(Self { rule: "spool", text: text.to_owned(), deferred: Vec::new() });
        }
        let (rule, text, deferred) = match (listener.protocol, listener.mixed) {
            (Protocol::Lmtp, _) => {
                ("each", "over LMTP each recipient has its own answer".to_owned(), Vec::new())
            }
            (Protocol::Smtp, Mixed::DeferOthers) => {
                let text = format!(
                    "recipients of \"{first}\" are taken, and the others get 452 4.5.3, so that they are \
                     sent again by themselves; to clients that say PRDR each has its own answer"
                );
                ("defer-others", text, others)
            }
            (Protocol::Smtp, Mixed::Spool) => {
                let text = "all are delivered, and where one of them took it the others wait in the spool; to \
                            clients that say PRDR each has its own answer";
                ("spool", text.to_owned(), Vec::new())
            }
            (Protocol::Smtp, Mixed::Worst) => {
                let text = "all are delivered, and the worst answer is told for all; to clients that \
                            say PRDR each has its own answer";
                ("worst", text.to_owned(), Vec::new())
            }
        };
        Some(Self { rule, text, deferred })
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at \"{}\" ({}), from <{}>", self.listener, self.protocol, self.sender)?;
        match self.client {
            Some(client) => write!(f, ", client {client}")?,
            None => write!(f, ", client anywhere")?,
        }
        match &self.user {
            Some(user) => writeln!(f, ", \"{}\" logged in", user.escape_debug())?,
            None => writeln!(f, ", nobody logged in")?,
        }
        for way in &self.recipients {
            write!(f, "\n{way}")?;
        }
        if let Some(together) = &self.together {
            writeln!(f, "\nin one transaction ({}): {}", together.rule, together.text)?;
            for recipient in &together.deferred {
                writeln!(f, "  452 4.5.3 to <{recipient}>")?;
            }
        }
        if self.delivery == "spool" && self.together.is_none() {
            writeln!(f, "\nwhen: taken as soon as it is on the disk, and delivered afterwards")?;
        }
        if !self.plugins.is_empty() {
            writeln!(f, "\nplugins that may decide otherwise:")?;
        }
        for plugin in &self.plugins {
            writeln!(f, "  \"{}\" ({})", plugin.name, plugin.grants.join(", "))?;
        }
        if let Some(quarantine) = &self.quarantine {
            writeln!(f, "\nwhat a plugin wants in quarantine goes to {quarantine}")?;
        }
        Ok(())
    }
}

/// A protocol as the configuration calls it.
fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Lmtp => "lmtp",
        Protocol::Smtp => "smtp",
    }
}

#[cfg(test)]
mod tests;
