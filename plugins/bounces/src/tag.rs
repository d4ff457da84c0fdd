//! Bounce address tags (draft-levine-smtp-batv-01): `prvs=KDDDSSSSSS=local@domain`, where K is the number
//! of the key, DDD the day on which the tag ends, and SSSSSS the beginning of an HMAC of both and of the
//! address.

use hmac::{Hmac, Mac};
use portcullis_plugin::split_address;
use sha1::Sha1;

/// A key, ready to be used.
#[derive(Clone)]
pub(crate) struct Key {
    number: u8,
    mac: Hmac<Sha1>,
}

/// What a tag says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Tag {
    /// There is none of this form.
    None,
    /// It is not ours, or too old.
    Wrong,
    /// It is ours; the address without it.
    Valid(String),
}

impl Key {
    pub(crate) fn new(number: u8, secret: &str) -> Result<Self, String> {
        let mac = Hmac::new_from_slice(secret.as_bytes()).map_err(|error| error.to_string())?;
        Ok(Self { number, mac })
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// The address with a tag that ends on this day since 1970. None if there is no room for it, or
    /// if it has one.
    pub(crate) fn sign(&self, address: &str, last_day: u64) -> Option<String> {
        let (local_part, domain) = split_address(address);
        if !fits(local_part) || is_tagged(local_part) {
            return None;
        }
        let when = format!("{}{:03}", self.number, last_day % 1000);
        let [a, b, c, ..] = <[u8; 20]>::from(self.digest(&when, address).finalize().into_bytes());
        Some(format!("prvs={when}{a:02x}{b:02x}{c:02x}={local_part}@{}", domain?))
    }

    /// Local parts are ours to compare, but who returns mail may have changed their case.
    fn digest(&self, when: &str, address: &str) -> Hmac<Sha1> {
        let mut mac = self.mac.clone();
        mac.update(when.as_bytes());
        mac.update(address.to_lowercase().as_bytes());
        mac
    }
}

impl Tag {
    /// Looks at an address on this day since 1970.
    pub(crate) fn of(address: &str, keys: &[Key], today: u64) -> Self {
        let (local_part, domain) = split_address(address);
        let Some((tag, core)) = parse(local_part) else { return Self::None };
        let address = format!("{core}@{}", domain.unwrap_or_default());
        // Days are counted to 1,000 and then anew. What ends in more than a year has ended.
        let left = (tag.last_day + 1000 - today % 1000) % 1000;
        let valid = left < 500
            && keys.iter().filter(|key| key.number == tag.number).any(|key| {
                // In constant time.
                key.digest(tag.when, &address).verify_truncated_left(&tag.digest).is_ok()
            });
        if valid { Self::Valid(address) } else { Self::Wrong }
    }
}

struct Parts<'a> {
    number: u8,
    last_day: u64,
    when: &'a str,
    digest: [u8; 3],
}

/// A tag and the local part behind it.
fn parse(local_part: &str) -> Option<(Parts<'_>, &str)> {
    let (scheme, rest) = local_part.split_at_checked(5)?;
    let (tag, core) = rest.split_once('=')?;
    let (when, digest) = tag.split_at_checked(4)?;
    if !scheme.eq_ignore_ascii_case("prvs=") || core.is_empty() || digest.len() != 6 {
        return None;
    }
    if !when.bytes().all(|digit| digit.is_ascii_digit())
        || !digest.bytes().all(|digit| digit.is_ascii_hexdigit())
    {
        return None;
    }
    let octet = |at: usize| u8::from_str_radix(&digest[at..at + 2], 16).ok();
    let digest = [octet(0)?, octet(2)?, octet(4)?];
    let number = when[..1].parse().ok()?;
    Some((Parts { number, last_day: when[1..].parse().ok()?, when, digest }, core))
}

fn is_tagged(local_part: &str) -> bool {
    local_part.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("prvs="))
}

/// RFC 5321 4.5.3.1.1: a local part has at most 64 octets, and a tag takes 16. A quoted one would
/// have to be quoted anew.
pub(crate) fn fits(local_part: &str) -> bool {
    local_part.len() <= 48 && !local_part.is_empty() && !local_part.starts_with('"')
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Key").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 20_779;

    fn key(number: u8, secret: &str) -> Key {
        Key::new(number, secret).unwrap()
    }

    #[test]
    fn what_was_signed_is_known_until_its_day() {
        let keys = [key(1, "first secret"), key(0, "second secret")];
        let signed = keys[0].sign("Ann@Example.org", DAY + 7).unwrap();
        assert!(
            signed.starts_with("prvs=1786") && signed.ends_with("=Ann@Example.org"),
            "{signed}"
        );
        let ann = Tag::Valid("Ann@Example.org".to_owned());
        for (day, tag) in [
            (DAY, ann.clone()),
            (DAY + 7, ann.clone()),
            (DAY + 8, Tag::Wrong),
            (DAY + 400, Tag::Wrong),
        ] {
            assert_eq!(Tag::of(&signed, &keys, day), tag, "{day}");
        }
        assert_eq!(Tag::of(&signed, &keys[1..], DAY), Tag::Wrong, "the key is gone");
        let other = [key(1, "another secret")];
        assert_eq!(Tag::of(&signed, &other, DAY), Tag::Wrong);
        let changed = signed.to_uppercase();
        assert_eq!(
            Tag::of(&changed, &keys, DAY),
            Tag::Valid("ANN@EXAMPLE.ORG".to_owned()),
            "case may change"
        );
    }

    #[test]
    fn the_digest_is_that_of_the_draft() {
        // printf '1786ann@example.org' | openssl dgst -sha1 -hmac 'first secret'
        let signed = key(1, "first secret").sign("ann@example.org", DAY + 7).unwrap();
        assert_eq!(signed, "prvs=17869604d4=ann@example.org");
    }

    #[test]
    fn days_go_round() {
        let key = key(3, "first secret");
        let signed = key.sign("ann@example.org", 20_999 + 5).unwrap();
        assert!(signed.starts_with("prvs=3004"), "{signed}");
        assert!(matches!(Tag::of(&signed, &[key], 20_999), Tag::Valid(_)));
    }

    #[test]
    fn what_is_no_tag_is_left() {
        let keys = [key(1, "first secret")];
        for address in [
            "ann@example.org",
            "prvs=@example.org",
            "prvs==ann@example.org",
            "prvs=1786abcdef@example.org",
            "prvs=1786abcdef=@example.org",
            "prvs=1786abcde=ann@example.org",
            "prvs=x786abcdef=ann@example.org",
            "prvs=1786abcdeg=ann@example.org",
            "prvs=\u{661}786abcdef=ann@example.org",
            "prvs=178\u{e9}\u{e9}abcd=ann@example.org",
            "\u{e9}\u{e9}\u{e9}",
            "postmaster",
            "",
        ] {
            assert_eq!(Tag::of(address, &keys, DAY), Tag::None, "{address}");
        }
        assert_eq!(Tag::of("prvs=1786abcdef=ann@example.org", &keys, DAY), Tag::Wrong);
        assert_eq!(Tag::of("prvs=1786abcdef=ann@example.org", &[], DAY), Tag::Wrong);
    }

    #[test]
    fn who_has_no_room_for_a_tag_gets_none() {
        let key = key(1, "first secret");
        let long = format!("{}@example.org", "x".repeat(49));
        for address in [&*long, "\"a b\"@example.org", "PRVS=1=ann@example.org", "postmaster"] {
            assert_eq!(key.sign(address, DAY), None, "{address}");
        }
    }
}
