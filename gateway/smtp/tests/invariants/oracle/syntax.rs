//! Commands, addresses and parameters: what is read means the same to the next server.

use portcullis_smtp::command::{Command, Dialect, Verb};
use portcullis_smtp::{Extension, Grammar, Mailbox, Parameter, ReversePath};

use super::is_printable;

/// Parses a line by both grammars.
pub(crate) fn command(line: &[u8]) {
    let lenient = Command::parse(line, all());
    let strict = Command::parse(line, Dialect { grammar: Grammar::Strict, ..all() });
    if strict.is_ok() {
        assert_eq!(strict, lenient, "what the RFC allows means the same to both");
    }
    let plain = Command::parse(line, Dialect::default());
    if plain.is_ok() {
        assert_eq!(plain, lenient, "what is offered beyond changes nothing else");
    }
    let Ok(command) = lenient else { return };
    let verb = match command {
        Command::Auth { .. } => Verb::Auth,
        Command::Bdat { .. } => Verb::Bdat,
        Command::Data => Verb::Data,
        Command::Ehlo(_) => Verb::Ehlo,
        Command::Expn => Verb::Expn,
        Command::Helo(_) => Verb::Helo,
        Command::Help => Verb::Help,
        Command::Lhlo(_) => Verb::Lhlo,
        Command::Mail { reverse_path, parameters } => {
            parameters.iter().for_each(|parameter| check_parameter("MAIL FROM:<>", parameter));
            if let ReversePath::Mailbox(mailbox) = reverse_path {
                check_mailbox(&mailbox);
            }
            Verb::Mail
        }
        Command::Noop => Verb::Noop,
        Command::Quit => Verb::Quit,
        Command::Rcpt { forward_path, parameters } => {
            parameters
                .iter()
                .for_each(|parameter| check_parameter("RCPT TO:<postmaster>", parameter));
            check_mailbox(&forward_path);
            Verb::Rcpt
        }
        Command::Rset => Verb::Rset,
        Command::Starttls => Verb::Starttls,
        Command::Vrfy => Verb::Vrfy,
        Command::Xclient(_) => Verb::Xclient,
        Command::Xforward(_) => Verb::Xforward,
    };
    assert_eq!(Verb::of(line), verb);
}

pub(super) fn check_mailbox(mailbox: &Mailbox) {
    assert!(is_plain(mailbox.as_str()));
    assert!(mailbox.ascii_domain().is_none_or(|domain| is_printable(&domain)));
    assert_eq!(Mailbox::parse(mailbox.as_str()).as_ref(), Some(mailbox), "survives its own text");
    let domain = mailbox.domain().map_or_else(String::new, |domain| format!("@{domain}"));
    assert_eq!(format!("{}{domain}", mailbox.local_part()), mailbox.as_str());
    let wire = format!("RCPT TO:<{mailbox}>");
    let read = Command::parse(wire.as_bytes(), all());
    let want = Command::Rcpt { forward_path: mailbox.clone(), parameters: vec![] };
    assert_eq!(read, Ok(want), "means the same to the next server");
}

/// Reads an address, as a client says it and as a plugin does.
pub(crate) fn address(octets: &[u8]) {
    command(&[b"RCPT TO:<", octets, b">"].concat());
    command(&[b"MAIL FROM:<", octets, b"> SMTPUTF8"].concat());
    command(&[b"RCPT TO:", octets].concat());
    if let Some(mailbox) = std::str::from_utf8(octets).ok().and_then(Mailbox::parse) {
        check_mailbox(&mailbox);
    }
}

/// A decoded parameter is one word to the next server, and means the same.
pub(super) fn check_parameter(command: &str, parameter: &Parameter) {
    assert!(parameter.value.as_deref().is_none_or(is_plain));
    let word = parameter.word().expect("what was read can be written");
    assert!(word.bytes().all(|octet| octet.is_ascii_graphic()), "{word:?}");
    let read = Command::parse(format!("{command} {word}").as_bytes(), all());
    let (Ok(Command::Mail { parameters, .. }) | Ok(Command::Rcpt { parameters, .. })) = read else {
        panic!("{word:?} is refused by the next server: {read:?}");
    };
    assert_eq!(parameters, std::slice::from_ref(parameter), "{word:?}");
}

/// Everything may be said.
fn all() -> Dialect {
    let offers = Extension::ALL.into_iter().collect();
    Dialect { offers, auth: true, utf8: true, ..Dialect::default() }
}

/// Nothing that ends a line, hides in it or turns it round.
pub(super) fn is_plain(text: &str) -> bool {
    const SPOILS: &str = "\u{ad}\u{200b}\u{2060}\u{feff}\u{e0001}\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
    text.chars().all(|c| {
        matches!(c, ' '..='~')
            || !c.is_ascii() && !c.is_control() && !c.is_whitespace() && !SPOILS.contains(c)
    })
}
