//! The connections of one upstream: how many there may be, and which wait for their next use.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use portcullis_smtp::Reply;
use portcullis_smtp::client::{Extensions, Stage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::config::Hop;
use crate::metrics::{Retry, TurnedAway, UpstreamMetrics};

use super::UpstreamError;
use super::address::{Address, Busy};
use super::balance::{Seat, Turns};
use super::connection::{Connection, Patience, Target};
use super::directory::Directory;
use super::failure::Failure;
use super::fleet::Fleet;
use super::parameters::{Cautions, Promises};
use super::tls::Tls;

/// One upstream and its connections.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) fleet: Arc<Fleet>,
    cautions: Arc<Cautions>,
    permits: Arc<Semaphore>,
    /// How many wait for one of them.
    waiting: Arc<AtomicUsize>,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that was used last is at the end, and is used first: the others may grow old.
    connections: Vec<(Box<Connection>, Instant)>,
    turns: Turns,
    /// Closes what has been idle for too long; runs while there is something idle.
    reaper: Option<AbortHandle>,
    closed: bool,
}

/// A connection in use. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Box<Connection>,
    /// Whether it has carried transactions before, and may have been closed since.
    pub(super) reused: bool,
    _permit: OwnedSemaphorePermit,
    _busy: Option<Busy>,
}

/// What a transaction has tried already.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Whether a connection that was idle will not do.
    pub(super) fresh: bool,
    /// Addresses that have failed.
    pub(super) tried: Vec<Arc<Address>>,
}

impl Attempts {
    fn has_tried(&self, address: &Arc<Address>) -> bool {
        self.tried.iter().any(|tried| Arc::ptr_eq(tried, address))
    }
}

/// Where a transaction can go.
enum Pick {
    Idle(Box<Connection>, Option<Busy>),
    /// The flag says whether there is another one to try.
    Dial(Arc<Address>, Option<Busy>, bool),
    Nowhere,
}

impl Pool {
    /// An upstream with its own name servers and this gateway's name in `directory`. What is known of
    /// the addresses of an `earlier` one of the same name stays known.
    pub(super) fn new(
        name: &str,
        upstream: &Hop,
        directory: Directory,
        earlier: Option<&Self>,
        metrics: Arc<UpstreamMetrics>,
    ) -> Result<Self, UpstreamError> {
        let target = Target {
            upstream: upstream.clone(),
            hostname: directory.hostname.clone(),
            tls: Tls::new(name, upstream)?,
            metrics,
        };
        let earlier = earlier.map(|pool| &*pool.fleet);
        Ok(Self {
            name: name.to_owned(),
            fleet: Arc::new(Fleet::new(name, target.clone(), directory, earlier)),
            target,
            cautions: Arc::default(),
            permits: Arc::new(Semaphore::new(upstream.connections)),
            waiting: Arc::default(),
            idle: Mutex::default(),
        })
    }

    /// The same upstream with idle connections of its own, one of `among`. How many connections
    /// there may be is counted for all of them together.
    pub(super) fn share(&self, among: usize) -> Self {
        let mut target = self.target.clone();
        target.upstream.idle_connections = target.upstream.idle_connections.div_ceil(among);
        self.fleet.begin();
        let (name, fleet, permits) = (self.name.clone(), self.fleet.clone(), self.permits.clone());
        let (cautions, waiting) = (self.cautions.clone(), self.waiting.clone());
        Self { name, target, fleet, cautions, permits, waiting, idle: Mutex::default() }
    }

    /// Whether this is what another configuration asks for, too. Certificates are read anew: the
    /// file may be another one under the same name.
    pub(super) fn fits(&self, upstream: &Hop, directory: &Directory) -> bool {
        let same = self.target.upstream == *upstream && self.fleet.directory().is(directory);
        same && !upstream.tls.reads_files()
    }

    /// Whether both count the same connections.
    pub(super) fn is_share_of(&self, pool: &Self) -> bool {
        Arc::ptr_eq(&self.permits, &pool.permits)
    }

    /// Connections of this share that wait for their next use.
    pub(super) fn idle_connections(&self) -> usize {
        self.idle().connections.len()
    }

    /// Connections that may be taken into use now, by all shares together.
    pub(super) fn free_permits(&self) -> usize {
        self.permits.available_permits()
    }

    /// Who wait for one to become free, at all shares together.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// What its operator was told.
    pub(super) fn cautions(&self) -> &Cautions {
        &self.cautions
    }

    /// What this upstream can be asked to keep, by what it offers on a connection.
    pub(super) fn promises<'a>(&'a self, extensions: &'a Extensions) -> Promises<'a> {
        let (upstream, tls) = (&self.name, &self.target.upstream.tls);
        Promises { upstream, extensions, tls, cautions: &self.cautions }
    }

    /// Whether it sends reports itself, as far as is known.
    pub(super) fn keeps_dsn(&self) -> bool {
        self.cautions.keeps_dsn()
    }

    /// An idle connection or, where there is none or only a fresh one will do, a new one, at the first
    /// address that answers.
    pub(super) async fn take(&self, attempts: &mut Attempts) -> Result<Lease, Failure> {
        self.take_within(attempts, self.target.upstream.busy_timeout).await
    }

    /// The same for who does not wait as long where all are in use.
    pub(super) async fn take_within(
        &self,
        attempts: &mut Attempts,
        patience: Duration,
    ) -> Result<Lease, Failure> {
        let permit = self.permit(patience).await?;
        // On the heap, both: to connect is rare, and whoever waits for a command carries neither.
        if !self.fleet.is_current() {
            Box::pin(self.fleet.look_up()).await?;
        }
        match self.pick(attempts) {
            Pick::Idle(connection, busy) => {
                Ok(Lease { connection, reused: true, _permit: permit, _busy: busy })
            }
            pick => {
                let (connection, reused, busy) = Box::pin(self.connect(attempts, pick)).await?;
                Ok(Lease { connection, reused, _permit: permit, _busy: busy })
            }
        }
    }

    /// Tries one address after the other, as long as there is time.
    async fn connect(
        &self,
        attempts: &mut Attempts,
        mut pick: Pick,
    ) -> Result<(Box<Connection>, bool, Option<Busy>), Failure> {
        let upstream = &self.target.upstream;
        let deadline = Instant::now() + upstream.connect_timeout;
        let (mut last, mut earlier) = (None, attempts.tried.len());
        loop {
            if matches!(pick, Pick::Nowhere) && earlier > 0 {
                // Where a connection was lost another one may do, if nobody else is there.
                attempts.tried.drain(..std::mem::take(&mut earlier));
                pick = self.pick(attempts);
            }
            let (address, busy, others) = match pick {
                Pick::Dial(address, busy, others) => (address, busy, others),
                Pick::Idle(connection, busy) => return Ok((connection, true, busy)),
                Pick::Nowhere => return Err(last.unwrap_or_else(|| self.turn_away())),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let bound = upstream.attempt_timeout.min(left);
            let limit = if others { bound } else { left };
            let whole = others.then_some(limit);
            let patience = Patience { dial: limit, banner: limit, whole };
            let failure = match self.fleet.connect(&address, patience).await {
                Ok(connection) => return Ok((Box::new(connection), false, busy)),
                Err(failure) => failure,
            };
            attempts.tried.push(address.clone());
            if Instant::now() >= deadline {
                return Err(failure);
            }
            pick = self.pick(attempts);
            if matches!(pick, Pick::Nowhere) && earlier == 0 {
                return Err(failure);
            }
            self.retry(Retry::Connect, &address, &failure);
            last = Some(failure);
        }
    }

    /// An idle connection, or an address to connect to.
    fn pick(&self, attempts: &Attempts) -> Pick {
        let roster = self.fleet.roster();
        let is_up = |address: &Arc<Address>| self.fleet.is_up(address);
        let fit = |address: &Arc<Address>| is_up(address) && !attempts.has_tried(address);
        let trial = || {
            let mut untried = roster.seats.iter().filter(|seat| !attempts.has_tried(&seat.address));
            untried.find(|seat| self.fleet.may_try(&seat.address))
        };
        let mut idle = self.idle();
        // Without probes, mail must find out which address is back.
        let due = match self.fleet.policy().probe {
            None => trial(),
            Some(_) => None,
        };
        let next = due.or_else(|| match &roster.seats[..] {
            [only] => Some(only).filter(|seat| fit(&seat.address)),
            _ => roster.next(&mut idle.turns, fit),
        });
        let Some(seat) = next.or_else(trial) else { return Pick::Nowhere };
        let address = &seat.address;
        let busy = (roster.seats.len() > 1).then(|| Busy::new(address.clone()));
        if !attempts.fresh
            && is_up(address)
            && let Some(connection) = idle.take(address, &self.target.upstream)
        {
            return Pick::Idle(connection, busy);
        }
        let others = |other: &Arc<Address>| !Arc::ptr_eq(other, address) && fit(other);
        let others = roster.seats.iter().any(|seat| others(&seat.address));
        Pick::Dial(address.clone(), busy, others)
    }

    /// Whether another address may do better than this one, by which the connection was lost: not
    /// another way to the same host.
    pub(super) fn has_other(&self, address: &Arc<Address>, attempts: &Attempts) -> bool {
        let roster = self.fleet.roster();
        let is = |seat: &&Seat| Arc::ptr_eq(&seat.address, address);
        let Some(own) = roster.seats.iter().find(is) else { return true };
        let same = |seat: &Seat| seat.name == own.name && seat.detour != own.detour;
        let others = roster.seats.iter().filter(|seat| !is(seat) && !same(seat));
        others
            .map(|seat| &seat.address)
            .any(|other| self.fleet.is_up(other) && !attempts.has_tried(other))
    }

    /// Tells the operator that a transaction goes on elsewhere.
    pub(super) fn retry(&self, reason: Retry, address: &Address, failure: &Failure) {
        self.target.metrics.retried(reason);
        let cause = std::error::Error::source(failure).map(ToString::to_string);
        let (upstream, address) = (&self.name, &address.endpoint);
        info!(upstream, %address, error = %failure, cause, "trying another connection");
    }

    fn turn_away(&self) -> Failure {
        self.target.metrics.turned_away(TurnedAway::Down);
        Failure::Down
    }

    /// Takes a connection back; one that is of no more use is closed.
    pub(super) fn put(self: &Arc<Self>, lease: Lease) {
        let connection = lease.connection;
        if !connection.session.is_open() {
            return;
        }
        let mut idle = self.idle();
        let room = idle.connections.len() < self.target.upstream.idle_connections;
        if idle.closed || !room || !connection.is_reusable(&self.target.upstream) {
            drop(idle);
            return connection.quit();
        }
        idle.connections.push((connection, Instant::now()));
        if idle.reaper.is_none() {
            let (pool, idle_time) = (Arc::downgrade(self), self.target.upstream.idle_time);
            idle.reaper = Some(tokio::spawn(reap(pool, idle_time)).abort_handle());
        }
    }

    /// Ends an open transaction by RSET, then takes the connection back.
    pub(super) async fn reset(self: &Arc<Self>, mut lease: Lease) {
        if lease.connection.session.in_transaction() {
            if !lease.connection.session.is_open() {
                return;
            }
            lease.connection.session.rset();
            let limit = self.target.upstream.command_timeout.min(RESET);
            if let Err(error) = lease.connection.answer(Stage::Rset, limit).await {
                debug!(upstream = %self.name, %error, "connection dropped");
                return;
            }
        }
        self.put(lease);
    }

    /// Tells the operator what happened, and gives what the client is to hear.
    pub(super) fn report(&self, failure: &Failure, at: Option<&Address>, id: &str) -> Reply {
        let cause = std::error::Error::source(failure).map(ToString::to_string);
        let (upstream, cause) = (&*self.name, cause.as_deref());
        let address = at.map(|address| address.endpoint.to_string());
        if failure.is_login() {
            let text = "nothing is delivered without a login";
            error!(id, upstream, address, error = %failure, cause, "{text}");
        } else {
            warn!(id, upstream, address, error = %failure, cause, "upstream failed");
        }
        failure.reply(&self.name)
    }

    /// Closes what is idle, and from now on what comes back.
    pub(super) fn close(&self) {
        let mut idle = self.idle();
        idle.closed = true;
        if let Some(reaper) = idle.reaper.take() {
            reaper.abort();
        }
        idle.connections.drain(..).for_each(|(connection, _)| connection.quit());
    }

    async fn permit(&self, patience: Duration) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            self.target.metrics.waited(Duration::ZERO);
            return Ok(permit);
        }
        let began = Instant::now();
        let _waiting = Waiting::new(&self.waiting);
        let permit = timeout(patience, self.permits.clone().acquire_owned()).await;
        self.target.metrics.waited(began.elapsed());
        permit.ok().and_then(Result::ok).ok_or_else(|| {
            self.target.metrics.turned_away(TurnedAway::Busy);
            Failure::Busy
        })
    }

    /// Closes what has been idle for too long. Says when to look again, if there is anything left.
    fn expire(&self) -> Option<Duration> {
        let idle_time = self.target.upstream.idle_time;
        let mut idle = self.idle();
        let expired = idle.connections.partition_point(|(_, since)| since.elapsed() >= idle_time);
        idle.connections.drain(..expired).for_each(|(connection, _)| connection.quit());
        let next =
            idle.connections.first().map(|(_, since)| idle_time - since.elapsed().min(idle_time));
        if next.is_none() {
            idle.reaper = None;
        }
        next
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        // A panic elsewhere leaves a list of connections, which is as good as before.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits, counted.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Idle {
    /// One to this address that is alive; those that are not are dropped.
    fn take(&mut self, address: &Arc<Address>, upstream: &Hop) -> Option<Box<Connection>> {
        let leads = |(connection, _): &(Box<Connection>, Instant)| {
            Arc::ptr_eq(connection.address(), address)
        };
        while let Some(at) = self.connections.iter().rposition(leads) {
            let (mut connection, since) = self.connections.remove(at);
            if since.elapsed() < upstream.idle_time && connection.is_alive(upstream) {
                return Some(connection);
            }
        }
        None
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}

/// Looks after the idle connections of a pool while there are any.
async fn reap(pool: Weak<Pool>, idle_time: Duration) {
    let mut wait = idle_time;
    loop {
        tokio::time::sleep(wait).await;
        match pool.upgrade().and_then(|pool| pool.expire()) {
            Some(next) => wait = next,
            None => return,
        }
    }
}

/// RSET costs an upstream nothing; one that does not answer it soon is better left.
const RESET: Duration = Duration::from_secs(5);
