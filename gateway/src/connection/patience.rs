//! How long a client is waited for, and whom its time is up.

use std::time::Duration;

use portcullis_smtp::Reply;
use portcullis_smtp::server::{Awaiting, Question, Session};
use tokio::time::Instant;

use super::Terms;
use crate::metrics::Bound;

/// The clocks of one conversation.
#[derive(Debug)]
pub(super) struct Patience {
    /// Since when it lasts.
    begun: Instant,
    /// Since when the client owes what the session awaits. A command that comes octet by octet is
    /// late like one that does not come; content may take as long as it goes on coming.
    since: Instant,
    /// Since when policy has not been asked.
    asked: Instant,
    /// Since when something is waited for.
    waiting: Instant,
    /// How long answers were held back since the client was waited for last.
    held: Duration,
    /// The content of this message so far.
    content: Option<Pace>,
}

/// How fast content comes. Only time that the client is waited for counts; that between two chunks
/// does, too.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    waited: Duration,
    octets: u64,
}

/// A time at which patience ends, and which one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    pub(super) at: Instant,
    pub(super) bound: Bound,
}

impl Patience {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            since: now,
            asked: now,
            waiting: now,
            held: Duration::ZERO,
            content: None,
        }
    }

    /// Policy was asked.
    pub(super) fn asked(&mut self) {
        self.asked = Instant::now();
    }

    /// How long an answer is held back of which policy wants this: all those together that a client
    /// waits for at once do not take longer than it may wait for one.
    pub(super) fn held_back(&mut self, wanted: Duration) -> Duration {
        let length = wanted.min(HELD_BACK.saturating_sub(self.held));
        self.held += length;
        length
    }

    /// The client knows all answers, or has begun anew.
    pub(super) fn restart(&mut self) {
        self.since = Instant::now();
    }

    /// The client is to send something.
    pub(super) fn wait(&mut self, session: &Session, answered: bool) {
        let content = session.awaiting() == Awaiting::Content;
        if answered || content {
            self.restart();
        }
        self.waiting = Instant::now();
        self.held = Duration::ZERO;
        if content {
            self.content.get_or_insert_default();
        } else if !session.in_transaction() {
            self.content = None;
        }
    }

    /// Policy is asked. What comes after MAIL belongs to another message, perhaps without a wait after
    /// the one before.
    pub(super) fn asks(&mut self, question: &Question) {
        if let Question::Mail { .. } = question {
            self.content = None;
        }
    }

    /// Content came. A chunk that comes together with its BDAT is never waited for.
    pub(super) fn content_began(&mut self) {
        self.content.get_or_insert_default();
    }

    /// Something came, after a wait.
    pub(super) fn received(&mut self, octets: usize) {
        if let Some(pace) = &mut self.content {
            pace.waited += self.waiting.elapsed();
            pace.octets = pace.octets.saturating_add(octets as u64);
        }
    }

    /// From when on policy is told that the client takes its time.
    pub(super) fn idle(&self, terms: &Terms) -> Instant {
        self.asked + terms.pause
    }

    /// Whether it is too late for another transaction.
    pub(super) fn is_over(&self, terms: &Terms) -> bool {
        self.begun.elapsed() >= terms.timeouts.session
    }

    /// Until when the client may send something.
    pub(super) fn deadline(&self, session: &Session, terms: &Terms) -> Deadline {
        let timeouts = &terms.timeouts;
        let (silence, bound) = match session.awaiting() {
            Awaiting::Command => (timeouts.command, Bound::CommandTime),
            Awaiting::Content => (timeouts.content, Bound::ContentTime),
        };
        let own = Deadline { at: self.since + silence, bound };
        // What has begun may end; but not everything that has begun ever does.
        let life = timeouts.session * if session.in_transaction() { 2 } else { 1 };
        let life = Deadline { at: self.begun + life, bound: Bound::SessionTime };
        let all = [Some(own), Some(life), self.pace_deadline(terms)];
        all.into_iter().flatten().min_by_key(|deadline| deadline.at).unwrap_or(own)
    }

    /// Silence is allowed for a while, and so is a pace that makes up for that while.
    fn pace_deadline(&self, terms: &Terms) -> Option<Deadline> {
        let Pace { waited, octets } = self.content?;
        let earned = Duration::from_secs_f64(octets as f64 / terms.content_rate.max(1) as f64);
        let left = (terms.timeouts.content + earned).saturating_sub(waited);
        Some(Deadline { at: self.waiting + left, bound: Bound::ContentRate })
    }
}

/// Clients wait for five minutes (RFC 5321 section 4.5.3.2), and plugins and upstreams want some of them.
const HELD_BACK: Duration = Duration::from_mins(4);

/// What the client is told when its time is up.
pub(super) fn farewell(bound: Bound) -> Reply {
    let text = match bound {
        Bound::ContentRate => "too slow, closing connection",
        Bound::SessionTime => "this session has lasted long enough, connect again",
        _ => "timeout, closing connection",
    };
    Reply::fixed(421, (4, 4, 2), text)
}
