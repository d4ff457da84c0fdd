//! Plugins that may only be the files that somebody approved.

use std::fs;
use std::path::PathBuf;

use portcullis::config::{self, Digest, Locked, PinnedBy};

use super::summary;

/// A configuration with two plugins, in a folder of its own.
fn two_plugins(first_pin: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for file in ["one.wasm", "two.wasm"] {
        fs::write(folder.path().join(file), file).unwrap();
    }
    let text = format!(
        "\
hostname: mx.example.org
listeners: [{{name: inbound, address: \"127.0.0.1:2525\", plugins: [one, two]}}]
upstreams: {{next: {{address: \"127.0.0.1:2526\"}}}}
default_upstream: next
plugins:
  - {{name: one, file: one.wasm{first_pin}}}
  - {{name: two, file: two.wasm}}
"
    );
    let file = folder.path().join("portcullis.yaml");
    fs::write(&file, text).unwrap();
    (folder, file)
}

fn locked(name: &str) -> Locked {
    let (contract, place) = ("0.1.0".to_owned(), config::Place::default());
    let (name, sha256) = (name.to_owned(), Digest::of(format!("{name}.wasm").as_bytes()));
    Locked { name, sha256, octets: 8, contract, place }
}

#[test]
fn who_pins_one_plugin_is_reminded_of_the_others() {
    let (_folder, file) = two_plugins("");
    assert!(config::load(&file).unwrap().warnings.is_empty());
    let pin = format!(", sha256: {}", Digest::of(b"x"));
    let (_folder, file) = two_plugins(&pin);
    let config = config::load(&file).unwrap();
    let found: Vec<_> = config.warnings.iter().map(summary).collect();
    assert_eq!(found, ["7:23: the plugin \"two\" may be any file, and others are pinned"]);
    assert_eq!(config.plugins[0].pins[0].by, PinnedBy::Key);
}

#[test]
fn a_lock_file_pins_all_plugins_and_tells_of_those_that_are_gone() {
    let (_folder, file) = two_plugins("");
    let lock = config::lock_file(&file);
    assert_eq!(lock.file_name().unwrap(), "portcullis.lock");
    config::write_lock(&lock, &[locked("one"), locked("two"), locked("three")]).unwrap();
    let config = config::load(&file).unwrap();
    for plugin in &config.plugins {
        let pins: Vec<_> = plugin.pins.iter().map(|pin| (pin.sha256, pin.by)).collect();
        assert_eq!(pins, [(locked(&plugin.name).sha256, PinnedBy::Lock { octets: 8 })]);
    }
    let found: Vec<_> = config.warnings.iter().map(summary).collect();
    assert_eq!(found, ["6:19: the configuration has no plugin \"three\""]);
    assert_eq!(config.warnings.iter().next().unwrap().place.file, lock);
    assert!(config::load_unlocked(&file).unwrap().plugins[0].pins.is_empty());
}
