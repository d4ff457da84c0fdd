//! The hooks, and what `#[plugin]` makes of an `impl` block.

use std::fmt;

use crate::{
    Authentication, Credentials, Message, Outcome, Recipient, Session, Transaction, Verdict,
};

/// A step of the conversation at which plugins are asked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Hook {
    /// A client has connected.
    Connect,
    /// HELO, EHLO or LHLO.
    Helo,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Mail,
    /// RCPT TO, once for each recipient.
    Rcpt,
    /// DATA, before the 354.
    Data,
    /// The header section is complete.
    Headers,
    /// The message is complete.
    Message,
    /// After the event: what became of it.
    Outcome,
}

impl fmt::Display for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Headers => "headers",
            Self::Message => "message",
            Self::Outcome => "outcome",
        })
    }
}

/// What a hook is asked, with all that it may look at. What `auth` is asked is
/// [`Plugin::authenticate`], what `outcome` is told is [`Plugin::outcome`].
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> {
    /// May this client talk to us?
    Connect(&'a Session),
    /// By this name?
    Helo(&'a Session, &'a str),
    /// Mail from this sender?
    Mail(&'a Session, &'a Transaction),
    /// To this recipient?
    Rcpt(&'a Session, &'a Transaction, &'a Recipient),
    /// To all of these?
    Data(&'a Session, &'a Transaction),
    /// With this header section?
    Headers(&'a Session, &'a Transaction, &'a Message),
    /// This message?
    Message(&'a Session, &'a Transaction, &'a Message),
}

/// A plugin as the gateway sees it. `#[plugin]` implements it; tests use it through
/// [`testing`](crate::testing).
pub trait Plugin: Sized {
    /// The hooks that are written.
    const HOOKS: &'static [Hook];

    /// Makes the plugin of its settings, which are JSON; the error is for the operator.
    fn configure(settings: &str) -> Result<Self, String>;

    /// The hooks that these settings do not need.
    fn skip(&self) -> Vec<Hook>;

    /// Asks the hook that is written for this question; `next` if none is.
    fn ask(&mut self, question: Question<'_>) -> Verdict;

    /// Asks the hook `auth`, if it is written; `next` if it is not.
    fn authenticate(&mut self, session: &Session, credentials: &Credentials) -> Authentication {
        let _ = (session, credentials);
        Authentication::Next
    }

    /// Tells the hook `outcome`, if it is written, what became of it.
    fn outcome(&mut self, events: &[Outcome]) {
        let _ = events;
    }
}
