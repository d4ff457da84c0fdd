//! What fits an address: `alice@example.org`, `example.org`, `.example.org`, `*`, `<>`.

use std::borrow::Cow;
use std::fmt;

use portcullis_smtp::Mailbox;
use portcullis_smtp::address::domain_to_ascii;

use super::names;

/// What fits some addresses; kept as the key under which it is looked up.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// A domain, `.example.org` for every name below it, or `*` for all. The error is a help.
    pub(super) fn domain(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self(text.into()));
        }
        let bare = text.strip_prefix('.').unwrap_or(text);
        // Domains beyond ASCII are compared as DNS has them.
        let ascii = domain_to_ascii(bare).unwrap_or_default();
        if !names::is_domain(&ascii) {
            return Err(names::domain_help(text));
        }
        let below = if text.starts_with('.') { "." } else { "" };
        Ok(Self(format!("{below}{ascii}").into()))
    }

    /// The same, `@example.org` for a domain, or an address. The error is a help.
    pub(super) fn address(text: &str) -> Result<Self, String> {
        match text.rsplit_once('@') {
            None => Self::domain(text).map_err(|help| match text.contains('.') {
                true => help,
                false => HELP.to_owned(),
            }),
            Some(("", domain)) if domain != "*" => Self::domain(domain),
            Some(("*", domain)) => Err(format!("write \"{domain}\" for all addresses there")),
            Some(_) => {
                let mailbox = Mailbox::parse(text).ok_or(HELP)?;
                Ok(Self(key(&mailbox, "").into()))
            }
        }
    }

    /// The same, or `<>` for the null reverse-path. The error is a help.
    pub(super) fn sender(text: &str) -> Result<Self, String> {
        if text == NULL { Ok(Self(text.into())) } else { Self::address(text) }
    }

    /// As it is looked up.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Pattern> for Box<str> {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An address as patterns are compared with it; a postmaster without a domain is that of `hostname`
/// (RFC 5321 section 4.5.1). Most addresses are so already, and nothing is copied.
#[must_use]
pub fn key<'a>(mailbox: &'a Mailbox, hostname: &str) -> Cow<'a, str> {
    let local = mailbox.folded_local_part();
    let domain = match mailbox.domain() {
        None => Cow::Borrowed(hostname),
        Some(literal) if literal.starts_with('[') => literal.to_ascii_lowercase().into(),
        Some(_) => mailbox.ascii_domain().unwrap_or_default(),
    };
    match (&local, &domain, mailbox.domain()) {
        (Cow::Borrowed(_), Cow::Borrowed(_), Some(_)) => mailbox.as_str().into(),
        _ => format!("{local}@{domain}").into(),
    }
}

/// The patterns that fit an address (or, of a pattern, all that it fits), the most specific first.
pub fn fitting(key: &str) -> impl Iterator<Item = &str> {
    let at = key.rfind('@');
    let (address, domain) = match at {
        Some(at) => (Some(key), Some(&key[at + 1..])),
        None if key == "*" || key == NULL => (Some(key), None),
        None => (None, Some(key)),
    };
    let suffixes = domain.into_iter().flat_map(|domain| {
        let dots = domain.match_indices('.').filter(|(dot, _)| *dot > 0);
        dots.map(|(dot, _)| &domain[dot..])
    });
    let all = domain.is_some().then_some("*");
    address.into_iter().chain(domain).chain(suffixes).chain(all)
}

/// The null reverse-path.
pub(crate) const NULL: &str = "<>";

const HELP: &str =
    "an address, a domain (example.org), every name below it (.example.org), or \"*\" for all";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_as_they_are_looked_up() {
        for (text, read) in [
            ("Alice@Example.ORG", "alice@example.org"),
            ("\"Alice\"@example.org", "alice@example.org"),
            ("a@B\u{fc}cher.example", "a@xn--bcher-kva.example"),
            ("a@[192.0.2.1]", "a@[192.0.2.1]"),
            ("@Example.org", "example.org"),
            ("Example.org", "example.org"),
            (".Example.org", ".example.org"),
            ("@.example.org", ".example.org"),
            ("*", "*"),
        ] {
            let pattern = Pattern::address(text).unwrap_or_else(|help| panic!("{text}: {help}"));
            assert_eq!(pattern.as_str(), read);
        }
        for text in ["", "@", "a@", "*@example.org", "@*", "*.example.org", "a b", "<>", "a@b@c d"]
        {
            assert!(Pattern::address(text).is_err(), "{text:?}");
        }
        assert_eq!(Pattern::sender("<>").map(|null| null.to_string()), Ok("<>".to_owned()));
    }

    #[test]
    fn what_fits_goes_from_one_to_all() {
        let all = |key| fitting(key).collect::<Vec<_>>();
        assert_eq!(all("a@b.c.d"), ["a@b.c.d", "b.c.d", ".c.d", ".d", "*"]);
        assert_eq!(all("b.c"), ["b.c", ".c", "*"]);
        assert_eq!(all(".b.c"), [".b.c", ".c", "*"]);
        assert_eq!(all("*"), ["*"]);
        assert_eq!(all("<>"), ["<>"]);
    }

    #[test]
    fn most_addresses_are_looked_up_without_a_copy() {
        let mailbox = |text| Mailbox::parse(text).expect("a mailbox");
        assert!(matches!(key(&mailbox("a+b@c.example"), "h"), Cow::Borrowed("a+b@c.example")));
        assert_eq!(key(&mailbox("A@C.example"), "h"), "a@c.example");
        assert_eq!(key(&mailbox("Postmaster"), "gw.example"), "postmaster@gw.example");
        assert_eq!(key(&mailbox("a@[IPv6:2001:DB8::1]"), "h"), "a@[ipv6:2001:db8::1]");
    }
}
