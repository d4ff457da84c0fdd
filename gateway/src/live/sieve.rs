//! Which steps a subscriber hears who asked for senders or recipients.
//!
//! When a session begins nobody knows who its mail is for. Its steps are held back until a transaction
//! turns out to be one of those that are wanted; then they are told in order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Filter, News, Pattern, Step, What};

/// Holds steps back, for one subscriber.
#[derive(Debug)]
pub(super) struct Sieve {
    sender: Option<Pattern>,
    recipient: Option<Pattern>,
    sessions: HashMap<String, Held>,
    through: VecDeque<Arc<Step>>,
}

/// One session's.
#[derive(Debug, Default)]
struct Held {
    steps: Vec<Arc<Step>>,
    /// How many of them were before the first MAIL: they belong to all its transactions.
    beginning: usize,
    in_transaction: bool,
    sender: bool,
    recipient: bool,
}

impl Sieve {
    pub(super) fn new(filter: &Filter) -> Self {
        let (sender, recipient) = (filter.sender.clone(), filter.recipient.clone());
        Self { sender, recipient, sessions: HashMap::new(), through: VecDeque::new() }
    }

    /// What may be told.
    pub(super) fn next(&mut self) -> Option<News> {
        self.through.pop_front().map(News::Step)
    }

    pub(super) fn take(&mut self, step: Arc<Step>) {
        if self.sender.is_none() && self.recipient.is_none() {
            return self.through.push_back(step);
        }
        let ends = matches!(step.what, What::End { .. });
        let session = step.session.clone();
        if !self.sessions.contains_key(&session) && self.sessions.len() >= SESSIONS {
            return;
        }
        let held = self.sessions.entry(session.clone()).or_default();
        if let Some(sender) = step.sender() {
            held.begin();
            held.sender = self.sender.as_ref().is_none_or(|pattern| pattern.fits(sender));
            held.recipient = self.recipient.is_none();
        }
        if let Some(recipient) = step.recipient() {
            held.recipient |= self.recipient.as_ref().is_some_and(|own| own.fits(recipient));
        }
        held.push(step);
        if held.sender && held.recipient {
            held.beginning = 0;
            self.through.extend(held.steps.drain(..));
        }
        if ends {
            self.sessions.remove(&session);
        }
    }
}

impl Held {
    /// Another transaction: the one before was not wanted, or has been told.
    fn begin(&mut self) {
        if !self.in_transaction {
            self.beginning = self.steps.len();
        }
        self.in_transaction = true;
        self.steps.truncate(self.beginning);
    }

    fn push(&mut self, step: Arc<Step>) {
        if self.steps.len() < STEPS {
            self.steps.push(step);
        }
    }
}

/// Sessions whose steps are held back at once; of others nothing is told until there is room.
const SESSIONS: usize = 1024;

/// Steps that are held back of one session: more than there are before its first recipients.
const STEPS: usize = 100;
