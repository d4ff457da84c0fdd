//! What an operator types to know what a configuration says: `check` and `config`.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::gateway::{Gateway, plugin, program};
use portcullis_tests::process::{Finished, run};
use portcullis_tests::{Sink, free_address, peers, repository};
use serde_json::{Value, json};

fn portcullis(arguments: &[&str], file: &Path) -> Finished {
    run(Command::new(program()).args(arguments).arg("--config").arg(file))
}

/// A configuration in a folder of its own.
struct Written {
    folder: tempfile::TempDir,
    file: PathBuf,
}

fn write(text: &str) -> Written {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("portcullis.yaml");
    fs::write(&file, text).expect("a folder takes a file");
    Written { folder, file }
}

fn text(listener: &str, rest: &str) -> String {
    let admin = free_address();
    format!(
        "hostname: mx.example.org\n\
         listeners:\n  - {{name: mx, address: \"{listener}\"}}\n\
         upstreams:\n  store: {{address: \"127.0.0.1:2526\"}}\n\
         default_upstream: store\n\
         admin: {{address: \"{admin}\"}}\n{rest}"
    )
}

#[test]
fn mistakes_of_the_file_hide_none_of_what_it_names() {
    let plugin = plugin("recipients").display().to_string();
    let rest = format!(
        "plugins:\n  - name: recipients\n    file: {plugin}\n    settings: {{domain: {{}}}}\n\
         sutdown: {{deadline: 3s}}\n"
    );
    let written = write(&text("127.0.0.1:0", &rest));
    let said = portcullis(&["check"], &written.file);
    assert_eq!(said.status.code(), Some(2), "{}", said.stderr);
    for told in [
        "did you mean \"shutdown\"?",
        "portcullis.yaml:12:1\n",
        "it refuses its settings",
        "portcullis.yaml:11:",
        "is not fit to serve: 2 errors",
    ] {
        assert!(said.stderr.contains(told), "{told:?} is not in\n{}", said.stderr);
    }
}

#[test]
fn an_address_that_somebody_else_has_is_no_mistake_of_the_configuration() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let written = write(&text(&address, ""));
    let said = portcullis(&["check"], &written.file);
    assert_eq!(said.status.code(), Some(1), "{}{}", said.stdout, said.stderr);
    let told = format!("somebody else listens at {address}");
    assert!(said.stderr.contains(&told), "{}", said.stderr);
    let said = portcullis(&["check", "--no-network", "--format", "json"], &written.file);
    assert_eq!(said.status.code(), Some(0), "{}{}", said.stdout, said.stderr);
    let told: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told["fit"], true);
    assert_eq!(told["listeners"][0]["address"], *address);
    assert_eq!(told["upstreams"][0]["tls"], "none");
    let codes: Vec<_> =
        told["mistakes"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["nobody-filters-what-comes-in-here"]);
    drop(taken);
}

#[test]
fn a_gateway_that_runs_is_known_and_tells_what_a_reload_would_change() {
    let sink = Sink::smtp();
    let recipients = json!({
        "name": "recipients",
        "file": plugin("recipients"),
        "settings": {"domains": {"example.com": "any"}},
    });
    let gateway = Gateway::before(&sink).plugin(recipients).start();
    let file = gateway.configuration();
    let said = portcullis(&["check"], &file);
    assert_eq!(said.status.code(), Some(0), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("the gateway that runs"), "{}", said.stdout);
    assert!(said.stdout.contains("recipients: asked at rcpt"), "{}", said.stdout);

    let said = portcullis(&["config", "diff"], &file);
    assert_eq!(said.status.code(), Some(0), "{}", said.stderr);
    assert_eq!(said.stdout, "nothing would change\n");
    let changed = fs::read_to_string(&file).unwrap().replace("example.com", "example.net");
    let other = file.with_file_name("other.yaml");
    fs::write(&other, changed).unwrap();
    let said = portcullis(&["config", "diff"], &other);
    assert_eq!(said.status.code(), Some(3), "{}", said.stderr);
    assert_eq!(
        said.stdout,
        "- plugins[recipients].settings.domains.example.com: \"any\"\n\
         + plugins[recipients].settings.domains.example.net: \"any\"\n"
    );
}

#[test]
fn no_secret_is_shown() {
    let rest = "stores:\n  rates: {kind: redis, url: \"${env:RATES}\"}\n";
    let written = write(&text("127.0.0.1:0", rest));
    let url = "redis://me:s3cret-pass@127.0.0.1:1/0";
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--format", "json"],
        &["check"],
        &["check", "--format", "json"],
    ] {
        let mut command = Command::new(program());
        command.args(arguments).arg("--config").arg(&written.file).env("RATES", url);
        let said = run(&mut command);
        assert_eq!(said.status.code(), Some(0), "{arguments:?}: {}", said.stderr);
        let told = format!("{}{}", said.stdout, said.stderr);
        assert!(!told.contains("s3cret"), "{arguments:?}: {told}");
        assert!(arguments[0] == "check" || told.contains("${env:RATES}"), "{told}");
    }
    let said = portcullis(&["check"], &written.file);
    assert_eq!(said.status.code(), Some(2), "{}", said.stderr);
    assert!(
        said.stderr.contains("the environment variable \"RATES\" is not set"),
        "{}",
        said.stderr
    );
    drop(written.folder);
}

/// Prints, one a line, the files that do not validate.
const VALIDATE: &str = r#"
import json, sys, yaml, jsonschema
class Loader(yaml.SafeLoader): pass
# YAML 1.2, as the gateway reads it: no dates.
Loader.yaml_implicit_resolvers = {
    first: [one for one in all if one[0] != "tag:yaml.org,2002:timestamp"]
    for first, all in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for file in sys.argv[2:]:
    try:
        text = open(file, encoding="utf-8").read()
        for error in validator.iter_errors(yaml.load(text, Loader)):
            print(file, error.json_path, error.message[:200].replace("\n", " "), sep="\t")
            break
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        print(file, "unreadable", sep="\t")
"#;

#[test]
fn the_schema_knows_good_configurations_from_bad_ones() {
    let Some(python) = peers::python_with("yaml jsonschema") else { return };
    let folder = tempfile::tempdir().unwrap();
    let schema = folder.path().join("schema.json");
    let said = run(Command::new(program()).args(["config", "schema"])).expect_success();
    fs::write(&schema, said.stdout).unwrap();
    let invalid = |files: &[PathBuf]| -> Vec<String> {
        let mut command = Command::new(&python);
        let said = run(command.args(["-c", VALIDATE]).arg(&schema).args(files)).expect_success();
        said.stdout.lines().map(str::to_owned).collect()
    };
    let folder_of = |path: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(repository().join(path)).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|kind| kind == "yaml")).collect()
    };
    let mut good = folder_of("config/examples");
    good.retain(|file| !file.to_string_lossy().ends_with(".scenarios.yaml"));
    good.push(repository().join("config/portcullis.yaml"));
    good.push(repository().join("tests/conformance/portcullis.yaml"));
    assert_eq!(invalid(&good), [""; 0]);

    // What a schema can know: keys, kinds, words and bounds.
    let bad = folder_of("gateway/tests/bad_configs");
    let refused = invalid(&bad).join("\n");
    let mut known = 0;
    for file in &bad {
        let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
        let mistake = text.lines().next().unwrap_or_default().to_owned();
        let plain = ["unknown key", "must be a list", "must be a section", "must be one value"];
        if plain.iter().any(|kind| mistake.contains(kind))
            && !mistake.contains("unknown key \"<<\"")
        {
            known += 1;
            assert!(
                refused.contains(&*file.to_string_lossy()),
                "{} passes: {mistake}",
                file.display()
            );
        }
    }
    assert!(known >= 15, "only {known}");
    assert!(refused.lines().count() >= 80, "only {}:\n{refused}", refused.lines().count());
}
