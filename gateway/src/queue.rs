//! What delivers the messages of the spool, and tells senders of those that were not delivered.
//!
//! ```text
//!   enqueue, recovery --> agenda --> attempt --> settlement --> removed, or back to the agenda
//!                                                    '--> report, a message of its own
//! ```
//!
//! A message is tried at once, with its content still in memory; after that by a schedule of its own,
//! unless its upstream cannot be reached: then all that waits for that goes when it is back. What was
//! delivered is removed from the spool, and only what did not go plainly well is written down before.
//! So a crash may deliver a message twice, and lose none.

mod agenda;
mod attempt;
mod command;
mod conditions;
mod desk;
mod fate;
mod keeping;
mod report;
mod schedule;
mod settlement;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::message::Outbound;
use crate::metrics::{Metrics, QueueMetrics};
use crate::shutdown::Shutdown;
use crate::spool::{Entry, Id, Spool, State, Stored};
use crate::upstream::Upstreams;
use agenda::{Agenda, Moment, Turn, Waiting};
use desk::{Desk, Opened};

pub use command::{Summary, UpstreamSummary};
pub use conditions::Conditions;
pub use keeping::Keeping;

/// A spool and what delivers from it.
#[derive(Clone, Debug)]
pub struct Spooling {
    /// Where messages wait.
    pub spool: Arc<Spool>,
    /// What delivers them.
    pub queue: Arc<Queue>,
}

/// What delivers from the spool, as one worker has it. All of them are the same queue.
#[derive(Clone, Debug)]
pub struct Queue {
    office: Arc<Office>,
    /// The worker that tries what is enqueued here.
    worker: usize,
}

/// What all workers share.
#[derive(Debug)]
struct Office {
    spool: Arc<Spool>,
    agenda: Mutex<Agenda>,
    /// Something is to be done before the agenda said so.
    wake: Notify,
    /// When the agenda is looked at next, in milliseconds, if nothing is to be done before.
    planned: AtomicI64,
    conditions: ArcSwap<Conditions>,
    workers: Vec<Worker>,
    /// The worker that gets the next turn.
    next_worker: AtomicUsize,
    desk: Arc<Desk>,
    /// States that the disk did not take: as long as they are not on it, what is there is not true.
    unkept: Mutex<HashMap<Id, Opened>>,
    metrics: Arc<Metrics>,
    counts: QueueMetrics,
    /// Its own end, for which whoever tries is at work.
    shutdown: Shutdown,
    /// Whether nothing is tried for now.
    is_paused: AtomicBool,
}

/// One of those who try.
#[derive(Debug)]
struct Worker {
    runtime: Handle,
    upstreams: ArcSwap<Upstreams>,
}

impl Queue {
    /// A queue with what waits since the last time; one for each worker. Nothing is tried before
    /// [`run`](Self::run).
    #[must_use]
    pub fn open(
        spool: Arc<Spool>,
        waiting: Vec<Entry>,
        conditions: Conditions,
        workers: Vec<(Handle, Arc<Upstreams>)>,
        metrics: Arc<Metrics>,
        shutdown: Shutdown,
    ) -> Vec<Arc<Self>> {
        let count = workers.len();
        let worker = |(runtime, upstreams)| Worker { runtime, upstreams: ArcSwap::new(upstreams) };
        let counts = metrics.queue();
        let office = Arc::new(Office {
            spool,
            agenda: Mutex::new(Agenda::new(conditions.redelivery.concurrency)),
            wake: Notify::new(),
            planned: AtomicI64::new(0),
            conditions: ArcSwap::from_pointee(conditions),
            workers: workers.into_iter().map(worker).collect(),
            next_worker: AtomicUsize::new(0),
            desk: Arc::default(),
            unkept: Mutex::default(),
            metrics,
            counts,
            shutdown: shutdown.part(),
            is_paused: AtomicBool::new(false),
        });
        waiting.iter().for_each(|entry| office.recover(entry));
        (0..count).map(|worker| Arc::new(Self { office: office.clone(), worker })).collect()
    }

    /// Tries a message that was just stored, with the content that is still in memory. If there are
    /// too many attempts already, it waits for its turn on the disk.
    pub fn enqueue(&self, stored: &Arc<Stored>, outbound: Outbound) {
        stored.claim();
        self.office.take_in(stored.entry().clone(), outbound, self.worker);
    }

    /// How long a message that was just tried waits for its next attempt.
    #[must_use]
    pub fn first_pause(&self) -> Duration {
        self.office.conditions.load().schedule.pause(1, schedule::chance())
    }

    /// Sees to it that what waits is tried when its time has come, until the shutdown begins.
    pub async fn run(self: Arc<Self>) {
        self.office.clone().run().await;
    }

    /// Begins no attempt any more, until it is to [go on](Self::go_on). What comes meanwhile waits.
    pub fn pause(&self) {
        self.office.is_paused.store(true, Ordering::SeqCst);
    }

    /// After a pause has begun: waits until those attempts have ended that had begun, for `limit` at most,
    /// and says how many have not.
    pub async fn rests(&self, limit: Duration) -> usize {
        self.office.shutdown.drained(limit).await
    }

    /// Ends a pause.
    pub fn go_on(&self) {
        self.office.is_paused.store(false, Ordering::SeqCst);
        self.office.wake.notify_one();
    }

    /// Has attempts that begin from now on made by this.
    pub fn replace(&self, conditions: Conditions, upstreams: &[Arc<Upstreams>]) {
        let office = &self.office;
        office.agenda(|agenda| agenda.bound(conditions.redelivery.concurrency));
        office.conditions.store(Arc::new(conditions));
        for (worker, upstreams) in office.workers.iter().zip(upstreams) {
            worker.upstreams.store(upstreams.clone());
        }
        let now = Timestamp::now().as_millisecond();
        office.agenda(|agenda| agenda.hasten_closed(now));
        office.wake.notify_one();
    }
}

impl Office {
    fn agenda<T>(&self, work: impl FnOnce(&mut Agenda) -> T) -> T {
        // Each step leaves an agenda that can be worked with.
        work(&mut self.agenda.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn unkept<T>(&self, work: impl FnOnce(&mut HashMap<Id, Opened>) -> T) -> T {
        // A map that a panic left behind is still a map.
        work(&mut self.unkept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the agenda is to know of a message.
    fn waiting(&self, entry: &Entry, now: Timestamp) -> Waiting {
        let conditions = self.conditions.load();
        let milestones = conditions.schedule.milestones(entry.accepted, &entry.parameters);
        let mut due: Vec<(String, Moment)> = Vec::new();
        for addressee in &entry.recipients {
            let State::Waiting { next, .. } = &addressee.state else { continue };
            let next = (*next).max(milestones.release).as_millisecond();
            match due.iter_mut().find(|(upstream, _)| *upstream == addressee.upstream) {
                Some((_, earlier)) => *earlier = next.min(*earlier),
                None => due.push((addressee.upstream.clone(), next)),
            }
        }
        // Whom was to be told of a delay before now was told, as far as anybody knows.
        let notice = milestones.notice.filter(|notice| *notice > now);
        let mut alarm = notice.unwrap_or(milestones.expiry);
        if due.is_empty() {
            alarm = now;
        }
        Waiting {
            id: Arc::new(entry.id.clone()),
            alarm: alarm.as_millisecond(),
            release: milestones.release.as_millisecond(),
            held: entry.held,
            due,
        }
    }

    /// Takes in what was there before.
    fn recover(&self, entry: &Entry) {
        let now = Timestamp::now();
        let waiting = self.waiting(entry, now);
        self.agenda(|agenda| agenda.recover(waiting, now.as_millisecond()));
    }

    /// Takes in what is new, and tries it.
    fn take_in(self: &Arc<Self>, entry: Entry, outbound: Outbound, worker: usize) {
        let now = Timestamp::now();
        let waiting = self.waiting(&entry, now);
        if self.shutdown.watcher().has_begun() {
            // It is on the disk, and the next process finds it there.
            return;
        }
        if self.is_paused.load(Ordering::SeqCst) {
            // Should nobody else have the spool after the pause, it is tried then.
            return self.agenda(|agenda| agenda.recover(waiting, now.as_millisecond()));
        }
        let turns = self.agenda(|agenda| agenda.admit(waiting, now.as_millisecond()));
        if turns.is_empty() {
            self.wake.notify_one();
        }
        for turn in turns {
            self.spawn(turn, worker, Some((entry.clone(), outbound.clone())));
        }
    }

    fn spawn(self: &Arc<Self>, turn: Turn, worker: usize, given: Option<(Entry, Outbound)>) {
        // The end of the process waits for it.
        let task = self.shutdown.track();
        let running = Running { office: self.clone(), turn: turn.clone() };
        let attempt = self.clone().attempt(turn, worker, given);
        let Some(Worker { runtime, .. }) = self.workers.get(worker) else { return };
        // Boxed without its type: an attempt may end in a report, which is attempted.
        let attempt: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
            attempt.await;
            drop((running, task));
        });
        runtime.spawn(attempt);
    }

    async fn run(self: Arc<Self>) {
        let mut watcher = self.shutdown.watcher();
        let mut adrift = self.spool.adrift();
        let mut told: Option<Instant> = None;
        loop {
            self.dispatch();
            if told.is_none_or(|told| told.elapsed() >= LONGEST_PAUSE) {
                self.tell();
                told = Some(Instant::now());
            }
            let now = Timestamp::now().as_millisecond();
            let wake = self.agenda(|agenda| agenda.wake()).unwrap_or(Moment::MAX);
            let pause = u64::try_from(wake.saturating_sub(now)).unwrap_or(0);
            let pause = Duration::from_millis(pause).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            let planned = now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(0));
            self.planned.store(planned, Ordering::Relaxed);
            let found = async {
                match &mut adrift {
                    Some(adrift) => adrift.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = watcher.begun() => return,
                () = self.wake.notified() => {}
                () = sleep(pause) => {}
                entry = found => match entry {
                    Some(entry) => {
                        warn!(id = entry.provenance.id, queued = %entry.id, "found in the spool");
                        self.recover(&entry);
                    }
                    None => adrift = None,
                }
            }
        }
    }

    /// Begins all attempts that may begin now.
    fn dispatch(self: &Arc<Self>) {
        // Before the look at the pause: who waits for those at work misses nobody who did not see it.
        let _task = self.shutdown.track();
        if self.is_paused.load(Ordering::SeqCst) {
            return;
        }
        let now = Timestamp::now().as_millisecond();
        while let Some(turn) = self.agenda(|agenda| agenda.next(now)) {
            let next = self.next_worker.fetch_add(1, Ordering::Relaxed);
            self.spawn(turn, next % self.workers.len().max(1), None);
        }
        while let Some(id) = self.agenda(|agenda| agenda.alarmed(now)) {
            let (office, task) = (self.clone(), self.shutdown.track());
            let ring: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                office.ring(&id).await;
                drop(task);
            });
            tokio::spawn(ring);
        }
    }

    /// Says what waits.
    fn tell(&self) {
        let (summaries, held) = self.agenda(|agenda| (agenda.summary(), agenda.held()));
        self.counts.held(held);
        for summary in summaries {
            let metrics = self.metrics.queue_upstream(&summary.upstream);
            metrics.waits(summary.waiting, summary.reachable);
        }
    }

    /// Has the agenda looked at earlier, if there is something to do before.
    fn stir(&self) {
        let planned = self.planned.load(Ordering::Relaxed);
        if self.agenda(|agenda| agenda.wake()).is_some_and(|wake| wake < planned) {
            self.wake.notify_one();
        }
    }

    /// Forgets a message that is not there any more.
    fn forget(&self, id: &Id, why: &dyn std::fmt::Display) {
        info!(queued = %id, %why, "no longer in the queue");
        self.unkept(|unkept| unkept.remove(id));
        self.agenda(|agenda| agenda.remove(id));
    }
}

/// An attempt, whose message is tried again should a defect have ended it.
struct Running {
    office: Arc<Office>,
    turn: Turn,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let now = Timestamp::now().as_millisecond();
        let next = Some(now + settlement::TROUBLE_PAUSE);
        self.office.agenda(|agenda| {
            if agenda.is_out(&self.turn) {
                agenda.ended(&self.turn, next, None, now);
            }
        });
    }
}

/// What is due in the same moment goes together.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// For metrics that are never older.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
