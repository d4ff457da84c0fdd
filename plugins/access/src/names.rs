//! Domain names, with patterns for all that is below one.

use std::collections::HashMap;

use terms::folded;

use crate::settings::Patterns;

/// A set of names, each with a number.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<Box<str>, u32>,
    /// Without the leading dot.
    below: HashMap<Box<str>, u32>,
    any: Option<u32>,
}

impl Patterns for Names {
    /// Adds a name, `.example.org` for all names below that one, or `*`.
    fn insert(&mut self, pattern: &str, number: u32) -> Result<(), String> {
        let folded = folded(pattern);
        if folded == "*" {
            self.any.get_or_insert(number);
            return Ok(());
        }
        let (names, name) = match folded.strip_prefix('.') {
            Some(name) => (&mut self.below, name),
            None => (&mut self.exact, &*folded),
        };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*') {
            return Err(format!("`{pattern}` is not a name, `.example.org` or `*`"));
        }
        names.entry(name.into()).or_insert(number);
        Ok(())
    }
}

impl Names {
    /// The number of the pattern that fits best.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        let name = folded(name);
        self.exact.get(&*name).copied().or_else(|| self.find_above(&name)).or(self.any)
    }

    fn find_above(&self, name: &str) -> Option<u32> {
        if self.below.is_empty() {
            return None;
        }
        let mut rest = name;
        while let Some((_, above)) = rest.split_once('.') {
            if let Some(number) = self.below.get(above) {
                return Some(*number);
            }
            rest = above;
        }
        None
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.below.is_empty() && self.any.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_pattern_is_found() {
        let mut names = Names::default();
        for (number, pattern) in (0..).zip(["mx.example.org", ".Example.org", "[192.0.2.1]"]) {
            names.insert(pattern, number).unwrap();
        }
        for (name, number) in [
            ("mx.example.org", Some(0)),
            ("MX.EXAMPLE.ORG.", Some(0)),
            ("other.example.org", Some(1)),
            ("a.b.c.example.org", Some(1)),
            ("example.org", None),
            ("badexample.org", None),
            ("[192.0.2.1]", Some(2)),
            ("", None),
        ] {
            assert_eq!(names.find(name), number, "{name:?}");
        }
        names.insert("*", 9).unwrap();
        assert_eq!(names.find("anything"), Some(9));
        assert_eq!(names.find("mx.example.org"), Some(0));
    }

    #[test]
    fn patterns_that_are_not() {
        let long = "\u{fc}".repeat(64);
        for pattern in ["", ".", "a b", "*.example.org", &long] {
            assert!(Names::default().insert(pattern, 0).is_err(), "{pattern:?}");
        }
    }
}
