//! The session's own words.
//!
//! Nothing here repeats what the client said, but for addresses, which are printable by
//! construction.

use super::Channel;
use super::limit::Limit;
use super::settings::{Protocol, Settings};
use crate::command::CommandError;
use crate::lines::LineError;
use crate::xclient::AttributeError;
use crate::{Mailbox, Reply, extension};

pub(super) fn banner(settings: &Settings) -> Reply {
    Reply::bare(220, &extension::banner(settings))
}

pub(super) fn hello(settings: &Settings, channel: &Channel, esmtp: bool) -> Reply {
    if esmtp {
        Reply::listing(250, extension::hello(settings, channel))
    } else {
        Reply::bare(250, &settings.hostname)
    }
}

pub(super) fn ok() -> Reply {
    Reply::fixed(250, (2, 0, 0), "ok")
}

pub(super) fn sender_ok() -> Reply {
    Reply::fixed(250, (2, 1, 0), "ok")
}

pub(super) fn recipient_ok() -> Reply {
    Reply::fixed(250, (2, 1, 5), "ok")
}

pub(super) fn delivered_to(mailbox: &Mailbox) -> Reply {
    ok().naming(mailbox)
}

pub(super) fn go_ahead() -> Reply {
    Reply::bare(354, "end with <CRLF>.<CRLF>")
}

pub(super) fn chunk_taken(octets: u64) -> Reply {
    Reply::fixed(250, (2, 0, 0), &format!("{octets} octets taken"))
}

pub(super) fn each_follows() -> Reply {
    Reply::bare(353, "the answers for the recipients follow")
}

pub(super) fn partly_accepted(accepted: usize, of: usize) -> Reply {
    Reply::fixed(250, (2, 0, 0), &format!("ok for {accepted} of {of} recipients"))
}

pub(super) fn help() -> Reply {
    Reply::fixed(214, (2, 0, 0), "see RFC 5321")
}

pub(super) fn cannot_verify() -> Reply {
    Reply::fixed(252, (2, 0, 0), "send mail and see")
}

pub(super) fn bye() -> Reply {
    Reply::fixed(221, (2, 0, 0), "bye")
}

pub(super) fn ready_for_tls() -> Reply {
    Reply::fixed(220, (2, 0, 0), "go ahead")
}

pub(super) fn not_implemented() -> Reply {
    Reply::fixed(502, (5, 5, 1), "not implemented")
}

/// RFC 2033 section 4.1: EHLO is no command of LMTP, LHLO none of SMTP.
pub(super) fn other_hello(name: &str) -> Reply {
    Reply::fixed(500, (5, 5, 1), &format!("say {name}"))
}

pub(super) fn bad_sequence(text: &str) -> Reply {
    Reply::fixed(503, (5, 5, 1), text)
}

pub(super) fn not_authorized() -> Reply {
    Reply::fixed(550, (5, 7, 0), "not authorized")
}

pub(super) fn bad_attribute(error: AttributeError) -> Reply {
    Reply::fixed(501, (5, 5, 4), &error.to_string())
}

pub(super) fn bad_line(text: &str) -> Reply {
    Reply::fixed(500, (5, 5, 2), text)
}

/// RFC 5321 section 3.3, RFC 2033 section 4.2.
pub(super) fn no_valid_recipients(protocol: Protocol) -> Reply {
    let code = match protocol {
        Protocol::Lmtp => 503,
        Protocol::Smtp => 554,
    };
    Reply::fixed(code, (5, 5, 1), "no valid recipients")
}

pub(super) fn too_many_recipients() -> Reply {
    Reply::fixed(452, (4, 5, 3), "too many recipients")
}

/// A bound that ends the conversation.
pub(super) fn enough(limit: Limit) -> Reply {
    let text = match limit {
        Limit::AuthFailures => "too many failed authentications",
        Limit::IdleCommands => "too many commands without a message",
        Limit::Pipelining => "wait for the answer before you send more",
        Limit::RefusedRecipients => "too many recipients that cannot be",
        Limit::Transactions => "enough messages for one connection, connect again",
        Limit::UnknownCommands => "too many unknown commands",
        Limit::CommandLine
        | Limit::Errors
        | Limit::Header
        | Limit::HeaderFields
        | Limit::Message
        | Limit::Parameter
        | Limit::ReceivedHops
        | Limit::Recipients => "too many errors",
    };
    Reply::fixed(421, (4, 7, 0), text)
}

pub(super) fn out_of_turn() -> Reply {
    Reply::fixed(503, (5, 5, 0), "wait for the answer before you send more")
}

pub(super) fn parameter_too_long() -> Reply {
    Reply::fixed(501, (5, 5, 4), "parameter too long")
}

pub(super) fn too_large() -> Reply {
    Reply::fixed(552, (5, 3, 4), "message too large")
}

pub(super) fn held_too_long() -> Reply {
    Reply::fixed(501, (5, 5, 4), "not to be held for so long")
}

pub(super) fn too_many_hops() -> Reply {
    Reply::fixed(554, (5, 4, 6), "too many hops, this is a loop")
}

pub(super) fn header_too_large() -> Reply {
    Reply::fixed(552, (5, 3, 4), "header section too large")
}

pub(super) fn too_many_fields() -> Reply {
    Reply::fixed(554, (5, 6, 0), "too many header fields")
}

pub(super) fn bare_newline() -> Reply {
    Reply::fixed(550, (5, 6, 11), "bare CR or LF, or NUL, in the message")
}

pub(super) fn no_answer() -> Reply {
    Reply::fixed(451, (4, 3, 0), "no answer, try again")
}

pub(super) fn not_a_line(error: LineError) -> Reply {
    bad_line(match error {
        LineError::Chunk | LineError::Control => "CR, LF or NUL inside the line",
        LineError::TooLong => "line too long",
    })
}

pub(super) fn authenticated() -> Reply {
    Reply::fixed(235, (2, 7, 0), "authenticated")
}

pub(super) fn authentication_required() -> Reply {
    Reply::fixed(530, (5, 7, 0), "authenticate first")
}

pub(super) fn bad_base64() -> Reply {
    Reply::fixed(501, (5, 5, 2), "not base64")
}

pub(super) fn cancelled() -> Reply {
    Reply::fixed(501, (5, 7, 0), "authentication cancelled")
}

pub(super) fn encryption_required() -> Reply {
    Reply::fixed(538, (5, 7, 11), "not in clear text")
}

pub(super) fn malformed_response() -> Reply {
    Reply::fixed(501, (5, 5, 2), "not a message of this mechanism")
}

pub(super) fn no_initial_response() -> Reply {
    Reply::fixed(501, (5, 7, 0), "this mechanism takes no initial response")
}

pub(super) fn response_too_long() -> Reply {
    Reply::fixed(500, (5, 5, 6), "response too long")
}

pub(super) fn unknown_mechanism() -> Reply {
    Reply::fixed(504, (5, 5, 4), "unknown mechanism")
}

/// For whoever there is and is not.
pub(super) fn wrong_credentials() -> Reply {
    Reply::fixed(535, (5, 7, 8), "authentication failed")
}

pub(super) fn not_a_command(error: CommandError) -> Reply {
    match error {
        CommandError::Argument(usage) => Reply::fixed(501, (5, 5, 4), &format!("syntax: {usage}")),
        CommandError::ChunkKeyword(_) | CommandError::ChunkSize => {
            Reply::fixed(501, (5, 5, 4), "syntax: BDAT octets [LAST]")
        }
        CommandError::Foreign => Reply::fixed(421, (4, 7, 0), "this is a mail server"),
        CommandError::ForwardPath => Reply::fixed(501, (5, 1, 3), "bad recipient address"),
        CommandError::NotAscii => Reply::fixed(553, (5, 6, 7), "address must be ASCII"),
        CommandError::NotText => bad_line("not text"),
        CommandError::Parameter => Reply::fixed(501, (5, 5, 4), "bad parameter"),
        CommandError::ReversePath => Reply::fixed(501, (5, 1, 7), "bad sender address"),
        CommandError::UnknownParameter => Reply::fixed(555, (5, 5, 4), "unknown parameter"),
        CommandError::UnknownVerb => bad_line("unknown command"),
    }
}
