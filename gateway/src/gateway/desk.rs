//! Where operators ask: the addresses of the admin interface, and who answers there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use crate::admin::{Door, Guard, Route, Terms};
use crate::config::{
    AdminAddress, ClientCertificates, Config, ListenerAddress, Mistakes, TlsVersion,
};
use crate::listener::{Bound, Handed, Passed, Sockets};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::tls::{self, Renewal};

/// The addresses, and who answers there.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) seats: Vec<Seat>,
    /// The end of what answers now.
    end: Shutdown,
    /// What answers, and what has still to be answered at addresses that are left.
    answering: JoinSet<()>,
}

/// One address, open.
#[derive(Debug)]
pub(super) struct Seat {
    sockets: Arc<Sockets>,
    is_for_scrapers: bool,
}

/// What is asked for at the admin interface of one configuration.
#[derive(Debug)]
pub(super) struct Admittance {
    pub(super) terms: Terms,
    /// Looks after the certificate, if there is one.
    pub(super) renewal: Option<Renewal>,
}

impl Admittance {
    /// Who looks after the certificate, once.
    pub(super) fn renewal(&mut self) -> Option<Renewal> {
        self.renewal.take()
    }

    /// What a configuration wants; what is wrong with its files goes to the mistakes.
    pub(super) fn prepare(
        config: &Config,
        metrics: &Metrics,
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        let guard = Guard::new(&config.admin, &config.hostname, metrics.admin());
        let Some(wanted) = &config.admin.tls else {
            return Some(Self { terms: Terms { guard, tls: None }, renewal: None });
        };
        let files = std::slice::from_ref(&wanted.certificate);
        let renewal = match Renewal::begin(NAME, files, metrics.listener(NAME)) {
            Ok(renewal) => renewal,
            Err(errors) => {
                for (place, error) in errors {
                    mistakes.at(&place, error.to_string(), None);
                }
                return None;
            }
        };
        // Probes have no certificates; whether one is needed is the guard's to say.
        let clients = wanted.clients.as_ref().map_or(ClientCertificates::None, |clients| {
            ClientCertificates::Optional(clients.authority.clone())
        });
        match tls::server_config(renewal.certificates().clone(), TlsVersion::default(), &clients) {
            Ok(tls) => {
                let terms = Terms { guard, tls: Some(tls) };
                Some(Self { terms, renewal: Some(renewal) })
            }
            Err(error) => {
                let place = wanted.clients.as_ref().map(|clients| &clients.authority.place);
                let place = place.unwrap_or(&wanted.certificate.place);
                mistakes.at(place, error.to_string(), None);
                None
            }
        }
    }
}

impl Desk {
    /// Opens the addresses of a configuration: what is open already, what was passed, or anew.
    ///
    /// # Errors
    ///
    /// The first that cannot be listened at, and why.
    pub(super) fn open<'a>(
        earlier: &[Seat],
        config: &'a Config,
        passed: &mut Passed,
    ) -> Result<Vec<Seat>, (&'a AdminAddress, io::Error)> {
        let all = config.admin.addresses.iter().map(|address| (address, false));
        let all = all.chain(config.admin.metrics.iter().map(|address| (address, true)));
        let mut seats = Vec::new();
        for (address, is_for_scrapers) in all {
            let sockets = Self::sockets(earlier, &address.at, passed);
            let sockets = sockets.map_err(|error| (address, error))?;
            seats.push(Seat { sockets, is_for_scrapers });
        }
        Ok(seats)
    }

    fn sockets(
        earlier: &[Seat],
        at: &ListenerAddress,
        passed: &mut Passed,
    ) -> io::Result<Arc<Sockets>> {
        if let Some(seat) = earlier.iter().find(|seat| seat.sockets.are_at(at)) {
            seat.sockets.admit(at)?;
            return Ok(seat.sockets.clone());
        }
        let held = earlier.iter().map(|seat| &*seat.sockets);
        Sockets::open(OWNER, at, 1, passed, held).map(Arc::new)
    }

    /// One where nobody answers yet.
    pub(super) fn new(seats: Vec<Seat>) -> Self {
        Self { seats, end: Shutdown::new(), answering: JoinSet::new() }
    }

    /// The first IP address where everything is asked for.
    pub(super) fn ip(&self) -> Option<SocketAddr> {
        let all = self.seats.iter().filter(|seat| !seat.is_for_scrapers);
        all.filter_map(|seat| seat.sockets.ip()).next()
    }

    /// Answers at these addresses from now on. Whoever has asked before gets the answer.
    ///
    /// # Errors
    ///
    /// If there are too many descriptors, or the event queue does not take a socket.
    pub(super) fn answer(
        &mut self,
        seats: Option<Vec<Seat>>,
        terms: Terms,
        routes: &[Route],
    ) -> io::Result<()> {
        if let Some(seats) = seats {
            self.seats = seats;
        }
        // Not a part of the shutdown: those are the minutes in which /readyz has something to say.
        std::mem::take(&mut self.end).begin();
        while self.answering.try_join_next().is_some() {}
        let terms = Arc::new(terms);
        for seat in &self.seats {
            for socket in seat.sockets.among(1)?.into_iter().flatten() {
                let door = match socket {
                    Bound::Tcp(socket) => Door::tcp(TcpListener::from_std(socket)?),
                    Bound::Unix(socket) => Door::unix(UnixListener::from_std(socket)?),
                };
                let door = if seat.is_for_scrapers { door.for_scrapers() } else { door };
                let serving = door.serve(terms.clone(), routes.to_vec(), self.end.watcher());
                self.answering.spawn(serving);
            }
        }
        Ok(())
    }

    /// The sockets, to be handed to another process.
    pub(super) fn handed(&self) -> impl Iterator<Item = Handed<'_>> {
        self.seats.iter().flat_map(|seat| seat.sockets.handed(OWNER))
    }

    /// The files of Unix sockets are another process's from now on.
    pub(super) fn hand_over(&self) {
        self.seats.iter().for_each(|seat| seat.sockets.hand_over());
    }

    /// The files of Unix sockets that were handed over are ours from now on.
    pub(super) fn take_over(&self) {
        self.seats.iter().for_each(|seat| seat.sockets.take_over());
    }

    /// Leaves what comes to somebody else.
    pub(super) fn close(&mut self) {
        self.end.begin();
        self.seats.clear();
    }

    /// Waits until all have their answers, if it is closed.
    pub(super) async fn closed(&mut self) {
        while self.answering.join_next().await.is_some() {}
    }
}

/// What the metrics of its certificate have as their listener.
pub(super) const NAME: &str = "admin";

/// As whose its sockets are handed over; no listener can be called so.
const OWNER: &str = "admin interface";
