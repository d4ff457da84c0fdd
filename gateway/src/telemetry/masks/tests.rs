//! What is told in each mode, and what is not, whoever says it.

use std::sync::Arc;

use crate::telemetry::line::Value;
use crate::telemetry::record::tests::record;

use super::*;

const KEY: Option<&[u8]> = Some(b"0123456789abcdef");

const MASKING: [Addresses; 3] = [Addresses::Domain, Addresses::Hashed, Addresses::None];

#[test]
fn addresses_keep_their_domains_or_hashes_or_nothing() {
    for (address, domain) in [
        ("alice@example.org", "*@example.org"),
        ("\"a b\"@example.org", "*@example.org"),
        ("postmaster", "*"),
        ("", ""),
    ] {
        let full = Masks::default();
        assert_eq!(full.address(address), address);
        assert_eq!(Masks::new(Addresses::Domain, KEY).address(address), domain);
        let none = if address.is_empty() { "" } else { "*" };
        assert_eq!(Masks::new(Addresses::None, KEY).address(address), none);
    }
}

#[test]
fn hashes_are_the_same_for_the_same_address_and_key() {
    let masks = Masks::new(Addresses::Hashed, KEY);
    let alice = masks.address("alice@example.org").into_owned();
    assert_eq!(masks.address("Alice@Example.ORG"), alice);
    assert_ne!(masks.address("bob@example.org"), alice);
    let domain = |address: &str| address.rsplit_once('@').unwrap().1.to_owned();
    assert_eq!(domain(&masks.address("bob@example.org")), domain(&alice), "domains correlate");
    assert!(!alice.contains("example"), "{alice}");
    let other = Masks::new(Addresses::Hashed, Some(b"another key, as long"));
    assert_ne!(other.address("alice@example.org"), alice);
}

#[test]
fn clients_keep_their_networks() {
    let masks = Masks::new(Addresses::Domain, None);
    for (client, masked) in [
        ("192.0.2.77:4711", "192.0.2.0/24"),
        ("192.0.2.77", "192.0.2.0/24"),
        ("[2001:db8:1:2::3]:25", "2001:db8:1::/48"),
        ("unix", "unix"),
        ("unknown", "unknown"),
    ] {
        assert_eq!(masks.client(client), masked);
    }
    for (name, masked) in [
        ("laptop-of-ann.example.org", "*.example.org"),
        ("example.org", "example.org"),
        ("laptop-of-ann", "*"),
        ("[192.0.2.77]", "192.0.2.0/24"),
        ("[IPv6:2001:db8:1:2::3]", "2001:db8:1::/48"),
    ] {
        assert_eq!(masks.host(name), masked);
    }
}

#[test]
fn addresses_are_found_in_what_others_say() {
    let masks = Masks::new(Addresses::None, None);
    for (said, told) in [
        ("550 5.1.1 <bob@example.com>: no such user", "550 5.1.1 <*>: no such user"),
        ("no bob@example.com.", "no *."),
        ("\"bob b\\\"c\"@example.com", "*"),
        ("(b@[192.0.2.1]), c@d", "(*), *"),
        ("jürgen@bücher.example ist weg", "* ist weg"),
        ("@ at @@ a@ @b", "@ at @@ a@ @b"),
        ("a@b@c.example", "*@c.example"),
    ] {
        assert_eq!(masks.text(said), told, "{said}");
    }
}

#[test]
fn no_record_tells_an_address_that_is_to_be_hidden() {
    let plain = Arc::unwrap_or_clone(record("alice.b@secret.example"));
    for addresses in MASKING {
        let mut hidden = plain.clone();
        hidden.reply = Some("550 5.1.1 unknown user ALICE.B, says 192.0.2.1".to_owned());
        hidden.parameters =
            vec!["AUTH=alice.b@secret.example".to_owned(), "ENVID=alice".to_owned()];
        hidden.calls[1].recipient = Some("carol@secret.example".into());
        let told = Masks::new(addresses, KEY).record(hidden).json();
        for secret in ["alice", "ALICE", "carol", "192.0.2.1\"", "192.0.2.1 ", "4711"] {
            assert!(!told.contains(secret), "{addresses:?}: {secret} is in {told}");
        }
        let domain = told.contains("secret.example");
        assert_eq!(domain, addresses == Addresses::Domain, "{told}");
    }
    assert_eq!(Masks::default().record(plain.clone()).json(), plain.json());
}

#[test]
fn fields_of_lines_are_masked_by_what_they_hold() {
    let text = |text: &str| Value::Text(text.to_owned());
    let mut fields = vec![
        ("message", text("no alice@example.org here, 192.0.2.7 said")),
        ("client", text("192.0.2.7:25")),
        ("user", text("alice")),
        ("helo", text("pc.example.org")),
        ("address", text("192.0.2.99:25")),
        ("octets", Value::Other("5".to_owned())),
    ];
    mask_fields(&Masks::new(Addresses::Domain, KEY), &mut fields);
    let shown: Vec<String> = fields
        .iter()
        .map(|(name, value)| match value {
            Value::Text(text) | Value::Other(text) => format!("{name}={text}"),
            Value::Record(_) => String::new(),
        })
        .collect();
    assert_eq!(
        shown,
        [
            "message=no *@example.org here, 192.0.2.0/24 said",
            "client=192.0.2.0/24",
            "user=*",
            "helo=*.example.org",
            "address=192.0.2.99:25",
            "octets=5",
        ]
    );
}

#[test]
fn the_key_is_not_shown() {
    let shown = format!("{:?}", Masks::new(Addresses::Hashed, KEY));
    assert!(!shown.contains("0123") && !shown.contains("48, 49"), "{shown}");
}
