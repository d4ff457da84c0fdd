//! Commands: one line, understood (RFC 5321 section 4.1.1).
//!
//! A [`Command`] is well-formed by construction. Whether it is *allowed* right now is the
//! session's business, not the parser's.

use std::str;

use crate::address;
use crate::parameter;
use crate::sasl::{Armored, Mechanism};
use crate::{Domain, Extension, Grammar, Mailbox, Offers, Parameter, ReversePath};

/// How commands are read at this point of a conversation.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Dialect {
    /// How paths are read.
    pub grammar: Grammar,
    /// What is offered here and now: parameters of anything else are unknown.
    pub offers: Offers,
    /// Whether there is AUTH, which brings a parameter of MAIL.
    pub auth: bool,
    /// Whether the transaction is SMTPUTF8 (RFC 6531 section 3.4), so that recipients may be so.
    pub utf8: bool,
}

/// One command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Who the client is (RFC 4954).
    Auth {
        /// As the client wrote it.
        mechanism: String,
        /// Base64 of the initial response, or `=` for an empty one.
        initial: Option<Armored>,
    },
    /// A piece of the content follows (RFC 3030).
    Bdat {
        /// So many octets.
        octets: u64,
        /// Whether it is the last piece.
        last: bool,
    },
    /// The content follows.
    Data,
    /// The client's name; it speaks ESMTP.
    Ehlo(Domain),
    /// Who is on this list?
    Expn,
    /// The client's name; it speaks plain SMTP.
    Helo(Domain),
    /// What can be said here?
    Help,
    /// The client's name; it speaks LMTP.
    Lhlo(Domain),
    /// A transaction begins.
    Mail {
        /// The sender.
        reverse_path: ReversePath,
        /// Only known ones, checked.
        parameters: Vec<Parameter>,
    },
    /// Nothing.
    Noop,
    /// The end of the conversation.
    Quit,
    /// One more recipient.
    Rcpt {
        /// The recipient, without a source route.
        forward_path: Mailbox,
        /// Only known ones, checked.
        parameters: Vec<Parameter>,
    },
    /// The transaction is given up.
    Rset,
    /// TLS, please.
    Starttls,
    /// Does this mailbox exist?
    Vrfy,
    /// Who the client is, as a proxy says; the attributes unread.
    Xclient(String),
    /// On whose behalf a proxy forwards; the attributes unread.
    Xforward(String),
}

impl Command {
    /// Parses one line, without its CRLF.
    ///
    /// # Errors
    ///
    /// If the line is no command; the error says what to answer.
    pub fn parse(line: &[u8], dialect: Dialect) -> Result<Self, CommandError> {
        let grammar = dialect.grammar;
        let (verb, argument) = split_verb(line);
        let argument = str::from_utf8(argument).map_err(|_| match announces_chunk(line) {
            true => CommandError::ChunkSize,
            false => CommandError::NotText,
        })?;
        Ok(match Verb::from_word(verb) {
            Verb::Auth => auth(argument)?,
            Verb::Bdat => bdat(argument)?,
            Verb::Data => alone(Self::Data, argument, "DATA")?,
            Verb::Ehlo => Self::Ehlo(domain(argument, grammar, "EHLO domain")?),
            Verb::Expn => some(Self::Expn, argument, "EXPN list")?,
            Verb::Helo => Self::Helo(domain(argument, grammar, "HELO domain")?),
            Verb::Help => Self::Help,
            Verb::Lhlo => Self::Lhlo(domain(argument, grammar, "LHLO domain")?),
            Verb::Mail => mail(argument, dialect)?,
            Verb::Noop => Self::Noop,
            Verb::Quit => alone(Self::Quit, argument, "QUIT")?,
            Verb::Rcpt => rcpt(argument, dialect)?,
            Verb::Rset => alone(Self::Rset, argument, "RSET")?,
            Verb::Starttls => alone(Self::Starttls, argument, "STARTTLS")?,
            Verb::Unknown if announces_chunk(line) => return Err(CommandError::ChunkSize),
            Verb::Unknown if is_http(verb) => return Err(CommandError::Foreign),
            Verb::Unknown => return Err(CommandError::UnknownVerb),
            Verb::Vrfy if !is_sayable(argument, dialect) => return Err(CommandError::NotAscii),
            Verb::Vrfy => some(Self::Vrfy, argument, "VRFY mailbox")?,
            Verb::Xclient => {
                some(Self::Xclient(argument.to_owned()), argument, "XCLIENT attribute=value ...")?
            }
            Verb::Xforward => {
                some(Self::Xforward(argument.to_owned()), argument, "XFORWARD attribute=value ...")?
            }
        })
    }
}

impl Command {
    /// Whether a client has to wait for the answer before it says more, pipelining or not (RFC 2920
    /// section 3.1, RFC 3207 section 4, RFC 4954 section 4).
    pub(crate) fn ends_group(&self) -> bool {
        match self {
            // The one mechanism that is over with its initial response, whatever the answer.
            Self::Auth { mechanism, initial } => {
                initial.is_none() || Mechanism::from_name(mechanism) != Some(Mechanism::Plain)
            }
            Self::Data
            | Self::Ehlo(_)
            | Self::Expn
            | Self::Helo(_)
            | Self::Lhlo(_)
            | Self::Noop
            | Self::Starttls
            | Self::Vrfy => true,
            Self::Bdat { .. }
            | Self::Help
            | Self::Mail { .. }
            | Self::Quit
            | Self::Rcpt { .. }
            | Self::Rset
            | Self::Xclient(_)
            | Self::Xforward(_) => false,
        }
    }
}

/// The commands, for metrics.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the verbs of RFC 5321 and RFC 2033 speak for themselves")]
pub enum Verb {
    Auth,
    Bdat,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Lhlo,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    Starttls,
    Vrfy,
    Xclient,
    Xforward,
    /// Anything else.
    Unknown,
}

impl Verb {
    /// The verb of a command line, whether the rest of it makes sense or not.
    #[must_use]
    pub fn of(line: &[u8]) -> Self {
        Self::from_word(split_verb(line).0)
    }

    fn from_word(word: &[u8]) -> Self {
        VERBS
            .iter()
            .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word))
            .map_or(Self::Unknown, |(_, verb)| *verb)
    }
}

/// Why a line is not a command. The client's fault; each becomes one reply.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// An argument is missing, superfluous or malformed.
    #[error("syntax: {0}")]
    Argument(&'static str),
    /// Behind the size of a chunk stands something else than LAST; so many octets follow.
    #[error("bad chunk keyword")]
    ChunkKeyword(u64),
    /// The size of a chunk cannot be read, so that nobody knows where the next command begins.
    #[error("bad chunk size")]
    ChunkSize,
    /// A browser, made to speak to a mail server (see [`hazards`](crate::hazards)).
    #[error("not SMTP")]
    Foreign,
    /// The argument of RCPT is not a path.
    #[error("not a recipient")]
    ForwardPath,
    /// A path beyond ASCII, which needs SMTPUTF8 (RFC 6531 section 3.5).
    #[error("not an ASCII address")]
    NotAscii,
    /// Octets that are no UTF-8.
    #[error("not text")]
    NotText,
    /// A parameter is malformed, has a bad value or is there twice.
    #[error("bad parameter")]
    Parameter,
    /// The argument of MAIL is not a path.
    #[error("not a sender")]
    ReversePath,
    /// A parameter of an extension that is not offered.
    #[error("unknown parameter")]
    UnknownParameter,
    /// No command begins with this word.
    #[error("unknown command")]
    UnknownVerb,
}

fn split_verb(line: &[u8]) -> (&[u8], &[u8]) {
    // RFC 5321 section 4.1.1: white space before the CRLF is tolerated.
    let end = line.iter().rposition(|octet| !matches!(octet, b' ' | b'\t'));
    let line = &line[..end.map_or(0, |last| last + 1)];
    match memchr::memchr(b' ', line) {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}

fn alone(command: Command, argument: &str, usage: &'static str) -> Result<Command, CommandError> {
    if argument.is_empty() { Ok(command) } else { Err(CommandError::Argument(usage)) }
}

fn some(command: Command, argument: &str, usage: &'static str) -> Result<Command, CommandError> {
    if argument.is_empty() { Err(CommandError::Argument(usage)) } else { Ok(command) }
}

fn domain(text: &str, grammar: Grammar, usage: &'static str) -> Result<Domain, CommandError> {
    let text = match grammar {
        Grammar::Lenient => text.trim_start_matches(' '),
        Grammar::Strict => text,
    };
    Domain::parse(text, grammar).ok_or(CommandError::Argument(usage))
}

fn mail(argument: &str, dialect: Dialect) -> Result<Command, CommandError> {
    let grammar = dialect.grammar;
    let argument = keyword(argument, "FROM:", grammar)
        .ok_or(CommandError::Argument("MAIL FROM:<path> [parameters]"))?;
    let (path, rest) = address::split_path(argument, grammar).ok_or(CommandError::ReversePath)?;
    let parameters = parameter::read(Verb::Mail, rest, dialect)?;
    let written = &argument[..argument.len() - rest.len()];
    if !written.is_ascii() && !parameter::has(&parameters, "SMTPUTF8") {
        return Err(CommandError::NotAscii);
    }
    let reverse_path = if path.is_empty() {
        ReversePath::Null
    } else {
        ReversePath::Mailbox(Mailbox::read(path, grammar).ok_or(CommandError::ReversePath)?)
    };
    // RFC 5321 section 4.5.1: it stands for a recipient.
    let nowhere = reverse_path.mailbox().is_some_and(|mailbox| mailbox.domain().is_none());
    if nowhere && grammar == Grammar::Strict {
        return Err(CommandError::ReversePath);
    }
    Ok(Command::Mail { reverse_path, parameters })
}

fn rcpt(argument: &str, dialect: Dialect) -> Result<Command, CommandError> {
    let grammar = dialect.grammar;
    let argument = keyword(argument, "TO:", grammar)
        .ok_or(CommandError::Argument("RCPT TO:<path> [parameters]"))?;
    let (path, rest) = address::split_path(argument, grammar).ok_or(CommandError::ForwardPath)?;
    let written = &argument[..argument.len() - rest.len()];
    if !written.is_ascii() && !dialect.utf8 {
        return Err(CommandError::NotAscii);
    }
    let forward_path = Mailbox::read(path, grammar).ok_or(CommandError::ForwardPath)?;
    Ok(Command::Rcpt { forward_path, parameters: parameter::read(Verb::Rcpt, rest, dialect)? })
}

/// Whether VRFY may ask this: beyond ASCII only with a SMTPUTF8 behind it (RFC 6531 section 3.7.4.2).
fn is_sayable(argument: &str, dialect: Dialect) -> bool {
    let said = || argument.rsplit(' ').next().is_some_and(|w| w.eq_ignore_ascii_case("SMTPUTF8"));
    argument.is_ascii() || dialect.offers.has(Extension::SmtpUtf8) && said()
}

/// `AUTH mechanism [initial-response]` (RFC 4954 section 4).
fn auth(argument: &str) -> Result<Command, CommandError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let (mechanism, initial) = (words.next(), words.next());
    match (mechanism, words.next()) {
        (Some(mechanism), None) => Ok(Command::Auth {
            mechanism: mechanism.to_owned(),
            initial: initial.map(Armored::new),
        }),
        _ => Err(CommandError::Argument("AUTH mechanism [initial-response]")),
    }
}

/// `BDAT octets [LAST]` (RFC 3030 section 2).
fn bdat(argument: &str) -> Result<Command, CommandError> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let (octets, last) = (words.next().unwrap_or_default(), words.next());
    let is_number = octets.bytes().all(|octet| octet.is_ascii_digit());
    let is_last = last.is_none_or(|word| word.eq_ignore_ascii_case("LAST"));
    match octets.parse() {
        Ok(octets) if is_number && is_last && words.next().is_none() => {
            Ok(Command::Bdat { octets, last: last.is_some() })
        }
        Ok(octets) if is_number => Err(CommandError::ChunkKeyword(octets)),
        _ => Err(CommandError::ChunkSize),
    }
}

/// Whether a line says, however badly, that octets follow that are no commands.
pub(crate) fn announces_chunk(line: &[u8]) -> bool {
    line.split_at_checked(4).is_some_and(|(verb, rest)| {
        verb.eq_ignore_ascii_case(b"BDAT")
            && rest.first().is_none_or(|b| !b.is_ascii_alphanumeric())
    })
}

/// What follows `FROM:` or `TO:`.
fn keyword<'a>(argument: &'a str, word: &str, grammar: Grammar) -> Option<&'a str> {
    let argument = match grammar {
        Grammar::Lenient => argument.trim_start_matches(' '),
        Grammar::Strict => argument,
    };
    let (head, rest) = argument.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

/// The first word of an HTTP request or of a header field that every one of them has.
fn is_http(verb: &[u8]) -> bool {
    HTTP.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(verb))
}

/// Those of every mail first.
const VERBS: &[(&str, Verb)] = &[
    ("MAIL", Verb::Mail),
    ("RCPT", Verb::Rcpt),
    ("DATA", Verb::Data),
    ("EHLO", Verb::Ehlo),
    ("QUIT", Verb::Quit),
    ("RSET", Verb::Rset),
    ("LHLO", Verb::Lhlo),
    ("STARTTLS", Verb::Starttls),
    ("NOOP", Verb::Noop),
    ("HELO", Verb::Helo),
    ("VRFY", Verb::Vrfy),
    ("EXPN", Verb::Expn),
    ("HELP", Verb::Help),
    ("AUTH", Verb::Auth),
    ("BDAT", Verb::Bdat),
    ("XCLIENT", Verb::Xclient),
    ("XFORWARD", Verb::Xforward),
];

const HTTP: &[&str] = &[
    "CONNECT", "DELETE", "GET", "HEAD", "HOST:", "OPTIONS", "PATCH", "POST", "PRI", "PUT", "TRACE",
];

#[cfg(test)]
mod tests {
    use super::*;
    use Grammar::Strict;

    const LENIENT: Dialect =
        Dialect { grammar: Grammar::Lenient, offers: Offers::NONE, auth: false, utf8: false };
    const STRICT: Dialect = Dialect { grammar: Strict, ..LENIENT };

    fn mail_from(address: &str) -> Command {
        let reverse_path = Mailbox::parse(address).map_or(ReversePath::Null, ReversePath::Mailbox);
        Command::Mail { reverse_path, parameters: vec![] }
    }

    fn rcpt_to(address: &str) -> Command {
        let forward_path = Mailbox::parse(address).expect("a mailbox");
        Command::Rcpt { forward_path, parameters: vec![] }
    }

    #[test]
    fn lines_that_are_commands() {
        let name = Domain::parse("client.example", Strict).expect("a domain");
        for (line, want) in [
            ("ehlo client.example ", Command::Ehlo(name.clone())),
            ("HELO client.example\t", Command::Helo(name.clone())),
            ("Lhlo client.example", Command::Lhlo(name)),
            ("MAIL FROM:<a@b.example>", mail_from("a@b.example")),
            ("mail from:<>", mail_from("")),
            ("RCPT TO:<a@b.example>  ", rcpt_to("a@b.example")),
            ("RCPT TO:<postmaster>", rcpt_to("postmaster")),
            ("rcpt to:<@r.example:a@b.example>", rcpt_to("a@b.example")),
            ("DATA", Command::Data),
            ("BDAT 0", Command::Bdat { octets: 0, last: false }),
            ("bdat 18446744073709551615 last", Command::Bdat { octets: u64::MAX, last: true }),
            ("BDAT  007  LAST ", Command::Bdat { octets: 7, last: true }),
            ("data ", Command::Data),
            ("DATA\t", Command::Data),
            ("QUIT \t ", Command::Quit),
            ("NOOP anything at all", Command::Noop),
            ("HELP MAIL", Command::Help),
            ("VRFY bob", Command::Vrfy),
            ("QUIT", Command::Quit),
        ] {
            assert_eq!(Command::parse(line.as_bytes(), STRICT), Ok(want.clone()), "{line:?}");
            assert_eq!(Command::parse(line.as_bytes(), LENIENT), Ok(want), "{line:?}");
        }
    }

    #[test]
    fn lines_that_only_the_lenient_grammar_takes() {
        for (line, want) in [
            ("MAIL FROM: <a@b.example>", mail_from("a@b.example")),
            ("MAIL FROM:a@b.example", mail_from("a@b.example")),
            ("MAIL  FROM:<a..b@c.example>", mail_from("a..b@c.example")),
            ("RCPT TO: a@b.example", rcpt_to("a@b.example")),
        ] {
            assert_eq!(Command::parse(line.as_bytes(), LENIENT), Ok(want), "{line:?}");
            assert!(Command::parse(line.as_bytes(), STRICT).is_err(), "{line:?}");
        }
    }

    #[test]
    fn lines_that_are_not() {
        const MAIL: CommandError = CommandError::Argument("MAIL FROM:<path> [parameters]");
        for (line, want) in [
            (&b""[..], CommandError::UnknownVerb),
            (b"XXXX", CommandError::UnknownVerb),
            (b" NOOP", CommandError::UnknownVerb),
            (b"STARTTLSNOW", CommandError::UnknownVerb),
            (b"GET / HTTP/1.1", CommandError::Foreign),
            (b"Host: 127.0.0.1", CommandError::Foreign),
            (b"NOOP \xff\xfe", CommandError::NotText),
            (b"EHLO", CommandError::Argument("EHLO domain")),
            (b"DATA now", CommandError::Argument("DATA")),
            (b"STARTTLS now", CommandError::Argument("STARTTLS")),
            (b"VRFY", CommandError::Argument("VRFY mailbox")),
            (b"BDAT", CommandError::ChunkSize),
            (b"BDAT LAST", CommandError::ChunkSize),
            (b"BDAT +1", CommandError::ChunkSize),
            (b"BDAT 18446744073709551616", CommandError::ChunkSize),
            (b"BDAT 1\xff", CommandError::ChunkSize),
            (b"bdat\t1", CommandError::ChunkSize),
            (b"BDATA 1", CommandError::UnknownVerb),
            (b"BDAT 10 FIRST", CommandError::ChunkKeyword(10)),
            (b"BDAT 10 LAST LAST", CommandError::ChunkKeyword(10)),
            (b"MAIL", MAIL),
            (b"MAIL TO:<a@b.example>", MAIL),
            (b"MAIL FROM:", CommandError::ReversePath),
            (b"MAIL FROM:<a@b.example", CommandError::ReversePath),
            (b"MAIL FROM:<Root <a@b.example>>", CommandError::ReversePath),
            (b"MAIL FROM: BODY=8BITMIME", CommandError::ReversePath),
            (b"MAIL FROM:<a@b.example>BODY=8BITMIME", CommandError::ReversePath),
            (b"MAIL FROM:<j\xc3\xb6rg@b.example>", CommandError::NotAscii),
            (b"MAIL FROM:<a@b.example> RABBIT", CommandError::UnknownParameter),
            (b"MAIL FROM:<a@b.example> SIZE=x", CommandError::Parameter),
            (b"RCPT TO:<>", CommandError::ForwardPath),
            (b"RCPT TO:", CommandError::ForwardPath),
        ] {
            let text = line.escape_ascii();
            assert_eq!(Command::parse(line, LENIENT), Err(want), "{text}");
        }
    }
}
