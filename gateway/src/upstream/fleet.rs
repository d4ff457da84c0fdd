//! All addresses of one upstream: where they are, and how each of them does.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use portcullis_smtp::client::{ClientError, Stage};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::config::{Member, UpstreamHealth};
use crate::metrics::{AddressUp, Probe};

use super::address::{Address, Endpoint};
use super::balance::{Roster, Seat};
use super::connection::{Connection, Patience, Target};
use super::directory::{self, Directory, Found};
use super::failure::Failure;

/// The addresses of an upstream, the same for all threads.
#[derive(Debug)]
pub(super) struct Fleet {
    name: String,
    pub(super) target: Target,
    directory: Directory,
    roster: ArcSwap<Roster>,
    /// One at a time looks names up; the others wait for what it finds.
    looking: tokio::sync::Mutex<()>,
    /// What was known of addresses before a reload.
    heritage: Vec<Arc<Address>>,
    /// For each member of the configuration, from when mail goes there.
    gauges: OnceLock<Vec<AddressUp>>,
    /// Whether mail can go anywhere, as was told last.
    up: Mutex<bool>,
    /// Those that somebody looks at until they are back.
    watched: Mutex<Vec<Arc<Address>>>,
}

impl Fleet {
    /// Looks nothing up yet. What is known of addresses that an `earlier` one has stays known.
    pub(super) fn new(
        name: &str,
        target: Target,
        directory: Directory,
        earlier: Option<&Self>,
    ) -> Self {
        let known = |earlier: &Self| {
            earlier.roster.load().seats.iter().map(|seat| seat.address.clone()).collect()
        };
        let earlier = earlier.filter(|_| target.upstream.health.failures.is_some());
        let heritage = earlier.map(known).unwrap_or_default();
        let mut fleet = Self {
            name: name.to_owned(),
            target,
            directory,
            roster: ArcSwap::default(),
            looking: tokio::sync::Mutex::default(),
            heritage,
            gauges: OnceLock::new(),
            up: Mutex::new(true),
            watched: Mutex::default(),
        };
        fleet.roster = ArcSwap::from_pointee(fleet.beginning());
        fleet
    }

    /// From now on mail goes there: its addresses are shown, and those that are down looked at.
    pub(super) fn begin(self: &Arc<Self>) {
        self.gauges.get_or_init(|| {
            let label = |member: &Member| member.address.to_string();
            let metrics = &self.target.metrics;
            metrics.set_up(true);
            metrics.connections_limit(self.target.upstream.connections);
            metrics.addresses(self.target.upstream.members.iter().map(label).collect())
        });
        self.tell();
        self.watch_all();
    }

    /// Looks at all that are down.
    fn watch_all(self: &Arc<Self>) {
        for seat in &self.roster.load().seats {
            if !self.is_up(&seat.address) {
                self.watch(&seat.address);
            }
        }
    }

    /// Mail goes there no more, and nowhere else under its name.
    pub(super) fn end(&self) {
        self.target.metrics.set_up(true);
        self.target.metrics.addresses(Vec::new());
    }

    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(super) fn roster(&self) -> Guard<Arc<Roster>> {
        self.roster.load()
    }

    /// Whether names need not be looked up now.
    pub(super) fn is_current(&self) -> bool {
        let until = self.roster.load().until;
        until.is_none_or(|until| Instant::now() < until)
    }

    /// Whether mail can go anywhere, as was told last.
    pub(super) fn can_take_mail(&self) -> bool {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an address may get mail.
    pub(super) fn is_up(&self, address: &Address) -> bool {
        address.health.is_up() || self.policy().failures.is_none()
    }

    /// Whether somebody may try an address that is down.
    pub(super) fn may_try(&self, address: &Address) -> bool {
        !self.is_up(address)
            && address.health.may_try(Instant::now(), self.target.upstream.connect_timeout)
    }

    pub(super) fn policy(&self) -> &UpstreamHealth {
        &self.target.upstream.health
    }

    /// Looks names up anew, if it is time.
    pub(super) async fn look_up(self: &Arc<Self>) -> Result<(), Failure> {
        let deadline = Instant::now() + self.target.upstream.connect_timeout;
        let looking = tokio::time::timeout_at(deadline.into(), self.looking.lock()).await;
        let _looking = looking.map_err(|_| Failure::Timeout)?;
        let earlier = self.roster.load_full();
        if earlier.is_current(Instant::now()) {
            return Ok(());
        }
        let (mut seats, mut until, mut failure) = (Vec::new(), None, None);
        let mut names = 0;
        for (index, member) in self.target.upstream.members.iter().enumerate() {
            let again = match self.directory.find(&member.address, deadline).await {
                Ok(found) => {
                    let again = found.until;
                    self.seat(&mut seats, (index, member), &mut names, found);
                    again
                }
                Err(error) => {
                    // What was true a moment ago is better than nothing (RFC 8767).
                    let kept = earlier.seats.iter().filter(|seat| seat.member == index);
                    seats.extend(kept.cloned());
                    failure = Some(error);
                    Some(Instant::now() + RETRY)
                }
            };
            until = [until, again].into_iter().flatten().min();
        }
        if let Some(failure) = failure {
            if seats.is_empty() {
                self.target.metrics.unresolved();
                return Err(failure);
            }
            let cause = std::error::Error::source(&failure).map(ToString::to_string);
            warn!(upstream = self.name, error = %failure, cause, "earlier addresses are used");
        }
        self.roster.store(Arc::new(Roster { seats, until }));
        self.tell();
        // One that was known to be down, and was not asked for meanwhile, is looked at by nobody.
        self.watch_all();
        Ok(())
    }

    /// Connects to one of them, and remembers how that went.
    pub(super) async fn connect(
        self: &Arc<Self>,
        address: &Arc<Address>,
        patience: Patience,
    ) -> Result<Connection, Failure> {
        let connection = self.target.connect(address, patience).await;
        match &connection {
            // Otherwise it is its answers to mail that count.
            Ok(_) if !address.health.is_up() => self.worked(address),
            Ok(_) => {}
            Err(failure) => self.failed(address, failure),
        }
        connection
    }

    /// An address has answered.
    pub(super) fn worked(&self, address: &Address) {
        if address.health.worked() {
            info!(upstream = self.name, address = %address.endpoint, "address is up again");
            self.tell();
        }
    }

    /// An address has given no usable answer.
    pub(super) fn failed(self: &Arc<Self>, address: &Arc<Address>, failure: &Failure) {
        let ours = matches!(failure, Failure::Busy | Failure::Content(_) | Failure::Down)
            || failure.is_login();
        // Whoever serves others is not dead; it has enough to do.
        let refused = matches!(
            failure,
            Failure::Protocol(ClientError::Refused { stage: Stage::Banner | Stage::Hello, .. })
                | Failure::Closing(_)
        );
        if ours || refused && address.is_serving() {
            return;
        }
        if address.health.failed(self.policy(), Instant::now(), dice()) {
            let cause = std::error::Error::source(failure).map(ToString::to_string);
            let (upstream, address) = (&self.name, &address.endpoint);
            warn!(upstream, %address, error = %failure, cause, "address is down");
            self.tell();
        }
        if !self.is_up(address) {
            self.watch(address);
        }
    }

    /// Looks at an address that is down until it is back.
    pub(super) fn watch(self: &Arc<Self>, address: &Arc<Address>) {
        let Some(interval) = self.policy().probe else { return };
        let mut watched = self.watched();
        if !watched.iter().any(|other| Arc::ptr_eq(other, address)) {
            watched.push(address.clone());
            tokio::spawn(watch(Arc::downgrade(self), address.clone(), interval));
        }
    }

    fn watched(&self) -> MutexGuard<'_, Vec<Arc<Address>>> {
        // A panic elsewhere leaves a list, which is as good as before.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is one of them now.
    fn has(&self, address: &Arc<Address>) -> bool {
        self.roster().seats.iter().any(|seat| Arc::ptr_eq(&seat.address, address))
    }

    /// Looks at an address once. Says whether that was the last time.
    async fn probe(&self, address: &Arc<Address>, interval: Duration) -> bool {
        if self.is_up(address) || !self.has(address) {
            return true;
        }
        let banner = self.target.upstream.connect_timeout;
        // A host that was away hears a new attempt sooner than a repeated one.
        let patience = Patience { dial: interval.max(MOMENT), banner, whole: None };
        let probed = timeout(banner, self.target.probe(address, patience)).await;
        match probed.unwrap_or(Err(Failure::Timeout)) {
            // Who refuses a login is there, and does not want to be asked every second.
            Err(error) if !error.is_login() => {
                self.target.metrics.probed(Probe::Failed);
                let (upstream, address) = (&self.name, &address.endpoint);
                debug!(upstream, %address, %error, "address is still down");
                false
            }
            _ => {
                self.target.metrics.probed(Probe::Ok);
                self.worked(address);
                true
            }
        }
    }

    /// What needs no looking up; expired already, if there are names.
    fn beginning(&self) -> Roster {
        let (mut seats, mut names, mut until) = (Vec::new(), 0, None);
        for (index, member) in self.target.upstream.members.iter().enumerate() {
            match directory::fixed(&member.address) {
                Some(found) => self.seat(&mut seats, (index, member), &mut names, found),
                None => until = Some(Instant::now()),
            }
        }
        Roster { seats, until }
    }

    fn seat(
        &self,
        seats: &mut Vec<Seat>,
        (index, member): (usize, &Member),
        names: &mut usize,
        found: Found,
    ) {
        for host in found.hosts {
            let first = host.endpoints.first().map(Endpoint::is_ipv6);
            let is_detour = |endpoint: &Endpoint| Some(endpoint.is_ipv6()) != first;
            for endpoint in &host.endpoints {
                let detour = is_detour(endpoint);
                let alike = host.endpoints.iter().filter(|other| is_detour(other) == detour);
                let shares = u32::try_from(alike.count()).unwrap_or(u32::MAX).max(1);
                seats.push(Seat {
                    address: self.address(endpoint, &host.name),
                    tier: host.preference + if member.backup { BACKUPS } else { 0 },
                    weight: (member.weight * WEIGHT / shares).max(1),
                    name: *names,
                    detour,
                    member: index,
                });
            }
            *names += 1;
        }
    }

    /// The one that is known, or a new one.
    fn address(&self, endpoint: &Endpoint, host: &str) -> Arc<Address> {
        let roster = self.roster.load();
        let known = roster.seats.iter().map(|seat| &seat.address).chain(&self.heritage);
        let mut known = known.filter(|address| address.is(endpoint, host));
        let known = known.next().cloned();
        known.unwrap_or_else(|| Arc::new(Address::new(endpoint.clone(), host)))
    }

    /// Tells what has changed.
    fn tell(&self) {
        // A panic elsewhere leaves a flag, which is as good as before.
        let mut told = self.up.lock().unwrap_or_else(PoisonError::into_inner);
        let seats = &self.roster.load().seats;
        let up = |member: Option<usize>| {
            let mut own = seats.iter().filter(|seat| member.is_none_or(|own| seat.member == own));
            // Nobody has said yet that one that was not looked up is down.
            let none = own.clone().next().is_none();
            none || own.any(|seat| self.is_up(&seat.address))
        };
        for (member, gauge) in self.gauges.get().into_iter().flatten().enumerate() {
            gauge.set(up(Some(member)));
        }
        let up = up(None);
        if std::mem::replace(&mut *told, up) == up {
            return;
        }
        self.target.metrics.set_up(up);
        if up {
            info!(upstream = self.name, "upstream is up again");
        } else {
            warn!(upstream = self.name, addresses = seats.len(), "upstream is down");
        }
    }
}

/// Looks at an address again and again, until it is back or nobody asks for it any more.
async fn watch(fleet: Weak<Fleet>, address: Arc<Address>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(fleet) = fleet.upgrade() else { return };
        if fleet.probe(&address, interval).await {
            fleet.watched().retain(|other| !Arc::ptr_eq(other, &address));
            // It may have gone again in between.
            if !fleet.is_up(&address) && fleet.has(&address) {
                fleet.watch(&address);
            }
            return;
        }
    }
}

/// Chance, for pauses. Without it all pauses are whole.
fn dice() -> u8 {
    let mut dice = [0];
    let _ = getrandom::fill(&mut dice);
    dice[0]
}

/// A name that cannot be looked up is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// The shortest time for a connection that says something about an address.
const MOMENT: Duration = Duration::from_secs(1);

/// Behind all mail exchangers.
const BACKUPS: u32 = 1 << 20;

/// Divides by the number of a host's addresses without much left over.
const WEIGHT: u32 = 2520;
