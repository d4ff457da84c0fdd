//! What the session tells its driver.

use super::{Limit, Question, Verb};
use crate::Reply;

/// What the session wants next. See [`Session::poll`](super::Session::poll).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Ask policy, then call [`Session::decide`](super::Session::decide).
    Ask(Question),
    /// Content of the message: CRLF lines, dots unstuffed, bare newlines dealt with. Never empty.
    Content(Vec<u8>),
    /// The transaction ended without a message: RSET, a new EHLO, QUIT, STARTTLS, too many errors.
    /// Nothing to answer.
    Aborted,
    /// The transaction ended with a message that the session itself refused, with this reply: too
    /// large, in a loop, with bare newlines. Nothing to answer.
    Refused(Reply),
    /// Write the output, then read.
    Read,
    /// Write the output, do the TLS handshake, then call [`Session::tls_established`](super::Session::tls_established).
    StartTls,
    /// Write the output, then close. A transaction that policy itself or [`Session::end`](super::Session::end) broke off
    /// is over without a [`Step::Aborted`].
    Close,
}

/// What happened, for metrics and debug logs. See [`Session::take_events`](super::Session::take_events).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A command line was read.
    Command(Verb),
    /// A reply with this code was queued.
    Reply(u16),
    /// The client reached a bound.
    Limited(Limit),
}

/// What the session waits for; the driver has a deadline for each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Awaiting {
    /// A command.
    Command,
    /// The next block of content.
    Content,
}
