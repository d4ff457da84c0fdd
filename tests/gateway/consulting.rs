//! rspamd, asked by the plugin of its name.

use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::Rspamd;
use portcullis_tests::{Gateway, Reply, Running, Sink, Web};
use serde_json::{Value, json};

const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

fn scanning(sink: &Sink, origins: &[String], settings: Value) -> Gateway {
    let mut settings = settings;
    settings["servers"] = json!(origins);
    Gateway::before(sink).plugin(json!({
        "name": "rspamd",
        "file": plugin("rspamd"),
        "settings": settings,
        "grants": ["rewrite-headers", "rewrite-envelope", { "http": origins_of(origins) }],
        "time_limit": "30s",
    }))
}

/// Scheme, host and port.
fn origins_of(urls: &[String]) -> Vec<String> {
    let origin = |url: &String| url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    urls.iter().map(origin).collect()
}

fn send(gateway: &Running, message: &str) -> Reply {
    gateway
        .client()
        .deliver("a@example.org", &["b@example.com", "c@example.com"], message.as_bytes())
        .expect("an answer")
}

#[test]
fn a_real_rspamd_refuses_marks_defers_and_edits() {
    let Some(rspamd) = Rspamd::start() else { return };
    let sink = Sink::smtp();
    let gateway = scanning(&sink, &[rspamd.origin()], json!({ "timeout": "20s" })).start();
    let reply = send(&gateway, &format!("Subject: t\r\n\r\n{GTUBE}\r\n")).expect_code(550);
    assert!(reply.text().starts_with("5.7.1 Gtube pattern ["), "{reply}");
    let reply = send(&gateway, "X-Test: later\r\nSubject: t\r\n\r\nx\r\n").expect_code(451);
    assert!(reply.text().starts_with("4.7.1 come again ["), "{reply}");
    send(&gateway, "X-Test: 20\r\nSubject: t\r\n\r\nx\r\n").expect_code(550);
    assert!(sink.letters().is_empty());

    let delivered = |message: &str| {
        let before = sink.letters().len();
        send(&gateway, message).expect_code(250);
        let letters = sink.letters();
        assert_eq!(letters.len(), before + 1);
        String::from_utf8_lossy(letters[before].without_received()).into_owned()
    };
    assert_eq!(delivered("Subject: t\r\n\r\nx\r\n"), "Subject: t\r\n\r\nx\r\n");
    assert_eq!(
        delivered("X-Test: edits\r\nSubject: t\r\n\r\nx\r\n"),
        "X-First: top\r\nSubject: t\r\nX-Added: by rspamd\r\n\r\nx\r\n"
    );
    let seen = delivered("X-Test: envelope\r\nSubject: t\r\n\r\nx\r\n");
    assert!(seen.contains("X-Seen: 127.0.0.1 client.example a@example.org 2\r\n"), "{seen}");
    let spam = delivered("X-Test: 7\r\nX-Spam: No\r\nSubject: t\r\n\r\nx\r\n");
    assert_eq!(spam, "X-Test: 7\r\nSubject: t\r\nX-Spam: Yes\r\n\r\nx\r\n");
    let subject = delivered("X-Test: 9\r\nSubject: t\r\n\r\nx\r\n");
    assert!(subject.contains("Subject: *** SPAM *** t\r\n"), "{subject}");
    gateway.wait_for_metric("portcullis_plugin_rspamd_answers_total", &[("action", "reject")], 2.0);
}

#[test]
fn its_score_counts_with_those_of_others() {
    let Some(rspamd) = Rspamd::start() else { return };
    let sink = Sink::smtp();
    let settings = json!({ "timeout": "20s", "verdict": "score" });
    let plugin = scanning(&sink, &[rspamd.origin()], settings);
    let gateway =
        plugin.listener("scored", json!({ "scores": { "add_header": 5, "reject": 10 } })).start();
    let send = |message: &str| {
        let mut client = portcullis_tests::Client::connect(gateway.address("scored"));
        client.expect(220);
        client.command("EHLO client.example").expect_code(250);
        client.deliver("a@example.org", &["b@example.com"], message.as_bytes()).unwrap()
    };
    send("X-Test: 15\r\nSubject: t\r\n\r\nx\r\n").expect_code(550);
    send("X-Test: 14\r\nSubject: t\r\n\r\nx\r\n").expect_code(250);
    let text = sink.only_letter().text();
    assert!(text.contains("RSPAMD"), "{text}");
}

#[test]
fn a_rspamd_that_is_gone_lets_mail_pass_or_wait_and_is_asked_again() {
    let Some(mut rspamd) = Rspamd::start() else { return };
    let (sink, waiting) = (Sink::smtp(), Sink::smtp());
    let settings = |on_error: &str| json!({ "timeout": "20s", "on_error": on_error });
    let passing = scanning(&sink, &[rspamd.origin()], settings("pass")).start();
    let deferring = scanning(&waiting, &[rspamd.origin()], settings("defer")).start();
    let spam = format!("Subject: t\r\n\r\n{GTUBE}\r\n");
    send(&passing, &spam).expect_code(550);
    rspamd.stop();
    send(&passing, &spam).expect_code(250);
    let reply = send(&deferring, &spam).expect_code(451);
    assert!(reply.text().starts_with("4.3.0 "), "{reply}");
    let kind = [("kind", "unavailable")];
    passing.wait_for_metric("portcullis_plugin_rspamd_failures_total", &kind, 1.0);
    rspamd.resume();
    send(&passing, &spam).expect_code(550);
    send(&deferring, &spam).expect_code(550);
}

#[test]
fn servers_that_are_slow_dead_or_lie_are_given_up_for_the_next() {
    let Some(rspamd) = Rspamd::start() else { return };
    let (web, sink) = (Web::start(), Sink::smtp());
    let dead = format!("http://{}", portcullis_tests::free_address());
    let bad = ["/hang?", "/garbage?", "/half?", "/huge?", "/hello?"].map(|path| web.url(path));
    // What is behind the path of a server is a query here: the answer goes by the path alone.
    let mut servers = vec![dead];
    servers.extend(bad);
    servers.push(rspamd.origin());
    let gateway = scanning(&sink, &servers, json!({ "timeout": "2s" })).start();
    let started = Instant::now();
    let reply = send(&gateway, &format!("Subject: t\r\n\r\n{GTUBE}\r\n")).expect_code(550);
    assert!(reply.text().starts_with("5.7.1 Gtube pattern ["), "{reply}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    gateway.wait_for_metric(
        "portcullis_plugin_rspamd_failures_total",
        &[("kind", "timed_out")],
        1.0,
    );
}

#[test]
fn nobody_waits_longer_than_the_plugin_may() {
    let (web, sink) = (Web::start(), Sink::smtp());
    let servers = ["/hang?", "/trickle?", "/hang?", "/endless?"].map(|path| web.url(path));
    let gateway = scanning(&sink, &servers, json!({ "timeout": "1s" })).start();
    let started = Instant::now();
    send(&gateway, "Subject: t\r\n\r\nx\r\n").expect_code(250);
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    assert_eq!(sink.letters().len(), 1);
}
