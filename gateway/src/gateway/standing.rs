//! What runs, and how a reload puts another configuration in its place.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet, spawn_blocking};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::admin::{self, Offer};
use crate::config::{self, Config, Mistakes, Place, StoreKind};
use crate::listener::{Handed, Passed, Permits, Sockets};
use crate::plugins::WasmPlugin;
use crate::queue::Spooling;
use crate::shutdown::Shutdown;
use crate::spool::Entry;
use crate::tls::Renewal;
use crate::upstream::Upstreams;
use crate::worker::{Pulse, Workers};

use super::desk::{Admittance, Desk, Seat};
use super::plugin_files::PluginFiles;
use super::stand::{Opened, Stand};
use super::{Parts, RELOAD, StartError, certificates, checks, logging, pulse, supervisor};

/// The configuration that is served, and where the next one takes its place.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) parts: Parts,
    /// For each listener, in their order.
    pub(super) stands: Vec<Stand>,
    /// For each worker.
    pub(super) upstreams: Vec<Arc<Upstreams>>,
    /// The same queue for each worker; empty where there is no spool.
    pub(super) spooling: Vec<Spooling>,
    /// Tasks that look after the certificates, maps and files of this configuration, and of no other.
    renewals: JoinSet<()>,
    /// Plugins whose files have changed.
    pub(super) renewed: Option<mpsc::Receiver<Arc<WasmPlugin>>>,
    workers: Workers,
    permits: Arc<Permits>,
    pub(super) passed: Passed,
    pub(super) shutdown: Shutdown,
    acceptors: JoinSet<io::Result<()>>,
    /// What waits for the last session of a listener that was left out, by its name.
    partings: BTreeMap<String, AbortHandle>,
    pub(super) desk: Desk,
    /// What is answered there, as soon as it is known.
    pub(super) offer: Option<Offer>,
}

impl Standing {
    /// The first configuration, with what its listeners are to accept from, and what waits in its
    /// spool. Nothing is accepted before [`accept`](Self::accept).
    pub(super) fn found(
        mut parts: Parts,
        waiting: Vec<Entry>,
        workers: Workers,
        (opened, seats): (Vec<Opened>, Vec<Seat>),
        passed: Passed,
        shutdown: Shutdown,
    ) -> (Self, Vec<Renewal>) {
        let count = workers.count();
        let upstreams: Vec<_> =
            (0..count).map(|_| Arc::new(parts.upstreams.share(count, None))).collect();
        let spooling = parts.spooling(waiting, &workers, &upstreams, &shutdown);
        let permits = Permits::new(&parts.config.limits);
        pulse::feel(&workers, &parts.foundation.metrics);
        let (mut renewals, secured) = certificates::divide(std::mem::take(&mut parts.secured));
        renewals.extend(parts.admittance.iter_mut().filter_map(Admittance::renewal));
        let mut standing = Self {
            parts,
            stands: Vec::new(),
            upstreams,
            spooling,
            renewals: JoinSet::new(),
            renewed: None,
            workers,
            permits,
            passed,
            desk: Desk::new(seats),
            offer: None,
            shutdown,
            acceptors: JoinSet::new(),
            partings: BTreeMap::new(),
        };
        let parts = &standing.parts;
        let configured = parts.config.listeners.iter().zip(secured).zip(opened);
        let stands = configured.map(|((listener, shown), opened)| {
            let (certificate, certificates) = shown.unzip();
            let terms = parts.terms(listener, certificate);
            let houses = standing.houses(parts, listener).collect();
            let (permits, sessions) = (standing.permits.clone(), standing.shutdown.part());
            Stand::new(listener, terms, houses, permits, sessions, opened).showing(certificates)
        });
        standing.stands = stands.collect();
        (standing, renewals)
    }

    /// What each worker's sessions of a listener find.
    pub(super) fn houses<'a>(
        &'a self,
        parts: &'a Parts,
        listener: &'a config::Listener,
    ) -> impl Iterator<Item = crate::pipeline::House> + 'a {
        self.upstreams.iter().enumerate().map(|(worker, upstreams)| {
            parts.house(listener, upstreams, self.spooling.get(worker).cloned())
        })
    }

    /// Begins to accept wherever that has not begun.
    pub(super) fn accept(&mut self) {
        while self.acceptors.try_join_next().is_some() {}
        for stand in &mut self.stands {
            for (runtime, acceptors) in self.workers.runtimes().zip(stand.acceptors()) {
                for acceptor in acceptors {
                    let name = stand.listener.name.clone();
                    let accepting = async move {
                        acceptor.run().await.inspect_err(|cause| {
                            error!(listener = name, %cause, "a worker cannot accept connections");
                        })
                    };
                    self.acceptors.spawn_on(accepting, runtime);
                }
            }
        }
    }

    /// Answers operators from now on, as the configuration has it, at what was opened.
    pub(super) fn answer(&mut self, seats: Option<Vec<Seat>>) {
        let (Some(offer), Some(admittance)) = (&mut self.offer, self.parts.admittance.take())
        else {
            return;
        };
        let (config, foundation) = (&self.parts.config, &self.parts.foundation);
        let certificates = std::mem::take(&mut self.parts.watched);
        offer.checks = checks::of(config, foundation.budget.clone(), certificates);
        let mut routes = admin::routes(&Arc::new(offer.clone()));
        routes.push(self.parts.foundation.inquiries.route());
        if let Err(cause) = self.desk.answer(seats, admittance.terms, &routes) {
            error!(%cause, "not everybody at the admin interface gets answers");
        }
    }

    /// Whether the workers still work.
    pub(super) fn pulse(&self) -> Pulse {
        self.workers.pulse()
    }

    /// Nobody listens any more, and whoever accepted has ended.
    pub(super) async fn close_sockets(&mut self) {
        self.stands.clear();
        while self.acceptors.join_next().await.is_some() {}
    }

    /// Looks after certificates and maps of routes until the shutdown, or until a reload.
    pub(super) fn renew(&mut self, renewals: Vec<Renewal>) {
        let watcher = self.shutdown.watcher();
        for renewal in renewals {
            self.renewals.spawn(renewal.run(watcher.clone()));
        }
        if let Some(maps) = self.parts.maps() {
            self.renewals.spawn(maps.run(watcher.clone()));
        }
        self.renewed = PluginFiles::of(&self.parts).map(|(files, comes)| {
            self.renewals.spawn(files.run(watcher));
            comes
        });
    }

    /// Reads the configuration anew and serves it, if it has no mistake; otherwise nothing changes.
    /// What comes back is for whoever asked: warnings, or why not.
    pub(super) async fn reload(&mut self, file: &Path) -> Result<Mistakes, StartError> {
        supervisor::reloading();
        let reloaded = self.try_reload(file).await;
        supervisor::ready();
        self.parts.foundation.metrics.reloaded(reloaded.is_ok());
        self.show_reload(&reloaded);
        if let Some(offer) = &self.offer {
            match &reloaded {
                Ok(_) => offer.readiness.settle(RELOAD),
                Err(_) => {
                    let text = "the last reload was refused, and what was served before is served";
                    offer.readiness.warn(RELOAD, text.to_owned());
                }
            }
        }
        match &reloaded {
            Ok(_) => info!(file = %file.display(), "configuration reloaded"),
            Err(StartError::Configuration(mistakes)) => {
                for mistake in mistakes {
                    error!(place = %mistake.place, help = mistake.help, "{}", mistake.text);
                }
                error!(mistakes = mistakes.len(), "reload refused, the configuration stays");
            }
            Err(error) => error!(%error, "reload failed, the configuration stays"),
        }
        reloaded
    }

    async fn try_reload(&mut self, file: &Path) -> Result<Mistakes, StartError> {
        let path = file.to_owned();
        let read = spawn_blocking(move || config::load(&path)).await;
        let config = read.map_err(|_| unreadable(file))??;
        fixed(&self.parts.config, &config, file).or_fail()?;
        for warning in &config.warnings {
            warn!(place = %warning.place, "{}", warning.text);
        }
        let parts = Parts::after(Some(&self.parts), config).await?;
        // What could still go wrong goes wrong here, before anything is replaced.
        let opened = match self.open(&parts.config) {
            Ok(opened) => opened,
            Err(mistakes) => {
                super::forget(&parts.config, Some(&self.parts.config), &parts.foundation.metrics);
                return Err(mistakes.into());
            }
        };
        self.replace(parts, opened);
        self.show(Some(file));
        Ok(self.parts.warnings().clone())
    }

    /// Finds what each listener of a configuration is to accept from: what is there already, whatever
    /// listener has it now, or what is bound anew.
    fn open(&mut self, config: &Config) -> Result<(Vec<Opened>, Vec<Seat>), Mistakes> {
        let workers = self.workers.count();
        let (mut opened, mut mistakes) = (Vec::<Opened>::new(), Mistakes::default());
        for listener in &config.listeners {
            let (name, address) = (&listener.name, &listener.address);
            let there = self.stands.iter().filter(|stand| stand.sockets.are_at(address));
            let own = there.clone().find(|stand| stand.listener.name == *name);
            let found = match own.or_else(|| there.clone().find(|it| !it.sockets.are_anywhere())) {
                Some(stand) if stand.is_of(listener) => Ok(Opened::as_it_is(stand)),
                Some(stand) => Opened::anew(stand.sockets.clone(), workers),
                None => {
                    let ours = self.stands.iter().map(|stand| &*stand.sockets);
                    let held = ours.chain(opened.iter().map(|opened| &*opened.sockets));
                    Sockets::open(name, address, workers, &mut self.passed, held)
                        .and_then(|sockets| Opened::anew(Arc::new(sockets), workers))
                }
            };
            match found {
                Ok(found) => opened.push(found),
                Err(error) => not_open(listener, &error, &mut mistakes),
            }
        }
        let seats = Desk::open(&self.desk.seats, config, &mut self.passed);
        if let Err((address, error)) = &seats {
            let text = format!("cannot listen on {}: {error}", address.at);
            mistakes.at(&address.place, text, None);
        }
        mistakes.or_fail()?;
        // Of what cannot be taken back the last.
        let mut mistakes = Mistakes::default();
        for (listener, opened) in config.listeners.iter().zip(&opened) {
            if *opened.sockets.at() != listener.address
                && let Err(error) = opened.sockets.admit(&listener.address)
            {
                not_open(listener, &error, &mut mistakes);
            }
        }
        mistakes.or_fail()?;
        Ok((opened, seats.unwrap_or_default()))
    }

    /// From here on nothing can fail and nothing waits. Who began before ends with what was; that is
    /// dropped with the last of them.
    fn replace(&mut self, mut parts: Parts, (opened, seats): (Vec<Opened>, Vec<Seat>)) {
        self.renewals = JoinSet::new();
        logging::renew(&self.parts.config.log, &parts.config.log);
        let among = self.upstreams.len();
        let share =
            |earlier: &Arc<Upstreams>| Arc::new(parts.upstreams.share(among, Some(earlier)));
        self.upstreams = self.upstreams.iter().map(share).collect();
        // First: what is accepted for an upstream that is new finds it there.
        if let Some(spooling) = self.spooling.first() {
            spooling.queue.replace(parts.conditions(), &self.upstreams);
        }
        let limits = &parts.config.limits;
        if *limits != self.parts.config.limits {
            self.permits.bound(limits);
        }
        parts.foundation.bound(&parts.config);
        let (mut renewals, secured) = certificates::divide(std::mem::take(&mut parts.secured));
        renewals.extend(parts.admittance.iter_mut().filter_map(Admittance::renewal));
        let mut earlier = std::mem::take(&mut self.stands);
        let mut stands = Vec::new();
        let configured = parts.config.listeners.iter().zip(secured).zip(opened);
        for ((listener, shown), opened) in configured {
            let (certificate, certificates) = shown.unzip();
            let terms = parts.terms(listener, certificate);
            let houses = self.houses(&parts, listener).collect();
            if let Some(parting) = self.partings.remove(&listener.name) {
                parting.abort();
            }
            let (stand, opened) = match earlier.iter().position(|stand| stand.is_of(listener)) {
                Some(own) => {
                    let stand = earlier.swap_remove(own);
                    stand.refurnish(terms, houses);
                    (stand, opened)
                }
                None => {
                    let (permits, sessions) = (self.permits.clone(), self.shutdown.part());
                    let none = Opened { sockets: opened.sockets.clone(), bound: Vec::new() };
                    (Stand::new(listener, terms, houses, permits, sessions, none), opened)
                }
            };
            stands.push((stand.showing(certificates), opened));
        }
        let kept: Vec<_> = stands.iter().map(|(_, opened)| opened.sockets.clone()).collect();
        let goes_on = |sockets: &Arc<Sockets>| kept.iter().any(|it| Arc::ptr_eq(it, sockets));
        let moved = stands.into_iter().map(|(mut stand, opened)| {
            stand.go_to(opened, goes_on(&stand.sockets));
            stand
        });
        self.stands = moved.collect();
        self.accept();
        certificates::forget(&self.parts.config, Some(&parts.config), &parts.foundation.metrics);
        for mut stand in earlier {
            stand.leave(goes_on(&stand.sockets));
            self.see_off(stand);
        }
        self.parts.forget_maps(&parts.config);
        parts.foundation.stores().start();
        parts.foundation.metrics.configuration_loaded(parts.bounds());
        self.parts = parts;
        self.renew(renewals);
        self.answer(Some(seats));
    }

    /// A listener that is left out stays in the metrics until its last session has ended.
    fn see_off(&mut self, Stand { listener, .. }: Stand) {
        if self.stands.iter().any(|stand| stand.listener.name == listener.name) {
            return;
        }
        let (name, sessions) = (listener.name, listener.sessions);
        let (metrics, own) = (self.parts.foundation.metrics.clone(), name.clone());
        let parting = tokio::spawn(async move {
            sessions.drained(Duration::MAX).await;
            metrics.listener_left(&own);
        });
        self.partings.insert(name, parting.abort_handle());
    }

    /// All sockets, to be handed to another process.
    pub(super) fn handed(&self) -> Vec<Handed<'_>> {
        let ours = self.stands.iter().filter(|stand| stand.sockets.are_ours());
        let listeners = ours.flat_map(|stand| stand.sockets.handed(&stand.listener.name));
        listeners.chain(self.passed.hand_over()).chain(self.desk.handed()).collect()
    }

    /// Whether something here is for one process alone.
    pub(super) fn has_what_is_for_one(&self) -> bool {
        let is_file = |store: &config::Store| matches!(store.kind, StoreKind::Redb { .. });
        !self.spooling.is_empty() || self.parts.config.stores.values().any(is_file)
    }

    /// Ends whatever needs what is for one process alone, within the deadline of a shutdown, and lets go
    /// of it. Connections wait meanwhile.
    ///
    /// # Errors
    ///
    /// If the spool cannot be let go of: somebody has it, or is still delivering from it. Then
    /// [`go_on`](Self::go_on).
    pub(super) async fn let_go(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + self.parts.config.shutdown_deadline;
        let queue = self.spooling.first().map(|spooling| spooling.queue.clone());
        if let Some(queue) = &queue {
            queue.pause();
        }
        self.stands.iter_mut().for_each(|stand| stand.leave(true));
        let rest = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        let mut left = 0;
        for stand in &self.stands {
            left += stand.listener.sessions.drained(rest(deadline)).await;
        }
        if left > 0 {
            warn!(left, "the deadline has come, and not all transactions have ended");
        }
        if let Some(queue) = &queue {
            match queue.rests(rest(deadline)).await {
                0 => {}
                // Two processes would deliver the same.
                left => return Err(io::Error::other(Undelivered(left))),
            }
        }
        super::tell_the_rest(&self.parts.plugins, deadline).await;
        self.parts.foundation.stores().close().await;
        match &self.parts.foundation.spool {
            Some(spool) => spool.let_go().await,
            None => Ok(()),
        }
    }

    /// Goes on after all, with what was let go of.
    pub(super) fn go_on(&mut self) {
        if let Some(spooling) = self.spooling.first() {
            if let Err(cause) = spooling.spool.take_back() {
                error!(%cause, "another process has the spool, nothing is stored or delivered from it");
            }
            spooling.queue.go_on();
        }
        for stand in &mut self.stands {
            if let Err(cause) = stand.come_back(self.shutdown.part()) {
                error!(listener = stand.listener.name, %cause, "connections cannot be accepted");
            }
        }
        self.accept();
    }

    /// Leaves what comes to another process, which has the same sockets. When this returns, whoever
    /// comes comes to that one.
    pub(super) async fn hand_over(&mut self) {
        self.desk.hand_over();
        self.desk.close();
        for stand in &mut self.stands {
            stand.stop_accepting(true);
            stand.sockets.hand_over();
        }
        while self.acceptors.join_next().await.is_some() {}
    }

    /// What was handed over by another process is ours, now that this one goes on.
    pub(super) fn take_over(&self) {
        self.desk.take_over();
        self.stands.iter().for_each(|stand| stand.sockets.take_over());
    }

    /// Says QUIT on what is idle.
    pub(super) fn close(&self) {
        self.upstreams.iter().for_each(|upstreams| upstreams.close());
    }
}

/// What only another process changes. A reload that took the rest and left these would serve what stands
/// in no file.
fn fixed(now: &Config, wanted: &Config, file: &Path) -> Mistakes {
    let mut mistakes = Mistakes::default();
    let whole = Place::file(file);
    let directory = |config: &Config| config.spool.as_ref().map(|spool| spool.directory.clone());
    if directory(now) != directory(wanted) {
        let place = wanted.spool.as_ref().map_or(&whole, |spool| &spool.place);
        let text = "another directory for the spool takes another process, for what waits in one \
                    cannot be left to nobody: the reload is refused as a whole";
        let help = "\"portcullis upgrade\" does it and interrupts nobody, and so does a restart";
        mistakes.at(place, text, Some(help));
    }
    mistakes
}

fn not_open(listener: &config::Listener, error: &io::Error, mistakes: &mut Mistakes) {
    let text = format!("cannot listen on {} ({}): {error}", listener.address, listener.name);
    let help = "nothing has changed; what is served now stays";
    mistakes.at(&listener.place, text, Some(help));
}

fn unreadable(file: &Path) -> StartError {
    let mut mistakes = Mistakes::default();
    mistakes.at(&Place::file(file), "reading the configuration failed", None);
    mistakes.into()
}

/// Why another process cannot have the spool yet.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0} attempts to deliver from the spool have not ended by the deadline (shutdown.deadline)"
)]
struct Undelivered(usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_directory_of_the_spool_takes_another_process() {
        let text = "
hostname: mx.example.org
listeners:
  - {name: inbound, address: \"127.0.0.1:2525\", delivery: spool}
upstreams: {next: {address: \"127.0.0.1:2526\"}}
default_upstream: next
spool: {directory: mail, messages: 10}
";
        let file = Path::new("portcullis.yaml");
        let now = config::parse(file, text.to_owned()).unwrap();
        let told = |old: &str, new: &str| {
            let wanted = config::parse(file, text.replace(old, new)).unwrap();
            fixed(&now, &wanted, file).len()
        };
        assert_eq!(told("messages: 10", "messages: 11, size: 2GiB, free: 0"), 0);
        assert_eq!(told("127.0.0.1:2525", "127.0.0.1:2524"), 0);
        assert_eq!(told("default_upstream", "limits: {connections: 1}\ndefault_upstream"), 0);
        assert_eq!(told("directory: mail", "directory: other"), 1);
    }
}
