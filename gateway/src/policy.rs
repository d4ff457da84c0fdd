//! The seam between the conversation and those who judge it.
//!
//! [`Policy`] is what a connection asks; [`Plugin`] is what the chain of a hook asks. The
//! connection knows no plugins, and the chain does not know that plugins are wasm.

mod chain;
mod destinations;
mod findings;
mod guard;
mod outcome;
mod scoring;
mod witness;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_smtp::Reply;
use portcullis_smtp::sasl::{Credentials, Mechanism, Verifier};
use portcullis_smtp::server::{Conduct, Question, Verdict};

use crate::message::{Edit, Envelope, Message, Recipient, SessionFacts, TlsFacts};

pub use guard::Guard;

pub use chain::{
    AuthRuling, Calls, Case, Chain, Cleared, Copies, Decision, Link, Memory, Ruling, SessionCalls,
};
pub use destinations::{CallAhead, Destinations, Unverified};
pub use findings::{Findings, Found, Search};
pub use outcome::{Event, Stage};
pub use scoring::Scoring;
pub use witness::{Asked, Scored, Witness};

pub(crate) use outcome::call as outcome_call;

/// Answers the questions of one session.
pub trait Policy: Send {
    /// Answers one question.
    fn judge(&mut self, question: Question) -> impl Future<Output = Verdict> + Send;

    /// What the client has done so far against the manners of the protocol; told before each question.
    fn behaved(&mut self, _conduct: &Conduct) {}

    /// How long the answer that was given last is to be held back.
    fn delay(&mut self) -> Duration {
        Duration::ZERO
    }

    /// That answer is held back now, for longer than a moment: nothing is kept meanwhile that others
    /// could use.
    fn held_back(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// What is known of a user, for a mechanism that does not reveal the password: `None` if nobody
    /// has this name or nothing is known that the mechanism could use, an error if that cannot be
    /// said now.
    fn verifier(
        &mut self,
        mechanism: Mechanism,
        user: String,
    ) -> impl Future<Output = Result<Option<Verifier>, Reply>> + Send;

    /// A client failed to prove that it is this user, whom perhaps nobody knows. It is told when
    /// this returns.
    fn disproved(&mut self, mechanism: Mechanism, user: String) -> impl Future<Output = ()> + Send;

    /// Takes content of the message; judged when [`Question::Message`] comes.
    fn content(&mut self, chunk: Vec<u8>) -> impl Future<Output = ()> + Send;

    /// The client takes its time, within a transaction or after it: what others wait for can be given
    /// back.
    fn idle(&mut self) -> impl Future<Output = ()> + Send;

    /// The client took the transaction back: RSET, a new EHLO, QUIT.
    fn aborted(&mut self) -> impl Future<Output = ()> + Send;

    /// The session refused the message with this reply, without asking.
    fn refused(&mut self, reply: Reply) -> impl Future<Output = ()> + Send;

    /// The connection has ended, and why: [`CLOSED`], or without a goodbye. Also told where no
    /// transaction was open.
    fn lost(&mut self, why: &'static str) -> impl Future<Output = ()> + Send;

    /// The connection is under TLS now; what the client said before is void.
    fn tls_established(&mut self, tls: TlsFacts);
}

/// Why a connection ended that ended with a last reply.
pub const CLOSED: &str = "closed";

/// The hooks, in the order of a conversation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "named for the questions they answer")]
pub enum Hook {
    Connect,
    Helo,
    Auth,
    Mail,
    Rcpt,
    Data,
    Headers,
    Message,
    /// After the event: nobody waits for it, and it is asked nothing.
    Outcome,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Helo,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Headers,
        Self::Message,
        Self::Outcome,
    ];

    /// The name in the contract, the log and the metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Headers => "headers",
            Self::Message => "message",
            Self::Outcome => "outcome",
        }
    }

    /// Whether a copy of the plugin made for this hook stays for the rest of the transaction.
    /// What comes before MAIL gets a copy for that call alone.
    #[must_use]
    pub fn in_transaction(self) -> bool {
        !matches!(self, Self::Connect | Self::Helo | Self::Auth | Self::Outcome)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A loaded, configured plugin.
pub trait Plugin: fmt::Debug + Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Whether it is to be asked at this hook.
    fn answers(&self, hook: Hook) -> bool;

    /// What is remembered of its failures.
    fn guard(&self) -> &Guard;

    /// Whether each call gets a fresh copy, rather than each transaction.
    fn fresh_each_call(&self) -> bool;

    /// Tells it what has happened, if it answers [`Hook::Outcome`]. Holds nobody up.
    fn tell(&self, _event: &Arc<Event>) {}

    /// Waits until it has heard everything that it was told.
    fn told(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// A copy that has seen nothing but its configuration. Cheap: what costs is done at its first
    /// call.
    fn copy(&self) -> Box<dyn PluginCopy>;
}

/// A copy of a plugin, for one transaction at most.
pub trait PluginCopy: Send {
    /// Calls a hook. After an error the copy is not called again.
    fn call<'a>(&'a mut self, call: HookCall) -> BoxFuture<'a, Result<Answer, HookFailure>>;

    /// Octets that it has to itself now, as far as it knows. For those who measure.
    fn memory_octets(&self) -> usize {
        0
    }
}

/// A future on the heap, for the one place where a trait object must be asynchronous.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a hook is called with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HookCall {
    /// Which hook.
    pub hook: Hook,
    /// The connection. At `helo` its `helo` is the name that is judged.
    pub session: Arc<SessionFacts>,
    /// Who the client says to be, and its proof, at `auth`.
    pub credentials: Option<Arc<Credentials>>,
    /// The envelope, from `mail` on; at `mail` it has the sender that is judged.
    pub envelope: Option<Arc<Envelope>>,
    /// The recipient that is judged, at `rcpt`. Not yet in the envelope.
    pub recipient: Option<Recipient>,
    /// The index that the next added recipient gets.
    pub next_index: u32,
    /// The message, at `headers` (without body) and `message`.
    pub message: Option<Message>,
    /// What this plugin saved earlier in this session.
    pub saved: Option<Arc<Vec<u8>>>,
    /// What plugins noted in this session, under `plugin.key`.
    pub notes: Arc<BTreeMap<String, String>>,
    /// Upper bound for a body that the plugin writes.
    pub message_octets: u64,
    /// What was found out, and what the client sent where plugins have changed it.
    pub findings: Arc<Findings>,
    /// The upstreams that there are; none after the event.
    pub upstreams: Option<Arc<dyn Destinations>>,
}

/// What came back from a hook that returned normally.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The plugin's opinion.
    pub opinion: Opinion,
    /// Staged edits, validated and granted, in the order in which they were made.
    pub edits: Vec<Edit>,
    /// New state of this plugin for this session.
    pub saved: Option<Vec<u8>>,
    /// New notes, key without the plugin's name.
    pub notes: Vec<(String, String)>,
}

/// A plugin's verdict. Replies have the class that the variant asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Opinion {
    /// Yes, and no later plugin is asked at this hook.
    Accept,
    /// The client is this identity. Only at `auth`, where besides it only [`Self::Defer`] (it cannot
    /// be told now), [`Self::Next`] and [`Self::Reject`] (it is not) are opinions.
    Authenticated(String),
    /// 4xx.
    Defer(Reply),
    /// Yes to the client, no delivery; the text is for the log.
    Discard(String),
    /// 4xx or 5xx, and the end of the connection.
    Disconnect(Reply),
    /// None: ask the next plugin.
    Next,
    /// Yes to the client, delivery to quarantine; the text is for the log.
    Quarantine(String),
    /// 5xx.
    Reject(Reply),
}

impl Opinion {
    /// The value of the metrics' `result` label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Accept | Self::Authenticated(_) => "accept",
            Self::Defer(_) => "defer",
            Self::Discard(_) => "discard",
            Self::Disconnect(_) => "disconnect",
            Self::Next => "next",
            Self::Quarantine(_) => "quarantine",
            Self::Reject(_) => "reject",
        }
    }
}

/// Why a hook call gave no answer. The plugin's fault, or the gateway's if it was busy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct HookFailure {
    /// The class, for metrics.
    pub reason: FailureReason,
    /// For the log; printable, one line.
    pub detail: String,
}

/// The classes of plugin failures: the closed set of the metrics' `reason` label.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FailureReason {
    /// An answer that the contract forbids.
    BadAnswer,
    /// No copy could be made within the time limit.
    Busy,
    /// More memory than it may have.
    Memory,
    /// Not called: it failed too often at this hook.
    Open,
    /// Not called: it failed at this very message too often.
    Poison,
    /// Longer than it may take.
    Timeout,
    /// Unreachable, out of bounds, stack overflow, a panic.
    Trap,
    /// The same, after a store was unavailable that it asked: not its fault, nor the message's.
    Unavailable,
}

impl FailureReason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BadAnswer,
        Self::Busy,
        Self::Memory,
        Self::Open,
        Self::Poison,
        Self::Timeout,
        Self::Trap,
        Self::Unavailable,
    ];

    /// The value of the label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::BadAnswer => "bad-answer",
            Self::Busy => "busy",
            Self::Memory => "memory",
            Self::Open => "open",
            Self::Poison => "poison",
            Self::Timeout => "timeout",
            Self::Trap => "trap",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
