//! The plugins `clamav` and `milter` with the daemons that they are made for, and with worse ones.

use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::{Clamd, EICAR, OpenDkim, PUA};
use portcullis_tests::{Gateway, Reply, Running, Service, Sink};
use serde_json::{Value, json};

#[test]
fn clamd_finds_what_it_knows_and_lets_the_rest_pass() {
    let Some(clamd) = Clamd::start() else { return };
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).plugin(clamav(&clamd.address(), json!({}))).start();
    let found = deliver(&gateway, EICAR).expect_code(550);
    assert!(found.text().contains("malware found: Eicar-Test-Signature"), "{found:?}");
    deliver(&gateway, "harmless").expect_code(250);
    deliver(&gateway, PUA).expect_code(250);
    // It hangs up in the middle, since that is more than it takes; what it said counts.
    deliver(&gateway, &format!("{}\r\n", "x".repeat(70)).repeat(40_000)).expect_code(250);
    let headers: Vec<_> = sink.letters().iter().map(|letter| status(&letter.text())).collect();
    assert_eq!(headers[0], "clean");
    assert!(headers[1].starts_with("infected (PUA.Test"), "{headers:?}");
    assert_eq!(headers[2], "not scanned (too-large)");
    let labels = [("plugin", "clamav"), ("result", "infected")];
    gateway.wait_for_metric("portcullis_plugin_clamav_scans_total", &labels, 1.0);
}

#[test]
fn while_clamd_is_away_mail_waits_and_nobody_else_does() {
    let Some(clamd) = Clamd::start() else { return };
    let sink = Sink::smtp();
    let gateway =
        Gateway::before(&sink).plugin(clamav(&clamd.address(), json!({ "timeout": "1s" }))).start();
    clamd.signal("STOP");
    let before = Instant::now();
    deliver(&gateway, "harmless").expect_code(451);
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
    clamd.signal("CONT");
    deliver(&gateway, "harmless").expect_code(250);
}

#[test]
fn a_scanner_that_lies_is_not_believed() {
    for lie in [&b"OK\0"[..], b"stream: PERHAPS\0", b"HTTP/1.1 200 OK\r\n\r\n", b"", &[0xff; 5000]]
    {
        let sink = Sink::smtp();
        let service = Service::tcp(move |peer| {
            let _ = peer.read(&mut [0; 1024])?;
            peer.write_all(lie)
        });
        let gateway = Gateway::before(&sink).plugin(clamav(&service.address, json!({}))).start();
        deliver(&gateway, "harmless").expect_code(451);
        assert!(sink.letters().is_empty());
    }
}

#[test]
fn a_milter_signs_as_it_does_behind_an_mta() {
    let Some(opendkim) = OpenDkim::start() else { return };
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink)
        .plugin(milter(
            &opendkim.address.to_string(),
            json!({ "macros": { "j": "mx.example.org" } }),
        ))
        .start();
    deliver(&gateway, "hello").expect_code(250);
    let letter = sink.letters().remove(0).text();
    assert!(letter.contains("DKIM-Signature: v=1;"), "{letter}");
    assert!(letter.contains("d=example.org; s=test;"), "{letter}");
}

#[test]
fn a_milter_that_is_silent_or_mad_holds_nobody_for_long() {
    let silent = Service::tcp(|peer| peer.read_exact(&mut [0; 4096]));
    let mad = Service::tcp(|peer| peer.write_all(&[0xff; 4096]));
    for service in [&silent, &mad] {
        let sink = Sink::smtp();
        let gateway = Gateway::before(&sink)
            .plugin(milter(&service.address, json!({ "timeout": "1s" })))
            .start();
        let before = Instant::now();
        deliver(&gateway, "hello").expect_code(451);
        assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
    }
}

fn clamav(server: &str, mut settings: Value) -> Value {
    settings["servers"] = json!([server]);
    settings["header"] = json!(true);
    json!({ "name": "clamav", "file": plugin("clamav"), "settings": settings, "time_limit": "30s",
        "grants": [{ "streams": [server] }, "rewrite-headers"] })
}

fn milter(server: &str, mut settings: Value) -> Value {
    settings["server"] = json!(server);
    json!({ "name": "milter", "file": plugin("milter"), "settings": settings, "time_limit": "30s",
        "grants": [{ "streams": [server] }, "rewrite-headers"] })
}

fn deliver(gateway: &Running, body: &str) -> Reply {
    let message = format!("From: a@example.org\r\nSubject: t\r\n\r\n{body}\r\n");
    let reply = gateway.client().deliver("a@example.org", &["b@example.com"], message.as_bytes());
    reply.expect("the gateway answers")
}

fn status(letter: &str) -> String {
    let line = letter.lines().find_map(|line| line.strip_prefix("X-Virus-Status: "));
    line.unwrap_or_default().to_owned()
}
