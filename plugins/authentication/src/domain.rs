//! Names of domains: patterns, and one form for all ways to write a name.

use std::collections::BTreeMap;

use serde::Deserialize;

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
        if let Some(value) = self.0.get(&name) {
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

/// Small letters, no dot at the end, and labels in Unicode rather than as `xn--`.
pub(crate) fn folded(name: &str) -> String {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_ascii() && !has_prefix(name) {
        return name.to_ascii_lowercase();
    }
    let labels = name.split(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']);
    let labels: Vec<_> = labels.map(folded_label).collect();
    labels.join(".")
}

/// Whether `name` is this domain, or one below it.
pub(crate) fn is_within(name: &str, domain: &str) -> bool {
    let (name, domain) = (folded(name), folded(domain));
    let above = name.strip_suffix(&*domain);
    !domain.is_empty() && above.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn has_prefix(name: &str) -> bool {
    name.split('.').any(|label| a_label(label).is_some())
}

/// What stands behind `xn--`.
fn a_label(label: &str) -> Option<&str> {
    let (prefix, rest) = label.split_at_checked(4)?;
    prefix.eq_ignore_ascii_case("xn--").then_some(rest)
}

fn folded_label(label: &str) -> String {
    let decoded = a_label(label).filter(|rest| rest.len() <= LABEL).and_then(decode);
    decoded.map_or_else(|| label.to_lowercase(), |label| label.to_lowercase())
}

/// RFC 3492 section 6.2.
fn decode(label: &str) -> Option<String> {
    let (basic, extended) = label.rsplit_once('-').unwrap_or(("", label));
    let mut output: Vec<char> = basic.chars().collect();
    let (mut n, mut i, mut bias) = (128_u32, 0_u32, 72_u32);
    let mut digits = extended.bytes();
    while digits.len() > 0 {
        let (before, mut weight) = (i, 1_u32);
        for k in (BASE..).step_by(BASE as usize) {
            let digit = match digits.next()? {
                byte @ b'0'..=b'9' => byte - b'0' + 26,
                byte if byte.is_ascii_alphabetic() => byte.to_ascii_lowercase() - b'a',
                _ => return None,
            };
            i = i.checked_add(u32::from(digit).checked_mul(weight)?)?;
            let threshold = k.saturating_sub(bias).clamp(1, 26);
            if u32::from(digit) < threshold {
                break;
            }
            weight = weight.checked_mul(BASE - threshold)?;
        }
        let count = u32::try_from(output.len()).ok()? + 1;
        bias = adapted(i - before, count, before == 0);
        n = n.checked_add(i / count)?;
        i %= count;
        output.insert(i as usize, char::from_u32(n)?);
        i += 1;
    }
    Some(output.into_iter().collect())
}

/// RFC 3492 section 6.1.
fn adapted(delta: u32, count: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / count;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += BASE;
    }
    k + 36 * delta / (delta + 38)
}

const BASE: u32 = 36;

/// Octets of a label (RFC 1035 section 2.3.4).
const LABEL: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for (name, form) in [
            ("MX.Example.ORG.", "mx.example.org"),
            ("xn--bcher-kva.example", "b\u{fc}cher.example"),
            ("XN--BCHER-KVA.example", "b\u{fc}cher.example"),
            ("B\u{dc}CHER.example", "b\u{fc}cher.example"),
            ("xn--wgv71a119e.example", "\u{65e5}\u{672c}\u{8a9e}.example"),
            ("b\u{fc}cher\u{3002}example", "b\u{fc}cher.example"),
            ("xn--99999999999.example", "xn--99999999999.example"),
            ("xn--\u{fc}", "xn--\u{fc}"),
            ("xn--", ""),
            ("", ""),
        ] {
            assert_eq!(folded(name), form, "{name}");
        }
    }

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
