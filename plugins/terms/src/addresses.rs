//! Senders and recipients: addresses, local parts, domains, and the null reverse-path.

use portcullis_plugin::split_address;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::folded;

/// A list of patterns, each an address, `local-part@`, a domain, `.example.org` for all domains below
/// that one, or `<>`. Case does not matter, nor whether a domain is written as `bücher.example` or as
/// `xn--bcher-kva.example`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Addresses(Vec<Pattern>);

/// Domains are folded.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Pattern {
    Null,
    LocalPart(String),
    Address(String, String),
    Domain(String),
    /// With the leading dot.
    Below(String),
}

impl Addresses {
    /// Adds a pattern.
    pub fn insert(&mut self, pattern: &str) -> Result<(), String> {
        let read = read(pattern).ok_or_else(|| {
            format!(
                "`{pattern}` is not an address, `local-part@`, a domain, `.example.org` or `<>`"
            )
        })?;
        self.0.push(read);
        Ok(())
    }

    /// Whether a pattern fits; the sender none is `<>`.
    pub fn contain(&self, address: Option<&str>) -> bool {
        let Some(address) = address else { return self.0.contains(&Pattern::Null) };
        let (local_part, domain) = split_address(address);
        let domain = domain.unwrap_or_default();
        // Nearly all are ASCII, where ignoring case does.
        let domain = if domain.is_ascii() { domain.into() } else { folded(domain) };
        self.0.iter().any(|pattern| match pattern {
            Pattern::Null => false,
            Pattern::LocalPart(local) => local.eq_ignore_ascii_case(local_part),
            Pattern::Address(local, host) => {
                local.eq_ignore_ascii_case(local_part) && host.eq_ignore_ascii_case(&domain)
            }
            Pattern::Domain(host) => host.eq_ignore_ascii_case(&domain),
            Pattern::Below(end) => ends_in(&domain, end),
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn read(pattern: &str) -> Option<Pattern> {
    match split_address(pattern) {
        ("<>", None) => Some(Pattern::Null),
        (domain, None) => match domain.strip_prefix('.') {
            Some(above) => is_domain(above).then(|| Pattern::Below(format!(".{}", folded(above)))),
            None => is_domain(domain).then(|| Pattern::Domain(folded(domain).into_owned())),
        },
        (local_part, Some(_)) if local_part.is_empty() || pattern.contains(['<', '>', '*']) => None,
        (local_part, Some("")) => Some(Pattern::LocalPart(local_part.to_owned())),
        (local_part, Some(domain)) => is_domain(domain)
            .then(|| Pattern::Address(local_part.to_owned(), folded(domain).into_owned())),
    }
}

fn ends_in(domain: &str, end: &str) -> bool {
    let start = domain.len().checked_sub(end.len());
    let found = start.and_then(|start| domain.get(start..));
    found.is_some_and(|found| found.eq_ignore_ascii_case(end))
}

fn is_domain(text: &str) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>*@/".contains(c);
    !text.is_empty() && !text.starts_with('.') && !text.contains(odd)
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut addresses = Self::default();
        for pattern in Vec::<String>::deserialize(deserializer)? {
            addresses.insert(&pattern).map_err(D::Error::custom)?;
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_say() {
        let addresses: Addresses = serde_json::from_str(
            r#"["Joe@a.example", "b.example", ".c.example", "postmaster@", "<>"]"#,
        )
        .unwrap();
        for (address, fits) in [
            (Some("joe@A.example"), true),
            (Some("jim@a.example"), false),
            (Some("jim@B.example"), true),
            (Some("jim@x.b.example"), false),
            (Some("jim@x.C.example"), true),
            (Some("jim@c.example"), false),
            (Some("jim@\u{e9}.c.example"), true),
            (Some("jim@\u{e9}xample"), false),
            (Some("PostMaster@d.example"), true),
            (Some("postmaster"), true),
            (Some(""), false),
            (None, true),
        ] {
            assert_eq!(addresses.contain(address), fits, "{address:?}");
        }
    }

    #[test]
    fn a_domain_beyond_ascii_has_two_forms() {
        for pattern in ["b\u{fc}cher.example", "XN--BCHER-KVA.example", "B\u{dc}CHER.Example."] {
            for (pattern, address) in [
                (pattern.to_owned(), "ann"),
                (format!("Ann@{pattern}"), "ann"),
                (format!(".{}", pattern.split_once('.').unwrap().1), "ann"),
            ] {
                let mut addresses = Addresses::default();
                addresses.insert(&pattern).unwrap();
                for domain in [
                    "b\u{fc}cher.example",
                    "B\u{dc}cher.EXAMPLE",
                    "xn--bcher-kva.example",
                    "Xn--Bcher-KVA.example",
                ] {
                    let address = format!("{address}@{domain}");
                    assert!(addresses.contain(Some(&address)), "{pattern:?} {address}");
                }
                assert!(!addresses.contain(Some("ann@bucher.test")), "{pattern:?}");
            }
        }
        let mut addresses = Addresses::default();
        addresses.insert(".b\u{fc}cher.example").unwrap();
        assert!(addresses.contain(Some("ann@mx.xn--bcher-kva.example")));
        assert!(!addresses.contain(Some("ann@xn--bcher-kva.example")));
        let mut addresses = Addresses::default();
        addresses.insert("bucher.example").unwrap();
        assert!(!addresses.contain(Some("ann@b\u{fc}cher.example")));
        assert!(!addresses.contain(Some("ann@xn--bucher-.example")));
    }

    #[test]
    fn patterns_that_are_not() {
        for pattern in ["", "@", "@b.example", "<a@b.example>", "*@b.example", "a b", "..x", "*"] {
            assert!(Addresses::default().insert(pattern).is_err(), "{pattern:?}");
        }
    }
}
