//! Domains, which have several forms.

use std::borrow::Cow;

use crate::punycode::encode;

/// One form for all ways to write a domain: small letters, A-labels (RFC 5890), no dot at the end.
pub fn folded(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_ascii() {
        let plain = !name.bytes().any(|byte| byte.is_ascii_uppercase());
        return if plain { name.into() } else { name.to_ascii_lowercase().into() };
    }
    let labels = name.split(DOTS).map(|label| {
        // A final sigma is a letter of its own (RFC 5892), not a small form of another one.
        let label: String = label.chars().flat_map(char::to_lowercase).collect();
        if label.is_ascii() { label } else { encode(&label).unwrap_or(label) }
    });
    labels.collect::<Vec<_>>().join(".").into()
}

/// RFC 3490 section 3.1.
const DOTS: [char; 4] = ['.', '\u{3002}', '\u{ff0e}', '\u{ff61}'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        for (name, form) in [
            ("MX.Example.ORG.", "mx.example.org"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("B\u{dc}CHER.example", "xn--bcher-kva.example"),
            ("\u{65e5}\u{672c}\u{8a9e}.example", "xn--wgv71a119e.example"),
            ("b\u{fc}cher\u{3002}example", "xn--bcher-kva.example"),
            ("\u{212a}elvin.example", "kelvin.example"),
            ("\u{39f}\u{3a3}.example", "xn--0xai.example"),
            ("", ""),
            (".", ""),
        ] {
            assert_eq!(folded(name), form, "{name}");
        }
    }

    #[test]
    fn what_is_no_label_is_nobodys() {
        let long = "\u{fc}".repeat(64);
        assert_eq!(folded(&long), long);
        assert_ne!(folded("xn--example-.org"), "example.org");
    }
}
