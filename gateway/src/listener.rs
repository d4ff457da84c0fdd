//! Accepts connections, takes a permit for each, and spawns the conversation.

mod arrival;
mod file;
mod passed;
mod permits;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tracing::{debug, warn};

use crate::config::{ListenerAddress, Peers};
use crate::connection::{Terms, Transport};
use crate::message::{ClientAddress, SessionFacts};
use crate::metrics::{ListenerMetrics, Refused};
use crate::pipeline::Site;
use crate::shutdown::Shutdown;
use arrival::Arrival;
use file::SocketFile;
use socket::Bound;

pub use passed::Passed;
pub use permits::{Permit, Permits};

/// One listener's sockets, bound.
#[derive(Debug)]
pub struct Listener {
    /// For each worker.
    sockets: Vec<Vec<Bound>>,
    /// Removed when nobody accepts from it any more.
    file: Option<Arc<SocketFile>>,
    name: String,
    terms: Arc<CurrentTerms>,
    permits: Arc<Permits>,
}

/// The terms for connections that come now; others stay with those that they began with.
pub type CurrentTerms = ArcSwap<Terms>;

impl Listener {
    /// Binds the address for so many workers, or takes what was passed.
    ///
    /// # Errors
    ///
    /// If it is in use, not this machine's, not allowed, or not passed.
    pub fn bind(
        name: &str,
        address: &ListenerAddress,
        workers: usize,
        passed: &mut Passed,
        terms: Arc<CurrentTerms>,
        permits: Arc<Permits>,
    ) -> io::Result<Self> {
        let (sockets, file) = match address {
            ListenerAddress::Ip(address) => {
                let sockets = socket::bind_ip(*address, workers)?;
                (sockets.into_iter().map(|socket| vec![socket]).collect(), None)
            }
            ListenerAddress::Unix(at) => {
                let (socket, file) = file::bind(at)?;
                (shared(&[socket], workers)?, Some(Arc::new(file)))
            }
            ListenerAddress::Systemd(name) => (shared(&passed.take(name)?, workers)?, None),
        };
        Ok(Self { sockets, file, name: name.to_owned(), terms, permits })
    }

    /// Where it listens; the port is the real one also where 0 was asked for. None without an IP
    /// address.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.sockets.first()?.iter().find_map(Bound::ip)
    }

    /// Everywhere it listens, to be read by people.
    pub fn places(&self) -> impl Iterator<Item = String> {
        self.sockets.first().into_iter().flatten().map(ToString::to_string)
    }

    /// What each worker is to run: an acceptor for each of its sockets, with its site.
    pub fn acceptors(self, sites: Vec<Arc<Site>>) -> impl Iterator<Item = Vec<Acceptor>> {
        let Self { file, name, terms, permits, .. } = self;
        self.sockets.into_iter().zip(sites).map(move |(sockets, site)| {
            let acceptor = |socket| Acceptor {
                socket,
                _file: file.clone(),
                listener: name.clone(),
                terms: terms.clone(),
                site: site.clone(),
                permits: permits.clone(),
            };
            sockets.into_iter().map(acceptor).collect()
        })
    }
}

/// The same sockets for each worker: only those of an IP port can the kernel share out.
fn shared(sockets: &[Bound], workers: usize) -> io::Result<Vec<Vec<Bound>>> {
    (0..workers).map(|_| sockets.iter().map(Bound::another).collect()).collect()
}

/// Accepts the connections of one listener on one worker.
#[derive(Debug)]
pub struct Acceptor {
    socket: Bound,
    _file: Option<Arc<SocketFile>>,
    listener: String,
    terms: Arc<CurrentTerms>,
    site: Arc<Site>,
    permits: Arc<Permits>,
}

impl Acceptor {
    /// Accepts until the shutdown begins. Conversations go on after it, tracked.
    ///
    /// # Errors
    ///
    /// If the worker's event queue does not take the socket.
    pub async fn run(self, shutdown: Shutdown) -> io::Result<()> {
        let socket = self.socket.another()?.acceptor()?;
        let mut watcher = shutdown.watcher();
        loop {
            let accepted = tokio::select! {
                () = watcher.begun() => return Ok(()),
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((socket, client)) => self.admit(socket, client, &shutdown),
                Err(error) => {
                    // Out of descriptors, most likely: accepting again at once would spin.
                    warn!(listener = self.listener, %error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, socket: Transport, peer: ClientAddress, shutdown: &Shutdown) {
        let (terms, site) = (self.terms.load_full(), self.site.clone());
        let is_proxy = trusts(&terms.trust.proxy_protocol, peer);
        let permit = if is_proxy { self.permits.enter() } else { self.permits.take(peer.ip()) };
        let permit = match permit {
            Ok(permit) => permit,
            Err(reason) => return turn_away(&terms, &self.listener, &socket, reason, peer),
        };
        let session = SessionFacts::new(session_id(), &self.listener, peer);
        let arrival = Arrival { socket, session, permit, terms, site };
        let (mut watcher, task) = (shutdown.watcher(), shutdown.track());
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
