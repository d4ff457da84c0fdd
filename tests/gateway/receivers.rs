//! Real servers that take what the gateway delivers.

use std::fs;
use std::process::{Command, Stdio};

use portcullis_tests::peers::{Dovecot, Postfix, is_root, need};
use portcullis_tests::sink::Manners;
use portcullis_tests::{Gateway, Process, Sink, free_address, wait_for};
use serde_json::json;

const MESSAGE: &[u8] = b"Subject: to be kept\r\n\r\n..two dots and one\r\n.\r\nend\r\n";

#[test]
fn smtp_sink_keeps_messages() {
    let Some([smtp_sink]) = need(["smtp-sink"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let _process = Process::start(
        Command::new(smtp_sink)
            .args(as_root())
            .args(["-d", "%H%M%S."])
            .arg(address.to_string())
            .arg("100")
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    );
    wait_for("smtp-sink", || std::net::TcpStream::connect(address).ok());
    let gateway =
        Gateway::new().listener("mx", json!({})).upstream("store", "smtp", &address.to_string());
    let gateway = gateway.start();
    let reply = gateway.client().deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
    reply.expect_code(250);
    let kept = wait_for("the file of smtp-sink", || {
        let files = fs::read_dir(folder.path()).unwrap().flatten();
        let texts = files.filter_map(|file| fs::read_to_string(file.path()).ok());
        texts.into_iter().find(|text| text.contains("end\n"))
    });
    assert!(kept.contains("\n\n..two dots and one\n.\nend\n"), "{kept}");
}

/// smtp-sink wants to be told as whom it runs, if that is root.
fn as_root() -> &'static [&'static str] {
    if is_root() { &["-u", "root"] } else { &[] }
}

#[test]
fn dovecot_stores_what_comes_over_lmtp() {
    let users = ["b@example.com", "c@example.com"];
    let Some(dovecot) = Dovecot::start(&users) else { return };
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .upstream("store", "lmtp", &dovecot.address.to_string())
        .start();
    let mut client = gateway.client();
    client.deliver("a@example.org", &users, MESSAGE).unwrap().expect_code(250);
    for user in users {
        let mails = dovecot.mailbox(user);
        assert_eq!(mails.len(), 1, "{}", dovecot.log());
        let text = String::from_utf8_lossy(&mails[0]).replace("\r\n", "\n");
        assert!(text.contains("\n\n..two dots and one\n.\nend\n"), "{text}");
        assert!(text.contains("by gateway.example"), "{text}");
    }
}

#[test]
fn a_user_whom_dovecot_does_not_know_is_refused_alone() {
    let Some(dovecot) = Dovecot::start(&["b@example.com"]) else { return };
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .upstream("store", "lmtp", &dovecot.address.to_string())
        .start();
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<nobody@example.com>
         S: 550 5.1.1
         C: RCPT TO:<b@example.com>
         S: 250
         C: DATA
         S: 354
         C: Subject: t\\r\\n\\r\\nx\\r\\n.
         S: 250",
    );
    assert_eq!(dovecot.mailbox("b@example.com").len(), 1, "{}", dovecot.log());
}

#[test]
fn postfix_takes_what_the_gateway_brings() {
    let Some(postfix) = Postfix::receiver() else { return };
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .upstream("store", "smtp", &postfix.address.to_string())
        .start();
    let mut client = gateway.client();
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    let mailbox = wait_for(&format!("Postfix's delivery: {}", postfix.log()), || {
        Some(postfix.mailbox()).filter(|mailbox| mailbox.contains("\nend\n"))
    });
    assert!(mailbox.contains("\n\n..two dots and one\n.\nend\n"), "{mailbox}");
    let refused = client.deliver("a@example.org", &["b@elsewhere.example"], MESSAGE).unwrap();
    assert!(refused.is_positive() || refused.code / 100 == 5, "{refused}");
}

#[test]
fn a_unix_socket_is_an_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lmtp");
    let sink = Sink::unix(Manners { lmtp: true, ..Manners::default() }, &path);
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .upstream("store", "lmtp", &format!("unix:{}", path.display()))
        .start();
    let mut client = gateway.client();
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.only_letter().without_received(), MESSAGE);
}
