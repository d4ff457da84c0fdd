//! What the session tells its driver.

use super::{Limit, Question, Verb};
use crate::Reply;
use crate::sasl::Mechanism;

/// What the session wants next. See [`Session::poll`](super::Session::poll).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// Ask policy, then call [`Session::decide`](super::Session::decide).
    Ask(Question),
    /// Content of the message: CRLF lines, dots unstuffed, bare newlines dealt with. Never empty.
    Content(Vec<u8>),
    /// The transaction ended without a message: RSET, a new EHLO, QUIT, STARTTLS, too many errors.
    /// Also where none was open and XFORWARD was said for it. Nothing to answer.
    Aborted,
    /// A client failed to prove that it is this user. The reply is queued; nothing to answer.
    Disproved {
        /// How it tried.
        mechanism: Mechanism,
        /// The name that it used; nobody may have it.
        user: String,
    },
    /// Draw [`NONCE_OCTETS`](super::NONCE_OCTETS) random octets, as for a key, then call
    /// [`Session::nonce`](super::Session::nonce).
    Nonce,
    /// The transaction ended with a message that the session itself refused, with this reply: too
    /// large, in a loop, with bare newlines. Nothing to answer.
    Refused(Reply),
    /// Write the output, then read.
    Read,
    /// Write the output, do the TLS handshake, then call [`Session::tls_established`](super::Session::tls_established).
    StartTls,
    /// Ask policy what it knows of a user, then call [`Session::verifier`](super::Session::verifier).
    Verifier {
        /// What the user tries: the kind of verifier follows from it.
        mechanism: Mechanism,
        /// As the client wrote it.
        user: String,
    },
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
