//! The server's side of a conversation.
//!
//! Every command takes three beats: **check** (may the client say this now?), **ask** (what does
//! policy think?), **proceed** (move, and queue the reply). Only the middle beat may take time,
//! and it happens outside this crate.

use std::sync::Arc;

use crate::{Grammar, Mailbox, Parameter, Reply, ReversePath};

/// SMTP or LMTP (RFC 2033).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Protocol {
    /// LHLO instead of EHLO; an answer for each recipient after the message.
    Lmtp,
    /// RFC 5321.
    #[default]
    Smtp,
}

/// What to do about a CR or LF that stands alone in content (RFC 5321 section 2.3.8 forbids them).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BareNewlines {
    /// LF becomes CRLF, CR a space, as Postfix does, before anything looks at the content.
    #[default]
    Normalize,
    /// The message is refused with 550 5.6.11 after its end.
    Refuse,
}

/// How a listener speaks. Shared by all its sessions.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// The name in the banner and in the EHLO answer.
    pub hostname: String,
    /// Whether STARTTLS is offered (as long as the session is in clear text).
    pub starttls: bool,
    /// How paths are read.
    pub grammar: Grammar,
    /// What a bare CR or LF in content becomes.
    pub bare_newlines: BareNewlines,
    /// Bounds of what one client may do.
    pub limits: Limits,
}

/// Bounds of one session. Each has its reply.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Octets of a command line, CRLF included; longer ones get 500 5.5.2.
    pub command_octets: usize,
    /// Octets of a message, announced as SIZE; larger ones get 552 5.3.4.
    pub message_octets: u64,
    /// Accepted recipients of a transaction; more get 452 4.5.3.
    pub recipients: usize,
    /// Commands answered with 5xx by the session itself; then 421 4.7.0 and the end.
    pub errors: u32,
    /// Received fields of a header section (RFC 5321 section 6.3); more get 554 5.4.6.
    pub received_hops: usize,
}

/// What the session asks of policy. Each is answered by [`Session::decide`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Question {
    /// A client has connected and waits for the banner.
    Connect,
    /// EHLO, HELO or LHLO.
    Hello {
        /// Its argument, printable ASCII.
        name: String,
        /// Whether the client speaks ESMTP or LMTP (EHLO, LHLO).
        esmtp: bool,
    },
    /// MAIL: a transaction would begin.
    Mail {
        /// The sender.
        reverse_path: ReversePath,
        /// Only known ones, checked.
        parameters: Vec<Parameter>,
    },
    /// RCPT.
    Rcpt {
        /// The recipient; source routes are dropped.
        forward_path: Mailbox,
        /// Only known ones, checked.
        parameters: Vec<Parameter>,
    },
    /// DATA, before the 354.
    Data,
    /// The message is complete; every octet of it came as [`Step::Content`].
    Message,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Yes, with the session's own words.
    Accept,
    /// Yes or no, by the class of this reply's code.
    Reply(Reply),
    /// LMTP, after the message: a reply for each accepted recipient, in the order of RCPT.
    Each(Vec<Reply>),
    /// This reply, and the end of the conversation.
    Disconnect(Reply),
}

/// What the session wants next. See [`Session::poll`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Ask policy, then call [`Session::decide`].
    Ask(Question),
    /// Content of the message: CRLF lines, dots unstuffed, bare newlines dealt with.
    Content(Vec<u8>),
    /// The transaction ended without a message: RSET, a new EHLO, or QUIT. Nothing to answer.
    Aborted,
    /// Write the output, then read.
    Read,
    /// Write the output, do the TLS handshake, then call [`Session::tls_established`].
    StartTls,
    /// Write the output, then close.
    Close,
}

/// What happened, for metrics and debug logs. See [`Session::take_events`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A command line was read.
    Command(Verb),
    /// A reply with this code was queued.
    Reply(u16),
}

/// The commands, for metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the verbs of RFC 5321 and RFC 2033 speak for themselves")]
pub enum Verb {
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    Starttls,
    Vrfy,
    /// Anything else.
    Unknown,
}

/// What the session waits for; the driver has a deadline for each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Awaiting {
    /// A command.
    Command,
    /// The next block of content.
    Content,
}

/// One conversation with one client.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
}

impl Session {
    /// A session at its beginning; the first [`poll`](Self::poll) asks [`Question::Connect`].
    ///
    /// `tls` says that the connection is already under TLS (implicit TLS).
    #[must_use]
    pub fn new(settings: Arc<Settings>, tls: bool) -> Self {
        let _ = tls;
        Self { settings }
    }

    /// Takes octets from the peer.
    pub fn receive(&mut self, octets: &[u8]) {
        let _ = octets;
    }

    /// Says what to do next.
    pub fn poll(&mut self) -> Step {
        let _ = &self.settings;
        Step::Read
    }

    /// Answers the question that [`poll`](Self::poll) asked last.
    pub fn decide(&mut self, verdict: Verdict) {
        let _ = verdict;
    }

    /// The handshake that [`Step::StartTls`] asked for is done; the conversation starts anew.
    pub fn tls_established(&mut self) {}

    /// Ends the conversation from the server's side (shutdown, time-out): the reply is queued and
    /// the next step is [`Step::Close`].
    pub fn end(&mut self, reply: &Reply) {
        let _ = reply;
    }

    /// The octets to write; the buffer is empty afterwards.
    pub fn take_output(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        Vec::new()
    }

    /// What the next read is for.
    #[must_use]
    pub fn awaiting(&self) -> Awaiting {
        Awaiting::Command
    }

    /// Whether a transaction is open (MAIL was accepted and no end has come yet).
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        false
    }
}
