//! What plugins' authors have: `portcullis plugin new`, `build`, `inspect`, `run`, `test`, `bench`.

use std::fs;
use std::path::Path;
use std::process::Command;

use portcullis_tests::gateway::{plugin, program};
use portcullis_tests::process::{Finished, run};
use portcullis_tests::{peers, repository};
use serde_json::Value;

/// `portcullis plugin ...`, in a folder.
fn author(folder: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(program());
    command.current_dir(folder).arg("plugin").args(arguments).env("NO_COLOR", "1");
    // Where other tests have their tools and crates, too.
    command.env("PORTCULLIS_TOOLS", repository().join("target/sdk-tools"));
    command.env("CARGO_TARGET_DIR", repository().join("target/authors"));
    run(&mut command)
}

fn file(name: &str) -> String {
    plugin(name).to_string_lossy().into_owned()
}

fn written(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("a file can be written");
    path.to_string_lossy().into_owned()
}

/// From nothing to a plugin whose scenarios pass.
#[track_caller]
fn a_new_project_is_built_and_passes(language: &str, programs: [&'static str; 2]) {
    if peers::need(programs).is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    author(folder.path(), &["new", "--lang", language, "spam-trap"]).expect_success();
    let project = folder.path().join("spam-trap");
    author(&project, &["build"]).expect_success();
    let tested = author(&project, &["test", "."]);
    assert!(tested.stdout.contains("4 passed"), "{}{}", tested.stdout, tested.stderr);
    let inspected = author(&project, &["inspect", "spam-trap.wasm", "--json"]);
    let inspected: Value = serde_json::from_str(&inspected.stdout).expect("JSON");
    let hooks = inspected["hooks"].as_array().expect("hooks");
    assert!(hooks.iter().any(|hook| hook == "rcpt"), "{inspected}");
}

#[test]
fn a_new_c_project_is_built_and_passes() {
    a_new_project_is_built_and_passes("c", ["make", "python3"]);
}

#[test]
fn a_new_go_project_is_built_and_passes() {
    a_new_project_is_built_and_passes("go", ["sh", "go"]);
}

#[test]
fn a_new_javascript_project_is_built_and_passes() {
    a_new_project_is_built_and_passes("js", ["node", "npm"]);
}

#[test]
fn a_new_python_project_is_built_and_passes() {
    a_new_project_is_built_and_passes("python", ["sh", "python3"]);
}

#[test]
fn a_new_rust_project_is_built_and_passes() {
    a_new_project_is_built_and_passes("rust", ["cargo", "rustc"]);
}

#[test]
fn a_new_project_overwrites_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    author(folder.path(), &["new", "--lang", "js", "one"]).expect_success();
    let again = author(folder.path(), &["new", "--lang", "rust", "one"]);
    assert_eq!(again.status.code(), Some(2), "{}", again.stderr);
    assert!(again.stderr.contains("is there already, and nothing is overwritten"));
    assert!(!folder.path().join("one/Cargo.toml").exists(), "all or nothing");
}

#[test]
fn a_folder_without_a_project_is_told_from_one_that_cannot_be_built() {
    let folder = tempfile::tempdir().expect("a folder");
    let built = author(folder.path(), &["build"]);
    assert_eq!(built.status.code(), Some(2));
    assert!(built.stderr.contains("\"portcullis plugin new\" begins one"), "{}", built.stderr);
}

#[test]
fn scenarios_of_the_bundled_plugins_and_of_the_example_pass() {
    let repository = repository();
    let mut played = vec![("plugin-sdk/example".to_owned(), "gatekeeper-rust".to_owned())];
    for folder in fs::read_dir(repository.join("plugins")).expect("the plugins are there") {
        let folder = folder.expect("a folder can be read").path();
        if folder.join("scenarios.yaml").is_file() {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            played.push((format!("plugins/{name}/scenarios.yaml"), name));
        }
    }
    assert!(played.len() > 4, "{played:?}");
    for (scenarios, built) in &played {
        let tested = author(&repository, &["test", scenarios, "--plugin", &file(built)]);
        assert!(tested.status.success(), "{}{}", tested.stdout, tested.stderr);
        assert!(tested.stdout.contains("passed"), "{}", tested.stdout);
    }
}

#[test]
fn a_difference_is_told_with_its_place_and_in_the_report() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenarios = written(
        folder.path(),
        "scenarios.yaml",
        "plugin:\n  settings: {add: [{name: X-A, value: x}]}\n  grants: [rewrite-headers]\n\
         scenarios:\n  - name: as it is\n    message: \"a: b\\n\\n\"\n    expect: {headers: next}\n  \
         - name: as it is not\n    message: \"a: b\\n\\n\"\n    expect:\n      \
         headers: {reject: 550 5.7.1 no}\n      edits: []\n",
    );
    let report = folder.path().join("junit.xml");
    let report_name = report.to_string_lossy().into_owned();
    let given = ["test", &scenarios, "--plugin", &file("headers"), "--junit", &report_name];
    let tested = author(folder.path(), &given);
    assert_eq!(tested.status.code(), Some(1), "{}", tested.stderr);
    for line in [
        "ok    as it is",
        "FAIL  as it is not",
        "expected  reject: {code: 550, status: 5.7.1, text: no}",
        "came      next",
        "scenarios.yaml:11:17",
        "came      add-header: {at: 0, name: X-A, value: x}",
        "1 of 2 failed",
    ] {
        assert!(tested.stdout.contains(line), "{line}\n{}", tested.stdout);
    }
    let report = fs::read_to_string(report).expect("a report");
    assert!(report.contains("tests=\"2\" failures=\"1\""), "{report}");
    assert!(report.contains("scenarios.yaml:11:17"), "{report}");
}

#[test]
fn a_failure_that_nobody_expects_fails_the_scenario() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenarios = "plugin: {settings: {mode: trap, when: {hook: rcpt}}}\n\
        scenarios:\n  - {name: unexpected, mail: , expect: {connect: next}}\n  \
        - {name: expected, mail: , expect: {rcpt: {fails: trap}, reply: {refused: 451}}}\n";
    let scenarios = written(folder.path(), "scenarios.yaml", scenarios);
    let tested = author(folder.path(), &["test", &scenarios, "--plugin", &file("test-misbehave")]);
    assert_eq!(tested.status.code(), Some(1), "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("FAIL  unexpected"), "{}", tested.stdout);
    assert!(tested.stdout.contains("expected  no failure"), "{}", tested.stdout);
    assert!(tested.stdout.contains("ok    expected"), "{}", tested.stdout);
}

#[test]
fn mistakes_in_a_scenario_file_are_told_with_what_to_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenarios = written(
        folder.path(),
        "scenarios.yaml",
        "dns: {a.example: {AAA: \"::1\"}}\nscenarios:\n  - name: x\n    sesion: {}\n    \
         expect: {rcpt: nexxt}\n",
    );
    let tested = author(folder.path(), &["test", &scenarios, "--plugin", &file("headers")]);
    assert_eq!(tested.status.code(), Some(2));
    for text in [
        "\"AAA\" is no kind of records",
        "unknown key \"sesion\"",
        "did you mean \"session\"?",
        "\"rcpt\" cannot be \"nexxt\"",
        "did you mean \"next\"?",
        "scenarios.yaml:5:20",
    ] {
        assert!(tested.stderr.contains(text), "{text}\n{}", tested.stderr);
    }
}

#[test]
fn a_plugin_is_inspected_and_what_is_none_is_told() {
    let folder = repository();
    let inspected = author(&folder, &["inspect", &file("gatekeeper-rust")]).expect_success();
    for text in ["connect, rcpt, message", "[dns, {kv: [STORE]}, rewrite-headers]", "Rust"] {
        assert!(inspected.stdout.contains(text), "{text}\n{}", inspected.stdout);
    }
    let settings = ["inspect", &file("headers"), "--settings", "{}", "--json"];
    let inspected = author(&folder, &settings);
    let inspected: Value = serde_json::from_str(&inspected.stdout).expect("JSON");
    assert_eq!(inspected["snapshot"], true);
    assert_eq!(inspected["contract"], "smtp:filter@0.1.0");
    let none = author(&folder, &["inspect", "Cargo.toml"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(none.stderr.contains("Cargo.toml is not a WebAssembly file"), "{}", none.stderr);
}

#[test]
fn hooks_that_will_not_be_called_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut octets = fs::read(plugin("access")).expect("a plugin");
    let hooks = octets.windows(7).enumerate().filter(|(_, found)| found == b"on-helo");
    for at in hooks.map(|(at, _)| at).collect::<Vec<_>>() {
        octets[at..at + 7].copy_from_slice(b"on-hero");
    }
    fs::write(folder.path().join("misspelt.wasm"), octets).expect("written");
    let inspected = author(folder.path(), &["inspect", "misspelt.wasm"]).expect_success();
    let told = "unknown   smtp:filter/on-hero: never called by this gateway";
    assert!(inspected.stdout.contains(told), "{}", inspected.stdout);

    let settings = r#"{"deny": {"helo": ["localhost"]}}"#;
    let inspected = author(&repository(), &["inspect", &file("access"), "--settings", settings]);
    assert!(inspected.stdout.contains("hooks     helo\n"), "{}", inspected.stdout);
}

const MAIL: &str = "From: Ann <ann@example.com>\nTo: a@closed.example, b@example.org\n\
                    Subject: hello\n\ntext\n";

const SESSION: &str = "plugin:\n  settings: {refuse: [closed.example], list: bl.example, store: counts}\n  \
     grants: [dns, rewrite-headers, {kv: [counts]}]\n\
     dns: {9.2.0.192.bl.example: timeout}\nsession: {client: 192.0.2.9}\n";

#[test]
fn a_mail_is_shown_to_a_plugin_and_what_it_did_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mail = written(folder.path(), "mail.eml", MAIL);
    let session = written(folder.path(), "session.yaml", SESSION);
    let shown = ["run", &file("gatekeeper-rust"), "--eml", &mail, "--session", &session];
    let shown = author(folder.path(), &shown);
    assert!(shown.status.success(), "{}{}", shown.stdout, shown.stderr);
    for text in [
        "mail   <ann@example.com> to a@closed.example, b@example.org",
        "rcpt a@closed.example: reject: {code: 550, status: 5.7.1",
        "rcpt b@example.org: next",
        "connect: dns A 9.2.0.192.bl.example: timed out",
        "message: kv add 1 to messages: 1",
        "connect: WARN bl.example does not answer",
        "- to <a@closed.example>",
        "+ X-Gatekeeper: message 1",
    ] {
        assert!(shown.stdout.contains(text), "{text}\n{}", shown.stdout);
    }
}

#[test]
fn what_a_mail_costs_is_measured_in_bounded_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let session = written(folder.path(), "session.yaml", SESSION);
    let given = ["bench", &file("gatekeeper-rust"), "--session", &session, "--seconds", "1"];
    let measured = author(folder.path(), &given);
    assert!(measured.status.success(), "{}{}", measured.stdout, measured.stderr);
    for text in ["transaction", "call", "rcpt", "a mail", "a copy"] {
        assert!(measured.stdout.contains(text), "{text}\n{}", measured.stdout);
    }
}
