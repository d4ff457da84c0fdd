//! Mail that is accepted on the disk, and delivered afterwards.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_tests::gateway::{Running, program};
use portcullis_tests::metrics;
use portcullis_tests::process::{find, run, run_with_input};
use portcullis_tests::sink::Manners;
use portcullis_tests::{Gateway, Sink, free_address, wait_up_to};
use serde_json::{Value, json};

const MESSAGE: &str = "From: ann@example.org\r\nSubject: hello\r\n\r\ntext\r\n";

/// A gateway that keeps mail for an upstream in this folder.
fn spooling(folder: &Path, upstream: SocketAddr, more: Value) -> Gateway {
    let mut spool = json!({
        "directory": folder.join("spool"),
        "free": "0",
        "retry": { "first": "1s", "longest": "2s" },
    });
    for (key, value) in more.as_object().expect("an object") {
        spool[key] = value.clone();
    }
    Gateway::new()
        .listener("mx", json!({ "delivery": "spool" }))
        .upstream("store", "smtp", &upstream.to_string())
        .set("spool", spool)
}

fn refusing(recipient: &str, reply: &str) -> Manners {
    let answers = vec![(format!("RCPT TO:<{recipient}>"), reply.to_owned())];
    Manners { answers, ..Manners::default() }
}

/// A message that is like no other: the same one again would be known.
#[track_caller]
fn send(gateway: &Running, sender: &str, recipients: &[&str]) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let message = format!("Message-ID: <{count}@example.org>\r\n{MESSAGE}");
    let sent = gateway.client().deliver(sender, recipients, message.as_bytes());
    sent.expect("a connection").expect_code(250);
}

#[track_caller]
fn empty(gateway: &Running) {
    wait_up_to(Duration::from_secs(30), "an empty spool", || {
        let waiting = gateway.metrics().sum("portcullis_spool_messages", &[]);
        (waiting < 0.5).then_some(())
    });
}

fn spool(gateway: &Running, command: &str, more: &[&str]) -> String {
    let mut program = Command::new(program());
    program.args(["spool", command, "--config"]).arg(gateway.configuration()).args(more);
    run(&mut program).expect_success().stdout
}

/// What a report says, as another program reads it.
fn read_report(report: &[u8]) -> Option<Value> {
    const SCRIPT: &str = r#"
import email, email.policy, json, sys
report = email.message_from_string(sys.stdin.read(), policy=email.policy.default)
assert report.get_content_type() == "multipart/report", report.get_content_type()
assert report.get_param("report-type") == "delivery-status"
words, status, original = list(report.iter_parts())
assert not any(part.defects for part in report.walk()), [part.defects for part in report.walk()]
message, *recipients = status.get_payload()
print(json.dumps({
    "to": report["To"],
    "auto": report["Auto-Submitted"],
    "date": str(report["Date"].datetime),
    "id": report["Message-ID"],
    "words": words.get_content(),
    "type": status.get_content_type(),
    "mta": message["Reporting-MTA"],
    "recipients": [dict(one.items()) for one in recipients],
    "original_type": original.get_content_type(),
    "original": original.get_payload(0)["Subject"] if original.is_multipart() else original.get_content(),
}))
"#;
    let python = find("python3")?;
    let text = std::str::from_utf8(report).expect("reports are ASCII here");
    let read = run_with_input(Command::new(python).args(["-c", SCRIPT]), text).expect_success();
    Some(serde_json::from_str(&read.stdout).expect("JSON"))
}

#[test]
fn mail_is_accepted_while_the_upstream_is_away_and_goes_once_when_it_is_back() {
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let gateway = spooling(folder.path(), address, json!({})).start();
    for _ in 0..5 {
        send(&gateway, "ann@example.org", &["bob@example.com", "eve@example.com"]);
    }
    gateway.wait_for_metric("portcullis_queue_unreachable", &[("upstream", "store")], 1.0);
    let ready = metrics::get(gateway.admin, "/readyz").expect("an answer");
    assert!(ready.1.contains("wait for upstream store, not reached"), "{ready:?}");
    let sink = Sink::at(address, Manners::default());
    assert_eq!(sink.wait_for(5).len(), 5);
    empty(&gateway);
    let letters = sink.letters();
    assert_eq!(letters.len(), 5);
    for letter in letters {
        assert_eq!(letter.recipients, ["bob@example.com", "eve@example.com"]);
        assert!(letter.text().ends_with(MESSAGE), "{}", letter.text());
    }
}

#[test]
fn a_sender_gets_a_report_that_other_programs_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::with(refusing("bob@example.com", "550 5.1.1 no such user"));
    let gateway = spooling(folder.path(), sink.address(), json!({})).start();
    send(&gateway, "ann@example.org", &["bob@example.com", "eve@example.com"]);
    let letters = sink.wait_for(2);
    empty(&gateway);
    let report = letters.iter().find(|letter| letter.sender.is_empty()).expect("a report");
    assert_eq!(report.recipients, ["ann@example.org"]);
    let Some(read) = read_report(&report.octets) else { return };
    assert_eq!(read["to"], "ann@example.org");
    assert_eq!(read["auto"], "auto-replied");
    assert_eq!(read["mta"], "dns; gateway.example");
    assert_eq!(read["type"], "message/delivery-status");
    assert_eq!(read["original"], "hello");
    assert!(read["words"].as_str().expect("text").contains("550 5.1.1 no such user"), "{read}");
    let recipients = read["recipients"].as_array().expect("a list");
    assert_eq!(recipients.len(), 1);
    assert_eq!(recipients[0]["Final-Recipient"], "rfc822; bob@example.com");
    assert_eq!(recipients[0]["Action"], "failed");
    assert_eq!(recipients[0]["Status"], "5.1.1");
    assert_eq!(recipients[0]["Diagnostic-Code"], "smtp; 550 5.1.1 no such user");
}

#[test]
fn nobody_is_told_of_a_bounce_that_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::with(refusing("bob@example.com", "550 5.1.1 no such user"));
    let gateway = spooling(folder.path(), sink.address(), json!({})).start();
    send(&gateway, "", &["bob@example.com"]);
    gateway.wait_for_metric("portcullis_queue_unreported_total", &[], 1.0);
    empty(&gateway);
    assert_eq!(sink.letters().len(), 0);
    let told = gateway.log.wait_for("the failure", |record| record.mentions("has no sender"));
    assert!(told.mentions("no such user"));
}

#[test]
fn what_waits_is_delivered_after_a_restart_and_after_a_kill() {
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let mut gateway = spooling(folder.path(), address, json!({})).start();
    send(&gateway, "ann@example.org", &["one@example.com"]);
    assert!(gateway.terminate().success());
    let mut gateway = spooling(folder.path(), address, json!({})).start();
    send(&gateway, "ann@example.org", &["two@example.com"]);
    gateway.process.kill();
    let sink = Sink::at(address, Manners::default());
    let gateway = spooling(folder.path(), address, json!({})).start();
    let letters = sink.wait_for(2);
    empty(&gateway);
    let mut recipients: Vec<_> = letters.into_iter().flat_map(|it| it.recipients).collect();
    recipients.sort();
    assert_eq!(recipients, ["one@example.com", "two@example.com"]);
    assert_eq!(sink.letters().len(), 2);
}

#[test]
fn an_operator_holds_releases_retries_and_drops() {
    let (folder, address) = (tempfile::tempdir().expect("a folder"), free_address());
    let gateway = spooling(folder.path(), address, json!({})).start();
    send(&gateway, "ann@example.org", &["held@example.com"]);
    send(&gateway, "ann@example.org", &["dropped@example.com"]);
    spool(&gateway, "hold", &["--recipient", "held@example.com"]);
    spool(&gateway, "drop", &["--yes", "--recipient", "dropped@example.com"]);
    gateway.wait_for_metric("portcullis_queue_held", &[], 1.0);
    let (status, summary) = metrics::get(gateway.admin, "/api/spool").expect("an answer");
    assert_eq!(status, 200);
    let summary: Value = serde_json::from_str(&summary).expect("JSON");
    assert_eq!(summary["held"], 1, "{summary}");
    let sink = Sink::at(address, Manners::default());
    send(&gateway, "ann@example.org", &["other@example.com"]);
    assert_eq!(sink.wait_for(1)[0].recipients, ["other@example.com"]);
    spool(&gateway, "retry", &["--all"]);
    assert!(spool(&gateway, "list", &[]).contains("held@example.com"));
    spool(&gateway, "release", &["--all"]);
    assert_eq!(sink.wait_for(2)[1].recipients, ["held@example.com"]);
    empty(&gateway);
    assert_eq!(sink.letters().len(), 2, "what was dropped was delivered to nobody, and not told");
}

#[test]
fn what_is_deferred_for_too_long_goes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::with(refusing("bob@example.com", "450 4.2.0 greylisted"));
    let gateway = spooling(folder.path(), sink.address(), json!({ "lifetime": "3s" })).start();
    send(&gateway, "ann@example.org", &["bob@example.com"]);
    let report = sink.wait_for(1).remove(0);
    empty(&gateway);
    let Some(read) = read_report(&report.octets) else { return };
    assert_eq!(read["recipients"][0]["Status"], "5.4.7");
    assert_eq!(read["recipients"][0]["Diagnostic-Code"], "smtp; 450 4.2.0 greylisted");
    let tried = gateway.log.about("greylisted");
    assert!(tried.len() > 1, "each attempt is in the log");
}

#[test]
fn pythons_client_gets_its_mail_through() {
    let Some(python) = find("python3") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let sink = Sink::smtp();
    let gateway = spooling(folder.path(), sink.address(), json!({})).start();
    let address = gateway.address("mx");
    let script = format!(
        "import smtplib\nwith smtplib.SMTP('{}', {}) as it:\n    \
         it.sendmail('ann@example.org', ['bob@example.com'], 'Subject: hello\\n\\ntext\\n')\n",
        address.ip(),
        address.port()
    );
    run(Command::new(python).args(["-c", &script])).expect_success();
    let letter = sink.only_letter();
    assert!(letter.text().ends_with("Subject: hello\r\n\r\ntext\r\n"), "{}", letter.text());
    empty(&gateway);
}
