//! What goes on now and what went on last, for those who watch.
//!
//! ```text
//!   connection, pipeline --> Presence --.--> the sessions in flight
//!                                       |--> History: a ring of the last transactions
//!                                       '--> Audience: news for whoever subscribes
//! ```
//!
//! Mail waits for nobody who watches: a session changes a few atomics of its own; only its beginning, its end and
//! those of its transactions take locks, for as long as a push takes. News are made when somebody wants
//! them, and whoever is too slow for them loses some and is told how many.

mod audience;
mod filter;
mod history;
mod masking;
mod pattern;
mod presence;
mod sieve;
mod step;
#[cfg(test)]
mod tests;
mod weight;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config;
use crate::message::SessionFacts;
use crate::metrics::Watched;
use crate::telemetry::TransactionRecord;
use audience::{Audience, Subject};
use history::History;

pub use audience::{Heard, Interest, News, SessionNews, SubscribeError, Subscription};
pub use filter::{Filter, FilterError};
pub use pattern::Pattern;
pub use presence::{Presence, SessionView, Stage, TransactionView, Visit};
pub use step::{Step, What};

/// Everything that can be watched of one gateway.
#[derive(Debug)]
pub struct Live {
    sessions: [Mutex<Sessions>; SHARDS],
    entered: AtomicU64,
    history: History,
    audience: Audience,
}

/// Some of the sessions in flight, by the number that they got when they came.
type Sessions = HashMap<u64, Arc<Presence>>;

impl Default for Live {
    fn default() -> Self {
        Self::new(config::History::default())
    }
}

impl Live {
    /// With nobody in it, and room for so much history.
    #[must_use]
    pub fn new(bounds: config::History) -> Self {
        Self {
            sessions: Default::default(),
            entered: AtomicU64::new(0),
            history: History::new(bounds),
            audience: Audience::default(),
        }
    }

    /// From now on so much is kept.
    pub fn keep(&self, bounds: config::History) {
        self.history.keep(bounds);
    }

    /// A session begins; it is in flight until what comes back is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>, facts: Arc<SessionFacts>) -> Visit {
        let number = self.entered.fetch_add(1, Ordering::Relaxed);
        let presence = Arc::new(Presence::new(self.clone(), number, facts));
        self.shard(number).insert(number, presence.clone());
        self.tell_session("opened", &presence);
        Visit::new(presence)
    }

    fn leave(&self, presence: &Presence) {
        let gone = self.shard(presence.number()).remove(&presence.number());
        self.tell_session("closed", presence);
        drop(gone);
    }

    fn shard(&self, number: u64) -> MutexGuard<'_, Sessions> {
        let mut hasher = DefaultHasher::new();
        number.hash(&mut hasher);
        let shard = &self.sessions[hasher.finish() as usize % SHARDS];
        // A map that a panic left behind is still a map.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sessions in flight that a filter lets through, the oldest first, and at most so many.
    #[must_use]
    pub fn sessions(&self, filter: &Filter, limit: usize) -> Vec<SessionView> {
        let mut present: Vec<Arc<Presence>> = Vec::new();
        for shard in &self.sessions {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            present.extend(shard.values().cloned());
        }
        present.sort_unstable_by_key(|presence| presence.number());
        let views = present.iter().filter(|presence| filter.takes_session(&presence.facts()));
        let views = views.map(|presence| presence.view());
        views.filter(|view| filter.takes_view(view)).take(limit).collect()
    }

    /// The last transactions that a filter lets through, the newest first, and at most so many.
    #[must_use]
    pub fn transactions(&self, filter: &Filter, limit: usize) -> Vec<Arc<TransactionRecord>> {
        let kept = self.history.all().into_iter().rev();
        kept.filter(|record| filter.takes_record(record)).take(limit).collect()
    }

    /// The record of a transaction, if it is still kept.
    #[must_use]
    pub fn transaction(&self, id: &str) -> Option<Arc<TransactionRecord>> {
        self.history.all().into_iter().rev().find(|record| record.id == id)
    }

    /// How many transactions are kept now, and in how many octets.
    #[must_use]
    pub fn kept(&self) -> (usize, u64) {
        self.history.kept()
    }

    /// A transaction has ended.
    fn ended(&self, record: &Arc<TransactionRecord>) {
        self.history.push(record);
        self.audience.tell(Subject::Transactions, |filter| {
            filter.takes_record(record).then(|| News::Transaction(record.clone()))
        });
    }

    fn tell_session(&self, what: &'static str, presence: &Presence) {
        self.audience.tell(Subject::Sessions, |filter| {
            let fits = filter.takes_session(&presence.facts());
            fits.then(|| News::Session(SessionNews { what, session: presence.view() }.into()))
        });
    }

    /// Somebody wants to hear what happens from now on.
    ///
    /// # Errors
    ///
    /// If there are too many already, or the gateway ends.
    pub fn subscribe(self: &Arc<Self>, interest: Interest) -> Result<Subscription, SubscribeError> {
        self.audience.subscribe(self, interest)
    }

    /// How many subscribe now.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.audience.count()
    }

    /// News that subscribers were too slow for, since the start.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.audience.dropped()
    }

    /// All of that, for the metrics.
    #[must_use]
    pub fn watched(&self) -> Watched {
        let (kept, subscribers) = (self.kept().0 as u64, self.subscribers() as u64);
        Watched { kept, subscribers, dropped: self.dropped() }
    }

    /// There will be no more news: each subscriber hears what is on its way, and then the end.
    pub fn close(&self) {
        self.audience.close();
    }
}

/// Far more than workers, so that two of them seldom want the same one at once.
const SHARDS: usize = 16;
