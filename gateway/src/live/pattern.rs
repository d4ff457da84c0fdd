//! What somebody looks for: a part of a text, or a pattern with `*` and `?` for the whole of it.

use std::fmt;

/// Fits a text that holds it, or, with a `*` or `?`, one that is like it from end to end. Whether
/// letters are large or small does not matter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(String);

impl Pattern {
    /// From what somebody typed.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// Whether a text fits.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        if self.0 == "<>" {
            return text.is_empty() || text == self.0;
        }
        if !self.0.contains(['*', '?']) {
            return text.contains(&self.0);
        }
        let (pattern, text): (Vec<_>, Vec<_>) = (self.0.chars().collect(), text.chars().collect());
        is_like(&pattern, &text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Goes back to the last `*` only, so that no pattern takes more than pattern times text.
fn is_like(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut star = None;
    while at < text.len() {
        match pattern.get(of) {
            Some('*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(c) if *c == '?' || *c == text[at] => {
                at += 1;
                of += 1;
            }
            _ => {
                let Some((star_of, star_at)) = star else { return false };
                (of, at) = (star_of + 1, star_at + 1);
                star = Some((star_of, at));
            }
        }
    }
    pattern[of..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_enough_without_stars_and_the_whole_must_fit_with_them() {
        for (pattern, text, fits) in [
            ("example.org", "Bob@Example.ORG", true),
            ("bob", "alice@example.org", false),
            ("*@example.org", "bob@example.org", true),
            ("*@example.org", "bob@example.org.test", false),
            ("b?b@*", "bob@example.org", true),
            ("b?b@*", "boob@example.org", false),
            ("*a*a*", "banana", true),
            ("*a*b*", "banana", false),
            ("", "anything", true),
            ("<>", "", true),
            ("<>", "bob@example.org", false),
            ("*", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_stars_takes_no_time() {
        let text = "a".repeat(5000);
        assert!(!Pattern::new(&format!("{}b", "a*".repeat(500))).fits(&text));
    }
}
