//! What may be seen of a client, and what it is worth.

use portcullis_plugin::Refusal;

use crate::settings::Rule;

/// A sign. In the order of the README.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sign {
    OwnName,
    OwnAddress,
    Localhost,
    Syntax,
    BareAddress,
    Literal,
    LiteralElsewhere,
    NoDot,
    Unknown,
    NoPtr,
    PtrElsewhere,
    PtrNumbers,
    PtrDynamic,
    EarlyTalker,
    OutOfTurn,
    UnknownCommands,
    SyntaxErrors,
    OutOfSequence,
    RepeatedHelo,
    RefusedRecipients,
    AuthFailures,
    BareNewlines,
}

impl Sign {
    pub(crate) const ALL: [Self; 22] = [
        Self::OwnName,
        Self::OwnAddress,
        Self::Localhost,
        Self::Syntax,
        Self::BareAddress,
        Self::Literal,
        Self::LiteralElsewhere,
        Self::NoDot,
        Self::Unknown,
        Self::NoPtr,
        Self::PtrElsewhere,
        Self::PtrNumbers,
        Self::PtrDynamic,
        Self::EarlyTalker,
        Self::OutOfTurn,
        Self::UnknownCommands,
        Self::SyntaxErrors,
        Self::OutOfSequence,
        Self::RepeatedHelo,
        Self::RefusedRecipients,
        Self::AuthFailures,
        Self::BareNewlines,
    ];

    /// Those of the client's conduct, with the gateway's name for it.
    pub(crate) const CONDUCT: [(Self, &'static str); 9] = [
        (Self::EarlyTalker, "early-talker"),
        (Self::OutOfTurn, "pipelined-out-of-turn"),
        (Self::UnknownCommands, "unknown-commands"),
        (Self::SyntaxErrors, "syntax-errors"),
        (Self::OutOfSequence, "out-of-sequence"),
        (Self::RepeatedHelo, "repeated-helo"),
        (Self::RefusedRecipients, "refused-recipients"),
        (Self::AuthFailures, "auth-failures"),
        (Self::BareNewlines, "bare-newlines"),
    ];

    /// Its name in the settings.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::OwnName => "own_name",
            Self::OwnAddress => "own_address",
            Self::Localhost => "localhost",
            Self::Syntax => "syntax",
            Self::BareAddress => "bare_address",
            Self::Literal => "literal",
            Self::LiteralElsewhere => "literal_elsewhere",
            Self::NoDot => "no_dot",
            Self::Unknown => "unknown",
            Self::NoPtr => "no_ptr",
            Self::PtrElsewhere => "ptr_elsewhere",
            Self::PtrNumbers => "ptr_numbers",
            Self::PtrDynamic => "ptr_dynamic",
            Self::EarlyTalker => "early_talker",
            Self::OutOfTurn => "out_of_turn",
            Self::UnknownCommands => "unknown_commands",
            Self::SyntaxErrors => "syntax_errors",
            Self::OutOfSequence => "out_of_sequence",
            Self::RepeatedHelo => "repeated_helo",
            Self::RefusedRecipients => "refused_recipients",
            Self::AuthFailures => "auth_failures",
            Self::BareNewlines => "bare_newlines",
        }
    }

    /// Its symbol among the scores.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::OwnName => "HELO_OWN_NAME",
            Self::OwnAddress => "HELO_OWN_ADDRESS",
            Self::Localhost => "HELO_LOCALHOST",
            Self::Syntax => "HELO_SYNTAX",
            Self::BareAddress => "HELO_BARE_ADDRESS",
            Self::Literal => "HELO_LITERAL",
            Self::LiteralElsewhere => "HELO_LITERAL_ELSEWHERE",
            Self::NoDot => "HELO_NO_DOT",
            Self::Unknown => "HELO_UNKNOWN",
            Self::NoPtr => "NO_PTR",
            Self::PtrElsewhere => "PTR_ELSEWHERE",
            Self::PtrNumbers => "PTR_NUMBERS",
            Self::PtrDynamic => "PTR_DYNAMIC",
            Self::EarlyTalker => "EARLY_TALKER",
            Self::OutOfTurn => "OUT_OF_TURN",
            Self::UnknownCommands => "UNKNOWN_COMMANDS",
            Self::SyntaxErrors => "SYNTAX_ERRORS",
            Self::OutOfSequence => "OUT_OF_SEQUENCE",
            Self::RepeatedHelo => "REPEATED_HELO",
            Self::RefusedRecipients => "REFUSED_RECIPIENTS",
            Self::AuthFailures => "AUTH_FAILURES",
            Self::BareNewlines => "BARE_NEWLINES",
        }
    }

    /// What follows unless the settings say otherwise: only who lies about us is refused. Of the
    /// others there are honest servers, some or many.
    pub(crate) fn usual(self) -> Rule {
        Rule::Points(match self {
            Self::OwnName => return refusal("550 5.7.1 that is my name, not yours"),
            Self::OwnAddress => return refusal("550 5.7.1 that is my address, not yours"),
            Self::Localhost | Self::LiteralElsewhere | Self::BareAddress => 2.0,
            Self::Syntax | Self::NoDot | Self::Unknown | Self::PtrElsewhere => 1.0,
            Self::Literal | Self::PtrNumbers => 0.5,
            Self::NoPtr | Self::PtrDynamic => 1.5,
            Self::EarlyTalker => 3.0,
            Self::OutOfTurn => 1.5,
            Self::UnknownCommands | Self::OutOfSequence | Self::AuthFailures => 1.0,
            Self::SyntaxErrors | Self::RefusedRecipients | Self::BareNewlines => 0.5,
            // Some ask again in HELO what they did not like in EHLO.
            Self::RepeatedHelo => 0.0,
        })
    }
}

fn refusal(line: &str) -> Rule {
    line.parse::<Refusal>().map_or(Rule::Points(0.0), Rule::Refuse)
}
