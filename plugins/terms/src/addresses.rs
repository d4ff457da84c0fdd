//! Senders and recipients: addresses, local parts, domains, and the null reverse-path.

use portcullis_plugin::split_address;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// A list of patterns, each an address, `local-part@`, a domain, `.example.org` for all domains below
/// that one, or `<>`. Case does not matter.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Addresses(Vec<String>);

impl Addresses {
    /// Adds a pattern.
    pub fn insert(&mut self, pattern: &str) -> Result<(), String> {
        let fits = match split_address(pattern) {
            ("<>", None) => true,
            (domain, None) => is_domain(domain.strip_prefix('.').unwrap_or(domain)),
            (local_part, Some(domain)) => {
                !local_part.is_empty()
                    && !pattern.contains(['<', '>', '*'])
                    && (domain.is_empty() || is_domain(domain))
            }
        };
        if !fits {
            return Err(format!(
                "`{pattern}` is not an address, `local-part@`, a domain, `.example.org` or `<>`"
            ));
        }
        self.0.push(pattern.to_ascii_lowercase());
        Ok(())
    }

    /// Whether a pattern fits; the sender none is `<>`.
    pub fn contain(&self, address: Option<&str>) -> bool {
        let Some(address) = address else {
            return self.0.iter().any(|pattern| pattern == "<>");
        };
        let (local_part, domain) = split_address(address);
        let domain = domain.unwrap_or_default();
        self.0.iter().any(|pattern| match pattern.rsplit_once('@') {
            Some((local, "")) => local.eq_ignore_ascii_case(local_part),
            Some(_) => pattern.eq_ignore_ascii_case(address),
            None => within(domain, pattern),
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether it is this domain, or for `.example.org` one below.
fn within(domain: &str, pattern: &str) -> bool {
    if !pattern.starts_with('.') {
        return domain.eq_ignore_ascii_case(pattern);
    }
    let end = domain.len().checked_sub(pattern.len()).and_then(|start| domain.get(start..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(pattern))
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
    fn patterns_that_are_not() {
        for pattern in ["", "@", "@b.example", "<a@b.example>", "*@b.example", "a b", "..x", "*"] {
            assert!(Addresses::default().insert(pattern).is_err(), "{pattern:?}");
        }
    }
}
