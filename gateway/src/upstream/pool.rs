//! The connections of one upstream: how many there may be, and which wait for their next use.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use portcullis_smtp::Reply;
use portcullis_smtp::client::{Extensions, Stage};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tracing::{debug, error, warn};

use crate::config::Hop;
use crate::metrics::UpstreamMetrics;

use super::UpstreamError;
use super::connection::{Connection, Target};
use super::failure::Failure;
use super::parameters::{Cautions, Promises};
use super::tls::Tls;

/// One upstream and its connections.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) target: Target,
    cautions: Arc<Cautions>,
    permits: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one that was used last is at the end, and is used first: the others may grow old.
    connections: Vec<(Box<Connection>, Instant)>,
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
}

impl Pool {
    pub(super) fn new(
        name: &str,
        upstream: &Hop,
        hostname: &str,
        metrics: Arc<UpstreamMetrics>,
    ) -> Result<Self, UpstreamError> {
        Ok(Self {
            name: name.to_owned(),
            target: Target {
                upstream: upstream.clone(),
                hostname: hostname.to_owned(),
                tls: Tls::new(name, upstream)?,
                metrics,
            },
            cautions: Arc::default(),
            permits: Arc::new(Semaphore::new(upstream.connections)),
            idle: Mutex::default(),
        })
    }

    /// The same upstream with idle connections of its own, one of `among`. How many connections
    /// there may be is counted for all of them together.
    pub(super) fn share(&self, among: usize) -> Self {
        let mut target = self.target.clone();
        target.upstream.idle_connections = target.upstream.idle_connections.div_ceil(among);
        let (name, permits) = (self.name.clone(), self.permits.clone());
        Self { name, target, cautions: self.cautions.clone(), permits, idle: Mutex::default() }
    }

    /// Whether this is what another configuration asks for, too. Certificates are read anew: the
    /// file may be another one under the same name.
    pub(super) fn fits(&self, upstream: &Hop, hostname: &str) -> bool {
        let same = self.target.upstream == *upstream && self.target.hostname == hostname;
        same && !upstream.tls.reads_files()
    }

    /// Whether both count the same connections.
    pub(super) fn is_share_of(&self, pool: &Self) -> bool {
        Arc::ptr_eq(&self.permits, &pool.permits)
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

    /// An idle connection or, where there is none or `fresh` is asked for, a new one.
    pub(super) async fn take(&self, fresh: bool) -> Result<Lease, Failure> {
        let permit = self.permit().await?;
        if !fresh && let Some(connection) = self.take_idle() {
            return Ok(Lease { connection, reused: true, _permit: permit });
        }
        // On the heap, both: to connect is rare, and whoever waits for a command carries neither.
        let connection = Box::new(Box::pin(self.target.connect()).await?);
        Ok(Lease { connection, reused: false, _permit: permit })
    }

    /// Takes a connection back; one that is of no more use is closed.
    pub(super) fn put(self: &Arc<Self>, lease: Lease) {
        let connection = lease.connection;
        if !connection.session.is_open() {
            return;
        }
        let mut idle = self.idle();
        let room = idle.connections.len() < self.target.upstream.idle_connections;
        if idle.closed || !room || !connection.is_reusable() {
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
    pub(super) fn report(&self, failure: &Failure, id: &str) -> Reply {
        let cause = std::error::Error::source(failure).map(ToString::to_string);
        let (upstream, cause) = (&*self.name, cause.as_deref());
        if failure.is_login() {
            error!(id, upstream, error = %failure, cause, "nothing is delivered without a login");
        } else {
            warn!(id, upstream, error = %failure, cause, "upstream failed");
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

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let permit =
            timeout(self.target.upstream.connect_timeout, self.permits.clone().acquire_owned());
        permit.await.ok().and_then(Result::ok).ok_or(Failure::Busy)
    }

    fn take_idle(&self) -> Option<Box<Connection>> {
        let mut idle = self.idle();
        while let Some((mut connection, since)) = idle.connections.pop() {
            if since.elapsed() < self.target.upstream.idle_time && connection.is_alive() {
                return Some(connection);
            }
        }
        None
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
