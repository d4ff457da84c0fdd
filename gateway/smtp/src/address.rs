//! Addresses and paths (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
//!
//! A [`Mailbox`] is safe to be written into a command, a header or a log by construction: no space
//! and no angle bracket outside quotes, and nothing that ends a line, hides in it or turns it round.
//! Beyond ASCII it goes only where SMTPUTF8 was said.

mod international;

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

pub use self::international::domain_to_ascii;
pub(crate) use self::international::is_safe;

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
    /// Reads an address without angle brackets, as [`Grammar::Lenient`] takes it, beyond ASCII, too,
    /// so that whatever a client may say a plugin or a configuration may say.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text, Grammar::Lenient)
    }

    /// Whether it needs SMTPUTF8 is for the caller to ask, by [`is_ascii`](Self::is_ascii).
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

    /// The domain for comparisons: lower case, its labels as DNS has them (RFC 5890 section
    /// 2.3.2.1), so that `B\u{fc}cher.example` and `xn--bcher-kva.example` are the same.
    #[must_use]
    pub fn ascii_domain(&self) -> Option<Cow<'_, str>> {
        domain_to_ascii(self.domain()?)
    }

    /// The local part for comparisons: without quotes, in lower case. RFC 5321 section 2.4 leaves to
    /// the receiver whether `Alice` is `alice`; nobody has two mailboxes of that.
    #[must_use]
    pub fn folded_local_part(&self) -> Cow<'_, str> {
        let local = self.local_part();
        let quoted = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let Some(quoted) = quoted else {
            let is_lower =
                local.bytes().all(|octet| octet.is_ascii() && !octet.is_ascii_uppercase());
            return if is_lower { local.into() } else { local.to_lowercase().into() };
        };
        let mut bare = String::with_capacity(quoted.len());
        let mut chars = quoted.chars();
        while let Some(c) = chars.next() {
            // A quoted pair stands for its second character (RFC 5321 section 4.1.2).
            bare.extend(if c == '\\' { chars.next() } else { Some(c) });
        }
        bare.to_lowercase().into()
    }

    /// The whole address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a server without SMTPUTF8 can be told this address.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
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
            // RFC 6531 section 3.7.1 wants A-labels here.
            Grammar::Strict => text.is_ascii() && is_domain(text, grammar),
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

/// Reads the path at the beginning of `text`; gives what stands in it, and what follows it.
///
/// A source route is checked and dropped (RFC 5321 appendix C). The null path is `""`. Nothing, if
/// there is no path; whether what stands in it is a mailbox is left to [`Mailbox::read`].
pub(crate) fn split_path(text: &str, grammar: Grammar) -> Option<(&str, &str)> {
    let text = match grammar {
        Grammar::Lenient => text.trim_start_matches(' '),
        Grammar::Strict => text,
    };
    let Some(inside) = text.strip_prefix('<') else {
        let end = unquoted(text, b' ').unwrap_or(text.len());
        return match grammar {
            Grammar::Lenient if end > 0 => Some(text.split_at(end)),
            Grammar::Lenient | Grammar::Strict => None,
        };
    };
    let end = unquoted(inside, b'>')?;
    let (path, rest) = (&inside[..end], &inside[end + 1..]);
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    let path = match grammar {
        Grammar::Lenient => path.trim_matches(' '),
        Grammar::Strict if path.len() + "<>".len() > PATH_OCTETS => return None,
        Grammar::Strict => path,
    };
    Some((without_route(path, grammar)?, rest))
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
        Grammar::Lenient => text.chars().all(|c| is_atext(c) || c == '.'),
        Grammar::Strict => {
            text.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
        }
    }
}

/// `*QcontentSMTP`: what stands between the quotes.
fn is_quoted_text(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let fine = match c {
            // RFC 6531 section 3.3 has no quoted pairs beyond ASCII.
            '\\' => matches!(chars.next(), Some(' '..='~')),
            '"' => false,
            _ => is_safe(c),
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
    text.len() <= DOMAIN_OCTETS
        && text.split('.').all(|label| is_label(label, grammar))
        && (text.is_ascii() || international::is_domain(text))
}

/// What is not ASCII in it is left to [`international::is_domain`], and so is its length then.
fn is_label(label: &str, grammar: Grammar) -> bool {
    let is_ldh = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || !octet.is_ascii();
    let longest = if label.is_ascii() { LABEL_OCTETS } else { DOMAIN_OCTETS };
    (1..=longest).contains(&label.len())
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

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || !c.is_ascii() && is_safe(c)
}

fn is_printable(octet: u8) -> bool {
    matches!(octet, b' '..=b'~')
}

/// RFC 5321 section 4.5.3.1.1.
const LOCAL_PART_OCTETS: usize = 64;
/// Rewritten senders (SRS, VERP) are longer than the RFC allows, and refusing them loses mail;
/// this only keeps a path within a command line.
const LENIENT_LOCAL_PART_OCTETS: usize = 255;
/// RFC 5321 section 4.5.3.1.3.
const PATH_OCTETS: usize = 256;
/// RFC 5321 section 4.5.3.1.2.
const DOMAIN_OCTETS: usize = 255;
/// RFC 1035 section 2.3.4.
const LABEL_OCTETS: usize = 63;

#[cfg(test)]
mod tests;
