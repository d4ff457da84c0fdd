//! BDAT: content in counted pieces (RFC 3030).
//!
//! Whatever becomes of a chunk, exactly its octets are taken before its reply is said. One that is
//! refused fails its transaction: those that a client has pipelined behind it are swallowed, too,
//! or half a message would be accepted.

use std::mem;

use super::intake::Intake;
use super::phase::{Move, Phase};
use super::settings::Protocol;
use super::verdict::Answer;
use super::{BAD_SEQUENCE, CLOSING, Event, Lapse, Limit, Session, Step, replies};
use crate::Reply;
use crate::command::{Command, CommandError};

/// A chunk on its way in.
#[derive(Debug)]
pub(super) struct Chunk {
    /// As announced.
    octets: u64,
    /// Those that have not come yet.
    left: u64,
    last: bool,
    /// What is said at its end, if its octets are not wanted.
    refusal: Option<Unwanted>,
}

/// Why the octets of a chunk are not wanted.
#[derive(Debug)]
enum Unwanted {
    /// A mistake of the client.
    Fault(Reply),
    Refused(Reply),
}

/// A transaction that has failed with a chunk.
#[derive(Debug)]
pub(super) struct Failure {
    /// What was said of that chunk.
    pub(super) reply: Reply,
    /// Recipients that had been accepted.
    recipients: usize,
}

impl Chunk {
    fn new(octets: u64, last: bool) -> Self {
        Self { octets, left: octets, last, refusal: None }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.left == 0
    }
}

impl Session {
    /// BDAT was read.
    pub(super) fn begin_chunk(&mut self, octets: u64, last: bool) {
        let mut chunk = Chunk::new(octets, last);
        let command = Command::Bdat { octets, last };
        match self.phase.check(command, &self.settings, &self.channel, self.standing) {
            Ok(Move::Ask(question)) => self.asked = Some(question),
            Ok(Move::Say(reply)) => chunk.refusal = Some(Unwanted::Refused(reply)),
            Ok(_) => self.expect_chunk(octets),
            Err(reply) => chunk.refusal = Some(Unwanted::Fault(reply)),
        }
        self.chunk = Some(Box::new(chunk));
    }

    /// A BDAT that is not well-formed.
    pub(super) fn mistaken_chunk(&mut self, error: CommandError) {
        let reply = replies::not_a_command(error);
        if let CommandError::ChunkKeyword(octets) = error {
            let refusal = Some(Unwanted::Fault(reply));
            let chunk = Chunk { refusal, ..Chunk::new(octets, false) };
            self.chunk = Some(Box::new(chunk));
        } else {
            // Nobody knows where the next command begins.
            self.abort();
            self.say(&reply);
            self.close();
        }
    }

    /// Policy has judged the first chunk, none of which was taken yet.
    pub(super) fn start_chunks(&mut self, answer: Answer) {
        let Some(chunk) = &mut self.chunk else { return };
        match answer {
            Answer::No(reply) if reply.code() == CLOSING => self.say(&reply),
            Answer::No(reply) => chunk.refusal = Some(Unwanted::Refused(reply)),
            Answer::Yes(_) => {
                let octets = chunk.octets;
                self.expect_chunk(octets);
            }
        }
    }

    /// Takes octets of the chunk as far as it goes, and says how far that is.
    pub(super) fn take_chunk(&mut self, octets: &[u8]) -> usize {
        let Some(chunk) = &mut self.chunk else { return 0 };
        let used = usize::try_from(chunk.left).map_or(octets.len(), |left| left.min(octets.len()));
        chunk.left -= used as u64;
        if let (None, Phase::Chunks(_, intake)) = (&chunk.refusal, &mut self.phase) {
            intake.take_chunk(&octets[..used], &self.settings, &mut self.content);
            if self.content.is_empty() {
                self.content = Vec::new();
            }
        }
        used
    }

    /// All octets of the chunk were taken.
    pub(super) fn finish_chunk(&mut self) {
        let Some(chunk) = self.chunk.take() else { return };
        let Some(unwanted) = chunk.refusal else {
            return self.finish_content(chunk.octets, chunk.last);
        };
        let answers = self.answers(chunk.last);
        let (Unwanted::Fault(reply) | Unwanted::Refused(reply)) = &unwanted;
        self.fail(reply, chunk.last);
        match &unwanted {
            Unwanted::Fault(reply) if reply.code() == BAD_SEQUENCE => {
                self.lapse(Lapse::OutOfSequence);
            }
            Unwanted::Fault(reply) if reply.code() == SYNTAX => self.lapse(Lapse::SyntaxError),
            Unwanted::Fault(_) | Unwanted::Refused(_) => {}
        }
        if answers == 0 {
            if self.is_idle() {
                self.hang_up(Limit::IdleCommands);
            }
            return;
        }
        match &unwanted {
            Unwanted::Fault(reply) => self.fault(reply),
            Unwanted::Refused(reply) => self.dawdle(reply),
        }
        for _ in 1..answers {
            if !self.closing {
                self.say(reply);
            }
        }
    }

    /// How often a chunk that is refused is answered. To the last one an LMTP client hears as many
    /// replies as it has recipients, which may be none (RFC 2033 section 4.3): with one more or one
    /// less it would take each later reply for that to another command.
    fn answers(&self, last: bool) -> usize {
        match &self.phase {
            _ if !last || self.settings.protocol == Protocol::Smtp => 1,
            Phase::Envelope(envelope) | Phase::Chunks(envelope, _) => envelope.accepted(),
            Phase::Failed(failure) => failure.recipients,
            _ => 1,
        }
    }

    fn finish_content(&mut self, octets: u64, last: bool) {
        let Phase::Chunks(envelope, intake) = &mut self.phase else { return };
        if last {
            intake.finish_chunks(&self.settings, &mut self.content);
        }
        let (refusal, bare) = (intake.refusal(), intake.is_bare());
        match refusal {
            refusal if last => {
                let envelope = mem::take(envelope);
                if bare {
                    self.lapse(Lapse::BareNewline);
                }
                self.complete(envelope, refusal);
            }
            None if octets == 0 => self.dawdle(&replies::chunk_taken(octets)),
            None => self.say(&replies::chunk_taken(octets)),
            Some(refusal) => {
                let reply = refusal.reply();
                self.events.extend(refusal.limit().map(Event::Limited));
                self.aside = Some(Box::new(Step::Refused(reply.clone())));
                self.forwarded = false;
                let recipients = envelope.accepted();
                self.say(&reply);
                self.phase = Phase::Failed(Box::new(Failure { reply, recipients }));
            }
        }
    }

    /// Goes on to chunks, of which the next has so many octets.
    fn expect_chunk(&mut self, octets: u64) {
        if let Phase::Envelope(envelope) = &mut self.phase {
            let envelope = mem::take(envelope);
            let intake = Intake::new(envelope.is_binary());
            self.phase = Phase::Chunks(envelope, Box::new(intake));
        }
        if let Phase::Chunks(_, intake) = &mut self.phase {
            intake.expect_chunk(octets, &self.settings);
        }
    }

    /// The transaction has failed with a chunk (RFC 3030 section 2).
    fn fail(&mut self, reply: &Reply, last: bool) {
        if let Phase::Envelope(envelope) | Phase::Chunks(envelope, _) = &self.phase {
            let failure = Failure { reply: reply.clone(), recipients: envelope.accepted() };
            self.abort();
            self.phase = Phase::Failed(Box::new(failure));
        }
        if last && matches!(self.phase, Phase::Failed(_)) {
            self.phase = Phase::Ready;
        }
    }
}

/// The answer to an argument that makes no sense.
const SYNTAX: u16 = 501;
