//! The command line, configurations, and what the README tells people to type.

use std::fs;
use std::process::Command;

use portcullis_tests::gateway::{check, plugin, program};
use portcullis_tests::process::run;
use portcullis_tests::{free_address, repository};
use serde_json::json;

fn check_text(text: &str) -> portcullis_tests::process::Finished {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = folder.path().join("portcullis.yaml");
    fs::write(&file, text).expect("a new folder takes a file");
    check(&file)
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let said = check_text(
        "hostname: gateway.example\n\
         listners: []\n\
         listeners:\n\
         - name: mx\n  \
           address: 127.0.0.1:0\n  \
           upstream: nowhere\n\
         hostname: twice.example\n\
         plugins:\n\
         - name: access\n  \
           file: not/there.wasm\n",
    );
    assert_eq!(said.status.code(), Some(2), "{}{}", said.stdout, said.stderr);
    let told = format!("{}{}", said.stdout, said.stderr);
    for (place, what) in [
        ("portcullis.yaml:2:1", "did you mean \"listeners\""),
        ("portcullis.yaml:6:", "nowhere"),
        ("portcullis.yaml:7:1", "hostname"),
        ("portcullis.yaml:10:", "not/there.wasm"),
    ] {
        assert!(told.contains(place) && told.contains(what), "{place} {what} is not in\n{told}");
    }
}

#[test]
fn run_refuses_what_check_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.yaml");
    fs::write(&file, "listeners: []\nnonsense: 1\n").unwrap();
    for command in ["check", "run"] {
        let said = run(Command::new(program()).arg(command).arg("--config").arg(&file));
        assert_eq!(said.status.code(), Some(2), "{command}: {}{}", said.stdout, said.stderr);
        assert!(said.stderr.contains("nonsense") || said.stdout.contains("nonsense"));
    }
}

#[test]
fn a_plugin_that_refuses_its_settings_refuses_the_configuration() {
    for mode in ["fail-configure", "trap-configure", "loop-configure"] {
        let config = json!({
            "hostname": "gateway.example",
            "listeners": [{ "name": "mx", "address": free_address().to_string() }],
            "upstreams": { "store": { "address": "127.0.0.1:2526" } },
            "default_upstream": "store",
            "plugins": [{
                "name": "villain",
                "file": plugin("test-misbehave"),
                "settings": { "mode": mode },
            }],
        });
        let said = check_text(&config.to_string());
        let told = format!("{}{}", said.stdout, said.stderr);
        assert_eq!(said.status.code(), Some(2), "{mode}: {told}");
        assert!(told.contains("villain"), "{mode}: {told}");
    }
}

#[test]
fn a_file_that_is_no_plugin_is_refused() {
    let config = json!({
        "hostname": "gateway.example",
        "listeners": [{ "name": "mx", "address": free_address().to_string() }],
        "upstreams": { "store": { "address": "127.0.0.1:2526" } },
        "default_upstream": "store",
        "plugins": [{ "name": "readme", "file": repository().join("README.md") }],
    });
    let said = check_text(&config.to_string());
    assert_eq!(said.status.code(), Some(2), "{}{}", said.stdout, said.stderr);
}

#[test]
fn every_configuration_that_can_be_tried_at_once_is_good() {
    // The examples name files of the machine that they are for; the gateway's own tests load them.
    for file in ["config/portcullis.yaml", "tests/conformance/portcullis.yaml"] {
        let said = check(&repository().join(file));
        assert!(said.status.success(), "{file}: {}{}", said.stdout, said.stderr);
    }
}

#[test]
fn the_readme_names_targets_and_commands_that_exist() {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let commands: Vec<_> = readme.lines().map(str::trim).collect();
    for target in commands.iter().filter_map(|line| line.strip_prefix("make ")) {
        let target = target.split_whitespace().next().unwrap();
        assert!(
            makefile.lines().any(|line| line.starts_with(&format!("{target}:"))),
            "make {target}"
        );
    }
    let subcommands = commands.iter().filter_map(|line| line.split_once("portcullis "));
    for (_, rest) in subcommands.filter(|(before, _)| before.ends_with('/')) {
        let words: Vec<_> = rest.split_whitespace().collect();
        let help = run(Command::new(program()).arg(words[0]).arg("--help")).expect_success();
        for option in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.stdout.contains(option), "{rest}: no {option}");
        }
    }
}

#[test]
fn the_plugin_that_is_shown_is_the_template_which_is_built_and_tested() {
    let read = |file: &str| fs::read_to_string(repository().join(file)).unwrap();
    let template = read("plugin-sdk/rust/template/src/lib.rs");
    for readme in ["README.md", "plugin-sdk/rust/README.md"] {
        assert!(read(readme).contains(&format!("```rust\n{template}```\n")), "{readme}");
    }
}

#[test]
fn the_demo_shows_every_fate_and_ends() {
    let plugins = plugin("access");
    let said = run(Command::new(program())
        .args(["demo", "--once", "--plugins"])
        .arg(plugins.parent().unwrap()))
    .expect_success();
    for shown in ["250 2.0.0", "550 5.7.1", "550 5.1.1", "451 4.3.0", "/metrics"] {
        assert!(said.stdout.contains(shown), "no {shown} in\n{}", said.stdout);
    }
}
