//! The plugin as operators configure it and clients meet it.

use std::time::Instant;

use access::Access;
use portcullis_plugin::testing::{configure, settings_in, subscribed};
use portcullis_plugin::{Hook, Plugin, Question, Session, Transaction, Verdict};
use serde_json::json;

fn access(yaml: &str) -> Result<Access, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

fn mail(access: &mut Access, session: &Session, sender: &str) -> Verdict {
    access.ask(Question::Mail(session, &Transaction::fake().with_sender(sender)))
}

/// What the README shows is what works.
fn example() -> Access {
    let example = settings_in(include_str!("../README.md"));
    access(example).expect("the README's settings are right")
}

#[test]
fn denied_clients_are_refused_at_connect() {
    let mut access = example();
    for (client, verdict) in [
        ("203.0.113.9", Verdict::reject(554, "5.7.1", "client address not welcome here")),
        ("2001:db8:bad::1", Verdict::disconnect(421, "4.7.1", "we have seen too much from you")),
        ("192.0.2.200", Verdict::Next),
        ("192.0.2.10", Verdict::Accept),
    ] {
        let session = Session::fake().with_client(client);
        assert_eq!(access.ask(Question::Connect(&session)), verdict, "{client}");
    }
}

#[test]
fn who_has_no_address_is_in_no_network() {
    let no = Verdict::reject(554, "5.7.1", "client address not welcome here");
    for (settings, client, verdict) in [
        ("deny: { clients: ['*'] }", "unix", Verdict::Next),
        ("deny: { clients: ['*'] }", "unknown", no),
        ("deny: { clients: [0.0.0.0/0, '::/0'] }", "unknown", Verdict::Next),
        ("allow: { clients: ['*'] }", "unknown", Verdict::Accept),
    ] {
        let session = Session::fake().with_client(client);
        let mut access = access(settings).expect("settings");
        assert_eq!(access.ask(Question::Connect(&session)), verdict, "{settings} {client}");
    }
}

#[test]
fn denied_names_are_refused_at_hello() {
    let mut access = example();
    let session = Session::fake().with_client("198.51.100.1");
    for (name, verdict) in [
        ("localhost", Verdict::reject(550, "5.7.1", "hello name not welcome here")),
        ("pc7.dynamic.example", Verdict::reject(550, "5.7.1", "hello name not welcome here")),
        ("mx.dynamic.example", Verdict::Accept),
        ("client.example", Verdict::Next),
    ] {
        assert_eq!(access.ask(Question::Helo(&session, name)), verdict, "{name}");
    }
}

#[test]
fn denied_senders_are_refused_at_mail() {
    let mut access = example();
    let session = Session::fake().with_client("198.51.100.1").with_helo("client.example");
    for (sender, verdict) in [
        ("reject-sender@example.org", Verdict::reject(550, "5.7.1", "sender not welcome here")),
        ("a@news.spam.example", Verdict::reject(550, "5.7.1", "sender not welcome here")),
        ("friend@news.spam.example", Verdict::Accept),
        ("a@example.org", Verdict::Next),
    ] {
        assert_eq!(mail(&mut access, &session, sender), verdict, "{sender}");
    }
}

#[test]
fn who_is_allowed_once_is_asked_nothing_more() {
    let mut access = example();
    let client = Session::fake().with_client("192.0.2.10").with_helo("localhost");
    assert_eq!(access.ask(Question::Helo(&client, "localhost")), Verdict::Accept);
    assert_eq!(mail(&mut access, &client, "reject-sender@example.org"), Verdict::Accept);
    let named = Session::fake().with_client("198.51.100.1").with_helo("mx.dynamic.example");
    assert_eq!(mail(&mut access, &named, "reject-sender@example.org"), Verdict::Accept);
}

#[test]
fn the_null_sender_is_a_sender() {
    let session = Session::fake();
    let bounce = Transaction::fake().with_null_sender();
    let mut access = access(r#"deny: { senders: ["<>"] }"#).unwrap();
    let refusal = Verdict::reject(550, "5.7.1", "sender not welcome here");
    assert_eq!(access.ask(Question::Mail(&session, &bounce)), refusal);
    assert_eq!(mail(&mut access, &session, "a@b.example"), Verdict::Next);
}

#[test]
fn only_hooks_with_rules_are_called() {
    for (yaml, hooks) in [
        ("{}", vec![]),
        ("deny: { clients: [192.0.2.1] }", vec![Hook::Connect]),
        ("allow: { helo: [a.example] }", vec![Hook::Helo]),
        ("deny: { senders: [a.example] }", vec![Hook::Mail]),
    ] {
        assert_eq!(subscribed(&access(yaml).unwrap()), hooks, "{yaml}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("denied: {}", "denied: unknown field `denied`, expected `allow` or `deny`"),
        (
            "deny: { clients: [1] }",
            "deny.clients[0]: invalid type: integer `1`, expected a pattern, or a mapping of `match` and `reply`",
        ),
        (
            "deny: { clients: [192.0.2.1, mx] }",
            "deny.clients[1]: `mx` is not an address or a network",
        ),
        (
            "deny: { helo: [{ match: a, reply: 250 ok }] }",
            "deny.helo[0].reply: a refusal is a code from 400 to 599 and a text, as in `550 5.7.1 not welcome`",
        ),
        (
            "allow: { senders: [{ match: a.example, reply: 550 no }] }",
            "allow.senders: an allowed entry has no reply",
        ),
    ] {
        assert_eq!(access(yaml).unwrap_err(), mistake);
    }
}

#[test]
fn long_lists_cost_no_more_than_short_ones() {
    let clients: Vec<_> =
        (0..100_000_u32).map(|n| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)).collect();
    let senders: Vec<_> = (0..100_000).map(|n| format!("spam{n}.example")).collect();
    let settings = json!({ "deny": { "clients": clients, "senders": senders } });
    let mut access: Access = configure(&settings).unwrap();
    let listed = Session::fake().with_client("10.1.134.159");
    let other = Session::fake().with_client("11.1.1.1");
    let begin = Instant::now();
    for _ in 0..1000 {
        assert_ne!(access.ask(Question::Connect(&listed)), Verdict::Next);
        assert_eq!(access.ask(Question::Connect(&other)), Verdict::Next);
        assert_ne!(mail(&mut access, &other, "a@spam99999.example"), Verdict::Next);
        assert_eq!(mail(&mut access, &other, "a@b.spam1.example"), Verdict::Next);
    }
    // A walk over the lists would take 400 million steps; this has room for the slowest machine.
    assert!(begin.elapsed().as_secs() < 5, "{:?}", begin.elapsed());
}
