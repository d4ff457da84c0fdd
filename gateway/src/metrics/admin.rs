//! Who was turned away at the admin interface, and why.

use prometheus::{IntCounter, Registry};

use super::family::counters;
use super::label::{Label, labels};

labels! {
    /// Why a request at the admin interface was not even looked at.
    AdminRefused {
        /// The handshake of TLS failed, or did not end.
        Handshake = "handshake",
        /// `Host` is a name that is not one of the gateway's.
        Host = "host",
        /// Neither token nor certificate where one is needed.
        Nobody = "nobody",
        /// Too many wrong tokens from that address.
        Often = "often",
        /// A page of another site.
        Origin = "origin",
        /// A reader gave an order.
        Role = "role",
        /// An order without the field that says that it is meant.
        Unmeant = "unmeant",
        /// A token that is none.
        WrongToken = "wrong-token",
    }
}

/// What happens at the admin interface.
#[derive(Debug)]
pub struct AdminMetrics {
    refused: Vec<IntCounter>,
}

impl AdminMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let refused = counters(
            registry,
            "portcullis_admin_refused_total",
            "Requests that were turned away at the admin interface",
            &["reason"],
        );
        let counter = |reason: &AdminRefused| refused.with_label_values(&[reason.value()]);
        Self { refused: AdminRefused::ALL.iter().map(counter).collect() }
    }

    /// Somebody is turned away.
    pub fn refused(&self, reason: AdminRefused) {
        if let Some(counter) = self.refused.get(reason.position()) {
            counter.inc();
        }
    }
}
