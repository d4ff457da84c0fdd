//! Real clients that send through the gateway.

mod aiosmtplib;
mod exim;
mod extensions;
mod go;

use std::process::Command;

use portcullis_tests::peers::{Postfix, need};
use portcullis_tests::process::run;
use portcullis_tests::{Gateway, Running, Sink, corpus};
use serde_json::json;

/// Sends each file with Python's own SMTP client.
const SMTPLIB: &str = r#"
import pathlib, smtplib, ssl, sys
mode, port, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
if mode == "implicit":
    client = smtplib.SMTP_SSL("127.0.0.1", port, context=context)
else:
    client = smtplib.SMTP("127.0.0.1", port)
with client:
    if mode == "starttls":
        client.starttls(context=context)
    for file in sorted(folder.iterdir()):
        refused = client.sendmail("a@example.org", ["b@example.com"], file.read_bytes(),
                                  mail_options=["BODY=8BITMIME"])
        assert refused == {}, refused
"#;

#[test]
fn smtplib_sends_real_messages() {
    let Some([python]) = need(["python3"]) else { return };
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let folder = tempfile::tempdir().unwrap();
    let samples = corpus::real();
    for (number, sample) in samples.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number:04}")), &sample.octets).unwrap();
    }
    let port = gateway.address("mx").port().to_string();
    let mut command = Command::new(python);
    command.args(["-c", SMTPLIB, "plain", &port]).arg(folder.path());
    run(&mut command).expect_success();
    let letters = sink.wait_for(samples.len());
    for (sample, letter) in samples.iter().zip(&letters) {
        let want = corpus::expected(&sample.octets);
        assert!(want == letter.without_received(), "{}", sample.name);
    }
}

#[test]
fn smtplib_sends_under_tls_of_both_kinds() {
    let Some([python]) = need(["python3"]) else { return };
    for mode in ["starttls", "implicit"] {
        let (sink, gateway) = with_tls(mode);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1"), b"Subject: t\r\n\r\nx\r\n").unwrap();
        let port = gateway.address("mx").port().to_string();
        let mut command = Command::new(&python);
        command.args(["-c", SMTPLIB, mode, &port]).arg(folder.path());
        run(&mut command).expect_success();
        let received = sink.only_letter().received();
        assert!(received.contains("with ESMTPS id "), "{received}");
        assert!(received.contains("TLSv1.3"), "{received}");
    }
}

#[test]
fn swaks_sends_in_clear_text_and_under_tls() {
    let Some([swaks]) = need(["swaks"]) else { return };
    for (mode, arguments) in [
        ("starttls", vec![]),
        ("starttls", vec!["--tls"]),
        ("implicit", vec!["--tls-on-connect"]),
        ("starttls", vec!["--pipeline"]),
    ] {
        let (sink, gateway) = with_tls(mode);
        let mut command = Command::new(&swaks);
        command
            .args(["--server", &gateway.address("mx").to_string()])
            .args(["--from", "a@example.org", "--to", "b@example.com,c@example.com"])
            .args(["--helo", "client.example", "--body", "hello\n.\nend"])
            .args(&arguments);
        let said = run(&mut command);
        let heard = format!("{arguments:?}: {}{}", said.stdout, said.stderr);
        assert!(said.status.success(), "{heard}");
        let letter = sink.only_letter();
        assert_eq!(letter.recipients, ["b@example.com", "c@example.com"], "{heard}");
        assert!(letter.text().contains("\r\nhello\r\n.\r\nend\r\n"), "{}", letter.text());
    }
}

#[test]
fn smtp_source_sends_a_thousand_messages() {
    let Some([smtp_source]) = need(["smtp-source"]) else { return };
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let mut command = Command::new(smtp_source);
    command
        .args(["-s", "10", "-m", "1000", "-l", "4096", "-N"])
        .args(["-f", "a@example.org", "-t", "b@example.com"])
        .arg(gateway.address("mx").to_string());
    run(&mut command).expect_success();
    assert_eq!(sink.wait_for(1000).len(), 1000);
    gateway.wait_for_metric("portcullis_transactions_total", &[("outcome", "accepted")], 1000.0);
}

#[test]
fn smtp_source_speaks_lmtp() {
    let Some([smtp_source]) = need(["smtp-source"]) else { return };
    let sink = Sink::lmtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "protocol": "lmtp" }))
        .upstream("store", "lmtp", &sink.address().to_string())
        .start();
    let mut command = Command::new(smtp_source);
    command
        .args(["-L", "-s", "2", "-m", "50", "-r", "3", "-l", "1000", "-d"])
        .args(["-f", "a@example.org", "-t", "b@example.com"])
        .arg(gateway.address("mx").to_string());
    run(&mut command).expect_success();
    let letters = sink.wait_for(50);
    assert!(letters.iter().all(|letter| letter.recipients.len() == 3));
}

#[test]
fn curl_sends_a_message() {
    let Some([curl]) = need(["curl"]) else { return };
    let (sink, gateway) = with_tls("starttls");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("message");
    std::fs::write(&file, "Subject: from curl\r\n\r\n.dot\r\nend\r\n").unwrap();
    let mut command = Command::new(curl);
    command
        .arg(format!("smtp://{}/client.example", gateway.address("mx")))
        .args(["--ssl-reqd", "--insecure", "--silent", "--show-error"])
        .args(["--mail-from", "a@example.org", "--mail-rcpt", "b@example.com", "--upload-file"])
        .arg(file);
    run(&mut command).expect_success();
    let letter = sink.only_letter();
    assert_eq!(letter.without_received(), b"Subject: from curl\r\n\r\n.dot\r\nend\r\n");
}

#[test]
fn postfix_sends_through_the_gateway() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let Some(postfix) = Postfix::sender(gateway.address("mx")) else { return };
    let mut client = portcullis_tests::Client::ehlo(postfix.address);
    let message = b"Subject: via Postfix\r\n\r\n.dot\r\nend\r\n";
    client.deliver("a@example.org", &["b@example.com"], message).unwrap().expect_code(250);
    let letter = sink.only_letter();
    assert!(letter.text().ends_with("\r\n\r\n.dot\r\nend\r\n"), "{}", letter.text());
    let received = letter.received();
    assert!(received.contains("from postfix.example"), "{received}");
}

fn with_tls(mode: &str) -> (Sink, Running) {
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .tls_listener("mx", mode)
        .upstream("store", "smtp", &sink.address().to_string())
        .start();
    (sink, gateway)
}
