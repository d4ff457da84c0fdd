//! Limits, and what happens at them.

use portcullis_tests::{Client, Gateway, Sink};
use serde_json::json;

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

#[test]
fn one_address_has_its_share_of_connections_and_no_more() {
    let sink = Sink::smtp();
    let gateway =
        Gateway::before(&sink).set("limits", json!({ "connections_per_address": 2 })).start();
    let mut first = gateway.client();
    let second = gateway.client();
    let mut third = Client::connect(gateway.address("mx"));
    third.expect(421);
    assert!(third.wait_for_end().is_empty());
    drop(second);
    gateway.wait_for_metric("portcullis_connections_open", &[], 1.0);
    gateway.client().deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
    first.command("NOOP").expect_code(250);
    let refused =
        gateway.metrics().sum("portcullis_connections_refused_total", &[("reason", "per-address")]);
    assert!((refused - 1.0).abs() < 0.5, "{refused}");
}

#[test]
fn a_header_section_beyond_the_limit_is_refused_and_the_session_goes_on() {
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "limits": { "header": "4KiB" } }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start();
    let mut client = gateway.client();
    let long = format!("X-Long: {}\r\n\r\nx\r\n", "x".repeat(5000));
    let reply = client.deliver("a@example.org", &["b@example.com"], long.as_bytes()).unwrap();
    assert_eq!(reply.code / 100, 5, "{reply}");
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.letters().len(), 1);
}

#[test]
fn a_listener_may_refuse_bare_newlines() {
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "bare_newlines": "refuse" }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start();
    let mut client = gateway.client();
    for text in
        ["Subject: t\r\n\r\na\nb\r\n", "Subject: t\r\n\r\na\rb\r\n", "Subject: t\n\r\nx\r\n"]
    {
        let reply = client.deliver("a@example.org", &["b@example.com"], text.as_bytes()).unwrap();
        assert_eq!(reply.code, 550, "{reply}");
    }
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.letters().len(), 1);
}

#[test]
fn messages_beyond_what_memory_holds_go_through_files() {
    let sink = Sink::smtp();
    let gateway =
        Gateway::before(&sink).set("limits", json!({ "message_memory": "16KiB" })).start();
    let mut client = gateway.client();
    let message =
        [b"Subject: t\r\n\r\n".to_vec(), b"0123456789abcdef\r\n".repeat(300_000)].concat();
    client.deliver("a@example.org", &["b@example.com"], &message).unwrap().expect_code(250);
    assert!(sink.only_letter().without_received() == message);
    gateway.wait_for_metric("portcullis_content_disk_bytes", &[], 0.0);
    gateway.wait_for_metric("portcullis_content_memory_bytes", &[], 0.0);
}

#[test]
fn without_room_for_content_the_client_keeps_its_mail() {
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "limits": { "message": "1MiB" } }))
        .upstream("store", "smtp", &sink.address().to_string())
        .set("limits", json!({ "content_memory": "1MiB", "content_disk": "1MiB" }))
        .start();
    let mut clients: Vec<_> = (0..5).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.talk(
            "C: MAIL FROM:<a@example.org>
             S: 250
             C: RCPT TO:<b@example.com>
             S: 250
             C: DATA
             S: 354",
        );
        client.send(b"Subject: t\r\n\r\n").unwrap();
        client.send(&b"0123456789abcdef\r\n".repeat(50_000)).unwrap();
    }
    let mut taken = 0;
    for client in &mut clients {
        client.send(b".\r\n").unwrap();
        let reply = client.reply().unwrap();
        assert!([250, 452].contains(&reply.code), "{reply}");
        taken += usize::from(reply.code == 250);
    }
    assert!((1..5).contains(&taken), "{taken} of 5 were taken");
    assert_eq!(sink.letters().len(), taken);
    gateway
        .client()
        .deliver("a@example.org", &["b@example.com"], MESSAGE)
        .unwrap()
        .expect_code(250);
}
