//! What a configuration says about the queue.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_smtp::server::Protocol;
use portcullis_smtp::{Mailbox, ReversePath};

use super::schedule::Schedule;
use crate::config::{Config, Redelivery, Upstream};
use crate::message::Recipient;
use crate::routing::{Asked, CurrentRoutes};

/// What attempts are made by. A reload brings others, for attempts that begin then.
#[derive(Debug)]
pub struct Conditions {
    /// The gateway's own name, for reports.
    pub(super) hostname: String,
    pub(super) redelivery: Redelivery,
    pub(super) schedule: Schedule,
    routes: Arc<CurrentRoutes>,
    /// By name, whether mail ends there, as far as reports go.
    upstreams: BTreeMap<String, bool>,
}

impl Conditions {
    /// What a configuration says; what it does not say is as ever.
    #[must_use]
    pub fn new(config: &Config, routes: Arc<CurrentRoutes>) -> Self {
        let redelivery =
            config.spool.as_ref().map(|spool| spool.redelivery.clone()).unwrap_or_default();
        let upstreams = config.upstreams.iter();
        Self {
            hostname: config.hostname.clone(),
            schedule: Schedule::new(&redelivery),
            redelivery,
            routes,
            upstreams: upstreams.map(|(name, it)| (name.clone(), is_last(it))).collect(),
        }
    }

    /// Whether mail is in its mailbox when this upstream has taken it (RFC 3461 section 6.3).
    pub(super) fn is_last(&self, upstream: &str) -> bool {
        self.upstreams.get(upstream).copied().unwrap_or_default()
    }

    /// Whether there is an upstream of this name.
    pub(super) fn knows(&self, upstream: &str) -> bool {
        self.upstreams.contains_key(upstream)
    }

    /// Where an address goes that came by no listener.
    pub(super) fn route(&self, address: &Mailbox) -> Option<String> {
        let (address, parameters) = (address.clone(), Vec::new());
        let recipient = Recipient { index: 0, address, parameters, route: None };
        // Routes that ask for more than the recipient and bounces fit nothing here.
        let asked = Asked {
            recipient: &recipient,
            sender: &ReversePath::Null,
            listener: "",
            listener_upstream: None,
            client: None,
            user: None,
        };
        self.routes.load().way(&asked).map(|way| way.upstream.to_owned())
    }

    /// Where reports to this address go.
    pub(super) fn report_route(&self, address: &Mailbox) -> Option<String> {
        self.redelivery.reports.clone().or_else(|| self.route(address))
    }
}

fn is_last(upstream: &Upstream) -> bool {
    match upstream {
        Upstream::Discard | Upstream::Maildir(_) => true,
        Upstream::Hop(hop) => hop.protocol == Protocol::Lmtp,
    }
}
