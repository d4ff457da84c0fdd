//! Those who want to hear what happens, and what they hear.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::mpsc;

use super::sieve::Sieve;
use super::{Filter, Live, SessionView, Step};
use crate::message::SessionFacts;
use crate::telemetry::TransactionRecord;

/// Something that somebody wants to hear.
#[derive(Clone, Debug)]
pub enum News {
    /// A session began or ended.
    Session(Arc<SessionNews>),
    /// A step of a session.
    Step(Arc<Step>),
    /// A transaction has ended.
    Transaction(Arc<TransactionRecord>),
}

/// A session began or ended.
#[derive(Clone, Debug, Serialize)]
pub struct SessionNews {
    /// `opened` or `closed`.
    pub what: &'static str,
    /// The session.
    #[serde(flatten)]
    pub session: SessionView,
}

/// What a subscriber wants to hear.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    /// When sessions begin and end.
    pub sessions: bool,
    /// Each step of them.
    pub steps: bool,
    /// Transactions that have ended.
    pub transactions: bool,
    /// Of all that, what.
    pub filter: Filter,
}

impl Interest {
    fn wants(&self, subject: Subject) -> bool {
        match subject {
            Subject::Sessions => self.sessions,
            Subject::Steps => self.steps,
            Subject::Transactions => self.transactions,
        }
    }
}

/// What news are about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    Sessions = 1,
    Steps = 2,
    Transactions = 4,
}

impl Subject {
    const ALL: [Self; 3] = [Self::Sessions, Self::Steps, Self::Transactions];
}

/// Why nobody can subscribe now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SubscribeError {
    /// The gateway ends.
    #[error("the gateway is shutting down")]
    Closed,
    /// There is no place.
    #[error("{SUBSCRIBERS} are watching already")]
    Full,
}

/// All subscribers.
#[derive(Debug, Default)]
pub(super) struct Audience {
    /// The subjects that anybody wants, so that without one a look at this is all.
    wanted: AtomicU8,
    subscribers: ArcSwap<Vec<Arc<Subscriber>>>,
    /// Held by whoever changes the two above.
    changing: Mutex<Changes>,
    /// Of those who are gone.
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Changes {
    next: u64,
    closed: bool,
}

#[derive(Debug)]
struct Subscriber {
    number: u64,
    interest: Interest,
    news: mpsc::Sender<News>,
    lost: Arc<Lost>,
}

/// What one subscriber was too slow for.
#[derive(Debug, Default)]
struct Lost {
    all: AtomicU64,
    /// Of these, what it was not told of yet.
    untold: AtomicUsize,
}

impl Audience {
    /// Whether anybody wants news about it.
    pub(super) fn wants(&self, subject: Subject) -> bool {
        self.wanted.load(Ordering::Relaxed) & subject as u8 != 0
    }

    /// Whether anybody wants each step of this session.
    pub(super) fn follows(&self, facts: impl FnOnce() -> Arc<SessionFacts>) -> bool {
        if !self.wants(Subject::Steps) {
            return false;
        }
        let facts = facts();
        let subscribers = self.subscribers.load();
        subscribers
            .iter()
            .any(|one| one.interest.steps && one.interest.filter.takes_session(&facts))
    }

    /// Tells those who want to hear it; what it is, is made for the first of them.
    pub(super) fn tell(&self, subject: Subject, news: impl Fn(&Filter) -> Option<News>) {
        if !self.wants(subject) {
            return;
        }
        for one in self.subscribers.load().iter().filter(|one| one.interest.wants(subject)) {
            if let Some(news) = news(&one.interest.filter)
                && let Err(mpsc::error::TrySendError::Full(_)) = one.news.try_send(news)
            {
                one.lost.all.fetch_add(1, Ordering::Relaxed);
                one.lost.untold.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn subscribe(
        &self,
        live: &Arc<Live>,
        interest: Interest,
    ) -> Result<Subscription, SubscribeError> {
        let mut changes = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.closed {
            return Err(SubscribeError::Closed);
        }
        let earlier = self.subscribers.load_full();
        if earlier.len() >= SUBSCRIBERS {
            return Err(SubscribeError::Full);
        }
        changes.next += 1;
        let (number, lost) = (changes.next, Arc::<Lost>::default());
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let sieve = Sieve::new(&interest.filter);
        let one = Subscriber { number, interest, news: sender, lost: lost.clone() };
        let all = earlier.iter().cloned().chain([Arc::new(one)]).collect();
        self.replace(all);
        Ok(Subscription { live: live.clone(), number, receiver, lost, sieve })
    }

    fn unsubscribe(&self, number: u64) {
        let _changes = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = self.subscribers.load_full();
        let (gone, left): (Vec<_>, Vec<_>) =
            earlier.iter().cloned().partition(|one| one.number == number);
        for one in gone {
            self.dropped.fetch_add(one.lost.all.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.replace(left);
    }

    fn replace(&self, subscribers: Vec<Arc<Subscriber>>) {
        let wanted = |subject: Subject| subscribers.iter().any(|one| one.interest.wants(subject));
        let wanted = Subject::ALL.into_iter().filter(|subject| wanted(*subject));
        let wanted = wanted.fold(0, |all, subject| all | subject as u8);
        self.subscribers.store(Arc::new(subscribers));
        self.wanted.store(wanted, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> usize {
        self.subscribers.load().len()
    }

    pub(super) fn dropped(&self) -> u64 {
        let subscribers = self.subscribers.load();
        let lost = subscribers.iter().map(|one| one.lost.all.load(Ordering::Relaxed));
        self.dropped.load(Ordering::Relaxed) + lost.sum::<u64>()
    }

    pub(super) fn close(&self) {
        let mut changes = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        changes.closed = true;
        for one in self.subscribers.load().iter() {
            self.dropped.fetch_add(one.lost.all.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        self.replace(Vec::new());
    }
}

/// One who hears what happens. Dropped, it is over.
#[derive(Debug)]
pub struct Subscription {
    live: Arc<Live>,
    number: u64,
    receiver: mpsc::Receiver<News>,
    lost: Arc<Lost>,
    sieve: Sieve,
}

/// What a subscriber hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// So many news were lost here: it was too slow.
    Dropped(usize),
    /// What happened.
    News(News),
}

impl Subscription {
    /// What comes next; none when the gateway ends.
    pub async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some(news) = self.sieve.next() {
                return Some(Heard::News(news));
            }
            let lost = self.lost.untold.swap(0, Ordering::Relaxed);
            if lost > 0 {
                return Some(Heard::Dropped(lost));
            }
            match self.receiver.recv().await? {
                News::Step(step) => self.sieve.take(step),
                news => return Some(Heard::News(news)),
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.audience.unsubscribe(self.number);
    }
}

/// A page or two for everybody who looks after a gateway, and `portcullis trace` beside them.
const SUBSCRIBERS: usize = 16;

/// News that one subscriber may be behind: some hundred octets each, or a record of a transaction.
const BACKLOG: usize = 1024;
