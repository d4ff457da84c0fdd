//! Plugins that do what no plugin should. The client gets the configured failure, others are served
//! as before, and log and metrics name the plugin, the hook and the reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::{Client, Gateway, Running, Sink};
use serde_json::{Value, json};

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

/// A plugin that misbehaves for one sender only.
fn misbehave(mode: &str, hook: &str, on_failure: &str) -> Value {
    json!({
        "name": "villain",
        "file": plugin("test-misbehave"),
        "on_failure": on_failure,
        "time_limit": "300ms",
        "memory_limit": "16MiB",
        "settings": { "mode": mode, "when": { "hook": hook, "sender": "villain@example.org" } },
    })
}

/// What the log and the metrics have to name.
fn assert_told(gateway: &Running, hook: &str, reason: &str) {
    let labels = [("plugin", "villain"), ("hook", hook), ("reason", reason)];
    gateway.wait_for_metric("portcullis_plugin_failures_total", &labels, 1.0);
    gateway.log.wait_for(&format!("a failure of villain at {hook}: {reason}"), |record| {
        record.field("plugin") == "villain"
            && record.field("hook") == hook
            && record.mentions(reason)
    });
}

#[test]
fn the_client_gets_a_451_and_others_are_served() {
    for (mode, reason) in [
        ("loop", "timeout"),
        ("eat-memory", "memory"),
        ("trap", "trap"),
        ("abort", "trap"),
        ("recurse", "trap"),
        ("crlf", "bad-answer"),
        ("non-ascii", "bad-answer"),
        ("wrong-class", "bad-answer"),
    ] {
        let sink = Sink::smtp();
        let gateway = Gateway::before(&sink).plugin(misbehave(mode, "mail", "tempfail")).start();
        let to = ["b@example.com"];
        let reply = gateway.client().deliver("villain@example.org", &to, MESSAGE).unwrap();
        assert_eq!((mode, reply.code), (mode, 451), "{reply}");
        assert!(!reply.text().contains("2.0.0"), "{reply}");
        assert_told(&gateway, "mail", reason);
        gateway.client().deliver("a@example.org", &to, MESSAGE).unwrap().expect_code(250);
        assert_eq!(sink.only_letter().sender, "a@example.org", "{mode}");
    }
}

#[test]
fn a_failure_means_what_the_configuration_says() {
    for (on_failure, codes) in [
        ("tempfail", [250, 250, 354, 451]),
        ("reject", [250, 250, 354, 554]),
        ("accept", [250, 250, 354, 250]),
        ("disconnect", [250, 250, 354, 421]),
    ] {
        let sink = Sink::smtp();
        let gateway =
            Gateway::before(&sink).plugin(misbehave("trap", "message", on_failure)).start();
        let mut client = gateway.client();
        let said = "MAIL FROM:<villain@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n";
        client.send(said.as_bytes()).unwrap();
        for code in &codes[..3] {
            client.expect(*code);
        }
        client.send(b"Subject: t\r\n\r\nx\r\n.\r\n").unwrap();
        client.expect(codes[3]);
        if on_failure == "disconnect" {
            assert!(client.wait_for_end().is_empty());
        }
        assert_told(&gateway, "message", "trap");
        let delivered = usize::from(on_failure == "accept");
        assert_eq!(sink.letters().len(), delivered, "{on_failure}");
    }
}

#[test]
fn every_hook_can_fail() {
    for hook in ["rcpt", "data", "headers", "message"] {
        let sink = Sink::smtp();
        let gateway = Gateway::before(&sink).plugin(misbehave("trap", hook, "tempfail")).start();
        let to = ["b@example.com"];
        let reply = gateway.client().deliver("villain@example.org", &to, MESSAGE).unwrap();
        assert_eq!((hook, reply.code), (hook, 451), "{reply}");
        assert_told(&gateway, hook, "trap");
        assert!(sink.letters().is_empty());
    }
}

#[test]
fn a_plugin_may_fail_before_there_is_a_sender() {
    for (hook, banner) in [("connect", 451), ("helo", 220)] {
        let sink = Sink::smtp();
        let villain = json!({
            "name": "villain",
            "file": plugin("test-misbehave"),
            "settings": { "mode": "trap", "when": { "hook": hook } },
        });
        let gateway = Gateway::before(&sink).plugin(villain).start();
        let mut client = Client::connect(gateway.address("mx"));
        let reply = client.reply().unwrap();
        assert_eq!(reply.code / 100, banner / 100, "{reply}");
        if banner == 220 {
            client.command("EHLO client.example").expect_code(451);
        }
        assert_told(&gateway, hook, "trap");
    }
}

#[test]
fn loops_in_one_session_do_not_slow_down_another() {
    let sink = Sink::smtp();
    let mut villain = misbehave("loop", "mail", "tempfail");
    // Else it would not be called any more after the first three.
    villain["poison"] = json!({ "failures": 0 });
    let gateway = Gateway::before(&sink).plugin(villain).start();
    let address = gateway.address("mx");
    let done = Arc::new(AtomicBool::new(false));
    let villains: Vec<_> = (0..8)
        .map(|_| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                let mut client = Client::ehlo(address);
                while !done.load(Ordering::SeqCst) {
                    client.command("MAIL FROM:<villain@example.org>").expect_code(451);
                }
            })
        })
        .collect();
    let start = Instant::now();
    let mut client = gateway.client();
    for _ in 0..20 {
        client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    }
    done.store(true, Ordering::SeqCst);
    for villain in villains {
        villain.join().unwrap();
    }
    // Twenty messages at a few milliseconds each; far less than waiting for the loops would take.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(sink.letters().len(), 20);
}

#[test]
fn edits_without_grant_change_nothing() {
    for hook in ["data", "headers", "message"] {
        let sink = Sink::smtp();
        let gateway = Gateway::before(&sink).plugin(misbehave("edit", hook, "tempfail")).start();
        let to = ["b@example.com"];
        let reply = gateway.client().deliver("villain@example.org", &to, MESSAGE).unwrap();
        assert_eq!((hook, reply.code), (hook, 250), "{reply}");
        let letter = sink.only_letter();
        assert_eq!(letter.sender, "villain@example.org");
        assert_eq!(letter.recipients, to);
        assert_eq!(letter.without_received(), MESSAGE);
    }
}

#[test]
fn no_mail_sees_what_another_left_in_memory() {
    let sink = Sink::smtp();
    let gateway =
        Gateway::before(&sink).plugin(misbehave("remember", "message", "tempfail")).start();
    let mut client = gateway.client();
    for _ in 0..5 {
        let reply = client.deliver("villain@example.org", &["b@example.com"], MESSAGE).unwrap();
        assert_eq!(reply.code, 250, "{reply}");
    }
    assert_eq!(sink.letters().len(), 5);
}

#[test]
fn a_plugin_that_floods_the_log_is_cut_short() {
    let sink = Sink::smtp();
    let mut villain = misbehave("flood-log", "mail", "tempfail");
    villain["time_limit"] = json!("20s");
    let gateway = Gateway::before(&sink).plugin(villain).start();
    let to = ["b@example.com"];
    gateway.client().deliver("villain@example.org", &to, MESSAGE).unwrap().expect_code(250);
    let lines = gateway.log.lines();
    let flood: Vec<_> = lines.iter().filter(|line| line.contains("flood flood")).collect();
    assert!(flood.len() <= 100, "{} lines", flood.len());
    assert!(flood.iter().all(|line| line.len() < 20_000));
}

#[test]
fn a_granted_rewrite_of_the_body_takes_effect() {
    let sink = Sink::smtp();
    let mut friend = misbehave("rewrite-body", "message", "tempfail");
    friend["grants"] = json!(["rewrite-body"]);
    friend["settings"]["body"] = json!("new\nbody\n.\n");
    let gateway = Gateway::before(&sink).plugin(friend).start();
    let to = ["b@example.com"];
    gateway.client().deliver("villain@example.org", &to, MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.only_letter().without_received(), b"Subject: t\r\n\r\nnew\r\nbody\r\n.\r\n");
}
