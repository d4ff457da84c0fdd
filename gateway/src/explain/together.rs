//! What becomes of recipients of several upstreams in one transaction.

use portcullis_smtp::server::Protocol;
use serde::Serialize;

use super::Way;
use crate::config::{DeliveryMode, Listener, Mixed};

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

impl Together {
    pub(super) fn of(listener: &Listener, ways: &[Way]) -> Option<Self> {
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
