//! xtext (RFC 3461 section 4): octets as printable ASCII without space, `+` and `=`.

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
}
