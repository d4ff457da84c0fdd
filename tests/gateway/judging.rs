//! The bundled plugins, at work together.

use portcullis_tests::gateway::plugin;
use portcullis_tests::{Client, Gateway, Sink};
use serde_json::json;

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

/// A gateway with the three of them, as an MX for example.com would have them.
pub(super) fn bundled(gateway: Gateway) -> Gateway {
    gateway
        .plugin(json!({
            "name": "access",
            "file": plugin("access"),
            "settings": { "deny": { "helo": ["localhost"], "senders": ["spam.example"] } },
        }))
        .plugin(json!({
            "name": "recipients",
            "file": plugin("recipients"),
            "grants": ["rewrite-envelope"],
            "settings": {
                "domains": { "example.com": "any", "example.net": ["known"] },
                "addresses": { "gone@example.com": "550 5.1.6 moved away" },
                "subaddress": { "separator": "+", "rewrite": true },
            },
        }))
        .plugin(json!({
            "name": "headers",
            "file": plugin("headers"),
            "grants": ["rewrite-headers"],
            "settings": {
                "rules": [
                    { "header": "X-Fixture", "equals": "reject", "refuse": "550 5.7.1 no" },
                    { "header": "X-Fixture", "equals": "defer", "refuse": "451 4.7.1 later" },
                ],
                "drop": ["X-Internal-*"],
            },
        }))
}

#[test]
fn a_sender_on_the_list_is_refused_and_others_are_not() {
    let sink = Sink::smtp();
    let gateway = bundled(Gateway::before(&sink)).start();
    let mut client = gateway.client();
    let reply = client.command("MAIL FROM:<a@spam.example>").expect_code(550);
    assert!(reply.text().starts_with("5.7.1"), "{reply}");
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.only_letter().sender, "a@example.org");
}

#[test]
fn a_hello_name_on_the_list_is_refused() {
    let sink = Sink::smtp();
    let gateway = bundled(Gateway::before(&sink)).start();
    let mut client = Client::connect(gateway.address("mx"));
    client.expect(220);
    client.command("EHLO localhost").expect_code(550);
    client.command("EHLO client.example").expect_code(250);
}

#[test]
fn only_recipients_that_exist_are_taken() {
    let sink = Sink::smtp();
    let gateway = bundled(Gateway::before(&sink)).start();
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<gone@example.com>
         S: 550 5.1.6 moved away
         C: RCPT TO:<unknown@example.net>
         S: 550 5.1.1
         C: RCPT TO:<b@elsewhere.example>
         S: 550 5.7.1
         C: RCPT TO:<known+tag@example.net>
         S: 250
         C: RCPT TO:<Postmaster>
         S: 250
         C: DATA
         S: 354
         C: Subject: t\\r\\n\\r\\nx\\r\\n.
         S: 250",
    );
    assert_eq!(sink.only_letter().recipients[0], "known@example.net");
}

#[test]
fn headers_are_judged_and_rewritten() {
    let sink = Sink::smtp();
    let gateway = bundled(Gateway::before(&sink)).start();
    let mut client = gateway.client();
    let mut send = |message: &[u8]| client.deliver("a@example.org", &["b@example.com"], message);
    send(b"X-Fixture: reject\r\n\r\nx\r\n").unwrap().expect_code(550);
    send(b"X-Fixture: defer\r\n\r\nx\r\n").unwrap().expect_code(451);
    send(b"A: 1\r\nX-Internal-Token: 2\r\nB: 3\r\n\r\nx\r\n").unwrap().expect_code(250);
    assert_eq!(sink.only_letter().without_received(), b"A: 1\r\nB: 3\r\n\r\nx\r\n");
}

#[test]
fn mail_may_be_sent_elsewhere_or_nowhere() {
    let [store, archive, quarantine] = [(); 3].map(|()| Sink::smtp());
    let rules = json!([
        { "header": "X-Mark", "equals": "bad", "quarantine": "marked as bad" },
        { "header": "X-Mark", "equals": "gone", "discard": "marked as gone" },
        { "header": "X-Mark", "equals": "old", "route": "archive" },
    ]);
    let gateway = Gateway::new()
        .listener("mx", json!({ "quarantine": "quarantine" }))
        .upstream("store", "smtp", &store.address().to_string())
        .upstream("archive", "smtp", &archive.address().to_string())
        .upstream("quarantine", "smtp", &quarantine.address().to_string())
        .plugin(json!({
            "name": "headers",
            "file": plugin("headers"),
            "grants": ["route"],
            "settings": { "rules": rules },
        }))
        .start();
    let mut client = gateway.client();
    for mark in ["bad", "gone", "old", "none"] {
        let message = format!("X-Mark: {mark}\r\n\r\nx\r\n");
        let reply = client.deliver("a@example.org", &["b@example.com"], message.as_bytes());
        assert_eq!(reply.unwrap().code, 250, "{mark}");
    }
    for (sink, mark) in [(&store, "none"), (&archive, "old"), (&quarantine, "bad")] {
        let text = sink.only_letter().text();
        assert!(text.contains(&format!("X-Mark: {mark}\r\n")), "{text}");
    }
    for (outcome, count) in [("accepted", 2.0), ("discarded", 1.0), ("quarantined", 1.0)] {
        let labels = [("outcome", outcome)];
        gateway.wait_for_metric("portcullis_transactions_total", &labels, count);
    }
}
