//! Names as they are asked for.

use std::net::IpAddr;

use hickory_proto::rr::{Name, RecordType};

use super::Kind;

/// A complete name, or none if this is not one.
///
/// A backslash is that of zone files (RFC 1035 section 5.1), as in the names that answers have. What
/// is not ASCII is a name of RFC 5890.
pub(super) fn parse(text: &str, kind: Kind) -> Option<Name> {
    if text.len() > NAME_OCTETS {
        return None;
    }
    if kind == Kind::Ptr
        && let Ok(address) = text.parse::<IpAddr>()
    {
        return Some(Name::from(address.to_canonical()));
    }
    if text == "." {
        return Some(Name::root());
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.chars().any(char::is_control) {
        return None;
    }
    if text.is_ascii() {
        return Name::from_labels(labels(text.as_bytes())?).ok();
    }
    if text.contains('\\') { None } else { Name::from_labels(text.split('.')).ok() }
}

/// What is between the dots, with `\.` and `\046` undone.
fn labels(mut text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut labels = vec![Vec::new()];
    while let Some((first, rest)) = text.split_first() {
        text = rest;
        let octet = match first {
            b'.' => {
                labels.push(Vec::new());
                continue;
            }
            b'\\' if rest.first()?.is_ascii_digit() => {
                let (digits, rest) = rest.split_at_checked(3)?;
                text = rest;
                str::from_utf8(digits).ok()?.parse().ok()?
            }
            b'\\' => {
                text = &rest[1..];
                rest[0]
            }
            octet => *octet,
        };
        labels.last_mut()?.push(octet);
    }
    Some(labels)
}

impl From<Kind> for RecordType {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::A => Self::A,
            Kind::Aaaa => Self::AAAA,
            Kind::Cname => Self::CNAME,
            Kind::Mx => Self::MX,
            Kind::Ns => Self::NS,
            Kind::Ptr => Self::PTR,
            Kind::Srv => Self::SRV,
            Kind::Tlsa => Self::TLSA,
            Kind::Txt => Self::TXT,
        }
    }
}

/// RFC 1035 section 2.3.4.
const NAME_OCTETS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, kind: Kind) -> Option<String> {
        parse(text, kind).map(|name| name.to_ascii())
    }

    #[test]
    fn a_name_is_complete_with_and_without_its_dot() {
        assert_eq!(shown("example.org", Kind::A).as_deref(), Some("example.org."));
        assert_eq!(shown("example.org.", Kind::A).as_deref(), Some("example.org."));
        assert_eq!(shown("_25._tcp.mx", Kind::Tlsa).as_deref(), Some("_25._tcp.mx."));
        assert_eq!(shown(".", Kind::Ns).as_deref(), Some("."));
        assert_eq!(shown("bücher.example", Kind::A).as_deref(), Some("xn--bcher-kva.example."));
    }

    #[test]
    fn an_address_is_a_name_where_names_of_addresses_are_asked_for() {
        assert_eq!(shown("192.0.2.7", Kind::Ptr).as_deref(), Some("7.2.0.192.in-addr.arpa."));
        assert_eq!(shown("::ffff:192.0.2.7", Kind::Ptr), shown("192.0.2.7", Kind::Ptr));
        assert!(shown("2001:db8::1", Kind::Ptr).unwrap().ends_with("8.b.d.0.1.0.0.2.ip6.arpa."));
        assert_eq!(shown("192.0.2.7", Kind::A).as_deref(), Some("192.0.2.7."));
    }

    #[test]
    fn a_backslash_is_that_of_zone_files() {
        let name = parse(r"a\.b\047c\:.example", Kind::A).unwrap();
        assert_eq!(name.iter().next(), Some(&b"a.b/c:"[..]));
        let said = name.to_ascii();
        assert_eq!(parse(&said, Kind::A), Some(name), "{said}");
    }

    #[test]
    fn what_is_no_name_is_none() {
        let label = "x".repeat(63);
        let long = [&*label; 4].join(".");
        for text in [
            "",
            "..",
            "a..b",
            ".a",
            "a\0b",
            "a\r\nb",
            "\\",
            "a\\25",
            "\\300.b",
            "\\é.b",
            &"x".repeat(64),
            &long,
        ] {
            assert_eq!(shown(text, Kind::A), None, "{text:?}");
        }
        for text in [&"x.".repeat(10_000), "xn--\u{fffd}\u{202e}", &"\u{301}".repeat(100)] {
            let _ = shown(text, Kind::A);
        }
        assert!(shown(&label, Kind::A).is_some());
    }
}
