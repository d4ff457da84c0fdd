//! Beat one: the order of commands (RFC 5321 section 4.1.4), on one page.

use super::Channel;
use super::auth::Exchange;
use super::chunk::Failure;
use super::intake::Intake;
use super::limit::Limit;
use super::replies;
use super::settings::{Protocol, Settings};
use super::verdict::Question;
use crate::command::Command;
use crate::parameter::{self, value_of};
use crate::sasl::{Armored, Mechanism};
use crate::xclient::{Xclient, Xforward};
use crate::{DateTime, Extension, Mailbox, Parameter, Reply};

/// Where the conversation is.
#[derive(Debug, Default)]
pub(super) enum Phase {
    /// Nothing was said.
    #[default]
    Start,
    /// The banner was said, no hello yet.
    Greeted,
    /// After a hello, between transactions.
    Ready,
    /// After MAIL.
    Envelope(Envelope),
    /// After the 354.
    Content(Envelope, Box<Intake>),
    /// Between and in the chunks of a message.
    Chunks(Envelope, Box<Intake>),
    /// After a chunk that was refused; so are those behind it.
    Failed(Box<Failure>),
    /// After the final dot or the last chunk.
    Complete(Envelope),
    /// Between AUTH and its end.
    Auth(Box<Exchange>),
    /// After the 220 to STARTTLS.
    Handshake,
}

/// What the client has said of itself, in this conversation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Standing {
    /// By AUTH, or by a proxy's word.
    pub(super) authenticated: bool,
    /// EHLO or LHLO was the last hello that was accepted.
    pub(super) esmtp: bool,
}

/// The recipients of a transaction.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    accepted: usize,
    /// LMTP or PRDR: the message may have an answer for each of them.
    each: bool,
    /// Their names, if it may.
    names: Vec<Mailbox>,
    refused: bool,
    /// Its content is not made of lines, so that DATA cannot carry it (RFC 3030 section 3).
    binary: bool,
    /// Whether MAIL said SMTPUTF8.
    utf8: bool,
}

impl Envelope {
    pub(super) fn new(parameters: &[Parameter], protocol: Protocol) -> Self {
        Self {
            each: protocol == Protocol::Lmtp || parameter::has(parameters, "PRDR"),
            binary: value_of(parameters, "BODY") == Some("BINARYMIME"),
            utf8: parameter::has(parameters, "SMTPUTF8"),
            ..Self::default()
        }
    }

    pub(super) fn is_binary(&self) -> bool {
        self.binary
    }

    pub(super) fn is_utf8(&self) -> bool {
        self.utf8
    }

    pub(super) fn wants_each(&self) -> bool {
        self.each
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted
    }

    pub(super) fn accept(&mut self, recipient: Mailbox) {
        self.accepted += 1;
        if self.each {
            self.names.push(recipient);
        }
    }

    pub(super) fn refuse(&mut self) {
        self.refused = true;
    }

    pub(super) fn names(&self) -> &[Mailbox] {
        &self.names
    }
}

/// What a command leads to.
#[derive(Debug)]
pub(super) enum Move {
    /// Policy has the word; nothing changes yet.
    Ask(Question),
    /// An exchange begins.
    Authenticate(Mechanism, Option<Armored>),
    /// The octets of a chunk are taken.
    Chunk,
    /// Policy has the word; a transaction ends.
    Hello(Question),
    /// A transaction ends, and so does the conversation.
    Quit,
    /// A transaction ends.
    Reset,
    /// An answer and no more; no message came nearer.
    Say(Reply),
    /// A refusal, because a bound is reached.
    Limited(Limit, Reply),
    /// A transaction ends; TLS begins.
    Upgrade,
}

impl Phase {
    /// Whether `command` may come now; a mistake of the client is an error.
    pub(super) fn check(
        &self,
        command: Command,
        settings: &Settings,
        channel: &Channel,
        standing: Standing,
    ) -> Result<Move, Reply> {
        let lmtp = settings.protocol == Protocol::Lmtp;
        let barred = settings.auth.required && !standing.authenticated;
        Ok(match (self, command) {
            (
                Self::Ready | Self::Failed(_) | Self::Envelope(_) | Self::Chunks(..),
                Command::Mail { .. }
                | Command::Rcpt { .. }
                | Command::Data
                | Command::Bdat { .. }
                | Command::Vrfy,
            ) if barred => return Err(replies::authentication_required()),

            (_, Command::Noop) => Move::Say(replies::ok()),
            (_, Command::Help) => Move::Say(replies::help()),
            (_, Command::Vrfy) => Move::Say(replies::cannot_verify()),
            (_, Command::Expn) => return Err(replies::not_implemented()),
            (_, Command::Quit) => Move::Quit,
            (_, Command::Rset) => Move::Reset,

            (_, Command::Ehlo(_) | Command::Helo(_)) if lmtp => {
                return Err(replies::other_hello("LHLO"));
            }
            (_, Command::Lhlo(_)) if !lmtp => return Err(replies::other_hello("EHLO")),
            (_, Command::Ehlo(name) | Command::Lhlo(name)) => {
                Move::Hello(Question::Hello { name: name.into(), esmtp: true })
            }
            (_, Command::Helo(name)) => {
                Move::Hello(Question::Hello { name: name.into(), esmtp: false })
            }

            (_, Command::Starttls) if channel.tls => {
                return Err(replies::bad_sequence("already under TLS"));
            }
            (_, Command::Starttls) if !settings.starttls => return Err(replies::not_implemented()),
            (Self::Ready | Self::Failed(_) | Self::Envelope(_), Command::Starttls) => Move::Upgrade,

            (_, Command::Auth { .. }) if settings.auth.mechanisms.is_empty() => {
                return Err(replies::not_implemented());
            }
            (Self::Ready | Self::Failed(_), Command::Auth { mechanism, initial }) => {
                let mechanism = may_authenticate(&mechanism, settings, channel, standing)?;
                Move::Authenticate(mechanism, initial)
            }

            (_, Command::Xclient(attributes)) => self.xclient(&attributes, channel)?,
            (_, Command::Xforward(attributes)) => self.xforward(&attributes, channel)?,

            (_, Command::Bdat { .. }) if !settings.offers.has(Extension::Chunking) => {
                return Err(replies::not_implemented());
            }
            (Self::Envelope(_) | Self::Chunks(..), Command::Auth { .. })
            | (Self::Chunks(..), Command::Starttls) => {
                return Err(replies::bad_sequence("a transaction is open"));
            }
            // In the other phases no command is read.
            (
                Self::Start
                | Self::Greeted
                | Self::Content(..)
                | Self::Complete(_)
                | Self::Auth(_)
                | Self::Handshake,
                Command::Auth { .. }
                | Command::Bdat { .. }
                | Command::Mail { .. }
                | Command::Rcpt { .. }
                | Command::Data
                | Command::Starttls,
            ) => return Err(replies::bad_sequence(if lmtp { "LHLO first" } else { "EHLO first" })),
            (_, Command::Bdat { octets, .. }) => return self.check_chunk(octets, settings),
            (_, command) => return self.check_mail(command, settings),
        })
    }

    /// The same, for the commands of a transaction: after a hello, and if the client may send.
    fn check_mail(&self, command: Command, settings: &Settings) -> Result<Move, Reply> {
        Ok(match (self, command) {
            (Self::Ready | Self::Failed(_), Command::Mail { parameters, .. })
                if too_large(&parameters, settings) =>
            {
                Move::Limited(Limit::Message, replies::too_large())
            }
            (Self::Ready | Self::Failed(_), Command::Mail { parameters, .. })
                if is_held_too_long(&parameters, settings) =>
            {
                Move::Say(replies::held_too_long())
            }
            (Self::Ready | Self::Failed(_), Command::Mail { reverse_path, parameters }) => {
                Move::Ask(Question::Mail { reverse_path, parameters })
            }
            (Self::Envelope(_), Command::Mail { .. })
            | (Self::Chunks(..), Command::Mail { .. } | Command::Rcpt { .. } | Command::Data) => {
                return Err(replies::bad_sequence("a transaction is open"));
            }

            (Self::Envelope(envelope), Command::Rcpt { .. })
                if envelope.accepted >= settings.limits.recipients =>
            {
                Move::Limited(Limit::Recipients, replies::too_many_recipients())
            }
            (Self::Envelope(_), Command::Rcpt { forward_path, parameters }) => {
                Move::Ask(Question::Rcpt { forward_path, parameters })
            }

            (Self::Envelope(Envelope { binary: true, .. }), Command::Data) => {
                return Err(replies::bad_sequence("BINARYMIME needs BDAT"));
            }
            (Self::Envelope(Envelope { accepted: 1.., .. }), Command::Data) => {
                Move::Ask(Question::Data)
            }
            // Whoever pipelines cannot know yet (RFC 2920 section 3.1): no mistake.
            (Self::Envelope(Envelope { refused: true, .. }), Command::Data) => {
                Move::Say(replies::no_valid_recipients(settings.protocol))
            }
            (Self::Envelope(_), Command::Data) => return Err(replies::bad_sequence("RCPT first")),

            _ => return Err(replies::bad_sequence("MAIL first")),
        })
    }

    /// The same, for BDAT with so many octets.
    fn check_chunk(&self, octets: u64, settings: &Settings) -> Result<Move, Reply> {
        Ok(match self {
            // One that is too large all by itself is nothing to ask about.
            Self::Envelope(Envelope { accepted: 1.., .. })
                if octets > settings.limits.message_octets =>
            {
                Move::Chunk
            }
            Self::Envelope(Envelope { accepted: 1.., .. }) => Move::Ask(Question::Data),
            Self::Envelope(Envelope { refused: true, .. }) => {
                Move::Say(replies::no_valid_recipients(settings.protocol))
            }
            Self::Envelope(_) => {
                return Err(replies::bad_sequence("RCPT first"));
            }
            Self::Chunks(..) => Move::Chunk,
            // Pipelined, before its sender knew: no mistake.
            Self::Failed(failure) => Move::Say(failure.reply.clone()),
            _ => return Err(replies::bad_sequence("MAIL first")),
        })
    }

    /// XCLIENT may come before the hello, which it makes void.
    fn xclient(&self, attributes: &str, channel: &Channel) -> Result<Move, Reply> {
        if !channel.may_xclient {
            return Err(replies::not_authorized());
        }
        if let Self::Envelope(_) | Self::Chunks(..) = self {
            return Err(replies::bad_sequence("a transaction is open"));
        }
        let read = Xclient::parse(attributes).map_err(replies::bad_attribute)?;
        Ok(Move::Ask(Question::Xclient(Box::new(read))))
    }

    /// XFORWARD may not: the hello would make it void.
    fn xforward(&self, attributes: &str, channel: &Channel) -> Result<Move, Reply> {
        if !channel.may_xforward {
            return Err(replies::not_authorized());
        }
        match self {
            Self::Ready | Self::Failed(_) => {}
            Self::Envelope(_) | Self::Chunks(..) => {
                return Err(replies::bad_sequence("a transaction is open"));
            }
            _ => return Err(replies::bad_sequence("hello first")),
        }
        let read = Xforward::parse(attributes).map_err(replies::bad_attribute)?;
        Ok(Move::Ask(Question::Xforward(Box::new(read))))
    }
}

/// Whether AUTH may begin, and which mechanism that is (RFC 4954 section 4).
fn may_authenticate(
    name: &str,
    settings: &Settings,
    channel: &Channel,
    standing: Standing,
) -> Result<Mechanism, Reply> {
    if !standing.esmtp {
        return Err(replies::bad_sequence("EHLO first"));
    }
    if standing.authenticated {
        return Err(replies::bad_sequence("already authenticated"));
    }
    // Before the mechanism is looked at: whoever says a password in clear text must not hear that
    // another mechanism would do.
    if !settings.auth.is_open(channel) {
        return Err(replies::encryption_required());
    }
    Mechanism::from_name(name)
        .filter(|&mechanism| settings.auth.offers(mechanism, channel))
        .ok_or_else(replies::unknown_mechanism)
}

/// RFC 1870 section 6.1; a number that does not fit is too large, too.
fn too_large(parameters: &[Parameter], settings: &Settings) -> bool {
    value_of(parameters, "SIZE").is_some_and(|size| {
        size.parse().map_or(true, |octets: u64| octets > settings.limits.message_octets)
    })
}

/// RFC 4865 section 4.2: beyond what EHLO has announced.
fn is_held_too_long(parameters: &[Parameter], settings: &Settings) -> bool {
    let Some(most) = &settings.future_release else { return false };
    let seconds = value_of(parameters, "HOLDFOR").map(str::parse::<u32>);
    let until = value_of(parameters, "HOLDUNTIL").map(DateTime::parse);
    seconds.is_some_and(|seconds| seconds.map_or(true, |seconds| seconds > most.seconds))
        || until
            .is_some_and(|until| until.is_none_or(|until| until.seconds() > most.until.seconds()))
}
