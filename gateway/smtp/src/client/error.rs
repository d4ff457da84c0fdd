//! What can go wrong in a conversation with a server.

use crate::Reply;

use super::{MalformedReply, Stage};

/// Why a conversation cannot go on. The server's fault; the mail is to be tried again later.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// Octets that are no reply.
    #[error(transparent)]
    Malformed(#[from] MalformedReply),
    /// Octets between the reply to STARTTLS and the handshake: they were sent in clear text,
    /// perhaps by somebody else (CVE-2021-38371 and its kin).
    #[error("octets behind the reply to STARTTLS")]
    OctetsBeforeTls,
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
    /// A reply that nobody asked for: from here on, no reply could be told from the next one's.
    #[error("unsolicited reply {code}")]
    Unsolicited {
        /// The three digits.
        code: u16,
    },
}
