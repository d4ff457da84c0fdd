//! Plugins in Go and C, built by their languages' own tools.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use portcullis_tests::process::run;
use portcullis_tests::{Client, Dns, Gateway, Letter, Running, Sink, Zone, peers, repository};
use serde_json::json;

/// A language, and what it needs to be built.
struct Language {
    name: &'static str,
    programs: [&'static str; 2],
    /// What the log says of a fault, in the author's terms.
    trap: &'static [&'static str],
    error: &'static str,
}

const GO: Language = Language {
    name: "go",
    programs: ["sh", "go"],
    trap: &[
        "panic in rcpt: runtime error: index out of range [16] with length 0",
        "main.(*trial).Rcpt (main.go:",
    ],
    error: "rcpt failed: no luck",
};
const C: Language = Language {
    name: "c",
    programs: ["make", "python3"],
    trap: &["wasm trap: integer divide by zero", "divide < rcpt"],
    error: "no luck",
};

impl Language {
    /// Builds the plugin in a folder of the SDK, if the language is here.
    fn build(&self, folder: &str, name: &str) -> Option<PathBuf> {
        // One at a time: the first may have to install the tools.
        static BUILDING: Mutex<()> = Mutex::new(());
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        peers::need(self.programs)?;
        let sdk = repository().join("plugin-sdk").join(self.name);
        let file = repository().join(format!("target/plugins/{name}-{}.wasm", self.name));
        run(Command::new(sdk.join("build.sh")).arg(sdk.join(folder)).arg(&file)).expect_success();
        Some(file)
    }
}

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

fn the_example_refuses_looks_up_counts_and_stamps(language: &Language) {
    let Some(file) = language.build("example", "gatekeeper") else { return };
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new().record("2.0.0.127.list.example", "A", "127.0.0.2"));
    let plugin = json!({
        "name": "gatekeeper",
        "file": file,
        "time_limit": "10s",
        "grants": ["dns", "rewrite-headers", { "kv": ["counts"] }],
        "settings": { "refuse": ["Closed.example"], "list": "list.example", "store": "counts" },
    });
    let gateway = Gateway::before(&sink)
        .set("dns", dns.settings())
        .set("stores", json!({ "counts": { "kind": "memory" } }))
        .plugin(plugin)
        .start();
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    let refused = client.command("RCPT TO:<b@CLOSED.example>").expect_code(550);
    assert!(refused.text().contains("5.7.1 no mail for closed.example here"), "{refused}");
    client.command("RSET").expect_code(250);
    for _ in 0..2 {
        client
            .deliver("a@example.org", &["b@example.com"], MESSAGE)
            .expect("an answer")
            .expect_code(250);
    }
    let stamps: Vec<_> = sink.wait_for(2).iter().map(|l| header(l, "X-Gatekeeper")).collect();
    assert_eq!(stamps, ["message 1", "message 2"], "{}", language.name);
    assert_eq!(dns.asked_for("1.0.0.127.list.example"), 1);
    gateway.wait_for_metric("portcullis_plugin_gatekeeper_messages_total", &[], 2.0);
    assert_frozen(&gateway);
}

#[test]
fn the_example_in_go_refuses_looks_up_counts_and_stamps() {
    the_example_refuses_looks_up_counts_and_stamps(&GO);
}

#[test]
fn the_example_in_c_refuses_looks_up_counts_and_stamps() {
    the_example_refuses_looks_up_counts_and_stamps(&C);
}

/// A plugin is configured once, and not for each mail.
fn assert_frozen(gateway: &Running) {
    let complaints = gateway.log.about("cannot be frozen");
    assert!(complaints.is_empty(), "{complaints:?}");
}

fn trial(sink: &Sink, dns: &Dns, file: &PathBuf) -> Running {
    let plugin = json!({
        "name": "trial",
        "file": file,
        "time_limit": "5s",
        "grants": ["auth-secret", "dns", "rewrite-headers", "rewrite-body", { "kv": ["counts"] }],
    });
    let auth = json!({ "mechanisms": ["plain"], "allow_insecure": true, "failure_delay": "10ms" });
    Gateway::new()
        .tls_listener_with("mx", "starttls", json!({ "auth": auth }))
        .upstream("next", "smtp", &sink.address().to_string())
        .set("dns", dns.settings())
        .set("stores", json!({ "counts": { "kind": "memory" } }))
        .plugin(plugin)
        .start()
}

/// What both plugins tell of the message below.
const TOLD: [&str; 7] = [
    r#"mx 127.0.0.1 client.example true tls=false proxy=false "saved\x00" noted true true"#,
    "<a@example.org> BODY=8BITMIME 0<b@example.com>0 true",
    "gr\u{fc}n 360155 true 360147 360155 true true",
    r#"0 multipart/mixed   true none, 1 text/plain   true "plain", 2 application/x a.bin attachment true "\x00\x01\x02\xff""#,
    r#"3 true true "a\x00b" true 3 true true"#,
    "[10 mail.example] true true true true true",
    "32 true true",
];

fn all_that_a_plugin_may_reach_is_reached(language: &Language) {
    let Some(file) = language.build("tests/trial", "test-trial") else { return };
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new().record("mx.example", "MX", "10 mail.example"));
    let gateway = trial(&sink, &dns, &file);
    let lines = "0123456789abcdef\r\n".repeat(20_000);
    let message = format!(
        "Subject: gr\u{fc}n\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n\
         --b\r\nContent-Type: application/x; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment\r\n\r\nAAEC/w==\r\n--b--\r\n{lines}needle\r\n"
    );
    let mut client = gateway.client();
    for _ in 0..2 {
        client.command("MAIL FROM:<a@example.org> BODY=8BITMIME").expect_code(250);
        client.command("RCPT TO:<b@example.com>").expect_code(250);
        client.command("DATA").expect_code(354);
        client.send(format!("{message}.\r\n").as_bytes()).expect("it is read");
        client.expect(250);
    }
    for letter in sink.wait_for(2) {
        let told = header(&letter, "X-Trial");
        assert_eq!(told.split("; ").collect::<Vec<_>>(), TOLD, "{}", language.name);
        let text = letter.text();
        let (_, body) = text.split_once("\r\n\r\n").expect("a header section ends");
        let (_, sent) = message.split_once("\r\n\r\n").expect("a header section ends");
        assert!(body.strip_prefix("rewritten\r\n") == Some(sent), "{}", language.name);
    }
    gateway.wait_for_metric("portcullis_plugin_trial_seen_total", &[("kind", "trial")], 4.0);
    assert_frozen(&gateway);
}

#[test]
fn all_that_a_plugin_may_reach_is_reached_in_go() {
    all_that_a_plugin_may_reach_is_reached(&GO);
}

#[test]
fn all_that_a_plugin_may_reach_is_reached_in_c() {
    all_that_a_plugin_may_reach_is_reached(&C);
}

fn every_hook_has_its_answers(language: &Language) {
    let Some(file) = language.build("tests/trial", "test-trial") else { return };
    let sink = Sink::smtp();
    let gateway = trial(&sink, &Dns::start(Zone::new()), &file);
    let mut client = Client::connect(gateway.address("mx"));
    client.expect(220);
    client.command("EHLO bad.example").expect_code(550);
    client.command("EHLO good.example").expect_code(250);
    // ann with another password, bob, ann.
    client.command("AUTH PLAIN AGFubgBvcGVuIGJhcmxleQ==").expect_code(535);
    client.command("AUTH PLAIN AGJvYgBvcGVuIHNlc2FtZQ==").expect_code(454);
    client.command("AUTH PLAIN AGFubgBvcGVuIHNlc2FtZQ==").expect_code(235);
    let to = ["b@example.com"];
    client.command("MAIL FROM:<defer@example.org>").expect_code(450);
    for (sender, code) in [("headers", 550), ("discard", 250), ("accept", 250)] {
        let sender = format!("{sender}@example.org");
        let reply = client.deliver(&sender, &to, MESSAGE).expect("an answer").expect_code(code);
        assert!(code == 250 || reply.text().contains("two"), "{reply}");
    }
    assert_eq!(sink.only_letter().sender, "accept@example.org");
    client.command("MAIL FROM:<disconnect@example.org>").expect_code(421);
    assert!(client.wait_for_end().is_empty());
    for told in [
        "told helo 127.0.0.1 550 <> <> true",
        "told mail 127.0.0.1 450 <defer@example.org> <> true",
        "told delivery 127.0.0.1 250 <accept@example.org> <b@example.com> true",
    ] {
        gateway.log.wait_for(told, |record| record.mentions(told));
    }
    gateway.log.wait_for("who has logged in", |record| record.mentions("ann@example"));
}

#[test]
fn every_hook_has_its_answers_in_go() {
    every_hook_has_its_answers(&GO);
}

#[test]
fn every_hook_has_its_answers_in_c() {
    every_hook_has_its_answers(&C);
}

fn failures_are_told_in_the_terms_of_the_author(language: &Language) {
    let Some(file) = language.build("tests/trial", "test-trial") else { return };
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new());
    let gateway = trial(&sink, &dns, &file);
    let faults: [(&str, &[&str]); 6] = [
        ("memory", &[]),
        ("loop", &[]),
        ("exit", &[]),
        ("trap", language.trap),
        ("error", &[language.error]),
        ("status", &["is not an enhanced status such as"]),
    ];
    for (fault, words) in faults {
        let mut client = gateway.client();
        client.command("MAIL FROM:<a@example.org>").expect_code(250);
        client.command(&format!("RCPT TO:<{fault}@example.com>")).expect_code(451);
        for &word in words {
            gateway.log.wait_for(word, |record| record.mentions(word));
        }
    }
    for (reason, count) in [("memory", 1.0), ("timeout", 1.0), ("trap", 4.0)] {
        let labels = [("plugin", "trial"), ("hook", "rcpt"), ("reason", reason)];
        gateway.wait_for_metric("portcullis_plugin_failures_total", &labels, count);
    }
    let to = ["b@example.com"];
    gateway.client().deliver("a@example.org", &to, MESSAGE).expect("an answer").expect_code(250);
}

#[test]
fn failures_of_go_are_told_in_the_terms_of_the_author() {
    failures_are_told_in_the_terms_of_the_author(&GO);
}

#[test]
fn failures_of_c_are_told_in_the_terms_of_the_author() {
    failures_are_told_in_the_terms_of_the_author(&C);
}

fn header(letter: &Letter, name: &str) -> String {
    let text = letter.text();
    let start = format!("{name}: ");
    let found = text.lines().find_map(|line| line.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("no {name} in:\n{text}")).to_owned()
}
