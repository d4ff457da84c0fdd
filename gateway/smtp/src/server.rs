//! The server's side of a conversation.
//!
//! Every command takes three beats: **check** (may the client say this now?), **ask** (what does
//! policy think?), **proceed** (move, and queue the reply). Only the middle beat may take time,
//! and it happens outside this crate.
//!
//! ```text
//!  Start -> Greeted -> Ready -> Envelope -> Content -> Complete
//!              ^         ^          |   '--> Chunks ------^
//!              |         |          '----------'-> Failed -.
//!              |         |-- message, RSET, EHLO, refusal -'
//!              |         '-- AUTH: Auth, a dialogue of its own, and back
//!              '-- STARTTLS: Handshake, and all is forgotten; XCLIENT: Start again
//! ```

mod auth;
mod channel;
mod chunk;
mod conduct;
mod intake;
mod limit;
mod phase;
mod replies;
mod settings;
mod step;
#[cfg(test)]
mod tests;
mod transcript;
mod verdict;
mod xclient;

use std::mem;
use std::sync::Arc;

use self::chunk::Chunk;
use self::intake::{Intake, Refusal};
use self::limit::Counts;
use self::phase::{Envelope, Move, Phase, Standing};
use self::transcript::Transcript;
use self::verdict::Answer;
use crate::command::{Command, CommandError, Dialect};
use crate::lines::{LineError, Lines};
use crate::sasl::ChannelBindings;
use crate::{Mailbox, Parameter, Reply, extension};

pub use self::auth::NONCE_OCTETS;
pub use self::channel::Channel;
pub use self::conduct::{Conduct, Lapse};
pub use self::limit::Limit;
pub use self::settings::{
    Auth, BareNewlines, FutureRelease, Limits, Pipelining, Protocol, Settings,
};
pub use self::step::{Awaiting, Event, Step};
pub use self::transcript::Line;
pub use self::verdict::{Question, Verdict};
pub use crate::command::Verb;

/// One conversation with one client.
///
/// Holds no buffers while it waits for a command.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    channel: Channel,
    phase: Phase,
    standing: Standing,
    /// A piece of content that was announced and has not come to its end.
    chunk: Option<Box<Chunk>>,
    counts: Counts,
    conduct: Conduct,
    /// PIPELINING was announced.
    may_pipeline: bool,
    /// XFORWARD was said for the next transaction.
    forwarded: bool,
    lines: Lines,
    /// The question that policy has not answered yet.
    asked: Option<Question>,
    /// A transaction ended, and the driver was not told yet.
    aborted: bool,
    /// What the driver is to be told of, and nobody answers: a message that the session refused itself, or a
    /// client that failed to prove who it is. One of them at a time.
    aside: Option<Box<Step>>,
    /// Nothing is read any more.
    closing: bool,
    content: Vec<u8>,
    output: Vec<u8>,
    events: Vec<Event>,
    /// What was said, for those who follow the conversation, if somebody does.
    transcript: Option<Box<Transcript>>,
}

impl Session {
    /// A session at its beginning; the first [`poll`](Self::poll) asks [`Question::Connect`].
    #[must_use]
    pub fn new(settings: Arc<Settings>, channel: Channel) -> Self {
        // Where nobody can authenticate, nobody has.
        let authenticated = channel.authenticated && !settings.auth.mechanisms.is_empty();
        Self {
            settings,
            channel,
            phase: Phase::Start,
            standing: Standing { authenticated, ..Standing::default() },
            chunk: None,
            counts: Counts::default(),
            conduct: Conduct::default(),
            may_pipeline: false,
            forwarded: false,
            lines: Lines::default(),
            asked: None,
            aborted: false,
            aside: None,
            closing: false,
            content: Vec::new(),
            output: Vec::new(),
            events: Vec::new(),
            transcript: None,
        }
    }

    /// Takes octets from the peer.
    ///
    /// What comes after the end, or in clear text behind STARTTLS, is ignored.
    pub fn receive(&mut self, octets: &[u8]) {
        if self.closing || matches!(self.phase, Phase::Handshake) {
            return;
        }
        if matches!(self.phase, Phase::Start) && !octets.is_empty() {
            self.talks_early();
        }
        // Content goes where it belongs without a copy in between.
        let used = if self.lines.is_empty() { self.take_content(octets) } else { 0 };
        self.lines.push(&octets[used..]);
    }

    /// Says what to do next.
    ///
    /// The same step comes again until it was done: a question until it is answered,
    /// [`Step::Read`] until there is input.
    pub fn poll(&mut self) -> Step {
        loop {
            if !self.content.is_empty() {
                return Step::Content(mem::take(&mut self.content));
            }
            if mem::take(&mut self.aborted) {
                return Step::Aborted;
            }
            if let Some(aside) = self.aside.take() {
                return *aside;
            }
            if self.closing {
                return Step::Close;
            }
            if let Some(question) = &self.asked {
                return Step::Ask(question.clone());
            }
            match &self.chunk {
                Some(chunk) if chunk.is_complete() => {
                    self.finish_chunk();
                    continue;
                }
                Some(_) if self.lines.is_empty() => return Step::Read,
                Some(_) => {
                    self.take_waiting_content();
                    continue;
                }
                None => {}
            }
            match self.phase {
                Phase::Start => self.asked = Some(Question::Connect),
                Phase::Complete(_) => self.asked = Some(Question::Message),
                Phase::Handshake => return Step::StartTls,
                Phase::Auth(_) => {
                    if let Some(step) = self.go_on() {
                        return step;
                    }
                }
                Phase::Content(..) if self.lines.is_empty() => return Step::Read,
                Phase::Content(..) => self.take_waiting_content(),
                Phase::Greeted
                | Phase::Ready
                | Phase::Envelope(_)
                | Phase::Chunks(..)
                | Phase::Failed(_) => {
                    let Some(command) = self.next_command() else { return Step::Read };
                    match command {
                        Ok(command) => self.obey(command),
                        Err(mistake) => self.mistake(mistake),
                    }
                }
            }
        }
    }

    /// Answers the question that [`poll`](Self::poll) asked last.
    pub fn decide(&mut self, verdict: Verdict) {
        let Some(question) = self.asked.take() else { return };
        if let Verdict::Disconnect(reply) = verdict {
            return self.end(&reply);
        }
        match question {
            Question::Connect => self.greet(verdict.answer()),
            Question::Hello { esmtp, .. } => self.hello(verdict.answer(), esmtp),
            Question::Auth(_) => self.admit(verdict.answer()),
            Question::Mail { parameters, .. } => self.begin(&parameters, verdict.answer()),
            Question::Rcpt { forward_path, .. } => self.add(forward_path, verdict.answer()),
            Question::Data if self.chunk.is_some() => self.start_chunks(verdict.answer()),
            Question::Data => self.start_content(verdict.answer()),
            Question::Message => self.conclude(verdict),
            Question::Xclient(said) => self.replace_client(verdict.answer(), &said),
            Question::Xforward(_) => self.forward(verdict.answer()),
        }
    }

    /// The handshake that [`Step::StartTls`] asked for is done; the conversation starts anew.
    ///
    /// `bindings` is what SASL can be bound to, if there is anything.
    pub fn tls_established(&mut self, bindings: Option<Box<ChannelBindings>>) {
        if matches!(self.phase, Phase::Handshake) {
            self.channel.tls = true;
            self.channel.bindings = bindings;
            self.standing = Standing::default();
            self.phase = Phase::Greeted;
            self.may_pipeline = false;
        }
    }

    /// Ends the conversation from the server's side (shutdown, time-out): the reply is queued and
    /// the next step is [`Step::Close`].
    pub fn end(&mut self, reply: &Reply) {
        // In the middle of a handshake the peer does not read lines.
        if !self.closing && !matches!(self.phase, Phase::Handshake) {
            self.say(reply);
        }
        self.close();
        self.aborted = false;
    }

    /// The octets to write; the buffer is empty afterwards.
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.output)
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        mem::take(&mut self.events)
    }

    /// What the next read is for.
    #[must_use]
    pub fn awaiting(&self) -> Awaiting {
        match self.phase {
            Phase::Content(..) => Awaiting::Content,
            _ if self.chunk.is_some() => Awaiting::Content,
            Phase::Start
            | Phase::Greeted
            | Phase::Ready
            | Phase::Envelope(_)
            | Phase::Chunks(..)
            | Phase::Failed(_)
            | Phase::Complete(_)
            | Phase::Auth(_)
            | Phase::Handshake => Awaiting::Command,
        }
    }

    /// Whether a transaction is open (MAIL was accepted and no end has come yet).
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        let open = match &self.phase {
            Phase::Envelope(_) | Phase::Chunks(..) | Phase::Complete(_) | Phase::Content(..) => {
                true
            }
            Phase::Start
            | Phase::Greeted
            | Phase::Ready
            | Phase::Failed(_)
            | Phase::Auth(_)
            | Phase::Handshake => false,
        };
        open && !self.closing
    }

    /// Reads the next line, if there is a whole one.
    fn next_command(&mut self) -> Option<Result<Command, Mistake>> {
        let dialect = self.dialect();
        let line = self.lines.next(self.settings.limits.command_octets)?;
        let verb = line.map_or(Verb::Unknown, Verb::of);
        let command = match line {
            Ok(line) => Command::parse(line, dialect).map_err(Mistake::Command),
            Err(LineError::Chunk) => Err(Mistake::Command(CommandError::ChunkSize)),
            Err(error) => Err(Mistake::Line(error)),
        };
        let too_long = line == Err(LineError::TooLong);
        let shown = self.transcript.is_some().then(|| {
            let auth = !self.settings.auth.mechanisms.is_empty();
            transcript::heard(line, verb, auth)
        });
        self.transcribe_command(shown);
        self.events.push(Event::Command(verb));
        self.events.extend(too_long.then_some(Event::Limited(Limit::CommandLine)));
        Some(command)
    }

    fn dialect(&self) -> Dialect {
        Dialect {
            grammar: self.settings.grammar,
            offers: extension::offered(&self.settings, &self.channel),
            auth: !self.settings.auth.mechanisms.is_empty(),
            utf8: matches!(&self.phase, Phase::Envelope(envelope) if envelope.is_utf8()),
        }
    }

    fn mistake(&mut self, mistake: Mistake) {
        match mistake {
            Mistake::Command(error @ (CommandError::ChunkKeyword(_) | CommandError::ChunkSize)) => {
                self.mistaken_chunk(error)
            }
            Mistake::Command(error) => {
                let unknown = error == CommandError::UnknownVerb;
                self.lapse(if unknown { Lapse::UnknownCommand } else { Lapse::SyntaxError });
                self.fault(&replies::not_a_command(error));
            }
            Mistake::Line(error) => {
                self.lapse(Lapse::SyntaxError);
                self.fault(&replies::not_a_line(error));
            }
        }
    }

    fn obey(&mut self, command: Command) {
        if let Command::Bdat { octets, last } = command {
            return self.begin_chunk(octets, last);
        }
        if self.is_out_of_turn(&command) {
            return self.refuse_turn(&command);
        }
        if let Command::Mail { parameters, .. } | Command::Rcpt { parameters, .. } = &command
            && parameters.iter().any(|one| one.octets() > self.settings.limits.parameter_octets)
        {
            self.events.push(Event::Limited(Limit::Parameter));
            self.lapse(Lapse::SyntaxError);
            return self.fault(&replies::parameter_too_long());
        }
        if let (Phase::Ready | Phase::Failed(_), Command::Mail { .. }) = (&self.phase, &command) {
            self.counts.transactions += 1;
            if self.counts.transactions > self.settings.limits.transactions {
                return self.hang_up(Limit::Transactions);
            }
        }
        let again = !matches!(self.phase, Phase::Greeted);
        match self.phase.check(command, &self.settings, &self.channel, self.standing) {
            Ok(Move::Ask(question)) => self.asked = Some(question),
            Ok(Move::Authenticate(mechanism, initial)) => {
                self.open_exchange(mechanism, initial.as_ref());
            }
            Ok(Move::Hello(question)) => {
                if again {
                    self.lapse(Lapse::RepeatedHello);
                }
                if again && self.is_idle() {
                    return self.hang_up(Limit::IdleCommands);
                }
                self.abort();
                self.asked = Some(question);
            }
            Ok(Move::Quit) => {
                self.abort();
                self.say(&replies::bye());
                self.close();
            }
            Ok(Move::Reset) => {
                self.abort();
                self.dawdle(&replies::ok());
            }
            Ok(Move::Say(reply)) => self.dawdle(&reply),
            Ok(Move::Limited(limit, reply)) => {
                self.events.push(Event::Limited(limit));
                match limit {
                    // Whoever does not know the bound names all its recipients.
                    Limit::Recipients => self.say(&reply),
                    _ => self.dawdle(&reply),
                }
            }
            Ok(Move::Upgrade) => {
                self.abort();
                self.say(&replies::ready_for_tls());
                self.phase = Phase::Handshake;
                // CVE-2011-0411: whatever stands behind STARTTLS was not sent under TLS.
                if !self.lines.is_empty() {
                    self.events.push(Event::Limited(Limit::Pipelining));
                }
                self.lines = Lines::default();
            }
            // Only BDAT leads there.
            Ok(Move::Chunk) => {}
            Err(reply) => {
                if reply.code() == BAD_SEQUENCE {
                    self.lapse(Lapse::OutOfSequence);
                }
                self.fault(&reply);
            }
        }
    }

    fn greet(&mut self, answer: Answer) {
        match answer {
            Answer::No(reply) => self.end(&reply),
            Answer::Yes(_) => {
                self.phase = Phase::Greeted;
                self.say(&replies::banner(&self.settings));
            }
        }
    }

    fn hello(&mut self, answer: Answer, esmtp: bool) {
        match answer {
            // A further one was counted before policy was asked.
            Answer::No(reply) if !matches!(self.phase, Phase::Greeted) => self.say(&reply),
            Answer::No(reply) => self.dawdle(&reply),
            Answer::Yes(_) => {
                self.phase = Phase::Ready;
                self.may_pipeline = esmtp;
                self.standing.esmtp = esmtp;
                self.say(&replies::hello(&self.settings, &self.channel, esmtp));
            }
        }
    }

    fn begin(&mut self, parameters: &[Parameter], answer: Answer) {
        match answer {
            Answer::No(reply) => self.dawdle(&reply),
            Answer::Yes(words) => {
                self.phase = Phase::Envelope(Envelope::new(parameters, self.settings.protocol));
                self.say(&words.unwrap_or_else(replies::sender_ok));
            }
        }
    }

    fn add(&mut self, recipient: Mailbox, answer: Answer) {
        let Phase::Envelope(envelope) = &mut self.phase else { return };
        let reply = match answer {
            Answer::No(reply) => {
                envelope.refuse();
                // Who learns by 5xx which addresses there are may ask for a few, not for all.
                if reply.is_permanent() {
                    self.lapse(Lapse::RefusedRecipient);
                }
                let refused = self.conduct.count(Lapse::RefusedRecipient);
                if refused > self.settings.limits.refused_recipients {
                    return self.hang_up(Limit::RefusedRecipients);
                }
                reply
            }
            Answer::Yes(words) => {
                envelope.accept(recipient);
                words.unwrap_or_else(replies::recipient_ok)
            }
        };
        self.say(&reply);
    }

    fn start_content(&mut self, answer: Answer) {
        match answer {
            Answer::No(reply) => self.dawdle(&reply),
            Answer::Yes(_) => {
                if let Phase::Envelope(envelope) = mem::take(&mut self.phase) {
                    self.phase = Phase::Content(envelope, Box::new(Intake::new(false)));
                }
                self.say(&replies::go_ahead());
            }
        }
    }

    /// Answers the message: once, or once for each recipient in LMTP (RFC 2033 section 4.2) and,
    /// where they differ, with PRDR.
    fn conclude(&mut self, verdict: Verdict) {
        let Phase::Complete(envelope) = mem::replace(&mut self.phase, Phase::Ready) else { return };
        self.counts.idle_commands = 0;
        self.forwarded = false;
        match self.settings.protocol {
            Protocol::Lmtp => {
                for reply in verdict.each(envelope.names()) {
                    self.say(&reply);
                }
            }
            Protocol::Smtp if envelope.wants_each() => {
                for reply in verdict.each_that_differs(envelope.names()) {
                    self.say(&reply);
                }
            }
            Protocol::Smtp => match verdict.answer() {
                Answer::No(reply) | Answer::Yes(Some(reply)) => self.say(&reply),
                Answer::Yes(None) => self.say(&replies::ok()),
            },
        }
    }

    /// Takes what lies behind the DATA of the same read.
    fn take_waiting_content(&mut self) {
        let mut lines = mem::take(&mut self.lines);
        lines.consume(self.take_content(lines.rest()));
        self.lines = lines;
    }

    /// Takes content as far as it goes, and says how far that is.
    fn take_content(&mut self, octets: &[u8]) -> usize {
        if self.chunk.is_some() {
            // Policy may not want the first chunk.
            return if self.asked.is_some() { 0 } else { self.take_chunk(octets) };
        }
        let Phase::Content(envelope, intake) = &mut self.phase else { return 0 };
        let taken = intake.take(octets, &self.settings, &mut self.content);
        if self.content.is_empty() {
            self.content = Vec::new();
        }
        if taken.ended {
            let (envelope, refusal) = (mem::take(envelope), intake.refusal());
            if intake.is_bare() {
                self.lapse(Lapse::BareNewline);
            }
            self.complete(envelope, refusal);
        }
        taken.used
    }

    /// All content is there: policy has the word, unless the session refuses it.
    fn complete(&mut self, envelope: Envelope, refusal: Option<Refusal>) {
        self.phase = Phase::Complete(envelope);
        if let Some(refusal) = refusal {
            self.events.extend(refusal.limit().map(Event::Limited));
            self.aside = Some(Box::new(Step::Refused(refusal.reply())));
            self.conclude(Verdict::Reply(refusal.reply()));
        }
    }

    /// Ends the transaction, if there is one, without a message; what was said for one that was to
    /// come is void, too.
    fn abort(&mut self) {
        self.aborted |= mem::take(&mut self.forwarded);
        if let Phase::Envelope(_) | Phase::Chunks(..) = self.phase {
            self.aborted = true;
        }
        if let Phase::Envelope(_) | Phase::Chunks(..) | Phase::Failed(_) = self.phase {
            self.phase = Phase::Ready;
        }
    }

    fn say(&mut self, reply: &Reply) {
        self.events.push(Event::Reply(reply.code()));
        let start = self.output.len();
        reply.encode(&mut self.output);
        self.transcribe_reply(start);
        if reply.code() == CLOSING {
            self.close();
        }
    }

    fn close(&mut self) {
        self.closing = true;
        self.asked = None;
        self.chunk = None;
        if let Phase::Auth(_) = self.phase {
            self.phase = Phase::Ready;
        }
        self.content = Vec::new();
        self.lines = Lines::default();
    }
}

/// Why a line is not obeyed at all.
enum Mistake {
    Command(CommandError),
    Line(LineError),
}

/// The answer to a command that has no place where it came.
const BAD_SEQUENCE: u16 = 503;

/// Announces the end of the conversation, whatever it answers (RFC 5321 section 3.8).
const CLOSING: u16 = 421;
