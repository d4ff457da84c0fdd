//! Two fields of a certificate that rustls keeps to itself: when it ends, and whose it is.
//!
//! Certificates come here after rustls has taken them. What cannot be read is none.

use std::fmt::Write;

/// When the certificate ends, in seconds since 1970 (RFC 5280 section 4.1.2.5).
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    let mut validity = fields(certificate)?.validity;
    validity.next()?;
    let (tag, text) = validity.next()?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse().ok();
    let date = jiff::civil::date(i16::try_from(year).ok()?, 1, 1);
    let date = date.with().month(two(0)?).day(two(2)?).build().ok()?;
    let time = jiff::civil::Time::new(two(4)?, two(6)?, two(8)?, 0).ok()?;
    let moment = date.to_datetime(time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(moment.timestamp().as_second())
}

/// The subject as RFC 4514 writes it, the nearest first.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let mut parts = Vec::new();
    for (_, set) in fields(certificate)?.subject {
        let mut part = String::new();
        for (_, attribute) in Der(set) {
            let mut attribute = Der(attribute);
            let ((_, kind), (tag, value)) = (attribute.next()?, attribute.next()?);
            let plus = if part.is_empty() { "" } else { "+" };
            write!(part, "{plus}{}={}", name(kind), text(tag, value)).ok()?;
        }
        parts.push(part);
    }
    parts.reverse();
    Some(parts.join(","))
}

/// The one common name of the subject; none where there are several, or none that is text.
pub(super) fn common_name(certificate: &[u8]) -> Option<String> {
    let sets = fields(certificate)?.subject.flat_map(|(_, set)| Der(set));
    let values = sets.filter_map(|(_, attribute)| {
        let mut attribute = Der(attribute);
        let ((_, kind), value) = (attribute.next()?, attribute.next()?);
        (kind == COMMON_NAME).then_some(value)
    });
    let [(UTF8_STRING | PRINTABLE_STRING | IA5_STRING, name)] = values.collect::<Vec<_>>()[..]
    else {
        return None;
    };
    std::str::from_utf8(name).ok().map(str::to_owned)
}

struct Fields<'a> {
    validity: Der<'a>,
    subject: Der<'a>,
}

fn fields(certificate: &[u8]) -> Option<Fields<'_>> {
    let (_, certificate) = Der(certificate).next()?;
    let (_, to_be_signed) = Der(certificate).next()?;
    let mut rest = Der(to_be_signed);
    // The version is there only if it is not the first one.
    if rest.next()?.0 == VERSION {
        rest.next()?;
    }
    // Behind the serial number come the algorithm and the issuer.
    let (_, validity) = rest.nth(2)?;
    let (_, subject) = rest.next()?;
    Some(Fields { validity: Der(validity), subject: Der(subject) })
}

/// Tags and contents, one after the other. Ends at what is no DER.
struct Der<'a>(&'a [u8]);

impl<'a> Iterator for Der<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let octets = Some(octets).filter(|octets| octets.len() <= 4)?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }
}

/// The short name of a kind of attribute (RFC 4514 section 3), or its number.
fn name(kind: &[u8]) -> String {
    if let Some((_, name)) = NAMES.iter().find(|(known, _)| *known == kind) {
        return (*name).to_owned();
    }
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0_u64;
    for octet in kind {
        number = number << 7 & u64::MAX >> 1 | u64::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            numbers.push(std::mem::take(&mut number));
        }
    }
    let first = numbers.first().copied().unwrap_or_default();
    let root = (first / 40).min(2);
    let rest = numbers.iter().skip(1).map(|number| format!(".{number}"));
    format!("{root}.{}{}", first - root * 40, rest.collect::<String>())
}

/// A value with what would end it escaped (RFC 4514 section 2.4).
fn text(tag: u8, value: &[u8]) -> String {
    let known = [UTF8_STRING, PRINTABLE_STRING, TELETEX_STRING, IA5_STRING].contains(&tag);
    let Some(text) = std::str::from_utf8(value).ok().filter(|_| known) else {
        return value.iter().fold("#".to_owned(), |text, octet| format!("{text}{octet:02x}"));
    };
    let mut escaped = String::new();
    for (index, c) in text.char_indices() {
        let outer = index == 0 || index + 1 == text.len();
        if c.is_control() {
            let mut octets = [0; 4];
            for octet in c.encode_utf8(&mut octets).bytes() {
                escaped.push_str(&format!("\\{octet:02x}"));
            }
            continue;
        }
        if ",+\"\\<>;=".contains(c) || c == ' ' && outer || c == '#' && index == 0 {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

const VERSION: u8 = 0xa0;
const UTF8_STRING: u8 = 12;
const PRINTABLE_STRING: u8 = 19;
const TELETEX_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const UTC_TIME: u8 = 23;
const GENERALIZED_TIME: u8 = 24;

const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// By their numbers in DER.
const NAMES: &[(&[u8], &str)] = &[
    (COMMON_NAME, "CN"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
];

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(name: &str, year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["mx.example.org".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
        params
            .distinguished_name
            .push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 2]), "x");
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = date_time_ymd(year, 3, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_common_name_is_read_if_there_is_one() {
        assert_eq!(common_name(&certificate("Ann, of MX", 2030)).as_deref(), Some("Ann, of MX"));
        let two = {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(DnType::CommonName, "ann");
            params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 3]), "root");
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
        };
        assert_eq!(common_name(&two), None);
        assert_eq!(common_name(b"0"), None);
    }

    #[test]
    fn the_end_is_read_in_both_notations() {
        for (year, seconds) in [(2030, 1_898_553_600), (2060, 2_845_324_800)] {
            assert_eq!(not_after(&certificate("a", year)), Some(seconds), "{year}");
        }
    }

    #[test]
    fn a_subject_is_written_so_that_no_value_looks_like_another_attribute() {
        let subject = subject(&certificate(" ann,O=Bank\n+ ", 2030)).unwrap();
        assert_eq!(
            subject,
            "CN=\\ ann\\,O\\=Bank\\0a\\+\\ ,1.2.840.113549.1.9.2=x,O=Example\\, Inc."
        );
    }

    #[test]
    fn whatever_is_cut_or_changed_is_read_without_a_panic() {
        let whole = certificate("ann", 2030);
        for end in 0..whole.len() {
            let _ = (not_after(&whole[..end]), subject(&whole[..end]));
            let mut changed = whole.clone();
            changed[end] ^= 0xff;
            let _ = (not_after(&changed), subject(&changed));
        }
    }
}
