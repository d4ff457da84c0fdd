//! Senders: addresses, domains, and the null reverse-path.

use std::collections::HashMap;

use portcullis_plugin::split_address;
use terms::folded;

use crate::names::Names;
use crate::settings::Patterns;

/// A set of senders, each with a number.
#[derive(Debug, Default)]
pub(crate) struct Senders {
    addresses: HashMap<Box<str>, u32>,
    domains: Names,
    null: Option<u32>,
}

impl Patterns for Senders {
    /// Adds an address, a domain, `.example.org` for all domains below that one, `<>`, or `*`.
    fn insert(&mut self, pattern: &str, number: u32) -> Result<(), String> {
        match split_address(pattern) {
            ("<>", None) => {
                self.null.get_or_insert(number);
            }
            ("*", None) => {
                self.null.get_or_insert(number);
                self.domains.insert("*", number)?;
            }
            (_, None) => self.domains.insert(pattern, number).map_err(|_| form(pattern))?,
            (local_part, Some(domain)) => {
                if local_part.is_empty() || domain.is_empty() || pattern.contains(['<', '>', '*']) {
                    return Err(form(pattern));
                }
                self.addresses.entry(key(local_part, domain).into()).or_insert(number);
            }
        }
        Ok(())
    }
}

impl Senders {
    /// The number of the pattern that fits best; the sender none is `<>`.
    pub(crate) fn find(&self, sender: Option<&str>) -> Option<u32> {
        let Some(sender) = sender else { return self.null };
        let (local_part, domain) = split_address(sender);
        let domain = domain.unwrap_or_default();
        if !self.addresses.is_empty()
            && let Some(number) = self.addresses.get(key(local_part, domain).as_str())
        {
            return Some(*number);
        }
        self.domains.find(domain)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.domains.is_empty() && self.null.is_none()
    }
}

fn key(local_part: &str, domain: &str) -> String {
    format!("{}@{}", local_part.to_ascii_lowercase(), folded(domain))
}

fn form(pattern: &str) -> String {
    format!("`{pattern}` is not an address, a domain, `.example.org`, `<>` or `*`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_pattern_is_found() {
        let mut senders = Senders::default();
        let patterns = ["Joe@spam.example", "spam.example", ".spam.example", "<>"];
        for (number, pattern) in (0..).zip(patterns) {
            senders.insert(pattern, number).unwrap();
        }
        for (sender, number) in [
            (Some("joe@SPAM.example"), Some(0)),
            (Some("jim@spam.example"), Some(1)),
            (Some("joe@news.spam.example"), Some(2)),
            (Some("\"a@b\"@spam.example"), Some(1)),
            (Some("joe@ham.example"), None),
            (None, Some(3)),
        ] {
            assert_eq!(senders.find(sender), number, "{sender:?}");
        }
    }

    #[test]
    fn a_domain_beyond_ascii_has_two_forms() {
        let mut senders = Senders::default();
        senders.insert("joe@b\u{fc}cher.example", 0).unwrap();
        senders.insert(".xn--bcher-kva.example", 1).unwrap();
        for (sender, number) in [
            ("Joe@xn--bcher-kva.example", Some(0)),
            ("joe@B\u{dc}CHER.example", Some(0)),
            ("jim@b\u{fc}cher.example", None),
            ("jim@mx.b\u{fc}cher.example", Some(1)),
        ] {
            assert_eq!(senders.find(Some(sender)), number, "{sender}");
        }
    }

    #[test]
    fn a_star_is_every_sender() {
        let mut senders = Senders::default();
        senders.insert("*", 7).unwrap();
        for sender in [None, Some("a@b.example"), Some("postmaster")] {
            assert_eq!(senders.find(sender), Some(7), "{sender:?}");
        }
    }

    #[test]
    fn patterns_that_are_not() {
        for pattern in ["", "@", "a@", "@b.example", "<a@b.example>", "*@b.example", "a b"] {
            assert!(Senders::default().insert(pattern, 0).is_err(), "{pattern:?}");
        }
    }
}
