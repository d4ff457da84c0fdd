//! Go's net/smtp and go-smtp.

use std::process::Command;

use portcullis_tests::peers::go_clients;
use portcullis_tests::process::{Finished, run_with_input};

use super::*;

#[test]
fn net_smtp_sends_in_clear_text_and_under_tls() {
    for tls in ["none", "starttls", "implicit"] {
        let (sink, gateway) = with_tls(if tls == "implicit" { "implicit" } else { "starttls" });
        let Some(said) = send(&gateway, "net-smtp", &["-tls", tls]) else { return };
        said.expect_success();
        let letter = sink.only_letter();
        assert_eq!(letter.without_received(), WIRE, "{tls}");
        // What it adds wherever it is offered.
        assert!(letter.commands[0].ends_with(" BODY=8BITMIME"), "{:?}", letter.commands);
    }
}

#[test]
fn go_smtp_sends_in_clear_text_and_under_tls() {
    for tls in ["none", "starttls", "implicit"] {
        let (sink, gateway) = with_tls(if tls == "implicit" { "implicit" } else { "starttls" });
        let Some(said) = send(&gateway, "go-smtp", &["-tls", tls]) else { return };
        said.expect_success();
        assert_eq!(sink.only_letter().without_received(), WIRE, "{tls}");
    }
}

#[test]
fn go_smtp_speaks_lmtp() {
    let sink = Sink::lmtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "protocol": "lmtp" }))
        .upstream("store", "lmtp", &sink.address().to_string())
        .start();
    let to = ["-lmtp", "-to", "b@example.com,c@example.com,b@example.com"];
    let Some(said) = send(&gateway, "go-smtp", &to) else { return };
    said.expect_success();
    assert_eq!(sink.only_letter().recipients, ["b@example.com", "c@example.com", "b@example.com"]);
}

#[test]
fn go_clients_hear_why_they_were_refused() {
    let sink = Sink::with(portcullis_tests::sink::Manners {
        answers: vec![("RCPT TO:<b@".into(), "550 5.1.1 nobody of that name".into())],
        ..Default::default()
    });
    let gateway = Gateway::before(&sink).start();
    for client in ["net-smtp", "go-smtp"] {
        let Some(said) = send(&gateway, client, &[]) else { return };
        assert!(!said.status.success());
        assert!(said.stderr.contains("nobody of that name"), "{client}: {}", said.stderr);
    }
}

/// Sends [`MESSAGE`] by one of the clients.
fn send(gateway: &Running, client: &str, flags: &[&str]) -> Option<Finished> {
    let mut command = Command::new(go_clients()?);
    command.arg(client).args(flags).arg(gateway.address("mx").to_string());
    Some(run_with_input(&mut command, MESSAGE))
}

/// Lines of Unix, dots at their beginning, and octets beyond ASCII.
const MESSAGE: &str = "Subject: from Go\n\n.dot\n..\nöäü\nend\n";
const WIRE: &[u8] = "Subject: from Go\r\n\r\n.dot\r\n..\r\nöäü\r\nend\r\n".as_bytes();
