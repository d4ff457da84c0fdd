//! What a session asks of its driver.

use std::fmt;

use crate::Reply;

use super::ClientError;

/// What the session wants next. See [`Session::poll`](super::Session::poll).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// A reply of the server.
    Answer(Stage, Reply),
    /// The conversation is over: write the output, close the connection.
    Closed,
    /// 354 has come: write the dot-stuffed content and its end to the peer, then call
    /// [`content_sent`](super::Session::content_sent). Or BDAT is in the output: write that and as many octets as it
    /// says. A server that has had enough may answer before.
    Content,
    /// The conversation cannot go on: close the connection.
    Failed(ClientError),
    /// Write the output, then read.
    Read,
    /// Everything is answered; the next command is the caller's.
    Ready,
    /// Do the TLS handshake, then call
    /// [`tls_established`](super::Session::tls_established).
    StartTls,
}

/// What a reply answers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stage {
    /// Nothing: the server's banner.
    Banner,
    /// EHLO, HELO or LHLO.
    Hello,
    /// STARTTLS.
    StartTls,
    /// AUTH, and what is said in the exchange.
    Auth,
    /// XCLIENT.
    Xclient,
    /// XFORWARD.
    Xforward,
    /// MAIL.
    Mail,
    /// RCPT; where MAIL was refused, the reply to that.
    Rcpt,
    /// DATA.
    Data,
    /// The final dot, or BDAT. In LMTP one for each accepted recipient.
    Content,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
}

impl Stage {
    /// Whether it comes before the session is ready: a no ends the conversation then.
    pub(super) fn is_greeting(self) -> bool {
        matches!(self, Self::Auth | Self::Banner | Self::Hello | Self::StartTls | Self::Xclient)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Banner => "banner",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Content => "final dot",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Quit => "QUIT",
        })
    }
}
