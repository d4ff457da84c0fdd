//! What can go wrong in a conversation with a server.

use crate::Reply;

use super::{MalformedReply, Mechanism, Stage};

/// Why a conversation cannot go on. The server's fault; the mail is to be tried again later.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// A challenge that is none, or comes from somebody who does not know the password.
    #[error("{mechanism} was answered with a challenge that makes no sense")]
    BadChallenge {
        /// What was tried.
        mechanism: Mechanism,
    },
    /// Octets that are no reply.
    #[error(transparent)]
    Malformed(#[from] MalformedReply),
    /// A login is needed, and none of the mechanisms that may be used is offered.
    #[error("no mechanism is offered by which the login could be done")]
    NoMechanism,
    /// Octets between the reply to STARTTLS and the handshake: they were sent in clear text,
    /// perhaps by somebody else (CVE-2021-38371 and its kin).
    #[error("octets behind the reply to STARTTLS")]
    OctetsBeforeTls,
    /// A login is needed, and would send the password in clear text over the network.
    #[error("a login would send the password in clear text")]
    PasswordInClear,
    /// The server does not want to talk.
    #[error("{stage} was answered with {reply}")]
    Refused {
        /// To what.
        stage: Stage,
        /// In its own words.
        reply: Reply,
    },
    /// TLS is required and not to be had.
    #[error("STARTTLS is not offered")]
    StartTlsNotOffered,
    /// A reply of a class that makes no sense here.
    #[error("{stage} was answered with {code}")]
    Unexpected {
        /// To what.
        stage: Stage,
        /// The three digits.
        code: u16,
    },
    /// The server said yes to the login without a proof that it knows the password.
    #[error("{mechanism} was accepted by a server that has not proved itself")]
    Unproved {
        /// What was tried.
        mechanism: Mechanism,
    },
    /// A reply that nobody asked for: from here on, no reply could be told from the next one's.
    #[error("unsolicited reply {code}")]
    Unsolicited {
        /// The three digits.
        code: u16,
    },
}
