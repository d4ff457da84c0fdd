//! Accepts connections, takes a permit for each, and spawns the conversation.

mod arrival;
mod file;
mod passed;
mod permits;
mod socket;
mod sockets;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::task::coop::unconstrained;
use tracing::{debug, warn};

use crate::config::Peers;
use crate::connection::{Terms, Transport};
use crate::message::{ClientAddress, SessionFacts};
use crate::metrics::{ListenerMetrics, Refused};
use crate::pipeline::Site;
use crate::shutdown::Shutdown;
use arrival::Arrival;

pub use passed::{Handed, Passed, Role};
pub use permits::{Permit, Permits};
pub use socket::Bound;
pub use sockets::Sockets;

/// What every connection of one listener finds.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// For connections that come.
    pub terms: Arc<CurrentTerms>,
    /// For transactions that begin; one for each worker.
    pub sites: Vec<Arc<Site>>,
    /// How many may come.
    pub permits: Arc<Permits>,
    /// The end of its sessions.
    pub sessions: Shutdown,
}

/// The terms for connections that come now; others stay with those that they began with.
pub type CurrentTerms = ArcSwap<Terms>;

impl Listener {
    /// What each worker is to run so that it accepts from these sockets, until the end of the sessions
    /// begins, or of the accepting.
    pub fn acceptors(&self, sockets: Vec<Vec<Bound>>) -> (Accepting, Vec<Vec<Acceptor>>) {
        let accepting = Accepting { end: self.sessions.part(), last_call: Arc::default() };
        let acceptors = sockets.into_iter().zip(&self.sites).map(|(sockets, site)| {
            let acceptor = |socket| Acceptor {
                socket,
                desk: Desk {
                    listener: self.name.clone(),
                    terms: self.terms.clone(),
                    site: site.clone(),
                    permits: self.permits.clone(),
                    sessions: self.sessions.clone(),
                },
                accepting: accepting.clone(),
            };
            sockets.into_iter().map(acceptor).collect()
        });
        let acceptors = acceptors.collect();
        (accepting, acceptors)
    }
}

/// Ends the accepting of one listener.
#[derive(Clone, Debug)]
pub struct Accepting {
    end: Shutdown,
    last_call: Arc<AtomicBool>,
}

impl Accepting {
    /// Nobody is accepted any more; connections that wait go on waiting, for somebody else.
    pub fn end(&self) {
        self.end.begin();
    }

    /// Whether those who wait when the end begins are accepted: where nobody else accepts after it, they
    /// would be cut off.
    pub fn call_last(&self, last: bool) {
        self.last_call.store(last, Ordering::Relaxed);
    }
}

/// Accepts the connections of one socket on one worker.
#[derive(Debug)]
pub struct Acceptor {
    socket: Bound,
    desk: Desk,
    accepting: Accepting,
}

impl Acceptor {
    /// Accepts until the end begins. Conversations go on after it, tracked.
    ///
    /// # Errors
    ///
    /// If the worker's event queue does not take the socket.
    pub async fn run(self) -> io::Result<()> {
        let Self { socket, desk, accepting } = self;
        let socket = socket.acceptor()?;
        // Whoever waits for the end of the accepting waits for this.
        let _task = accepting.end.track();
        let mut watcher = accepting.end.watcher();
        loop {
            let accepted = tokio::select! {
                () = watcher.begun() => break,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, client)) => desk.admit(socket, client),
                Err(error) => {
                    // Out of descriptors, most likely: accepting again at once would spin.
                    warn!(listener = desk.listener, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        if accepting.last_call.load(Ordering::Relaxed) {
            // As many as can wait, so that it has an end.
            for _ in 0..socket::BACKLOG {
                let mut next = std::pin::pin!(unconstrained(socket.accept()));
                let next = poll_fn(|context| Poll::Ready(next.as_mut().poll(context)));
                let Poll::Ready(Ok((socket, client))) = next.await else { break };
                desk.admit(socket, client);
            }
        }
        Ok(())
    }
}

/// Where those who come are met.
#[derive(Debug)]
struct Desk {
    listener: String,
    terms: Arc<CurrentTerms>,
    site: Arc<Site>,
    permits: Arc<Permits>,
    sessions: Shutdown,
}

impl Desk {
    fn admit(&self, socket: Transport, peer: ClientAddress) {
        let (terms, site) = (self.terms.load_full(), self.site.clone());
        let is_proxy = trusts(&terms.trust.proxy_protocol, peer);
        let permit = if is_proxy { self.permits.enter() } else { self.permits.take(peer.ip()) };
        let permit = match permit {
            Ok(permit) => permit,
            Err(reason) => return turn_away(&terms, &self.listener, &socket, reason, peer),
        };
        let session = SessionFacts::new(session_id(), &self.listener, peer);
        let arrival = Arrival { socket, session, permit, terms, site };
        let (mut watcher, task) = (self.sessions.watcher(), self.sessions.track());
        tokio::spawn(async move {
            let arrival = match is_proxy {
                false => Some(arrival),
                true => tokio::select! {
                    arrival = Box::pin(arrival.introduced()) => arrival,
                    // Nobody has said anything yet that an answer is owed to.
                    () = watcher.begun() => None,
                },
            };
            if let Some(arrival) = arrival {
                arrival.converse(watcher).await;
            }
            drop(task);
        });
    }
}

/// Whether a client is one of those who are trusted. Of whom nobody knows anything is not.
fn trusts(trusted: &Peers, client: ClientAddress) -> bool {
    match client {
        ClientAddress::Ip(address) => trusted.has(address.ip()),
        ClientAddress::Unix => trusted.has_unix(),
        ClientAddress::Unknown => false,
    }
}

fn turn_away(
    terms: &Terms,
    listener: &str,
    socket: &Transport,
    reason: Refused,
    client: ClientAddress,
) {
    let text: &[u8] = match reason {
        Refused::Draining | Refused::Global => {
            b"421 4.3.2 too many connections, try again later\r\n"
        }
        Refused::Rate => b"421 4.3.2 too many connections at a time, try again later\r\n",
        Refused::PerAddress => b"421 4.7.0 too many connections from your address\r\n",
        Refused::PerNetwork => b"421 4.7.0 too many connections from your network\r\n",
        Refused::RatePerAddress => {
            b"421 4.7.0 too many connections at a time from your address\r\n"
        }
    };
    terms.metrics.connection_refused(reason);
    debug!(listener, %client, ?reason, "connection turned away");
    if !terms.implicit_tls
        && let Err(error) = socket.try_write(text)
    {
        debug!(%error, "could not say why");
    }
}

/// A connection that counts as open. Who sees it closed finds its permit free.
struct Open {
    _permit: Permit,
    _counted: Counted,
}

impl Open {
    fn new(metrics: Arc<ListenerMetrics>, permit: Permit) -> Self {
        metrics.connection_opened();
        Self { _permit: permit, _counted: Counted(metrics) }
    }
}

struct Counted(Arc<ListenerMetrics>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

/// Microseconds since 1970 and a count: unique on a node, and in order of time in a log.
fn session_id() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let count = COUNT.fetch_add(1, Ordering::Relaxed) & 0xfff;
    format!("{:x}{count:03x}", now.as_micros())
}

/// Long enough for a descriptor to become free, short enough not to be noticed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
