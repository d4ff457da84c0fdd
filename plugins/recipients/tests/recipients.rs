//! The plugin as operators configure it and senders meet it.

use portcullis_plugin::testing::{Edit, Grant, configure, settings_in};
use portcullis_plugin::{Plugin, Question, Recipient, Session, Transaction, Verdict};
use recipients::Recipients;

fn recipients(yaml: &str) -> Result<Recipients, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

/// What the README shows is what works.
fn example() -> Recipients {
    let example = settings_in(include_str!("../README.md"));
    recipients(example).expect("the README's settings are right")
}

fn rcpt(plugin: &mut Recipients, address: &str) -> (Verdict, Vec<Edit>) {
    let transaction =
        Transaction::fake().with_grant(Grant::Route).with_grant(Grant::RewriteEnvelope);
    let to = Recipient::fake(address);
    let verdict = plugin.ask(Question::Rcpt(&Session::fake(), &transaction, &to));
    (verdict, transaction.edits())
}

fn route(upstream: &str) -> Edit {
    Edit::Route(upstream.to_owned(), Some(0))
}

#[test]
fn who_exists_is_accepted() {
    for address in [
        "anybody@example.com",
        "alice@example.net",
        "ALICE@Example.NET",
        "postmaster@example.net",
        "Postmaster@example.net",
        "Postmaster",
        "guest@elsewhere.example",
    ] {
        assert_eq!(rcpt(&mut example(), address), (Verdict::Next, vec![]), "{address}");
    }
}

#[test]
fn who_does_not_is_refused() {
    let unknown = Verdict::reject(550, "5.1.1", "no such recipient here");
    let relay = Verdict::reject(550, "5.7.1", "relaying denied");
    for (address, verdict) in [
        ("carol@example.net", &unknown),
        ("alice2@example.net", &unknown),
        ("+alice@example.net", &unknown),
        ("\"alice+a\"@example.net", &unknown),
        ("\"bob@example.com\"@example.net", &unknown),
        ("alice@lists.example.org", &relay),
        ("alice@notexample.com", &relay),
        ("alice@example.com@elsewhere.example", &relay),
        ("someone@elsewhere.example", &relay),
        ("postmaster@elsewhere.example", &relay),
        ("someone", &relay),
    ] {
        assert_eq!(rcpt(&mut example(), address), (verdict.clone(), vec![]), "{address}");
    }
}

#[test]
fn an_address_wins_over_its_domain() {
    let gone = Verdict::reject(550, "5.1.1", "no longer with us");
    let moved = Verdict::defer(450, "4.2.1", "mailbox is being moved");
    assert_eq!(rcpt(&mut example(), "Reject@example.com"), (gone.clone(), vec![]));
    assert_eq!(rcpt(&mut example(), "reject+again@example.com"), (gone, vec![]));
    assert_eq!(rcpt(&mut example(), "defer@example.com"), (moved, vec![]));
    assert_eq!(rcpt(&mut example(), "chief@example.com"), (Verdict::Next, vec![route("archive")]));
}

#[test]
fn domains_have_routes() {
    for (address, upstream) in [
        ("carol@example.org", "archive"),
        ("postmaster@example.org", "archive"),
        ("staff@one.lists.example.org", "lists"),
        ("staff@a.b.lists.example.org", "lists"),
    ] {
        assert_eq!(rcpt(&mut example(), address), (Verdict::Next, vec![route(upstream)]));
    }
}

#[test]
fn a_sub_address_is_taken_off() {
    let plain = |address: &str| vec![Edit::SetRecipient(0, address.to_owned())];
    for (address, edits) in [
        ("alice+shop@example.net", plain("alice@example.net")),
        ("Alice+a+b@Example.net", plain("Alice@Example.net")),
        ("carol+x@example.org", [vec![route("archive")], plain("carol@example.org")].concat()),
    ] {
        assert_eq!(rcpt(&mut example(), address), (Verdict::Next, edits), "{address}");
    }
}

#[test]
fn a_sub_address_stays_where_nothing_is_said_of_it() {
    let mut plugin = recipients("domains: { example.net: [alice] }").unwrap();
    assert_ne!(rcpt(&mut plugin, "alice+shop@example.net").0, Verdict::Next);
    let yaml = "{ domains: { example.net: [alice] }, subaddress: { separator: '+' } }";
    let mut plugin = recipients(yaml).unwrap();
    assert_eq!(rcpt(&mut plugin, "alice+shop@example.net"), (Verdict::Next, vec![]));
}

#[test]
fn refusals_can_be_said_otherwise() {
    let yaml =
        "{ domains: { example.net: [] }, unknown: 450 4.1.1 try tomorrow, relay_denied: 554 no }";
    let mut plugin = recipients(yaml).unwrap();
    let tomorrow = Verdict::defer(450, "4.1.1", "try tomorrow");
    assert_eq!(rcpt(&mut plugin, "alice@example.net").0, tomorrow);
    assert_eq!(rcpt(&mut plugin, "alice@example.com").0, Verdict::reject(554, "", "no"));
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("{}", "missing field `domains`"),
        (
            "domains: { a.example: all }",
            "domains.a.example: expected `any`, a list of local parts, or a mapping of `recipients` and `route`",
        ),
        (
            "domains: { a.example: { recipients: any, rout: b } }",
            "domains.a.example.rout: unknown field `rout`, expected `recipients` or `route`",
        ),
        ("domains: { '*': any }", "domains.*: not a domain or `.example.org`"),
        (
            "domains: { a.example: any, A.example: any }",
            "domains.a.example: this domain is there twice",
        ),
        ("domains: { a.example: [b@c] }", "domains.a.example: `b@c` is not a local part"),
        ("{ domains: {}, addresses: { b: accept } }", "addresses.b: not an address"),
        (
            "{ domains: {}, addresses: { b@c.example: 550 4.1.1 no } }",
            "addresses.b@c.example: the first digits of code and status differ in `550 4.1.1 no`",
        ),
        (
            "{ domains: {}, addresses: { postmaster@c.example: 550 no } }",
            "addresses.postmaster@c.example: mail to postmaster has to be accepted (RFC 5321 4.5.1)",
        ),
    ] {
        assert_eq!(recipients(yaml).unwrap_err(), mistake);
    }
}
