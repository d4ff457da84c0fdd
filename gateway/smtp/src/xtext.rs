//! xtext (RFC 3461 section 4): octets as printable ASCII without space, `+` and `=`; and its form
//! for addresses beyond ASCII (RFC 6533 section 3).

use std::fmt::Write;

use crate::address::is_safe;

/// Reads xtext; nothing if it is none.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => digit(rest.next()?)? << 4 | digit(rest.next()?)?,
            b'!'..=b'<' | b'>'..=b'~' => octet,
            _ => return None,
        });
    }
    Some(octets)
}

/// Writes xtext.
#[must_use]
pub fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            b'+' | b'=' => text.push_str(&format!("+{octet:02X}")),
            b'!'..=b'~' => text.push(char::from(octet)),
            _ => text.push_str(&format!("+{octet:02X}")),
        }
    }
    text
}

/// Decodes `utf-8-addr-xtext` or, where the transaction is SMTPUTF8, `utf-8-addr-unitext`.
pub(crate) fn decode_utf8(text: &str, utf8: bool) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (c, length) = match c {
            '\\' => embedded(rest)?,
            '+' | '=' => return None,
            '!'..='~' => (c, 1),
            c if utf8 && !c.is_ascii() => (c, c.len_utf8()),
            _ => return None,
        };
        decoded.push(is_safe(c).then_some(c)?);
        rest = &rest[length..];
    }
    Some(decoded)
}

/// Encodes text as `utf-8-addr-xtext`, which every server with DSN may be sent.
pub(crate) fn encode_utf8(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '!'..='~' if !matches!(c, '+' | '=' | '\\') => encoded.push(c),
            // Writing to a string cannot fail.
            _ => drop(write!(encoded, "\\x{{{:02X}}}", u32::from(c))),
        }
    }
    encoded
}

/// The character that `\x{...}` stands for, and the length of that.
fn embedded(text: &str) -> Option<(char, usize)> {
    let digits = text.strip_prefix("\\x{")?;
    let digits = &digits[..digits.find('}')?];
    let upper = |octet: u8| matches!(octet, b'0'..=b'9' | b'A'..=b'F');
    // No superfluous zeros: one character, one encoding.
    let canonical = match digits.len() {
        2 => true,
        3..=6 => !digits.starts_with('0'),
        _ => false,
    };
    if !canonical || !digits.bytes().all(upper) {
        return None;
    }
    let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
    Some((c, "\\x{}".len() + digits.len()))
}

/// `hexchar` is two capitals. A lower case digit is something else written by somebody else.
fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_xtext() {
        for (text, octets) in [
            ("", &b""[..]),
            ("plain", b"plain"),
            ("a+2Bb+3Dc", b"a+b=c"),
            ("+00+0D+0A+20+7F+FF", b"\0\r\n \x7f\xff"),
        ] {
            assert_eq!(decode(text).as_deref(), Some(octets), "{text:?}");
            assert_eq!(encode(octets), text);
        }
    }

    #[test]
    fn texts_that_are_not() {
        for text in ["+", "a+4", "+4g", "+2b", "a=b", "a b", "a\r\nb", "\u{e4}"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }

    #[test]
    fn addresses_beyond_ascii() {
        for (encoded, decoded) in [
            ("e\\x{3D}mc2@\\x{30C9}\\x{30E1}.jp", "e=mc2@\u{30c9}\u{30e1}.jp"),
            ("a\\x{2B}\\x{5C}\\x{20}b", "a+\\ b"),
            ("\\x{E9}\\x{1F600}", "\u{e9}\u{1f600}"),
        ] {
            assert_eq!(decode_utf8(encoded, false).as_deref(), Some(decoded), "{encoded:?}");
            assert_eq!(encode_utf8(decoded), encoded, "{decoded:?}");
        }
        assert_eq!(decode_utf8("\u{e9}", true).as_deref(), Some("\u{e9}"));
    }

    #[test]
    fn what_is_no_address_beyond_ascii() {
        for text in [
            "\u{e9}",
            "+3D",
            "=",
            "\\",
            "\\x",
            "\\x{",
            "\\x{}",
            "\\x{E9",
            "\\x{e9}",
            "\\x{9}",
            "\\x{0E9}",
            "\\x{D800}",
            "\\x{110000}",
            "\\x{1000000}",
            "\\x{0D}",
            "\\x{85}",
            "\\x{2028}",
            "\\x{202E}",
            "\\X{E9}",
            "a b",
        ] {
            assert_eq!(decode_utf8(text, false), None, "{text:?}");
        }
        assert_eq!(decode_utf8("\u{202e}", true), None);
    }
}
