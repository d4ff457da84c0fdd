//! Plugins that say who a client is, and what others see of that.

use std::fs;
use std::path::Path;
use std::process::Command;

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::need;
use portcullis_tests::process::{Finished, run};
use portcullis_tests::{Gateway, Running, Sink};
use serde_json::{Value, json};

/// `ann` with `open sesame`, and with another password.
const ANN: &str = "AUTH PLAIN AGFubgBvcGVuIHNlc2FtZQ==";
const WRONG: &str = "AUTH PLAIN AGFubgBvcGVuIGJhcmxleQ==";

/// Knows `ann`, does not know whether `bob` is there, and tells what it sees.
fn porter() -> Value {
    json!({
        "name": "porter",
        "file": plugin("test-porter"),
        "grants": ["auth-secret", "rewrite-headers"],
        "settings": { "users": { "ann": "open sesame" }, "away": ["bob"], "tell": true },
    })
}

fn misbehave(mode: &str, on_failure: &str) -> Value {
    json!({
        "name": "villain",
        "file": plugin("test-misbehave"),
        "grants": if mode == "vouch" { json!([]) } else { json!(["auth-secret"]) },
        "on_failure": on_failure,
        "time_limit": "300ms",
        "settings": { "mode": mode, "when": { "hook": "auth" } },
    })
}

/// A gateway at which clients may log in, if these plugins say so.
fn gateway(sink: &Sink, plugins: impl IntoIterator<Item = Value>, auth: Value) -> Running {
    let mut settings = json!({ "failure_delay": "10ms", "failures_per_address": 1000 });
    for (key, value) in auth.as_object().expect("a mapping") {
        settings[key] = value.clone();
    }
    let gateway = Gateway::new()
        .tls_listener_with("mx", "starttls", json!({ "auth": settings }))
        .upstream("store", "smtp", &sink.address().to_string());
    plugins.into_iter().fold(gateway, Gateway::plugin).start()
}

/// In clear text, for dialogues.
fn in_clear(sink: &Sink, plugins: impl IntoIterator<Item = Value>) -> Running {
    gateway(sink, plugins, json!({ "mechanisms": ["plain"], "allow_insecure": true }))
}

/// Logs in by one mechanism and sends a message.
const SMTPLIB: &str = r#"
import smtplib, ssl, sys
port, mechanism, user, password = int(sys.argv[1]), *sys.argv[2:]
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with smtplib.SMTP("127.0.0.1", port, "client.example") as client:
    client.starttls(context=context)
    client.ehlo()
    client.user, client.password = user, password
    method = "auth_" + mechanism.lower().replace("-", "_")
    code, text = client.auth(mechanism, getattr(client, method))
    assert code == 235, (code, text)
    client.sendmail("a@example.org", ["b@example.com"], b"Subject: t\r\n\r\nx\r\n")
"#;

fn smtplib(python: &Path, gateway: &Running, mechanism: &str, password: &str) -> Finished {
    let port = gateway.address("mx").port().to_string();
    let mut command = Command::new(python);
    run(command.args(["-c", SMTPLIB, &port, mechanism, "ann", password]))
}

/// What the porter saw of the session in which this message came.
fn seen(message: &str) -> Value {
    let line = message.lines().find_map(|line| line.strip_prefix("X-Session: "));
    serde_json::from_str(line.expect("a header of the porter")).expect("JSON")
}

#[test]
fn smtplib_logs_in_where_a_plugin_knows_the_user() {
    let Some([python]) = need(["python3"]) else { return };
    for mechanism in ["PLAIN", "LOGIN"] {
        let sink = Sink::smtp();
        let gateway = gateway(&sink, [porter()], json!({ "required": true }));
        smtplib(&python, &gateway, mechanism, "open sesame").expect_success();
        let seen = seen(&sink.only_letter().text());
        assert_eq!(seen["user"], "ann");
        assert_eq!(seen["mechanism"], mechanism);
        let record =
            gateway.log.wait_for("the transaction", |it| it.field("target") == "transaction");
        assert_eq!(record.field("user"), "ann");

        let refused = smtplib(&python, &gateway, mechanism, "open barley");
        assert!(refused.stderr.contains("535"), "{}", refused.stderr);
        let calls = "portcullis_plugin_calls_total";
        for result in ["accept", "reject"] {
            let labels = [("plugin", "porter"), ("hook", "auth"), ("result", result)];
            gateway.wait_for_metric(calls, &labels, 1.0);
        }
        let log = gateway.log.lines().join("\n");
        assert!(!log.contains("sesame") && !log.contains("barley"), "{log}");
    }
}

#[test]
fn the_plugins_words_are_the_clients() {
    let gateway = in_clear(&Sink::smtp(), [porter()]);
    let mut client = gateway.client();
    client.command(WRONG).expect_code(535);
    // `bob` with `x`; `eve` with `open sesame`; `ann` who wants to be `bob`.
    let away = client.command("AUTH PLAIN AGJvYgB4").expect_code(454);
    assert!(away.to_string().contains("4.7.0 temporary authentication failure"), "{away}");
    client.command("AUTH PLAIN AGV2ZQBvcGVuIHNlc2FtZQ==").expect_code(535);
    client.command("AUTH PLAIN Ym9iAGFubgBvcGVuIHNlc2FtZQ==").expect_code(535);
    client.command(ANN).expect_code(235);
}

#[test]
fn a_failure_lets_nobody_in() {
    for (mode, on_failure, code, reason) in [
        ("trap", "accept", 535, "trap"),
        ("trap", "tempfail", 454, "trap"),
        ("trap", "reject", 535, "trap"),
        ("trap", "disconnect", 421, "trap"),
        ("loop", "accept", 535, "timeout"),
        ("vouch", "accept", 535, "bad-answer"),
        ("empty-identity", "accept", 535, "bad-answer"),
        ("wrong-class", "accept", 535, "bad-answer"),
    ] {
        let gateway = in_clear(&Sink::smtp(), [misbehave(mode, on_failure)]);
        let mut client = gateway.client();
        let said = client.command(ANN);
        assert_eq!(said.code, code, "{mode} {on_failure}: {said}");
        let labels = [("plugin", "villain"), ("hook", "auth"), ("reason", reason)];
        gateway.wait_for_metric("portcullis_plugin_failures_total", &labels, 1.0);
        if code == 421 {
            assert!(client.wait_for_end().is_empty());
        } else {
            client.command("NOOP").expect_code(250);
        }
    }
}

#[test]
fn after_a_failure_that_is_no_opinion_the_next_plugin_is_asked() {
    let gateway = in_clear(&Sink::smtp(), [misbehave("trap", "accept"), porter()]);
    let mut client = gateway.client();
    client.command(WRONG).expect_code(535);
    client.command(ANN).expect_code(235);
}

#[test]
fn a_plugin_that_tells_secrets_is_not_heard() {
    let gateway = in_clear(&Sink::smtp(), [misbehave("leak-secret", "tempfail")]);
    let said = gateway.client().command(ANN).expect_code(535);
    assert!(!said.to_string().contains("sesame"), "{said}");
    gateway.log.wait_for("a line that is withheld", |it| {
        it.field("plugin") == "villain" && it.mentions("withheld")
    });
    let log = gateway.log.lines().join("\n");
    assert!(!log.contains("sesame"), "{log}");
}

#[test]
fn what_the_gateway_has_seen_proved_needs_no_grant() {
    let Some([python]) = need(["python3"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    fs::write(&users, "ann:{cleartext}open sesame\n").unwrap();
    let mut porter = porter();
    porter["grants"] = json!(["rewrite-headers"]);
    let sink = Sink::smtp();
    let auth = json!({ "mechanisms": ["cram-md5", "plain"], "users": users });
    let gateway = gateway(&sink, [porter], auth);
    smtplib(&python, &gateway, "CRAM-MD5", "open sesame").expect_success();
    assert_eq!(seen(&sink.only_letter().text())["mechanism"], "CRAM-MD5");
    assert!(!smtplib(&python, &gateway, "CRAM-MD5", "open barley").status.success());
    // By PLAIN it is to tell whether a secret is right that it is not shown: its failure is a 454.
    let refused = smtplib(&python, &gateway, "PLAIN", "open sesame");
    assert!(refused.stderr.contains("454"), "{}", refused.stderr);
}
