//! What watches the gateway: rules and dashboard have to ask for what there is.
//!
//! A real Prometheus scrapes a gateway to which everything happens that is counted, and evaluates
//! each query of `config/prometheus` and `config/grafana`.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use portcullis_tests::gateway::{plugin, program};
use portcullis_tests::peers::{Prometheus, need};
use portcullis_tests::sink::Manners;
use portcullis_tests::{
    Client, Gateway, Running, Sink, free_address, process, repository, wait_for,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::judging::bundled;

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

fn rules() -> Vec<PathBuf> {
    ["recording.yaml", "alerts.yaml"]
        .map(|file| repository().join("config/prometheus").join(file))
        .into()
}

/// A gateway with something of everything, and what its files lie in.
struct Scene {
    gateway: Running,
    sink: Sink,
    _folder: TempDir,
}

impl Scene {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = |name: &str| folder.path().join(name);
        fs::write(file("people.map"), "mapped.example store\n").expect("a file");
        let mut user = Command::new(program());
        user.args(["user", "add", "--scheme", "argon2id", "alice", "--file"]).arg(file("users"));
        process::run_with_input(&mut user, "open sesame\n").expect_success();
        let sink = Sink::with(Manners {
            answers: vec![("RCPT TO:<later@".to_owned(), "450 4.2.1 later".to_owned())],
            ..Manners::default()
        });
        let dead = free_address().to_string();
        // Logins of anybody who has TLS.
        let settings = json!({
            "auth": { "users": file("users"), "failure_delay": "10ms" },
            "scores": { "reject": 10 },
        });
        let gateway = Gateway::before(&sink)
            .tls_listener_with("submission", "starttls", settings)
            .listener("spooled", json!({ "delivery": "spool" }))
            .upstream_with("dead", json!({ "address": dead, "health": { "failures": 1 } }));
        let villain = json!({
            "name": "villain",
            "file": plugin("test-misbehave"),
            "settings": { "mode": "trap", "when": { "hook": "mail", "sender": "villain@example.org" } },
        });
        let gateway = bundled(gateway)
            .plugin(villain)
            .set(
                "routes",
                json!([
                    { "recipients": ["dead@example.com"], "upstream": "dead" },
                    { "map": file("people.map") },
                ]),
            )
            .set("spool", json!({ "directory": file("spool") }))
            .set("stores", json!({ "memory": { "kind": "memory" } }))
            .start();
        Self { gateway, sink, _folder: folder }
    }

    /// Everything happens, again and again, until it is told to stop.
    fn live(&self, over: &Arc<AtomicBool>) -> JoinHandle<()> {
        let addresses = ["mx", "submission", "spooled"].map(|name| self.gateway.address(name));
        let over = over.clone();
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                happen(addresses);
            }
        })
    }
}

fn happen([mx, submission, spooled]: [SocketAddr; 3]) {
    let mut client = Client::ehlo(mx);
    for (from, to) in [
        ("a@example.org", "b@example.com"),
        ("a@spam.example", "b@example.com"),
        ("villain@example.org", "b@example.com"),
        ("a@example.org", "gone@example.com"),
        ("a@example.org", "later@example.com"),
        ("a@example.org", "dead@example.com"),
    ] {
        drop(client.deliver(from, &[to], MESSAGE));
        client.command("RSET");
    }
    // More than anybody is listened to.
    drop(client.send("BOGUS\r\n".repeat(12).as_bytes()));
    client.wait_for_end();
    let mut client = Client::ehlo(submission);
    client.command("STARTTLS").expect_code(220);
    // It takes no TLS for TLS.
    drop(client.send(b"EHLO client.example\r\n"));
    client.wait_for_end();
    let mut client = Client::ehlo(submission);
    client.command("STARTTLS").expect_code(220);
    client.start_tls();
    client.command("EHLO client.example").expect_code(250);
    // alice, open sesame.
    client.command("AUTH PLAIN AGFsaWNlAG9wZW4gc2VzYW1l").expect_code(235);
    drop(client.deliver("a@example.org", &["b@example.com"], MESSAGE));
    // It goes without a word.
    drop(client);
    drop(Client::ehlo(spooled).deliver("a@example.org", &["b@example.com"], MESSAGE));
}

/// What Grafana would ask for, with everything chosen.
fn dashboard() -> Vec<String> {
    let file = repository().join("config/grafana/portcullis.json");
    let text = fs::read_to_string(file).expect("a dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let mut queries = Vec::new();
    gather(&dashboard, &mut queries);
    assert!(queries.len() > 50, "{queries:#?}");
    let filled = |query: String| {
        let query = query.replace("$__rate_interval", "1m");
        ["$instance", "$listener", "$plugin", "$upstream"]
            .iter()
            .fold(query, |query, variable| query.replace(variable, ".*"))
    };
    queries.into_iter().map(filled).collect()
}

fn gather(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            queries.extend(members.get("expr").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| gather(member, queries));
        }
        Value::Array(members) => members.iter().for_each(|member| gather(member, queries)),
        _ => {}
    }
}

/// The expressions of rules, with whether they record.
fn expressions() -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for file in rules() {
        let text = fs::read_to_string(file).expect("rules");
        let rules: Value = serde_yaml::from_str(&text).expect("YAML");
        let groups = rules["groups"].as_array().expect("groups");
        for rule in groups.iter().filter_map(|group| group["rules"].as_array()).flatten() {
            let expression = rule["expr"].as_str().expect("an expression");
            found.push((rule.get("record").is_some(), expression.to_owned()));
        }
    }
    found
}

/// The selectors in an expression: names of ours, with what they are narrowed to.
fn selectors(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        let word = &rest[start..];
        let end = word.find(|c| !is_name(c)).unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        let labels = match after.starts_with('{') {
            true => after.split_inclusive('}').next().unwrap_or_default(),
            false => "",
        };
        let ours = ["portcullis_", "process_", "instance"].iter().any(|it| name.starts_with(it));
        if name == "up" || ours && (name.contains('_') && name != "instance") {
            found.push(format!("{name}{labels}"));
        }
        // A string may hold anything.
        rest = &after[labels.len()..];
    }
    found
}

#[test]
fn rules_and_dashboard_ask_for_what_there_is() {
    let scene = Scene::start();
    let Some(prometheus) = Prometheus::with_rules(scene.gateway.admin, &rules()) else { return };
    let over = Arc::new(AtomicBool::new(false));
    let life = scene.live(&over);
    let mut wrong = Vec::new();
    // Another configuration, after one was seen.
    wait_for("a scrape", || prometheus.query("portcullis_transactions_total > 0"));
    scene.gateway.process.signal("HUP");
    // Rates need a few scrapes, and what is recorded some evaluations more.
    let mut pending = dashboard();
    pending.extend(expressions().into_iter().filter(|(records, _)| *records).map(|(_, it)| it));
    pending.extend(expressions().iter().flat_map(|(_, expression)| selectors(expression)));
    pending.sort_unstable();
    pending.dedup();
    let deadline = std::time::Instant::now() + portcullis_tests::PATIENCE * 2;
    while !pending.is_empty() && std::time::Instant::now() < deadline {
        pending.retain(|query| match prometheus.count(query) {
            Ok(0) => true,
            Ok(_) => false,
            Err(why) => {
                wrong.push(format!("{query}: {why}"));
                false
            }
        });
        thread::sleep(std::time::Duration::from_secs(1));
    }
    over.store(true, Ordering::Relaxed);
    life.join().expect("a life");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(pending.is_empty(), "these find nothing: {pending:#?}");
    let sick: Vec<_> =
        prometheus.rules().into_iter().filter(|(_, error)| !error.is_empty()).collect();
    assert!(sick.is_empty(), "{sick:#?}");
    assert_eq!(prometheus.rules().len(), expressions().len());
    assert_eq!(prometheus.complaint().as_deref(), Some(""));
    assert!(!scene.sink.letters().is_empty());
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let folder = repository().join("config/prometheus");
    let read = |file: &str| fs::read_to_string(folder.join(file)).expect("a file of rules");
    let tests = read("tests.yaml") + &read("tests-of-days.yaml");
    let readme = read("README.md");
    let alerts = read("alerts.yaml");
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        for case in ["fires", "stays silent"] {
            assert!(tests.contains(&format!("- name: {name} {case}\n")), "{name} {case}");
        }
        assert!(readme.contains(&format!("### {name}\n")), "{name} has no section");
        let anchor = format!("runbook: config/prometheus/README.md#{}\n", name.to_lowercase());
        assert!(alerts.contains(&anchor), "{name} has no runbook");
    }
}

#[test]
fn promtool_has_nothing_to_say_of_the_rules() {
    let Some([promtool]) = need(["promtool"]) else { return };
    let folder = repository().join("config/prometheus");
    for arguments in [
        &["check", "config", "prometheus.yaml"][..],
        &["check", "rules", "recording.yaml", "alerts.yaml"],
        &["test", "rules", "tests.yaml", "tests-of-days.yaml"],
    ] {
        let mut command = Command::new(&promtool);
        process::run(command.current_dir(&folder).args(arguments)).expect_success();
    }
}

#[test]
fn the_dashboard_is_what_its_script_makes() {
    let Some([python]) = need(["python3"]) else { return };
    let script = repository().join("config/grafana/make.py");
    process::run(Command::new(python).arg(script).arg("--check")).expect_success();
}
