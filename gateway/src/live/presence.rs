//! One session in flight, as others see it.

use std::ops::Deref;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde::Serialize;

use super::audience::{News, Subject};
use super::{Live, Step, What};
use crate::message::SessionFacts;
use crate::telemetry::{Masks, TransactionRecord};

/// One session in flight.
#[derive(Debug)]
pub struct Presence {
    live: Arc<Live>,
    number: u64,
    since: Instant,
    /// The session's own facts, not a copy of them.
    facts: Mutex<Arc<SessionFacts>>,
    transaction: Mutex<Option<Box<Open>>>,
    heard: AtomicU64,
    said: AtomicU64,
    /// Octets of content that came in this transaction.
    content: AtomicU64,
    /// When the stage or who waits for whom has changed, in milliseconds since the beginning.
    changed: AtomicU32,
    transactions: AtomicU32,
    /// The stage, and whether the client is waited for.
    stage: AtomicU8,
}

/// A transaction that has not ended.
#[derive(Debug)]
struct Open {
    id: String,
    sender: String,
    since: Instant,
    recipients: Vec<String>,
    recipient_count: usize,
}

/// Where a conversation is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "named for the commands that lead there")]
pub enum Stage {
    Connect,
    Tls,
    Helo,
    Auth,
    Xclient,
    /// Between transactions.
    Ready,
    Mail,
    Rcpt,
    Data,
    /// Content comes.
    Content,
    /// The message is there, and is judged and delivered.
    Message,
    /// The reply is held back.
    Delay,
    Closing,
}

impl Stage {
    const ALL: [Self; 13] = [
        Self::Connect,
        Self::Tls,
        Self::Helo,
        Self::Auth,
        Self::Xclient,
        Self::Ready,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Content,
        Self::Message,
        Self::Delay,
        Self::Closing,
    ];

    /// Its name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Helo => "helo",
            Self::Auth => "auth",
            Self::Xclient => "xclient",
            Self::Ready => "ready",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Content => "content",
            Self::Message => "message",
            Self::Delay => "delay",
            Self::Closing => "closing",
        }
    }

    fn is_of_a_transaction(self) -> bool {
        matches!(self, Self::Mail | Self::Rcpt | Self::Data | Self::Content | Self::Message)
    }
}

impl Presence {
    pub(super) fn new(live: Arc<Live>, number: u64, facts: Arc<SessionFacts>) -> Self {
        Self {
            live,
            number,
            since: Instant::now(),
            facts: Mutex::new(facts),
            transaction: Mutex::default(),
            heard: AtomicU64::new(0),
            said: AtomicU64::new(0),
            content: AtomicU64::new(0),
            changed: AtomicU32::new(0),
            transactions: AtomicU32::new(0),
            stage: AtomicU8::new(Stage::Connect as u8),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What is known of the session.
    pub(super) fn facts(&self) -> Arc<SessionFacts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// More is known of the session, or something else.
    pub fn learn(&self, facts: &Arc<SessionFacts>) {
        let earlier = &mut *self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        earlier.clone_from(facts);
    }

    /// The gateway is at work: the client waits.
    pub fn works_at(&self, stage: Stage) {
        self.set(stage as u8);
    }

    /// The client is waited for: for content, or for its next command within a transaction or without.
    pub fn awaits(&self, content: bool, in_transaction: bool) {
        let stage = match self.stage() {
            _ if content => Stage::Content,
            stage if stage.is_of_a_transaction() && !in_transaction => Stage::Ready,
            stage => stage,
        };
        self.set(stage as u8 | AWAITED);
    }

    fn set(&self, stage: u8) {
        if self.stage.swap(stage, Ordering::Relaxed) != stage {
            let now = u32::try_from(self.since.elapsed().as_millis()).unwrap_or(u32::MAX);
            self.changed.store(now, Ordering::Relaxed);
        }
    }

    /// What goes on now.
    pub fn stage(&self) -> Stage {
        let number = self.stage.load(Ordering::Relaxed) & !AWAITED;
        Stage::ALL.get(usize::from(number)).copied().unwrap_or(Stage::Connect)
    }

    /// Octets came from the client.
    pub fn heard(&self, octets: usize) {
        self.heard.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Octets were sent to the client.
    pub fn said(&self, octets: usize) {
        self.said.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// Content of a message came.
    pub fn content(&self, octets: usize) {
        self.content.fetch_add(octets as u64, Ordering::Relaxed);
    }

    /// All content of a message is there.
    pub fn content_ended(&self) {
        self.step(|| What::Content { octets: self.content.load(Ordering::Relaxed) });
    }

    /// A transaction has begun.
    pub fn begin(&self, id: &str, sender: &str) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.content.store(0, Ordering::Relaxed);
        *self.transaction() = Some(Box::new(Open {
            id: id.to_owned(),
            sender: sender.to_owned(),
            since: Instant::now(),
            recipients: Vec::new(),
            recipient_count: 0,
        }));
    }

    /// A recipient of the open transaction was accepted.
    pub fn recipient(&self, address: &str) {
        if let Some(open) = &mut *self.transaction() {
            open.recipient_count += 1;
            if open.recipients.len() < RECIPIENTS {
                open.recipients.push(address.to_owned());
            }
        }
    }

    /// The open transaction has ended, and this is its record.
    pub fn end(&self, record: &Arc<TransactionRecord>) {
        let open = self.transaction().take();
        drop(open);
        self.live.ended(record);
    }

    fn transaction(&self) -> MutexGuard<'_, Option<Box<Open>>> {
        self.transaction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody wants to hear each step of this session. Where nobody follows anybody, this is
    /// a look at an atomic.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.live.audience.follows(|| self.facts())
    }

    /// Tells those who follow what has happened.
    pub fn step(&self, what: impl FnOnce() -> What) {
        if !self.is_followed() {
            return;
        }
        let (facts, masks) = (self.facts(), Masks::current());
        let step = Arc::new(Step {
            at: format!("{:.3}", Timestamp::now()),
            session: facts.id.clone(),
            listener: facts.listener.clone(),
            client: masks.client(&facts.client.to_string()).into_owned(),
            transaction: self.transaction().as_ref().map(|open| open.id.clone()),
            what: what().masked(&masks),
        });
        self.live.audience.tell(Subject::Steps, |filter| {
            filter.takes_session(&facts).then(|| News::Step(step.clone()))
        });
    }

    /// How it looks now.
    #[must_use]
    pub fn view(&self) -> SessionView {
        let facts = self.facts();
        let age = self.since.elapsed();
        let changed = f64::from(self.changed.load(Ordering::Relaxed)) / 1e3;
        let tls = facts.tls.as_ref();
        let awaited = self.stage.load(Ordering::Relaxed) & AWAITED != 0;
        let view = SessionView {
            id: facts.id.clone(),
            listener: facts.listener.clone(),
            client: facts.client.to_string(),
            client_name: facts.client_name.clone(),
            via: facts.via.map(|via| via.to_string()),
            helo: facts.helo.clone(),
            tls: tls.map(|tls| tls.words().collect::<Vec<_>>().join(" ")),
            user: facts.user.clone(),
            since: format!("{:.3}", Timestamp::now() - age),
            since_seconds: age.as_secs_f64(),
            stage: self.stage().label(),
            waits_for: if awaited { "client" } else { "gateway" },
            waits_seconds: (age.as_secs_f64() - changed).max(0.0),
            octets_received: self.heard.load(Ordering::Relaxed),
            octets_sent: self.said.load(Ordering::Relaxed),
            transactions: self.transactions.load(Ordering::Relaxed),
            transaction: self.transaction().as_ref().map(|open| TransactionView {
                id: open.id.clone(),
                sender: open.sender.clone(),
                recipients: open.recipients.clone(),
                recipient_count: open.recipient_count,
                octets: self.content.load(Ordering::Relaxed),
                since_seconds: open.since.elapsed().as_secs_f64(),
            }),
        };
        view.masked(&Masks::current())
    }
}

/// A session that is in flight until this is dropped.
#[derive(Debug)]
pub struct Visit(Arc<Presence>);

impl Visit {
    pub(super) fn new(presence: Arc<Presence>) -> Self {
        Self(presence)
    }
}

impl Deref for Visit {
    type Target = Arc<Presence>;

    fn deref(&self) -> &Arc<Presence> {
        &self.0
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.live.leave(&self.0);
    }
}

/// How a session looks.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// The listener's name.
    pub listener: String,
    /// The client's address and port, `unix` or `unknown`.
    pub client: String,
    /// Its host name, as a trusted peer said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// The peer that speaks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// What the client calls itself.
    pub helo: Option<String>,
    /// TLS version and cipher suite.
    pub tls: Option<String>,
    /// Who logged in.
    pub user: Option<String>,
    /// When it began, as RFC 3339 has it.
    pub since: String,
    /// How long it lasts.
    pub since_seconds: f64,
    /// Where the conversation is.
    pub stage: &'static str,
    /// Whose turn it is: `client` or `gateway`.
    pub waits_for: &'static str,
    /// Since when.
    pub waits_seconds: f64,
    /// Octets that came, without TLS.
    pub octets_received: u64,
    /// Octets that were sent, without TLS.
    pub octets_sent: u64,
    /// Transactions so far, with the open one.
    pub transactions: u32,
    /// The open one.
    pub transaction: Option<TransactionView>,
}

/// How a transaction looks that has not ended.
#[derive(Clone, Debug, Serialize)]
pub struct TransactionView {
    /// Its id.
    pub id: String,
    /// The reverse path; empty for `<>`.
    pub sender: String,
    /// The first of the recipients that were accepted.
    pub recipients: Vec<String>,
    /// How many there are.
    pub recipient_count: usize,
    /// Octets of its message so far.
    pub octets: u64,
    /// How long it lasts.
    pub since_seconds: f64,
}

/// Recipients of an open transaction that are shown.
const RECIPIENTS: usize = 10;

/// Beside the stage: the client's turn.
const AWAITED: u8 = 0x80;
