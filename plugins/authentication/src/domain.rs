//! Names of domains, and patterns.

use std::collections::BTreeMap;

use serde::Deserialize;
use terms::folded;

/// `example.org`, `.example.org` for all below it, or `*`.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String")]
pub(crate) struct Pattern(String);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_prefix('.').unwrap_or(&text);
        let odd = |c: char| c.is_whitespace() || c.is_control() || "@*/:;=()<>\"\\,".contains(c);
        if text == "*" {
            return Ok(Self(text));
        }
        if name.is_empty() || name.contains(odd) || name.split('.').any(str::is_empty) {
            return Err(format!("`{text}` is not a domain, `.example.org` or `*`"));
        }
        let dot = if name.len() < text.len() { "." } else { "" };
        Ok(Self(format!("{dot}{}", folded(name))))
    }
}

/// What is said of domains.
#[derive(Clone, Debug, Default)]
pub(crate) struct Domains<V>(BTreeMap<String, V>);

impl<V: Copy> Domains<V> {
    pub(crate) fn new(entries: impl IntoIterator<Item = (Pattern, V)>) -> Self {
        Self(entries.into_iter().map(|(pattern, value)| (pattern.0, value)).collect())
    }

    /// What the closest pattern says: the name itself, then the longest above it, then `*`.
    pub(crate) fn find(&self, name: &str) -> Option<V> {
        if self.0.is_empty() {
            return None;
        }
        let name = folded(name);
        if let Some(value) = self.0.get(&*name) {
            return Some(*value);
        }
        let dots = name.match_indices('.').map(|(at, _)| &name[at..]);
        let above = dots.filter_map(|above| self.0.get(above)).copied().next();
        above.or_else(|| self.0.get("*").copied())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether `name` is this domain, or one below it.
pub(crate) fn is_within(name: &str, domain: &str) -> bool {
    let (name, domain) = (folded(name), folded(domain));
    let above = name.strip_suffix(&*domain);
    !domain.is_empty() && above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_pattern_decides() {
        let pattern = |text: &str| Pattern::try_from(text.to_owned()).unwrap();
        let domains = Domains::new([
            (pattern("Example.org"), 1),
            (pattern(".example.org"), 2),
            (pattern(".deep.example.org"), 3),
            (pattern("*"), 4),
        ]);
        for (name, value) in [
            ("EXAMPLE.org.", 1),
            ("a.example.org", 2),
            ("a.b.deep.example.org", 3),
            ("deep.example.org", 2),
            ("badexample.org", 4),
        ] {
            assert_eq!(domains.find(name), Some(value), "{name}");
        }
        assert_eq!(Domains::<u8>::default().find("a"), None);
    }

    #[test]
    fn within_is_at_a_dot() {
        assert!(is_within("a.example.org", "example.org"));
        assert!(is_within("EXAMPLE.org", "example.org."));
        assert!(!is_within("badexample.org", "example.org"));
        assert!(!is_within("example.org", "a.example.org"));
        assert!(!is_within("example.org", ""));
    }

    #[test]
    fn patterns_that_are_none() {
        for text in ["", ".", "a@b", "*.example.org", "a b", "a..b"] {
            assert!(Pattern::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
