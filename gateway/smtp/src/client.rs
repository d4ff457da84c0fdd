//! The client's side of a conversation, SMTP or LMTP.
//!
//! ```text
//!                  .---------- Answer: one for each command, in order -----------.
//!   new --poll--> Read ... StartTls? ... Ready --mail, rcpt, data--> Read ... Content
//!                                          ^ |                                  ^ |
//!                                          | '------- mail, rcpt ... chunk -----' |
//!                                          '---- Answer(s) ---- content_sent -----'
//! ```
//!
//! Commands are queued; they leave at once where the server knows PIPELINING (RFC 2920) and one by
//! one where it does not. The caller sees no difference. The content itself does not pass through
//! here: at [`Step::Content`] the caller writes it to the peer, dot-stuffed after DATA and as it is
//! after BDAT.

mod auth;
mod error;
mod extensions;
mod greeting;
mod replies;
mod settings;
mod step;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use crate::sasl::ChannelBindings;
use crate::server::Protocol;
use crate::xclient::{Xclient, Xforward};
use crate::{Mailbox, Parameter, Reply, ReversePath};

use auth::Exchange;

pub use auth::{Login, Mechanism};
pub use error::ClientError;
pub use extensions::Extensions;
pub use replies::{MalformedReply, Replies};
pub use settings::{Settings, StartTls};
pub use step::{Stage, Step};

/// One conversation with one server.
pub struct Session {
    settings: Settings,
    extensions: Extensions,
    state: State,
    /// Whether the answer to EHLO was a no, and HELO is tried.
    fallback: bool,
    exchange: Option<Exchange>,
    /// Whether the login was accepted on this connection.
    logged_in: bool,
    transaction: Transaction,
    replies: Replies,
    waiting: VecDeque<Command>,
    expected: VecDeque<Expected>,
    output: Vec<u8>,
}

impl fmt::Debug for Session {
    /// Not what is on its way to the server: that may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("settings", &self.settings)
            .field("extensions", &self.extensions)
            .field("state", &self.state)
            .field("transaction", &self.transaction)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Closed,
    /// 421 came; what is still expected gets the same answer.
    Closing,
    Content,
    Handshake,
    Open,
}

#[derive(Debug)]
enum Transaction {
    /// MAIL is queued; so many recipients were accepted.
    Begun {
        accepted: usize,
    },
    None,
    /// What MAIL was answered.
    Refused(Reply),
}

/// A command that has not left yet.
#[derive(Debug)]
struct Command {
    stage: Stage,
    line: String,
}

/// What will be answered next.
#[derive(Debug)]
enum Expected {
    /// By these words, whatever the server says.
    Local(Stage, Reply),
    /// By the server.
    Reply(Stage),
}

impl Session {
    /// A session that waits for the server's banner.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            extensions: Extensions::default(),
            state: State::Open,
            fallback: false,
            exchange: None,
            logged_in: false,
            transaction: Transaction::None,
            replies: Replies::default(),
            waiting: VecDeque::new(),
            expected: VecDeque::from([Expected::Reply(Stage::Banner)]),
            output: Vec::new(),
        }
    }

    /// Takes octets from the server.
    pub fn receive(&mut self, octets: &[u8]) {
        self.replies.receive(octets);
    }

    /// Says what to do next.
    pub fn poll(&mut self) -> Step {
        self.advance().unwrap_or_else(|error| {
            self.state = State::Closed;
            Step::Failed(error)
        })
    }

    /// The octets to write; the buffer is empty afterwards.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Queues MAIL. Parameters that the server does not know stay behind.
    pub fn mail(&mut self, reverse_path: &ReversePath, parameters: &[Parameter]) {
        self.transaction = Transaction::Begun { accepted: 0 };
        let path = reverse_path.mailbox().map_or("", Mailbox::as_str);
        self.command_with_path(Stage::Mail, "MAIL FROM", path, parameters);
    }

    /// Queues RCPT. Parameters that the server does not know stay behind.
    pub fn rcpt(&mut self, forward_path: &Mailbox, parameters: &[Parameter]) {
        self.command_with_path(Stage::Rcpt, "RCPT TO", forward_path.as_str(), parameters);
    }

    /// Queues DATA. To be called when a recipient was accepted.
    pub fn data(&mut self) {
        self.command(Stage::Data, "DATA");
    }

    /// Announces the whole content as one chunk of so many octets (RFC 3030), and asks for it
    /// without waiting. To be called when a recipient was accepted and everything is answered.
    pub fn chunk(&mut self, octets: u64) {
        if self.state == State::Open && self.expected.is_empty() && self.waiting.is_empty() {
            self.output.extend_from_slice(format!("BDAT {octets} LAST\r\n").as_bytes());
            self.state = State::Content;
        }
    }

    /// The content and its end were written.
    pub fn content_sent(&mut self) {
        if self.state != State::Content {
            return;
        }
        self.state = State::Open;
        self.expected.extend((0..self.answers()).map(|_| Expected::Reply(Stage::Content)));
    }

    /// Queues RSET. What is queued afterwards belongs to a new transaction.
    pub fn rset(&mut self) {
        self.transaction = Transaction::None;
        self.command(Stage::Rset, "RSET");
    }

    /// Says who the client of the next transactions is (Postfix's XCLIENT_README), and greets anew:
    /// the server forgets all that it knew of the one before. To be called between transactions, when
    /// everything is answered; then go on until [`Step::Ready`]. Says whether the server is asked at
    /// all: it may know nothing of it.
    pub fn xclient(&mut self, client: &Xclient) -> bool {
        let Some(known) = self.extensions.arguments("XCLIENT") else { return false };
        let lines = client.commands(known);
        // TLS is there by now, or will not be.
        self.settings.starttls = StartTls::Never;
        lines.iter().for_each(|line| self.command(Stage::Xclient, line));
        !lines.is_empty()
    }

    /// Queues what is known of where the next message came from (Postfix's XFORWARD_README). Says how
    /// many answers there will be.
    pub fn xforward(&mut self, origin: &Xforward) -> usize {
        let Some(known) = self.extensions.arguments("XFORWARD") else { return 0 };
        let lines = origin.commands(known);
        lines.iter().for_each(|line| self.command(Stage::Xforward, line));
        lines.len()
    }

    /// Queues NOOP: whoever answers it, whatever the answer, is there.
    pub fn noop(&mut self) {
        self.command(Stage::Noop, "NOOP");
    }

    /// Queues QUIT.
    pub fn quit(&mut self) {
        self.command(Stage::Quit, "QUIT");
    }

    /// The handshake that [`Step::StartTls`] asked for is done; what was said before is void
    /// (RFC 3207 section 4.2).
    pub fn tls_established(&mut self, bindings: ChannelBindings) {
        self.settings.starttls = StartTls::Never;
        self.settings.private = true;
        self.settings.bindings = bindings;
        self.extensions = Extensions::default();
        self.state = State::Open;
        self.hello();
    }

    /// What the server offers.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether the server may think that a transaction is open.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        !matches!(self.transaction, Transaction::None)
    }

    /// Whether another command can be queued.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether a reply, or something that would be one, has arrived.
    #[must_use]
    pub fn has_input(&self) -> bool {
        !self.replies.is_empty()
    }

    fn advance(&mut self) -> Result<Step, ClientError> {
        loop {
            if self.state == State::Open && self.expected.is_empty() && self.has_input() {
                return self.unasked();
            }
            self.send_waiting();
            match self.state {
                State::Closed => return Ok(Step::Closed),
                State::Handshake if self.has_input() => return Err(ClientError::OctetsBeforeTls),
                State::Handshake => return Ok(Step::StartTls),
                State::Closing if self.expected.is_empty() => return Ok(Step::Closed),
                State::Closing | State::Content | State::Open => {}
            }
            if let Some(Expected::Local(..)) = self.expected.front()
                && let Some(Expected::Local(stage, reply)) = self.expected.pop_front()
            {
                return Ok(Step::Answer(stage, reply));
            }
            return match self.replies.take()? {
                Some(reply) => self.take(reply),
                None if !self.expected.is_empty() => Ok(Step::Read),
                // Half a reply before the content's end: the other half decides.
                None if self.state == State::Content && self.has_input() => Ok(Step::Read),
                None if self.state == State::Content => Ok(Step::Content),
                None if self.waiting.is_empty() => Ok(Step::Ready),
                None => continue,
            };
        }
    }

    /// What is there before anything is asked answers nothing that will be: counted in, each reply
    /// would be taken for the next one's. But a server that is closing says so when it likes.
    fn unasked(&mut self) -> Result<Step, ClientError> {
        match self.replies.take()? {
            Some(reply) if reply.code() == 421 => match self.waiting.pop_front() {
                Some(command) => Ok(self.closing(command.stage, reply)),
                None => Err(ClientError::Unsolicited { code: 421 }),
            },
            Some(reply) => Err(ClientError::Unsolicited { code: reply.code() }),
            None if self.waiting.is_empty() => Ok(Step::Ready),
            None => Err(MalformedReply::NotAReply.into()),
        }
    }

    /// Moves commands to the output: all of them with PIPELINING, else one when nothing is awaited.
    fn send_waiting(&mut self) {
        while self.extensions.pipelining() || self.expected.is_empty() {
            let Some(command) = self.waiting.pop_front() else { return };
            let refused = match &self.transaction {
                Transaction::Refused(reply) if command.stage == Stage::Rcpt => Some(reply.clone()),
                _ => None,
            };
            self.expected.push_back(match refused {
                Some(reply) => Expected::Local(command.stage, reply),
                None => {
                    self.output.extend_from_slice(command.line.as_bytes());
                    self.output.extend_from_slice(b"\r\n");
                    Expected::Reply(command.stage)
                }
            });
        }
    }

    /// Deals with a reply of the server.
    fn take(&mut self, reply: Reply) -> Result<Step, ClientError> {
        let stage = match self.expected.pop_front() {
            Some(Expected::Reply(stage)) => stage,
            Some(Expected::Local(..)) | None if self.state == State::Content => Stage::Content,
            Some(Expected::Local(..)) | None => {
                return Err(ClientError::Unsolicited { code: reply.code() });
            }
        };
        if reply.code() == 421 && !stage.is_greeting() {
            return Ok(self.closing(stage, reply));
        }
        match stage {
            Stage::Banner | Stage::Hello | Stage::StartTls => self.greeted(stage, &reply)?,
            Stage::Auth => self.challenged(&reply)?,
            Stage::Xclient => self.introduced(&reply)?,
            Stage::Mail | Stage::Rcpt => return self.offered(stage, reply),
            Stage::Data if reply.code() / 100 == 3 => self.state = State::Content,
            Stage::Data if !reply.is_positive() => {}
            Stage::Content if self.state == State::Content => return self.early(reply),
            Stage::Content if reply.code() / 100 != 3 => {
                if self.expected.is_empty() {
                    self.transaction = Transaction::None;
                }
            }
            Stage::Rset if reply.code() / 100 == 2 => {
                // Pipelined behind a MAIL that was refused: that is over, too.
                if matches!(self.transaction, Transaction::Refused(_)) {
                    self.transaction = Transaction::None;
                }
            }
            Stage::Noop | Stage::Xforward if reply.code() / 100 != 3 => {}
            Stage::Quit => self.state = State::Closed,
            Stage::Data | Stage::Content | Stage::Rset | Stage::Noop | Stage::Xforward => {
                return Err(ClientError::Unexpected { stage, code: reply.code() });
            }
        }
        Ok(Step::Answer(stage, reply))
    }

    /// MAIL and RCPT.
    fn offered(&mut self, stage: Stage, reply: Reply) -> Result<Step, ClientError> {
        let class = reply.code() / 100;
        if class == 3 {
            return Err(ClientError::Unexpected { stage, code: reply.code() });
        }
        Ok(Step::Answer(
            stage,
            match (&mut self.transaction, stage) {
                (transaction, Stage::Mail) => {
                    if class != 2 {
                        *transaction = Transaction::Refused(reply.clone());
                    }
                    reply
                }
                // Pipelined behind a MAIL that was refused: what the server says about this
                // recipient (503, as a rule) is not why it is refused.
                (Transaction::Refused(refusal), _) => refusal.clone(),
                (Transaction::Begun { accepted }, _) => {
                    *accepted += usize::from(class == 2);
                    reply
                }
                (Transaction::None, _) => reply,
            },
        ))
    }

    /// A reply before the content's end. A refusal counts, and the connection is of no more use; a
    /// yes to what has not been said is none.
    fn early(&mut self, reply: Reply) -> Result<Step, ClientError> {
        if reply.is_positive() {
            return Err(ClientError::Unexpected { stage: Stage::Content, code: reply.code() });
        }
        Ok(self.closing(Stage::Content, reply))
    }

    /// The server closes (RFC 5321 section 3.8): everybody gets the same answer.
    fn closing(&mut self, stage: Stage, reply: Reply) -> Step {
        if self.state == State::Content {
            let rest = 1..self.answers();
            self.expected.extend(rest.map(|_| Expected::Reply(Stage::Content)));
        }
        self.state = State::Closing;
        let waiting = self.waiting.drain(..).map(|command| Expected::Reply(command.stage));
        self.expected.extend(waiting);
        for expected in &mut self.expected {
            if let Expected::Reply(stage) = *expected {
                *expected = Expected::Local(stage, reply.clone());
            }
        }
        Step::Answer(stage, reply)
    }

    /// How many replies there will be to the final dot (RFC 2033 section 4.2).
    fn answers(&self) -> usize {
        match (self.settings.protocol, &self.transaction) {
            (Protocol::Lmtp, Transaction::Begun { accepted }) => *accepted,
            _ => 1,
        }
    }

    fn command(&mut self, stage: Stage, line: &str) {
        self.waiting.push_back(Command { stage, line: line.to_owned() });
    }

    fn command_with_path(
        &mut self,
        stage: Stage,
        verb: &str,
        path: &str,
        parameters: &[Parameter],
    ) {
        let mut line = format!("{verb}:<{path}>");
        let permitted = parameters.iter().filter(|p| self.extensions.permit(&p.keyword));
        for word in permitted.filter_map(Parameter::word) {
            line.push(' ');
            line.push_str(&word);
        }
        self.waiting.push_back(Command { stage, line });
    }
}
