//! Addresses and paths (RFC 5321 section 4.1.2).
//!
//! A [`Mailbox`] is safe to be written into a command, a header or a log by construction:
//! printable ASCII, no space and no angle bracket outside quotes.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// How strictly paths are read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Grammar {
    /// What real senders send: no angle brackets, spaces after the colon, dots anywhere in a local
    /// part, underscores in domains, local parts of more than 64 octets (SRS makes them).
    #[default]
    Lenient,
    /// RFC 5321 and nothing else.
    Strict,
}

/// A mailbox: `local-part@domain`, or `Postmaster` without a domain (RFC 5321 section 4.5.1).
///
/// Kept as it was written; compare with [`domain`](Self::domain) and
/// [`local_part`](Self::local_part).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Mailbox {
    text: String,
    /// Where the `@` is; `None` for a bare postmaster.
    at: Option<usize>,
}

impl Mailbox {
    /// Reads an address without angle brackets, as [`Grammar::Lenient`] takes it, so that whatever
    /// a client may say a plugin or a configuration may say, too.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, Grammar::Lenient)
    }

    pub(crate) fn read(text: &str, grammar: Grammar) -> Option<Self> {
        if text.eq_ignore_ascii_case("postmaster") {
            return Some(Self { text: text.to_owned(), at: None });
        }
        // No domain holds an `@`; a quoted local part may.
        let at = text.rfind('@')?;
        (is_local_part(&text[..at], grammar) && is_domain(&text[at + 1..], grammar))
            .then(|| Self { text: text.to_owned(), at: Some(at) })
    }

    /// Everything before the `@`, quotes kept.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.text[..self.at.unwrap_or(self.text.len())]
    }

    /// Everything after the `@`; none for a bare postmaster.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.at.map(|at| &self.text[at + 1..])
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where delivery failures go: the argument of MAIL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReversePath {
    /// A mailbox.
    Mailbox(Mailbox),
    /// `<>`: a bounce or another message that must not be answered (RFC 5321 section 4.5.5).
    Null,
}

impl ReversePath {
    /// The mailbox, if it is not the null path.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Mailbox(mailbox) => Some(mailbox),
            Self::Null => None,
        }
    }
}

impl fmt::Display for ReversePath {
    /// Without angle brackets; the null path is the empty string.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mailbox().map_or(Ok(()), |mailbox| mailbox.fmt(f))
    }
}

/// The argument of EHLO, HELO or LHLO, as the client wrote it: printable ASCII.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Domain(String);

impl Domain {
    /// Reads the argument. The lenient grammar takes any printable word, because half of the
    /// world's clients do not know their name; the strict one a domain or an address literal.
    #[must_use]
    pub fn parse(text: &str, grammar: Grammar) -> Option<Self> {
        let known = match grammar {
            Grammar::Lenient => {
                (1..=DOMAIN_OCTETS).contains(&text.len()) && text.bytes().all(is_printable)
            }
            Grammar::Strict => is_domain(text, grammar),
        };
        known.then(|| Self(text.to_owned()))
    }

    /// The name or address literal.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

/// Why an argument does not begin with a path. The client's fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PathError {
    /// Beyond ASCII, which needs SMTPUTF8 (RFC 6531 section 3.5).
    NotAscii,
    /// Anything else.
    Syntax,
}

/// Reads the path at the beginning of `text`; gives what stands in it, and what follows it.
///
/// A source route is checked and dropped (RFC 5321 appendix C). The null path is `""`.
pub(crate) fn split_path(text: &str, grammar: Grammar) -> Result<(&str, &str), PathError> {
    const BAD: PathError = PathError::Syntax;
    let text = match grammar {
        Grammar::Lenient => text.trim_start_matches(' '),
        Grammar::Strict => text,
    };
    if !text.is_ascii() {
        return Err(PathError::NotAscii);
    }
    let Some(inside) = text.strip_prefix('<') else {
        let end = unquoted(text, b' ').unwrap_or(text.len());
        return match grammar {
            Grammar::Lenient if end > 0 => Ok(text.split_at(end)),
            Grammar::Lenient | Grammar::Strict => Err(BAD),
        };
    };
    let end = unquoted(inside, b'>').ok_or(BAD)?;
    let (path, rest) = (&inside[..end], &inside[end + 1..]);
    if !rest.is_empty() && !rest.starts_with(' ') {
        return Err(BAD);
    }
    Ok((without_route(path, grammar).ok_or(BAD)?, rest))
}

/// The position of `wanted` outside quotes.
fn unquoted(text: &str, wanted: u8) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    text.bytes().position(|octet| {
        let found = octet == wanted && !quoted;
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        found
    })
}

/// Drops `@one,@two:` before a mailbox.
fn without_route(path: &str, grammar: Grammar) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    let (route, mailbox) = path.split_once(':')?;
    let is_hop = |hop: &str| hop.strip_prefix('@').is_some_and(|name| is_domain(name, grammar));
    (route.split(',').all(is_hop) && !mailbox.is_empty()).then_some(mailbox)
}

fn is_local_part(text: &str, grammar: Grammar) -> bool {
    let longest = match grammar {
        Grammar::Lenient => LENIENT_LOCAL_PART_OCTETS,
        Grammar::Strict => LOCAL_PART_OCTETS,
    };
    if !(1..=longest).contains(&text.len()) {
        return false;
    }
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted.strip_suffix('"').is_some_and(is_quoted_text);
    }
    match grammar {
        Grammar::Lenient => text.bytes().all(|octet| is_atext(octet) || octet == b'.'),
        Grammar::Strict => {
            text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
        }
    }
}

/// `*QcontentSMTP`: what stands between the quotes.
fn is_quoted_text(text: &str) -> bool {
    let mut octets = text.bytes();
    while let Some(octet) = octets.next() {
        let fine = match octet {
            b'\\' => octets.next().is_some_and(is_printable),
            b'"' => false,
            _ => is_printable(octet),
        };
        if !fine {
            return false;
        }
    }
    true
}

fn is_domain(text: &str, grammar: Grammar) -> bool {
    if let Some(literal) = text.strip_prefix('[') {
        return literal.strip_suffix(']').is_some_and(is_address_literal);
    }
    text.len() <= DOMAIN_OCTETS && text.split('.').all(|label| is_label(label, grammar))
}

fn is_label(label: &str, grammar: Grammar) -> bool {
    let is_ldh = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    (1..=LABEL_OCTETS).contains(&label.len())
        && match grammar {
            Grammar::Lenient => label.bytes().all(|octet| is_ldh(octet) || octet == b'_'),
            Grammar::Strict => {
                label.bytes().all(is_ldh) && !label.starts_with('-') && !label.ends_with('-')
            }
        }
}

/// RFC 5321 section 4.1.3; no other tag than `IPv6` was ever registered.
fn is_address_literal(text: &str) -> bool {
    match text.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => text[5..].parse::<Ipv6Addr>().is_ok(),
        _ => text.parse::<Ipv4Addr>().is_ok(),
    }
}

fn is_atext(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet)
}

/// Whether a character beyond ASCII can stand in a line of a log, a header or a terminal without
/// ending it, hiding in it or turning it round: no control, no white space, nothing that changes
/// the direction of what follows.
pub(crate) fn is_safe(c: char) -> bool {
    const DIRECTION: [(char, char); 4] = [
        ('\u{61c}', '\u{61c}'),
        ('\u{200e}', '\u{200f}'),
        ('\u{202a}', '\u{202e}'),
        ('\u{2066}', '\u{2069}'),
    ];
    let turns = DIRECTION.iter().any(|(first, last)| (first..=last).contains(&&c));
    match c {
        ' '..='~' => true,
        '\u{feff}' => false,
        _ => !c.is_control() && !c.is_whitespace() && !turns,
    }
}

fn is_printable(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
}

/// RFC 5321 section 4.5.3.1.1.
const LOCAL_PART_OCTETS: usize = 64;
/// Rewritten senders (SRS, VERP) are longer than the RFC allows, and refusing them loses mail;
/// this only keeps a path within a command line.
const LENIENT_LOCAL_PART_OCTETS: usize = 255;
/// RFC 5321 section 4.5.3.1.2.
const DOMAIN_OCTETS: usize = 255;
/// RFC 1035 section 2.3.4.
const LABEL_OCTETS: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use Grammar::{Lenient, Strict};

    #[test]
    fn mailboxes_of_both_grammars() {
        for (text, lenient, strict) in [
            ("alice@example.org", true, true),
            ("alice+tag/x=y@example.org", true, true),
            ("\"alice b\"@example.org", true, true),
            ("\"a>\\\"@<b\"@example.org", true, true),
            ("\"\"@example.org", true, true),
            ("alice@[192.0.2.1]", true, true),
            ("alice@[IPv6:2001:db8::1]", true, true),
            ("postMaster", true, true),
            ("a..b.@example.org", true, false),
            ("alice@under_score.example", true, false),
            ("alice@-x.example", true, false),
            ("alice", false, false),
            ("alice@", false, false),
            ("@example.org", false, false),
            ("a b@example.org", false, false),
            ("a@b@example.org", false, false),
            ("a:b@example.org", false, false),
            ("a<b@example.org", false, false),
            ("a\"b\"@example.org", false, false),
            ("\"a@example.org", false, false),
            ("\"a\"b\"@example.org", false, false),
            ("\"a\\\"@example.org", false, false),
            ("al\u{1}ice@example.org", false, false),
            ("j\u{f6}rg@example.org", false, false),
            ("alice@example.org.", false, false),
            ("alice@.example.org", false, false),
            ("alice@exa mple.org", false, false),
            ("alice@example.org\r\nQUIT", false, false),
            ("alice@[192.0.2.256]", false, false),
            ("alice@[mailto:x]", false, false),
            ("alice@[192.0.2.1", false, false),
        ] {
            assert_eq!(Mailbox::read(text, Lenient).is_some(), lenient, "lenient {text:?}");
            assert_eq!(Mailbox::read(text, Strict).is_some(), strict, "strict {text:?}");
        }
    }

    #[test]
    fn the_parts_of_a_mailbox() {
        let mailbox = Mailbox::parse("\"a@b\"@Example.org").expect("valid");
        assert_eq!((mailbox.local_part(), mailbox.domain()), ("\"a@b\"", Some("Example.org")));
        let postmaster = Mailbox::parse("Postmaster").expect("valid");
        assert_eq!((postmaster.local_part(), postmaster.domain()), ("Postmaster", None));
    }

    #[test]
    fn lengths() {
        let local = |n| format!("{}@example.org", "a".repeat(n));
        assert!(Mailbox::read(&local(64), Strict).is_some());
        assert!(Mailbox::read(&local(65), Strict).is_none());
        assert!(Mailbox::read(&local(255), Lenient).is_some());
        assert!(Mailbox::read(&local(256), Lenient).is_none());
        let domain = |n: usize| format!("a@{}{}", "a.".repeat(n / 2), "b".repeat(n % 2));
        assert!(Mailbox::parse(&domain(255)).is_some());
        assert!(Mailbox::parse(&domain(257)).is_none());
        assert!(Mailbox::parse(&format!("a@{}.example", "x".repeat(64))).is_none());
    }

    #[test]
    fn paths_and_what_follows_them() {
        for (text, grammar, want) in [
            ("<>", Strict, Ok(("", ""))),
            ("<a@b.example> SIZE=1", Strict, Ok(("a@b.example", " SIZE=1"))),
            ("<@r.example,@s.example:a@b.example>", Strict, Ok(("a@b.example", ""))),
            ("<\"a>b\"@c.example>", Strict, Ok(("\"a>b\"@c.example", ""))),
            ("  <a@b.example>", Lenient, Ok(("a@b.example", ""))),
            (" a@b.example SIZE=1", Lenient, Ok(("a@b.example", " SIZE=1"))),
            (" <a@b.example>", Strict, Err(PathError::Syntax)),
            ("a@b.example", Strict, Err(PathError::Syntax)),
            ("", Lenient, Err(PathError::Syntax)),
            ("<a@b.example", Lenient, Err(PathError::Syntax)),
            ("<a@b.example>SIZE=1", Lenient, Err(PathError::Syntax)),
            ("<@r.example>", Lenient, Err(PathError::Syntax)),
            ("<@r.example:>", Lenient, Err(PathError::Syntax)),
            ("<@r.example,s.example:a@b.example>", Lenient, Err(PathError::Syntax)),
            ("<j\u{f6}rg@b.example>", Lenient, Err(PathError::NotAscii)),
        ] {
            assert_eq!(split_path(text, grammar), want, "{grammar:?} {text:?}");
        }
    }

    #[test]
    fn names_in_ehlo() {
        for (name, lenient, strict) in [
            ("client.example", true, true),
            ("[192.0.2.1]", true, true),
            ("my pc", true, false),
            ("under_score", true, false),
            ("", false, false),
            ("a\u{1}b", false, false),
        ] {
            assert_eq!(Domain::parse(name, Lenient).is_some(), lenient, "{name:?}");
            assert_eq!(Domain::parse(name, Strict).is_some(), strict, "{name:?}");
        }
    }
}
