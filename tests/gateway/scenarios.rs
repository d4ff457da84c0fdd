//! `portcullis test`: scenarios of the examples are true, and of others it is told what differs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::gateway::{plugin, program};
use portcullis_tests::process::{Finished, run};
use portcullis_tests::{peers, repository};
use serde_json::Value;
use tempfile::TempDir;

/// An example with its scenarios, where its plugins and certificates are.
struct Example {
    folder: TempDir,
}

impl Example {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let examples = repository().join("config/examples");
        let text = fs::read_to_string(examples.join("inbound-mx-lmtp.yaml")).expect("an example");
        let plugins = plugin("access").parent().map(Path::to_owned).expect("a folder of plugins");
        let tls = repository().join("tests/conformance/tls");
        let text = text
            .replace("/usr/lib/portcullis/plugins", &plugins.to_string_lossy())
            .replace(
                "/etc/portcullis/tls/fullchain.pem",
                &tls.join("certificate.pem").to_string_lossy(),
            )
            .replace("/etc/portcullis/tls/privkey.pem", &tls.join("key.pem").to_string_lossy());
        fs::write(folder.path().join("portcullis.yaml"), text).expect("a file can be written");
        Self { folder }
    }

    fn scenarios() -> PathBuf {
        repository().join("config/examples/inbound-mx-lmtp.scenarios.yaml")
    }

    fn written(&self, text: &str) -> PathBuf {
        let path = self.folder.path().join("scenarios.yaml");
        fs::write(&path, text).expect("a file can be written");
        path
    }

    fn test(&self, file: &Path, words: &[&str]) -> Finished {
        let mut command = Command::new(program());
        command.current_dir(self.folder.path()).args(["test", "--config", "portcullis.yaml"]);
        run(command.arg(file).args(words))
    }
}

/// One that is true, and one that is not.
const MIXED: &str = "\
mail: {from: ann@example.net, to: [bob@example.org]}
scenarios:
  - name: as it is
    expect: {outcome: undecided, rcpt: [next], reply: 250}
  - name: as it is not
    mail: {to: [nobody@example.org]}
    expect:
      rcpt: {nobody@example.org: next}
      routes: {nobody@example.org: dovecot}
";

#[test]
fn scenarios_of_the_example_are_true() {
    let tested = Example::new().test(&Example::scenarios(), &[]);
    assert_eq!(tested.status.code(), Some(0), "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.contains("ok    this server relays for nobody"), "{}", tested.stdout);
    assert!(tested.stdout.ends_with("\n7 passed\n"), "{}", tested.stdout);
}

#[test]
fn what_differs_is_told_with_the_conversation() {
    let example = Example::new();
    let tested = example.test(&example.written(MIXED), &[]);
    assert_eq!(tested.status.code(), Some(1), "{}{}", tested.stdout, tested.stderr);
    for line in [
        "ok    as it is (",
        "FAIL  as it is not (",
        "        rcpt nobody@example.org\n          expected  next\n          came      reject: {code: 550, status: 5.1.1, text: ",
        "scenarios.yaml:8:34\n",
        "        route of nobody@example.org\n          expected  dovecot\n          came      null (it is refused: 550 5.1.1 ",
        "        | RCPT TO:<nobody@example.org>\n        |   recipients, rcpt: reject 550 5.1.1 ",
        "\n1 of 2 failed\n",
    ] {
        assert!(tested.stdout.contains(line), "{line}\n{}", tested.stdout);
    }
    let tested = example.test(&example.written(MIXED), &["--filter", "is not"]);
    assert!(tested.stdout.ends_with("\n1 of 1 failed\n"), "{}", tested.stdout);
    let tested = example.test(&example.written(MIXED), &["--filter", "nowhere"]);
    assert_eq!(tested.status.code(), Some(2), "{}", tested.stdout);
}

#[test]
fn programs_and_build_servers_can_read_it() {
    let example = Example::new();
    let file = example.written(MIXED);
    let tested = example.test(&file, &["--format", "json"]);
    assert_eq!(tested.status.code(), Some(1), "{}", tested.stderr);
    let report: Value = serde_json::from_str(&tested.stdout).expect("JSON");
    assert_eq!((&report["passed"], &report["failed"]), (&1.into(), &1.into()), "{report:#}");
    let failed = &report["files"][0]["scenarios"][1];
    assert_eq!(failed["differences"][0]["line"], 8, "{failed:#}");
    assert_eq!(failed["explanation"]["ending"]["decided_by"], "recipients", "{failed:#}");

    let tested = example.test(&file, &["--format", "junit"]);
    assert_eq!(tested.status.code(), Some(1), "{}", tested.stderr);
    assert!(tested.stdout.contains("tests=\"2\" failures=\"1\" errors=\"0\""), "{}", tested.stdout);
    let Some(python) = peers::need(["python3"]) else { return };
    let report = example.folder.path().join("report.xml");
    fs::write(&report, &tested.stdout).expect("a file can be written");
    let parse = "import sys, xml.etree.ElementTree as t\n\
                 print(len(t.parse(sys.argv[1]).findall('.//testcase/failure')))";
    let [python] = python;
    let parsed = run(Command::new(python).args(["-c", parse]).arg(&report)).expect_success();
    assert_eq!(parsed.stdout.trim(), "1");
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_place() {
    let example = Example::new();
    let file = example.written(
        "scenarios:\n  - name: one\n    expect: {routes: {bob@example.org: dovecott}, outcom: accepted}\n",
    );
    let tested = example.test(&file, &[]);
    assert_eq!(tested.status.code(), Some(2), "{}", tested.stdout);
    for line in [
        "error: there is no upstream \"dovecott\"\n",
        "scenarios.yaml:3:40\n",
        "^^^^^^^^\n",
        "did you mean \"dovecot\"?",
        "error: unknown key \"outcom\"\n",
        "did you mean \"outcome\"?",
    ] {
        assert!(tested.stderr.contains(line), "{line}\n{}", tested.stderr);
    }
    assert_eq!(example.test(Path::new("none.yaml"), &[]).status.code(), Some(2));
}
