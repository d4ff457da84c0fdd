//! Values of fields as people read them: encoded words decoded (RFC 2047), addresses taken apart
//! (RFC 5322 3.4).

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, HeaderValue};
use portcullis_plugin::split_address;
use terms::Addresses;

use crate::settings::Of;

/// An unfolded value as text; what is not UTF-8 is replaced.
pub(crate) fn text(value: &[u8], decoded: bool) -> String {
    if decoded && value.windows(2).any(|window| window == b"=?") {
        // The parser reads up to a line end.
        let line = [value, b"\n"].concat();
        if let HeaderValue::Text(text) = MessageStream::new(&line).parse_unstructured() {
            return text.trim().to_owned();
        }
    }
    String::from_utf8_lossy(value).trim().to_owned()
}

/// One part of each address in a value.
pub(crate) fn addresses(value: &[u8], of: Of) -> Vec<String> {
    let line = [value, b"\n"].concat();
    let parsed = MessageStream::new(&line).parse_address();
    let HeaderValue::Address(list) = &parsed else { return Vec::new() };
    list.iter().map(|one| part(one, of).to_owned()).collect()
}

fn part<'a>(one: &'a Addr<'_>, of: Of) -> &'a str {
    let address = one.address.as_deref().unwrap_or_default().trim();
    match of {
        Of::Address => address,
        Of::Domain => split_address(address).1.unwrap_or_default(),
        Of::LocalPart => split_address(address).0,
        Of::DisplayName => one.name.as_deref().unwrap_or_default().trim(),
    }
}

/// Whether somebody who sees the display name alone would take it for an address of ours.
pub(crate) fn poses_as(value: &[u8], ours: &Addresses) -> bool {
    let line = [value, b"\n"].concat();
    let parsed = MessageStream::new(&line).parse_address();
    let HeaderValue::Address(list) = &parsed else { return false };
    list.iter().any(|one| {
        let ours_in_name = part(one, Of::DisplayName)
            .split(|c: char| c.is_whitespace() || "<>()[]\"',;:".contains(c))
            .any(|word| word.contains('.') && is_ours(word, ours));
        ours_in_name && !ours.contain(Some(part(one, Of::Address)))
    })
}

/// An address, or a domain that stands alone.
fn is_ours(word: &str, ours: &Addresses) -> bool {
    let word = word.trim_matches(['.', '@']);
    if word.contains('@') {
        ours.contain(Some(word))
    } else {
        ours.contain(Some(&format!("x@{word}")))
    }
}

/// Names of domains.
pub(crate) mod domain {
    /// Whether one is a subdomain of the other.
    pub(crate) fn is_below(one: &str, other: &str) -> bool {
        one.strip_suffix(other).is_some_and(|front| front.ends_with('.'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_decoded_where_that_is_wanted() {
        for (value, decoded, want) in [
            ("=?UTF-8?B?Q2hlYXAgd2F0Y2hlcw==?=", true, "Cheap watches"),
            ("=?UTF-8?B?Q2hlYXAgd2F0Y2hlcw==?=", false, "=?UTF-8?B?Q2hlYXAgd2F0Y2hlcw==?="),
            ("a =?iso-8859-1?Q?caf=E9?= b", true, "a caf\u{e9} b"),
            ("=?utf-8?q?che?= =?utf-8?q?ap?=", true, "cheap"),
            ("=?utf-8?b?", true, "=?utf-8?b?"),
            ("=?", true, "=?"),
            ("", true, ""),
        ] {
            assert_eq!(text(value.as_bytes(), decoded), want, "{value}");
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        let value =
            b"\"Doe, Ann\" <ann@A.example>, =?utf-8?q?B=C3=B6b?= <bob@b.example>, c@c.example";
        for (of, want) in [
            (Of::Address, ["ann@A.example", "bob@b.example", "c@c.example"]),
            (Of::Domain, ["A.example", "b.example", "c.example"]),
            (Of::LocalPart, ["ann", "bob", "c"]),
            (Of::DisplayName, ["Doe, Ann", "B\u{f6}b", ""]),
        ] {
            assert_eq!(addresses(value, of), want, "{of:?}");
        }
        for nonsense in [b"".as_slice(), b"<", b"<<>>,,,", b"\xff\xfe<\"", b"a:b:c;d"] {
            addresses(nonsense, Of::Domain);
        }
    }

    #[test]
    fn display_names_that_pretend_are_found() {
        let mut ours = Addresses::default();
        ours.insert("example.org").expect("a domain");
        for (value, want) in [
            ("\"boss@example.org\" <x@evil.example>", true),
            ("\"The Boss (boss@EXAMPLE.org)\" <x@evil.example>", true),
            ("=?utf-8?q?boss=40example=2Eorg?= <x@evil.example>", true),
            ("\"example.org support\" <x@evil.example>", true),
            ("\"boss@example.org\" <boss@example.org>", false),
            ("\"Boss via list\" <list@lists.example>", false),
            ("boss@example.org", false),
        ] {
            assert_eq!(poses_as(value.as_bytes(), &ours), want, "{value}");
        }
    }
}
