//! Whether the gateway lives and is ready.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Answer, Ask, Offer, Status};
use crate::queue::Queue;

/// Why the gateway is not ready; ready is who has no reason. Clones are the same readiness.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<String>>>);

impl Readiness {
    /// Ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Not ready, for this reason, until it is cleared.
    pub fn hold(&self, reason: &str) {
        self.reasons_locked(|reasons| reasons.insert(reason.to_owned()));
    }

    /// This reason no longer stands.
    pub fn clear(&self, reason: &str) {
        self.reasons_locked(|reasons| reasons.remove(reason));
    }

    /// All reasons that stand.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.reasons_locked(|reasons| reasons.iter().cloned().collect())
    }

    fn reasons_locked<T>(&self, change: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        // A set that a panic left behind is still a set.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `/livez`: that there is an answer is the answer.
pub(super) async fn live(_: Arc<Offer>, _: Ask) -> Answer {
    Answer::text("live\n")
}

/// `/readyz`.
///
/// A plugin that is not called for now is a warning: its `on_failure` says what its listeners do, and
/// a node that is taken out helps nobody, least of all the other listeners, for the next one has the
/// same plugins. So is an upstream that is down: the next node has the same upstreams. A spool that takes
/// nothing is a reason: the next node has another disk.
pub(super) async fn ready(offer: Arc<Offer>, _: Ask) -> Answer {
    let queue = offer.queue.as_deref();
    let mut reasons = offer.readiness.reasons();
    reasons.extend(queue.and_then(Queue::trouble));
    let (status, mut body) = if reasons.is_empty() {
        (Status::OK, "ready\n".to_owned())
    } else {
        let body = reasons.iter().map(|reason| format!("not ready: {reason}\n")).collect();
        (Status::SERVICE_UNAVAILABLE, body)
    };
    for plugin in offer.metrics.broken_plugins() {
        body += &format!("warning: plugin {plugin} keeps failing and is not called for now\n");
    }
    for upstream in offer.metrics.upstreams_down() {
        body += &format!("warning: upstream {upstream} is down: no address takes mail\n");
    }
    for warning in queue.map(Queue::warnings).unwrap_or_default() {
        body += &format!("warning: {warning}\n");
    }
    Answer::text(body).with_status(status)
}
