//! The bounds that a session keeps, by name, and what happens at those of commands.

use super::settings::Pipelining;
use super::{CLOSING, Event, Lapse, Session, replies};
use crate::Reply;
use crate::command::Command;

/// A bound of [`Limits`](super::Limits) (or the rule of turns) that a client reached.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Limit {
    /// Too many attempts to authenticate that were refused.
    AuthFailures,
    /// A command line was too long.
    CommandLine,
    /// Too many mistakes.
    Errors,
    /// The header section was too large.
    Header,
    /// The header section had too many fields.
    HeaderFields,
    /// Too many commands that bring no message nearer.
    IdleCommands,
    /// The message was too large, or was announced to be.
    Message,
    /// A parameter of MAIL or RCPT was too long.
    Parameter,
    /// The client sent on where it had to wait for the answer (RFC 2920 section 3.1).
    Pipelining,
    /// The message was in a loop.
    ReceivedHops,
    /// Too many recipients in one transaction.
    Recipients,
    /// Too many recipients that policy refused for good.
    RefusedRecipients,
    /// Too many transactions.
    Transactions,
    /// Too many commands that do not exist.
    UnknownCommands,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::AuthFailures,
        Self::CommandLine,
        Self::Errors,
        Self::Header,
        Self::HeaderFields,
        Self::IdleCommands,
        Self::Message,
        Self::Parameter,
        Self::Pipelining,
        Self::ReceivedHops,
        Self::Recipients,
        Self::RefusedRecipients,
        Self::Transactions,
        Self::UnknownCommands,
    ];

    /// Its name in metrics and logs, which is also its name in a configuration.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::AuthFailures => "failures_per_session",
            Self::CommandLine => "command_line",
            Self::Errors => "errors",
            Self::Header => "header",
            Self::HeaderFields => "header_fields",
            Self::IdleCommands => "idle_commands",
            Self::Message => "message",
            Self::Parameter => "parameter",
            Self::Pipelining => "pipelining",
            Self::ReceivedHops => "received_hops",
            Self::Recipients => "recipients",
            Self::RefusedRecipients => "refused_recipients",
            Self::Transactions => "transactions",
            Self::UnknownCommands => "unknown_commands",
        }
    }
}

/// What the client did so far that is bounded, beside its [`Conduct`](super::Conduct).
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) errors: u32,
    pub(super) idle_commands: u32,
    pub(super) transactions: u32,
}

impl Session {
    /// Answers a mistake of the client.
    pub(super) fn fault(&mut self, reply: &Reply) {
        self.counts.errors += 1;
        let limits = &self.settings.limits;
        if self.conduct.count(Lapse::UnknownCommand) > limits.unknown_commands {
            return self.hang_up(Limit::UnknownCommands);
        }
        if self.counts.errors > limits.errors {
            return self.hang_up(Limit::Errors);
        }
        if reply.code() == CLOSING {
            self.abort();
        }
        self.say(reply);
    }

    /// Answers a command that is in order and brings no message nearer.
    pub(super) fn dawdle(&mut self, reply: &Reply) {
        if self.is_idle() {
            return self.hang_up(Limit::IdleCommands);
        }
        self.say(reply);
    }

    /// Counts a command that brings no message nearer; whether it is one too many.
    pub(super) fn is_idle(&mut self) -> bool {
        self.counts.idle_commands += 1;
        self.counts.idle_commands > self.settings.limits.idle_commands
    }

    /// Whether more came behind a command that the client had to wait for, and that is not overlooked.
    pub(super) fn is_out_of_turn(&mut self, command: &Command) -> bool {
        let out_of_turn = !self.lines.is_empty()
            && *command != Command::Quit
            && (!self.may_pipeline || command.ends_group());
        if out_of_turn {
            self.lapse(Lapse::Pipelined);
        }
        out_of_turn && self.settings.pipelining != Pipelining::Lenient
    }

    pub(super) fn refuse_turn(&mut self, command: &Command) {
        let commands_follow = !matches!(command, Command::Data | Command::Starttls);
        if commands_follow && self.settings.pipelining == Pipelining::Refuse {
            self.events.push(Event::Limited(Limit::Pipelining));
            return self.fault(&replies::out_of_turn());
        }
        self.hang_up(Limit::Pipelining);
    }

    /// Ends the conversation because a bound is reached.
    pub(super) fn hang_up(&mut self, limit: Limit) {
        self.events.push(Event::Limited(limit));
        self.abort();
        self.say(&replies::enough(limit));
    }
}
