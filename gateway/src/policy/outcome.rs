//! Facts after the event, for plugins that want to know what became of things.
//!
//! Telling costs nobody anything: where nobody listens an event is not even made, and who listens has
//! a queue of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_smtp::Reply;

use super::{Hook, HookCall};
use crate::message::{ClientAddress, Envelope, SessionFacts};

/// Something that has happened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// The session's id.
    pub session: String,
    /// The transaction's id, if one was open.
    pub transaction: Option<String>,
    /// The listener's name.
    pub listener: String,
    /// The client's address.
    pub client_address: String,
    /// What has happened.
    pub stage: Stage,
    /// The sender, unless it is the null reverse-path or there is none yet.
    pub sender: Option<String>,
    /// The recipient whom it is about.
    pub recipient: Option<String>,
    /// The plugin that decided, or the upstream that answered.
    pub by: Option<String>,
    /// The reply's code; 0 where there was none.
    pub code: u16,
    /// The reply's status and text; printable.
    pub text: String,
    /// Milliseconds since 1970.
    pub time: u64,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "named for the hooks, where these are")]
pub enum Stage {
    Connect,
    Helo,
    Auth,
    Mail,
    Rcpt,
    Message,
    /// What an upstream said of one recipient.
    Delivery,
    Disconnect,
}

impl Stage {
    /// The name in the contract.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Message => "message",
            Self::Delivery => "delivery",
            Self::Disconnect => "disconnect",
        }
    }

    /// What the session says by itself where nobody objects.
    fn yes(self) -> u16 {
        match self {
            Self::Connect => 220,
            Self::Auth => 235,
            Self::Disconnect => 0,
            _ => 250,
        }
    }
}

impl Event {
    /// Nobody objected, and nobody is named; now.
    #[must_use]
    pub fn new(stage: Stage, session: &SessionFacts, envelope: Option<&Envelope>) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let sender = envelope.and_then(|envelope| envelope.reverse_path.mailbox());
        Self {
            session: session.id.clone(),
            transaction: envelope.map(|envelope| envelope.id.clone()),
            listener: session.listener.clone(),
            client_address: session.client.host(),
            stage,
            sender: sender.map(ToString::to_string),
            recipient: None,
            by: None,
            code: stage.yes(),
            text: "ok".to_owned(),
            time: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// With what was said.
    #[must_use]
    pub fn said(mut self, reply: &Reply) -> Self {
        let said = reply.to_string();
        self.code = reply.code();
        // Behind the code and a space.
        self.text = said.chars().skip(4).take(TEXT).collect();
        self
    }
}

/// What a plugin is called with at a hook that is about no session in particular.
pub(crate) fn call() -> HookCall {
    HookCall {
        hook: Hook::Outcome,
        session: Arc::new(SessionFacts::new(String::new(), "", ClientAddress::Unknown)),
        credentials: None,
        envelope: None,
        recipient: None,
        next_index: 0,
        message: None,
        saved: None,
        notes: Arc::new(BTreeMap::new()),
        message_octets: 0,
        findings: Arc::default(),
        upstreams: None,
    }
}

/// Of what was said: a queue of events is bounded in their number only.
const TEXT: usize = 500;
