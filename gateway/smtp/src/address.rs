//! Addresses and paths (RFC 5321 section 4.1.2).

use std::fmt;

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
    /// Reads an address without angle brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let at = text.rfind('@');
        (at.is_some() || text.eq_ignore_ascii_case("postmaster"))
            .then(|| Self { text: text.to_owned(), at })
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

/// How strictly paths are read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Grammar {
    /// What real senders send: no angle brackets, spaces after the colon.
    #[default]
    Lenient,
    /// RFC 5321 and nothing else.
    Strict,
}

/// The argument of EHLO, HELO or LHLO, as the client wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Domain(String);

impl Domain {
    /// The name or address literal.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
