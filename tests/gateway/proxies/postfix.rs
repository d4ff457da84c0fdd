//! Postfix, which says where its mail came from.

use portcullis_tests::peers::Postfix;

use super::*;

/// Postfix takes our word for who the client is, and passes it on.
pub(super) const SETTINGS: &str = "smtp_send_xforward_command = yes\n\
    lmtp_send_xforward_command = yes\n\
    smtpd_authorized_xclient_hosts = 127.0.0.1\n\
    local_header_rewrite_clients =\n\
    mynetworks = 127.0.0.1 198.51.100.7\n";

/// Gives a message of somebody far away to Postfix.
pub(super) fn give(postfix: &Postfix) {
    let mut client = Client::ehlo(postfix.address);
    client.command("XCLIENT ADDR=198.51.100.7 NAME=far.example PORT=4025").expect_code(220);
    client.command("EHLO hello.example").expect_code(250);
    let said = client.deliver("a@example.org", &["b@example.com"], MESSAGE);
    said.expect("a reply").expect_code(250);
}

#[test]
fn postfix_says_where_its_mail_came_from() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "xforward": ["127.0.0.1"] })).start();
    let Some(postfix) = Postfix::sender_with(gateway.address("mx"), SETTINGS) else { return };
    give(&postfix);
    let letter = sink.only_letter();
    // It tells; nothing is decided by it.
    let received = letter.received();
    assert!(received.contains("from postfix.example ([127.0.0.1])"), "{received}");
    let record = transaction(&gateway);
    assert!(record.peer("/client").starts_with("127.0.0.1:"), "{record:?}");
    let forwarded = &record.json()["forwarded"];
    for (key, value) in [
        ("name", "far.example"),
        ("address", "198.51.100.7"),
        ("protocol", "ESMTP"),
        ("helo", "hello.example"),
        ("source", "REMOTE"),
    ] {
        assert_eq!(forwarded[key], value, "{key}");
        assert_eq!(seen(&letter.text())[format!("forwarded-{key}")], value, "{key}");
    }
    assert_eq!(forwarded["port"], 4025);
    let identity = forwarded["identity"].as_str().unwrap();
    assert!(postfix.log().contains(identity), "{identity} in {}", postfix.log());
}

#[test]
fn postfix_that_is_not_trusted_is_not_asked_to() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "xforward": [ELSEWHERE] })).start();
    let Some(postfix) = Postfix::sender_with(gateway.address("mx"), SETTINGS) else { return };
    give(&postfix);
    assert_eq!(seen(&sink.only_letter().text())["forwarded-name"], Value::Null);
    assert_eq!(transaction(&gateway).field("forwarded"), "");
}
