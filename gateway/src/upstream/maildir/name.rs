//! What a mailbox is called on disk.
//!
//! Local parts are what strangers write, so that nothing of them is a path: letters, digits and a few
//! marks stay, every other octet is `%` and two digits, and what would be too long for a name ends
//! in a digest. No two addresses get one name, but for capitals, quotes and details.

use portcullis_smtp::Mailbox;
use sha2::{Digest, Sha256};

use crate::config::{Maildir, Placeholder};

/// The folders from the root to a recipient's mailbox; a postmaster without a domain is that of
/// `hostname`.
pub(super) fn folders(maildir: &Maildir, recipient: &Mailbox, hostname: &str) -> Vec<String> {
    let local = recipient.folded_local_part();
    let local = match maildir.delimiter.and_then(|delimiter| local.find(delimiter)) {
        // Who is called only by a detail is called so.
        None | Some(0) => &*local,
        Some(at) => &local[..at],
    };
    let domain = recipient.domain().map_or_else(
        || hostname.to_ascii_lowercase(),
        |domain| match recipient.ascii_domain() {
            Some(ascii) => ascii.into_owned(),
            None => domain.to_lowercase(),
        },
    );
    let value = |placeholder| match placeholder {
        Placeholder::Address => safe(&[local, &domain]),
        Placeholder::Domain => safe(&[&domain]),
        Placeholder::Local => safe(&[local]),
    };
    let folder = |part: &crate::config::Part| {
        let value = part.placeholder.map(value).unwrap_or_default();
        format!("{}{value}{}", part.before, part.after)
    };
    maildir.parts.iter().map(folder).collect()
}

/// The parts with `@` between them, as a name that no other parts have.
fn safe(parts: &[&str]) -> String {
    let mut name = String::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            name.push('@');
        }
        for octet in part.bytes() {
            match octet {
                // Not the first: no name is hidden, and none is `..`.
                b'.' if !name.is_empty() => name.push('.'),
                b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'+' | b'=' => name.push(octet.into()),
                _ => name.push_str(&format!("%{octet:02X}")),
            }
        }
    }
    if name.is_empty() {
        // `""` is an address, and "" no folder. No octet is `%` alone.
        name.push('%');
    }
    if name.len() <= LONGEST {
        return name;
    }
    // `%~` stands in no other name.
    let digest: String = Sha256::digest(&name).iter().map(|octet| format!("{octet:02x}")).collect();
    name.truncate(LONGEST - digest.len() - "%~".len());
    format!("{name}%~{digest}")
}

/// A name has 255 octets, and the configuration may put 48 around it.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::Part;

    fn maildir(parts: &[Placeholder], delimiter: Option<char>) -> Maildir {
        let part = |placeholder: &Placeholder| Part {
            before: String::new(),
            placeholder: Some(*placeholder),
            after: String::new(),
        };
        let parts = parts.iter().map(part).collect();
        Maildir { root: "/".into(), parts, create: false, delimiter }
    }

    fn named(maildir: &Maildir, address: &str) -> String {
        let mailbox = Mailbox::parse(address).unwrap_or_else(|| panic!("{address}"));
        folders(maildir, &mailbox, "gw.example").join("/")
    }

    #[test]
    fn hostile_addresses_have_harmless_names() {
        let maildir = maildir(&[Placeholder::Domain, Placeholder::Local], Some('+'));
        for (address, name) in [
            ("alice@example.org", "example.org/alice"),
            ("Alice+News@Example.ORG", "example.org/alice"),
            ("\"alice\"@example.org", "example.org/alice"),
            ("+news@example.org", "example.org/+news"),
            ("\"\"@example.org", "example.org/%"),
            ("Postmaster", "gw.example/postmaster"),
            ("..@example.org", "example.org/%2E."),
            (".a@example.org", "example.org/%2Ea"),
            ("../../etc/passwd@example.org", "example.org/%2E.%2F..%2Fetc%2Fpasswd"),
            ("\"a b\\\\c\"@example.org", "example.org/a%20b%5Cc"),
            ("a%2eb@example.org", "example.org/a%252eb"),
            ("\"a@b\"@example.org", "example.org/a%40b"),
            ("B\u{dc}cher@b\u{fc}cher.example", "xn--bcher-kva.example/b%C3%BCcher"),
            ("a@[IPv6:::1]", "%5Bipv6%3A%3A%3A1%5D/a"),
            ("{local}@example.org", "example.org/%7Blocal%7D"),
        ] {
            assert_eq!(named(&maildir, address), name);
        }
    }

    #[test]
    fn no_two_addresses_share_a_name() {
        let maildir = maildir(&[Placeholder::Address], None);
        let long = |end: &str| format!("{}{end}@example.org", "a".repeat(250));
        let addresses = [
            "a@b.c",
            "a@b",
            "a.b@c",
            "\"a@b\"@c",
            "a%40b@c",
            "%2e@c",
            ".@c",
            "..@c",
            "%2E.@c.d",
            "a+b@c",
            "a+@c",
            "a=@c",
            "\"a b\"@c",
            "a_b@c",
            "a/b@c",
            "a%2Fb@c",
            "a-b@c",
            "\u{e9}@c",
            "e\u{301}@c",
            &long(""),
            &long("b"),
            &long("c"),
        ];
        let mut names = HashMap::new();
        for address in addresses {
            let name = named(&maildir, address);
            assert!(name.len() <= LONGEST && !name.contains('/') && !name.starts_with('.'));
            if let Some(other) = names.insert(name.clone(), address) {
                panic!("{address} and {other} are {name}");
            }
        }
    }
}
