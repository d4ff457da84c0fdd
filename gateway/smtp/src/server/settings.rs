//! How a listener speaks.

use super::Channel;
use crate::sasl::{Decoy, Mechanism};
use crate::{DateTime, Grammar, Offers};

/// SMTP or LMTP (RFC 2033).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Protocol {
    /// LHLO instead of EHLO; an answer for each recipient after the message.
    Lmtp,
    /// RFC 5321.
    #[default]
    Smtp,
}

/// What to do about a CR or LF that stands alone in content (RFC 5321 section 2.3.8 forbids them),
/// and about NUL (no 7-bit or 8-bit content has any, RFC 2045 section 2.8).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum BareNewlines {
    /// LF becomes CRLF, CR a space, as Postfix does, and NUL a space, too, before anything looks at the
    /// content.
    #[default]
    Normalize,
    /// The message is refused with 550 5.6.11 after its end.
    Refuse,
}

/// What to do about a client that sends on where it must wait for the answer: behind a command that
/// ends a group (RFC 2920 section 3.1, RFC 3207 section 4, RFC 4954 section 4), or behind any if
/// PIPELINING was not announced to it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pipelining {
    /// Nothing: the answers come in order.
    #[default]
    Lenient,
    /// The command gets 503 5.5.0 and is not obeyed. Behind DATA and STARTTLS stands what is no
    /// command: there the conversation ends with 421 4.7.0.
    Refuse,
    /// The conversation ends with 421 4.7.0.
    Disconnect,
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
    /// What happens to input that came too early.
    pub pipelining: Pipelining,
    /// What is offered beyond what always is.
    pub offers: Offers,
    /// How long a message may be held; without it FUTURERELEASE is not offered.
    pub future_release: Option<FutureRelease>,
    /// Who may authenticate, and how.
    pub auth: Auth,
    /// Bounds of what one client may do.
    pub limits: Limits,
}

impl Settings {
    /// SMTP in clear text, lenient, with no optional extension and the default limits.
    #[must_use]
    pub fn new(hostname: &str) -> Self {
        Self {
            protocol: Protocol::default(),
            hostname: hostname.to_owned(),
            starttls: false,
            grammar: Grammar::default(),
            bare_newlines: BareNewlines::default(),
            pipelining: Pipelining::default(),
            offers: Offers::default(),
            future_release: None,
            auth: Auth::default(),
            limits: Limits::default(),
        }
    }
}

/// How long a message may be held (RFC 4865 section 4.1). What is to be held longer gets 501.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FutureRelease {
    /// Counted from now.
    pub seconds: u32,
    /// At the latest.
    pub until: DateTime,
}

/// How clients authenticate (RFC 4954).
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// What is offered, in any order; empty is no AUTH at all.
    pub mechanisms: Vec<Mechanism>,
    /// Whether it is offered in clear text, too.
    pub in_clear: bool,
    /// Whether nobody else may send: MAIL gets 530.
    pub required: bool,
    /// What is shown to those who ask who is there.
    pub decoy: Decoy,
}

impl Auth {
    /// Whether clients may authenticate at all, over this channel.
    pub(crate) fn is_open(&self, channel: &Channel) -> bool {
        !self.mechanisms.is_empty() && (channel.tls || self.in_clear)
    }

    /// Whether this mechanism is offered over this channel.
    pub(crate) fn offers(&self, mechanism: Mechanism, channel: &Channel) -> bool {
        let bound = mechanism != Mechanism::ScramSha256Plus || channel.bindings.is_some();
        self.is_open(channel) && bound && self.mechanisms.contains(&mechanism)
    }
}

/// Bounds of one session. Each has its reply.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Octets of a command line, CRLF included; longer ones get 500 5.5.2.
    pub command_octets: usize,
    /// Octets of one parameter of MAIL or RCPT, `keyword=value` decoded; longer ones get 501 5.5.4.
    pub parameter_octets: usize,
    /// Octets of a message, announced as SIZE; larger ones get 552 5.3.4.
    pub message_octets: u64,
    /// Octets of a header section; larger ones get 552 5.3.4.
    pub header_octets: u64,
    /// Fields of a header section; more get 554 5.6.0.
    pub header_fields: u32,
    /// Accepted recipients of a transaction; more get 452 4.5.3.
    pub recipients: usize,
    /// Recipients that policy refused with 5xx, in all; the next one gets 421 4.7.0.
    pub refused_recipients: u32,
    /// Transactions, well ended or not; a further MAIL gets 421 4.7.0.
    pub transactions: u32,
    /// Mistakes (bad syntax, bad sequence, unknown commands) that are answered with 5xx by the
    /// session itself; the next one gets 421 4.7.0, and that is the end.
    pub errors: u32,
    /// Attempts to authenticate that are refused with their own reply; the next one gets 421
    /// 4.7.0, and that is the end.
    pub auth_failures: u32,
    /// Commands that do not exist; the next one gets 421 4.7.0. They are mistakes, too.
    pub unknown_commands: u32,
    /// Commands since the last message (or since the beginning) that bring none nearer: NOOP, RSET,
    /// VRFY, HELP, a further EHLO; EHLO, MAIL and DATA that were refused; the next one gets 421
    /// 4.7.0.
    pub idle_commands: u32,
    /// Received fields of a header section (RFC 5321 section 6.3); more get 554 5.4.6.
    pub received_hops: usize,
}

impl Default for Limits {
    /// The reasons stand in the gateway's `config/portcullis.yaml`.
    fn default() -> Self {
        Self {
            command_octets: 4096,
            message_octets: 50 << 20,
            parameter_octets: 1024,
            header_octets: 256 << 10,
            header_fields: 10_000,
            recipients: 1000,
            refused_recipients: 50,
            transactions: 10_000,
            errors: 20,
            auth_failures: 4,
            unknown_commands: 10,
            idle_commands: 100,
            received_hops: 100,
        }
    }
}
