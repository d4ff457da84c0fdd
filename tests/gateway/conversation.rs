//! What the client hears is what the upstream said.

use portcullis_tests::sink::Manners;
use portcullis_tests::{Client, Gateway, Sink};
use serde_json::json;

#[test]
fn a_message_arrives_with_one_field_on_top() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>
         S: 250 2.1.0
         C: RCPT TO:<b@example.com>
         S: 250 2.1.5
         C: DATA
         S: 354
         C: Subject: t\\r\\n\\r\\n..one dot\\r\\n.
         S: 250 2.
         C: QUIT
         S: 221",
    );
    let letter = sink.only_letter();
    assert_eq!(letter.sender, "a@example.org");
    assert_eq!(letter.recipients, ["b@example.com"]);
    assert_eq!(letter.without_received(), b"Subject: t\r\n\r\n.one dot\r\n");
}

#[test]
fn a_refused_recipient_does_not_spoil_the_next() {
    let sink = Sink::with(Manners {
        answers: vec![("RCPT TO:<b@".to_owned(), "550 5.1.1 nobody here".to_owned())],
        ..Manners::default()
    });
    let gateway = Gateway::before(&sink).start();
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<b@example.com>
         S: 550 5.1.1 nobody here
         C: RCPT TO:<c@example.com>
         S: 250
         C: DATA
         S: 354
         C: Subject: t\\r\\n\\r\\nx\\r\\n.
         S: 250",
    );
    assert_eq!(sink.only_letter().recipients, ["c@example.com"]);
}

#[test]
fn a_refusal_of_the_message_passes_through() {
    for verdict in ["554 5.7.1 this is spam", "452 4.2.2 no room"] {
        let sink = Sink::with(Manners { verdicts: vec![verdict.to_owned()], ..Manners::default() });
        let gateway = Gateway::before(&sink).start();
        let reply = gateway
            .client()
            .deliver("a@example.org", &["b@example.com"], b"Subject: t\r\n\r\nx\r\n")
            .unwrap();
        assert_eq!(reply.to_string(), verdict);
        assert!(sink.letters().is_empty());
    }
}

#[test]
fn without_upstream_the_client_keeps_its_mail() {
    let nobody = portcullis_tests::free_address().to_string();
    let gateway =
        Gateway::new().listener("mx", json!({})).upstream("store", "smtp", &nobody).start();
    let reply = gateway
        .client()
        .deliver("a@example.org", &["b@example.com"], b"Subject: t\r\n\r\nx\r\n")
        .unwrap();
    assert_eq!(reply.code / 100, 4, "{reply}");
}

#[test]
fn each_recipient_of_lmtp_hears_its_own_answer() {
    let verdicts = ["250 2.1.5 kept", "550 5.2.1 disabled", "452 4.2.2 full"];
    let manners =
        Manners { lmtp: true, verdicts: verdicts.map(str::to_owned).into(), ..Manners::default() };
    let sink = Sink::with(manners);
    let gateway = Gateway::new()
        .listener("store", json!({ "protocol": "lmtp" }))
        .upstream("dovecot", "lmtp", &sink.address().to_string())
        .start();
    let mut client = Client::connect(gateway.address("store"));
    client.talk(
        "S: 220
         C: LHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: RCPT TO:<c@example.com>
         S: 250
         C: RCPT TO:<d@example.com>
         S: 250
         C: DATA
         S: 354
         C: Subject: t\\r\\n\\r\\nx\\r\\n.
         S: 250 2.1.5 <b@example.com> kept
         S: 550 5.2.1 disabled
         S: 452 4.2.2 full
         C: QUIT
         S: 221",
    );
    assert_eq!(sink.only_letter().recipients, ["b@example.com", "c@example.com", "d@example.com"]);
}

#[test]
fn smtp_before_lmtp_is_told_the_worst_answer() {
    let verdicts = ["250 2.1.5 kept", "452 4.2.2 full"];
    let manners =
        Manners { lmtp: true, verdicts: verdicts.map(str::to_owned).into(), ..Manners::default() };
    let sink = Sink::with(manners);
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .upstream("dovecot", "lmtp", &sink.address().to_string())
        .start();
    let reply = gateway
        .client()
        .deliver("a@example.org", &["b@example.com", "c@example.com"], b"Subject: t\r\n\r\nx\r\n")
        .unwrap();
    assert_eq!(reply.to_string(), "452 4.2.2 full 4.2.2 1 of 2 recipients took it");
}

#[test]
fn routes_go_by_the_domain_of_the_recipient() {
    let (here, there) = (Sink::smtp(), Sink::smtp());
    let gateway = Gateway::before(&here)
        .upstream("there", "smtp", &there.address().to_string())
        .set("routes", json!([{ "domains": ["example.net"], "upstream": "there" }]))
        .start();
    let message = b"Subject: t\r\n\r\nx\r\n";
    let mut client = gateway.client();
    for to in ["b@example.com", "b@example.net"] {
        client.deliver("a@example.org", &[to], message).unwrap().expect_code(250);
    }
    assert_eq!(here.only_letter().recipients, ["b@example.com"]);
    assert_eq!(there.only_letter().recipients, ["b@example.net"]);
}

#[test]
fn what_comes_in_after_a_reset_is_a_new_transaction() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: RSET
         S: 250
         C: MAIL FROM:<c@example.org>
         S: 250
         C: RCPT TO:<d@example.com>
         S: 250
         C: DATA
         S: 354
         C: Subject: t\\r\\n\\r\\nx\\r\\n.
         S: 250",
    );
    let letter = sink.only_letter();
    assert_eq!(
        (letter.sender.as_str(), letter.recipients),
        ("c@example.org", vec!["d@example.com".to_owned()])
    );
}

#[test]
fn a_client_that_leaves_in_the_middle_has_sent_nothing() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let mut client = gateway.client();
    client.talk(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: DATA
         S: 354",
    );
    client.send(b"Subject: t\r\n\r\nhalf a message").unwrap();
    drop(client);
    gateway.wait_for_metric("portcullis_transactions_total", &[("outcome", "lost")], 1.0);
    assert!(sink.letters().is_empty());
}

#[test]
fn two_messages_pipelined_are_two_messages() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let mut client = gateway.client();
    let one = "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n";
    client.send(one.as_bytes()).unwrap();
    for code in [250, 250, 354] {
        client.expect(code);
    }
    client.send(format!("Subject: 1\r\n\r\n.\r\n{one}").as_bytes()).unwrap();
    for code in [250, 250, 250, 354] {
        client.expect(code);
    }
    client.send(b"Subject: 2\r\n\r\n.\r\nQUIT\r\n").unwrap();
    for code in [250, 221] {
        client.expect(code);
    }
    assert_eq!(sink.wait_for(2).len(), 2);
}

#[test]
fn lmtp_before_smtp_tells_each_recipient_the_one_answer() {
    let sink = Sink::with(Manners {
        answers: vec![("RCPT TO:<c@".to_owned(), "550 5.1.1 nobody here".to_owned())],
        verdicts: vec!["452 4.2.2 full".to_owned()],
        ..Manners::default()
    });
    let gateway = Gateway::new()
        .listener("store", json!({ "protocol": "lmtp" }))
        .upstream("relay", "smtp", &sink.address().to_string())
        .start();
    let mut client = Client::connect(gateway.address("store"));
    client.talk(
        "S: 220
         C: LHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: RCPT TO:<c@example.com>
         S: 550 5.1.1 nobody here
         C: RCPT TO:<d@example.com>
         S: 250
         C: DATA
         S: 354
         C: Subject: t\\r\\n\\r\\nx\\r\\n.
         S: 452 4.2.2
         S: 452 4.2.2
         C: QUIT
         S: 221",
    );
}
