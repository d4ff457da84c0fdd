//! Where the connections of one listener come in.

use std::io;
use std::sync::Arc;

use portcullis_smtp::server::Protocol;

use crate::config;
use crate::connection::Terms;
use crate::listener::{Accepting, Acceptor, Bound, CurrentTerms, Listener, Permits, Sockets};
use crate::pipeline::{House, Site};
use crate::shutdown::Shutdown;
use crate::tls::Certificates;

/// One listener: what its connections find, and what they are accepted from.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) listener: Listener,
    protocol: Protocol,
    /// What it shows to clients under TLS.
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) sockets: Arc<Sockets>,
    /// For each worker, what it is to accept from and does not yet.
    bound: Vec<Vec<Bound>>,
    accepting: Option<Accepting>,
}

/// What a listener is to accept from.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sockets: Arc<Sockets>,
    /// For each worker; empty where they do it already.
    pub(super) bound: Vec<Vec<Bound>>,
}

impl Opened {
    pub(super) fn anew(sockets: Arc<Sockets>, workers: usize) -> io::Result<Self> {
        let bound = sockets.among(workers)?;
        Ok(Self { sockets, bound })
    }

    pub(super) fn as_it_is(stand: &Stand) -> Self {
        Self { sockets: stand.sockets.clone(), bound: Vec::new() }
    }
}

impl Stand {
    pub(super) fn new(
        listener: &config::Listener,
        terms: Terms,
        houses: Vec<House>,
        permits: Arc<Permits>,
        sessions: Shutdown,
        opened: Opened,
    ) -> Self {
        let listener_of = Listener {
            name: listener.name.clone(),
            terms: Arc::new(CurrentTerms::from_pointee(terms)),
            sites: houses.into_iter().map(|house| Arc::new(Site::new(house))).collect(),
            permits,
            sessions,
        };
        let Opened { sockets, bound } = opened;
        let protocol = listener.protocol;
        let (certificates, accepting) = (None, None);
        Self { listener: listener_of, protocol, certificates, sockets, bound, accepting }
    }

    /// With these certificates, which can be looked at.
    pub(super) fn showing(self, certificates: Option<Arc<Certificates>>) -> Self {
        Self { certificates, ..self }
    }

    /// Whether it is the stand of this listener: then its sessions go on under what is configured now.
    /// A session cannot change its protocol.
    pub(super) fn is_of(&self, listener: &config::Listener) -> bool {
        self.listener.name == listener.name && self.protocol == listener.protocol
    }

    /// What connections and transactions find from now on.
    pub(super) fn refurnish(&self, terms: Terms, houses: Vec<House>) {
        self.listener.terms.store(Arc::new(terms));
        self.rebuild(houses);
    }

    /// What transactions find from now on.
    pub(super) fn rebuild(&self, houses: Vec<House>) {
        for (site, house) in self.listener.sites.iter().zip(houses) {
            site.rebuild(house);
        }
    }

    /// What is to accept now, for each worker.
    pub(super) fn acceptors(&mut self) -> Vec<Vec<Acceptor>> {
        if self.bound.is_empty() {
            return Vec::new();
        }
        let (accepting, acceptors) = self.listener.acceptors(std::mem::take(&mut self.bound));
        accepting.call_last(self.sockets.are_ours());
        self.accepting = Some(accepting);
        acceptors
    }

    /// Accepts from these sockets, and from others no longer: `goes_on` says that somebody else does.
    pub(super) fn go_to(&mut self, opened: Opened, goes_on: bool) {
        if opened.bound.is_empty() {
            return;
        }
        self.stop_accepting(goes_on);
        (self.sockets, self.bound) = (opened.sockets, opened.bound);
    }

    /// Accepts nobody any more. If nobody `goes_on` to accept from its sockets, those who wait there are
    /// accepted before.
    pub(super) fn stop_accepting(&mut self, goes_on: bool) {
        if let Some(accepting) = self.accepting.take() {
            accepting.call_last(!goes_on);
            accepting.end();
        }
    }

    /// Accepts nobody any more, and ends its sessions: transactions in flight end, then clients hear 421.
    pub(super) fn leave(&mut self, goes_on: bool) {
        self.stop_accepting(goes_on);
        self.listener.sessions.begin();
    }

    /// Accepts again, with new sessions, after it has left.
    ///
    /// # Errors
    ///
    /// If there are too many descriptors.
    pub(super) fn come_back(&mut self, sessions: Shutdown) -> io::Result<()> {
        self.bound = self.sockets.among(self.listener.sites.len())?;
        self.listener.sessions = sessions;
        Ok(())
    }
}
