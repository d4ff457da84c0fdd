//! Plugins that are out for harm: what the client, the operator and the neighbours see of it. The
//! table of all of them is in `../README.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::{Gateway, Running, Sink};
use serde_json::{Value, json};

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";
const VILLAIN: &str = "villain@example.org";
const TO: [&str; 1] = ["b@example.com"];

fn villain(mode: &str, hook: &str, grants: &[&str]) -> Value {
    json!({
        "name": "villain",
        "file": plugin("test-misbehave"),
        "grants": grants,
        "time_limit": "20s",
        "settings": { "mode": mode, "when": { "hook": hook, "sender": VILLAIN } },
    })
}

fn start(sink: &Sink, villain: Value) -> Running {
    Gateway::before(sink).plugin(villain).start()
}

/// Serves somebody else while something goes on, and says how long the slowest of them waited.
fn slowest_neighbour(gateway: &Running, meanwhile: impl FnOnce()) -> Duration {
    let over = Arc::new(AtomicBool::new(false));
    let address = gateway.address("mx");
    let neighbour = thread::spawn({
        let over = Arc::clone(&over);
        move || {
            let mut client = portcullis_tests::Client::ehlo(address);
            let mut slowest = Duration::ZERO;
            while !over.load(Ordering::SeqCst) {
                let asked = Instant::now();
                client.deliver("a@example.org", &TO, MESSAGE).expect("a reply").expect_code(250);
                slowest = slowest.max(asked.elapsed());
            }
            slowest
        }
    });
    meanwhile();
    over.store(true, Ordering::SeqCst);
    neighbour.join().expect("the neighbour was served")
}

#[test]
fn time_that_the_host_takes_for_a_plugin_is_the_plugins_time() {
    let sink = Sink::smtp();
    let mut slow = villain("slow-host", "message", &[]);
    slow["time_limit"] = json!("500ms");
    let gateway = start(&sink, slow);
    let large =
        [b"Subject: large\r\n\r\n".as_slice(), &b"0123456789abcdef\r\n".repeat(500_000)].concat();
    let slowest = slowest_neighbour(&gateway, || {
        let reply = gateway.client().deliver(VILLAIN, &TO, &large).unwrap();
        assert_eq!(reply.code, 451, "{reply}");
    });
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    let labels = [("plugin", "villain"), ("hook", "message"), ("reason", "timeout")];
    gateway.wait_for_metric("portcullis_plugin_failures_total", &labels, 1.0);
    let told = gateway.log.wait_for("a timeout", |record| record.field("reason") == "timeout");
    assert_eq!((told.field("plugin"), told.field("hook")), ("villain".into(), "message".into()));
    assert!(gateway.log.about(&told.field("id")).len() >= 2, "the transaction is named");
}

#[test]
fn a_flood_of_headers_or_recipients_ends_at_a_thousand() {
    for (hook, grant) in [("message", "rewrite-headers"), ("data", "rewrite-envelope")] {
        let sink = Sink::smtp();
        let gateway = start(&sink, villain("flood-edits", hook, &[grant]));
        gateway.client().deliver(VILLAIN, &TO, MESSAGE).unwrap().expect_code(250);
        let letter = sink.only_letter();
        let headers = letter.text().matches("X-Flood: flood").count();
        let expected = if hook == "message" { (1_000, 1) } else { (0, 1_001) };
        assert_eq!((headers, letter.recipients.len()), expected);
        let record =
            gateway.log.wait_for("the record", |record| record.field("outcome") == "accepted");
        assert!(record.field("edits").len() < 100_000, "the record has an end, too");
    }
}

#[test]
fn a_flood_of_metrics_ends_at_64_names_and_is_counted() {
    let sink = Sink::smtp();
    let gateway = start(&sink, villain("flood-metrics", "mail", &[]));
    gateway.client().deliver(VILLAIN, &TO, MESSAGE).unwrap().expect_code(250);
    let metrics = gateway.metrics();
    let series =
        metrics.text().lines().filter(|line| line.starts_with("portcullis_plugin_villain_flood"));
    let series = series.count();
    assert!((1..=64 * 32).contains(&series), "{series}");
    let dropped = metrics.sum("portcullis_plugin_metrics_dropped_total", &[("plugin", "villain")]);
    assert_eq!(dropped as usize, 1_000_000 - series);
}

#[test]
fn control_characters_get_through_nowhere() {
    let sink = Sink::smtp();
    for hook in ["data", "headers", "message"] {
        let grants = ["rewrite-envelope", "rewrite-headers", "route"];
        let gateway = start(&sink, villain("control", hook, &grants));
        gateway.client().deliver(VILLAIN, &TO, MESSAGE).unwrap().expect_code(250);
        // Each line of the log is whole, and the metrics have no line of the plugin's making.
        let said = gateway.log.about("portcullis::plugin");
        assert!(!said.is_empty());
        assert!(
            gateway.log.lines().iter().all(|line| line.starts_with('{') && line.ends_with('}'))
        );
        assert!(!gateway.metrics().text().lines().any(|line| line.starts_with('b')));
    }
    for letter in sink.letters() {
        assert_eq!((letter.sender.as_str(), letter.without_received()), (VILLAIN, MESSAGE));
    }
}

#[test]
fn edits_of_a_call_that_refuses_or_fails_are_not_made() {
    let all = ["rewrite-envelope", "rewrite-headers", "rewrite-body", "route"];
    for (mode, on_failure, code) in [
        ("edit-and-reject", "tempfail", 550),
        ("edit-and-trap", "tempfail", 451),
        ("edit-and-trap", "accept", 250),
    ] {
        let sink = Sink::smtp();
        let mut villain = villain(mode, "message", &all);
        villain["on_failure"] = json!(on_failure);
        let gateway = start(&sink, villain);
        let reply = gateway.client().deliver(VILLAIN, &TO, MESSAGE).unwrap();
        assert_eq!((mode, reply.code), (mode, code), "{reply}");
        if code == 250 {
            let letter = sink.only_letter();
            assert_eq!((letter.sender.as_str(), letter.without_received()), (VILLAIN, MESSAGE));
            assert_eq!(letter.recipients, TO);
        } else {
            assert!(sink.letters().is_empty());
        }
    }
}

#[test]
fn a_route_to_nowhere_is_an_error_that_the_plugin_sees() {
    let sink = Sink::smtp();
    let gateway = start(&sink, villain("route-nowhere", "rcpt", &["route"]));
    gateway.client().deliver(VILLAIN, &TO, MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.only_letter().recipients, TO);
}

#[test]
fn a_message_that_kills_again_and_again_is_not_shown_to_the_plugin_any_more() {
    let sink = Sink::smtp();
    let mut loops = villain("loop", "message", &[]);
    loops["time_limit"] = json!("200ms");
    loops["poison"] = json!({ "on_failure": "reject" });
    let gateway = start(&sink, loops);
    let deliver = |from| gateway.client().deliver(from, &TO, MESSAGE).unwrap();
    for _ in 0..3 {
        assert_eq!(deliver(VILLAIN).code, 451);
        deliver("a@example.org").expect_code(250);
    }
    let asked = Instant::now();
    assert_eq!(deliver(VILLAIN).code, 554);
    assert!(asked.elapsed() < Duration::from_secs(5));
    let labels = [("plugin", "villain"), ("hook", "message"), ("reason", "poison")];
    gateway.wait_for_metric("portcullis_plugin_failures_total", &labels, 1.0);
    let labels = [("plugin", "villain"), ("hook", "message"), ("reason", "timeout")];
    gateway.wait_for_metric("portcullis_plugin_failures_total", &labels, 3.0);
    gateway.log.wait_for("a warning of poison", |record| record.mentions("poison: the plugin"));
}

#[test]
fn a_breaker_opens_is_told_and_closes_again() {
    let sink = Sink::smtp();
    let mut broken = villain("trap", "mail", &[]);
    broken["breaker"] = json!({ "failures": 1, "networks": 1, "open": "1s" });
    let gateway = start(&sink, broken);
    let mut client = gateway.client();
    client.command(&format!("MAIL FROM:<{VILLAIN}>")).expect_code(451);
    client.command("MAIL FROM:<a@example.org>").expect_code(451);
    let (status, body) = portcullis_tests::metrics::get(gateway.admin, "/readyz").unwrap();
    assert_eq!(status, 200);
    assert!(body.contains("warning: plugin villain"), "{body}");
    gateway.wait_for_metric("portcullis_plugin_breaker_open", &[("plugin", "villain")], 1.0);
    let labels = [("plugin", "villain"), ("hook", "mail"), ("reason", "open")];
    gateway.wait_for_metric("portcullis_plugin_failures_total", &labels, 1.0);
    gateway.log.wait_for("the opening", |record| record.mentions("breaker open"));
    portcullis_tests::wait_for("the breaker to close", || {
        (gateway.client().command("MAIL FROM:<a@example.org>").code == 250).then_some(())
    });
    gateway.log.wait_for("the closing", |record| record.mentions("breaker closed"));
    let (_, body) = portcullis_tests::metrics::get(gateway.admin, "/readyz").unwrap();
    assert_eq!(body, "ready\n");
}
