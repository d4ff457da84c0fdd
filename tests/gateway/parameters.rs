//! Parameters of MAIL and RCPT on their way through the whole gateway.

use std::process::Command;

use portcullis_tests::peers::need;
use portcullis_tests::process::run;
use portcullis_tests::sink::Manners;
use portcullis_tests::{Gateway, Running, Sink};
use serde_json::json;

const SMTPLIB: &str = r#"
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    refused = client.sendmail(
        "j\u00f6rg@b\u00fccher.example", ["\u7528\u6237@example.com"],
        "Subject: gr\u00fcn\r\n\r\nsch\u00f6n\r\n".encode(),
        mail_options=["SMTPUTF8", "BODY=8BITMIME", "RET=hdrs", "ENVID=a+2Bb"],
        rcpt_options=["NOTIFY=success,FAILURE", "ORCPT=utf-8;j\\x{F6}rg@example.com"])
    assert refused == {}, refused
"#;

fn between(offers: &[&str], extensions: &[&str]) -> (Sink, Running) {
    let extensions = extensions.iter().map(|&line| line.to_owned()).collect();
    let sink = Sink::with(Manners { extensions, ..Manners::default() });
    let gateway = Gateway::new().listener("mx", json!({ "extensions": offers })).upstream(
        "sink",
        "smtp",
        &sink.address().to_string(),
    );
    let running = gateway.start();
    (sink, running)
}

#[test]
fn smtplib_sends_beyond_ascii_and_asks_for_reports() {
    let Some([python]) = need(["python3"]) else { return };
    let (sink, gateway) = between(&["smtputf8", "dsn"], &["SMTPUTF8", "DSN"]);
    let port = gateway.address("mx").port().to_string();
    run(Command::new(python).args(["-c", SMTPLIB, &port])).expect_success();
    let letter = sink.only_letter();
    assert_eq!(
        letter.commands,
        [
            "MAIL FROM:<j\u{f6}rg@b\u{fc}cher.example> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=a+2Bb",
            "RCPT TO:<\u{7528}\u{6237}@example.com> NOTIFY=SUCCESS,FAILURE \
             ORCPT=utf-8;j\\x{F6}rg@example.com",
        ]
    );
    assert!(letter.received().contains(" with UTF8SMTP id "), "{}", letter.received());
    assert!(letter.text().ends_with("Subject: gr\u{fc}n\r\n\r\nsch\u{f6}n\r\n"));
}

#[test]
fn an_upstream_without_smtputf8_gets_what_it_can_take() {
    let (sink, gateway) = between(&["smtputf8"], &[]);
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org> SMTPUTF8
         S: 250
         C: RCPT TO:<j\u{f6}rg@example.com>
         S: 553 5.6.7
         C: RCPT TO:<b@example.com>
         S: 250
         C: DATA
         S: 354
         C: Subject: t
         C:
         C: x
         C: .
         S: 250
         C: MAIL FROM:<a@example.org> SMTPUTF8
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: DATA
         S: 354
         C: Subject: gr\u{fc}n
         C:
         C: x
         C: .
         S: 554 5.6.9
         C: QUIT
         S: 221",
    );
    let letter = sink.only_letter();
    assert_eq!(letter.commands, ["MAIL FROM:<a@example.org>", "RCPT TO:<b@example.com>"]);
}

#[test]
fn an_upstream_without_reports_is_warned_of_once() {
    let (sink, gateway) = between(&["dsn"], &[]);
    for _ in 0..2 {
        gateway.talk(
            "C: EHLO client.example
             S: 250
             C: MAIL FROM:<a@example.org> RET=FULL
             S: 250
             C: RCPT TO:<b@example.com> NOTIFY=SUCCESS
             S: 250
             C: DATA
             S: 354
             C: x
             C: .
             S: 250
             C: QUIT
             S: 221",
        );
    }
    assert_eq!(sink.wait_for(2).len(), 2);
    let warnings = gateway.log.about("no DSN here").len();
    assert_eq!(warnings, 1);
}
