//! Replies that policy holds back: the one place where a client waits for nothing.
//!
//! Nothing waits with it but a timer. No plugin, no copy of one, no upstream's connection is kept, and
//! of octets no more than a client may send on that waits for an answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_smtp::server::Session;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{ConnectionError, Socket, Terms};
use crate::metrics::{Bound, Delayed, ListenerMetrics};
use crate::policy::Policy;
use crate::shutdown::Watcher;

/// How many connections may wait like that at once, in all.
#[derive(Debug)]
pub struct Delays {
    bound: AtomicUsize,
    now: AtomicUsize,
}

impl Delays {
    /// At most so many.
    #[must_use]
    pub fn new(bound: usize) -> Arc<Self> {
        Arc::new(Self { bound: bound.into(), now: 0.into() })
    }

    /// Sets another bound. Who waits already goes on waiting.
    pub fn bound(&self, bound: usize) {
        self.bound.store(bound, Ordering::Relaxed);
    }

    /// A place, given back when dropped; none if all are taken.
    fn take<'a>(&'a self, metrics: &'a ListenerMetrics) -> Option<Place<'a>> {
        let bound = self.bound.load(Ordering::Relaxed);
        if self.now.fetch_add(1, Ordering::Relaxed) < bound {
            metrics.delay_begins();
            return Some(Place { delays: self, metrics });
        }
        self.now.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

/// One connection's.
struct Place<'a> {
    delays: &'a Delays,
    metrics: &'a ListenerMetrics,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.delays.now.fetch_sub(1, Ordering::Relaxed);
        self.metrics.delay_ends();
    }
}

/// Waits for so long, if that may be: not where too many wait already. A shutdown does not wait. False
/// if the client has left.
pub(super) async fn hold<P: Policy>(
    length: Duration,
    socket: &mut Socket,
    session: &mut Session,
    terms: &Terms,
    policy: &mut P,
    shutdown: &mut Watcher,
) -> Result<bool, ConnectionError> {
    if length.is_zero() {
        terms.metrics.delayed(Delayed::Patience);
        return Ok(true);
    }
    if shutdown.has_begun() {
        terms.metrics.delayed(Delayed::Draining);
        return Ok(true);
    }
    let Some(_place) = terms.delays.take(&terms.metrics) else {
        terms.metrics.bound_reached(Bound::DelayedConnections);
        terms.metrics.delayed(Delayed::Full);
        return Ok(true);
    };
    let until = Instant::now() + length;
    if length >= terms.pause {
        policy.held_back().await;
    }
    let (ended, stays) = tokio::select! {
        stays = client_stays(socket, session, until) => match stays {
            Ok(true) => (Delayed::Held, Ok(true)),
            gone => (Delayed::Left, gone),
        },
        () = shutdown.begun() => (Delayed::Draining, Ok(true)),
    };
    terms.metrics.delayed(ended);
    stays
}

/// Whether the client is there until then. What it sends meanwhile has to be taken to see its end behind
/// it, but only so much: the rest waits in the socket, and so does its end.
async fn client_stays(
    socket: &mut Socket,
    session: &mut Session,
    until: Instant,
) -> Result<bool, ConnectionError> {
    let mut taken = 0;
    while taken < AHEAD_OCTETS {
        match timeout_at(until, socket.receive_at_most(AHEAD_OCTETS - taken, session)).await {
            Err(_) => return Ok(true),
            Ok(read) => match read? {
                0 => return Ok(false),
                octets => taken += octets,
            },
        }
    }
    sleep_until(until).await;
    Ok(true)
}

/// What a client may send on that waits for an answer: a group of commands.
const AHEAD_OCTETS: usize = 4 << 10;
