//! Where a next hop fails, and how.

use std::fmt;

/// Where in a conversation.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stage {
    /// Before there is a connection.
    Connect,
    /// The first words of the server.
    Banner,
    /// The answer to EHLO or LHLO; HELO is answered well.
    Hello,
    /// The answer to STARTTLS.
    StartTls,
    /// In place of the handshake.
    Handshake,
    /// The answer to AUTH, which is one line.
    Auth,
    /// The answer to XCLIENT.
    Xclient,
    /// The answer to XFORWARD.
    Xforward,
    /// The answer to MAIL.
    Mail,
    /// The answer to RCPT for a recipient whose name begins with `second`.
    Rcpt,
    /// The answer to DATA.
    Data,
    /// In the middle of the text.
    Text,
    /// The answer to the final dot; in LMTP, the one for the first recipient.
    Dot,
    /// LMTP's answer for the second recipient.
    SecondDot,
    /// The answer to RSET.
    Rset,
    /// The answer to QUIT.
    Quit,
}

impl Stage {
    /// The stage whose answer this one's is glued to where it comes too early. RCPT's goes with that
    /// of the RCPT before.
    pub(super) fn predecessor(self) -> Option<Self> {
        Some(match self {
            Self::Connect | Self::Banner | Self::Rcpt | Self::SecondDot | Self::Text => {
                return None;
            }
            Self::Hello => Self::Banner,
            Self::StartTls | Self::Auth | Self::Xclient | Self::Xforward | Self::Mail => {
                Self::Hello
            }
            Self::Handshake => Self::StartTls,
            Self::Data | Self::Rset => Self::Rcpt,
            Self::Dot => Self::Data,
            Self::Quit => Self::Dot,
        })
    }

    /// What a well-behaved server says here.
    pub(super) fn good_reply(self) -> &'static str {
        match self {
            Self::Connect | Self::Banner | Self::Xclient => "220 up.example ready",
            Self::StartTls => "220 2.0.0 go ahead",
            Self::Auth => "235 2.7.0 welcome",
            Self::Data => "354 go on",
            Self::Quit => "221 2.0.0 bye",
            Self::Hello
            | Self::Handshake
            | Self::Xforward
            | Self::Mail
            | Self::Rcpt
            | Self::Rset => "250 2.0.0 ok",
            Self::Text | Self::Dot | Self::SecondDot => "250 2.0.0 kept",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::Banner => "banner",
            Self::Hello => "EHLO",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "handshake",
            Self::Auth => "AUTH",
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Text => "text",
            Self::Dot => "final dot",
            Self::SecondDot => "second reply to the dot",
            Self::Rset => "RSET",
            Self::Quit => "QUIT",
        })
    }
}

/// How it fails.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Fault {
    /// Nobody listens.
    Refused,
    /// Nothing comes, and nothing ends.
    Silent,
    /// The answer comes octet by octet, with pauses, but in time.
    Slow,
    /// The answer comes octet by octet, each in a segment of its own.
    Split,
    /// The connection is closed.
    Closes,
    /// The connection is reset.
    Resets,
    /// A refusal for now.
    Tempfail,
    /// A refusal for good.
    Reject,
    /// 421, and the connection is closed.
    Closing,
    /// Octets that are no reply.
    Garbage,
    /// A line of 100,000 octets.
    LongLine,
    /// Lines of one reply, without end.
    Endless,
    /// The answer comes before it was asked for, together with the one before it.
    Early,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Refused,
        Self::Silent,
        Self::Slow,
        Self::Split,
        Self::Closes,
        Self::Resets,
        Self::Tempfail,
        Self::Reject,
        Self::Closing,
        Self::Garbage,
        Self::LongLine,
        Self::Endless,
        Self::Early,
    ];

    /// Whether a server that fails so after the final dot has said no. Any other has the message.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self, Self::Tempfail | Self::Reject | Self::Closing)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Split => "split",
            Self::Closes => "closes",
            Self::Resets => "resets",
            Self::Tempfail => "4xx",
            Self::Reject => "5xx",
            Self::Closing => "421",
            Self::Garbage => "garbage",
            Self::LongLine => "long line",
            Self::Endless => "endless",
            Self::Early => "early",
        })
    }
}
