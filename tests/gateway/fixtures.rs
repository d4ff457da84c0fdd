//! Plugins that were compiled against released versions of the contract, in every language: they are
//! loaded and asked as they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::peers::need;
use portcullis_tests::{Gateway, Sink, repository};
use serde_json::json;

#[test]
fn plugins_of_released_contracts_still_work() {
    let Some([xz]) = need(["xz"]) else { return };
    let released = repository().join("tests/contract");
    let versions = entries(&released).into_iter().filter(|path| path.is_dir());
    let kept: Vec<_> =
        versions.flat_map(|version| entries(&version)).filter(|path| is_packed(path)).collect();
    assert_eq!(kept.len() % LANGUAGES, 0, "each version has each language");
    assert!(!kept.is_empty());
    for packed in kept {
        let unpacked = tempfile::Builder::new().suffix(".wasm").tempfile().expect("a file");
        let out = unpacked.reopen().expect("the same file");
        let done = Command::new(&xz).args(["-dc"]).arg(&packed).stdout(out).status();
        assert!(done.expect("xz runs").success(), "{}", packed.display());
        refuses_and_stamps(&packed, unpacked.path());
    }
}

fn refuses_and_stamps(fixture: &Path, file: &Path) {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink)
        .plugin(json!({
            "name": "gatekeeper",
            "file": file,
            "settings": { "refuse": ["closed.example"] },
            "grants": ["rewrite-headers"],
            "memory_limit": "256MiB",
            "time_limit": "10s",
        }))
        .start();
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>");
    let refused = client.command("RCPT TO:<b@closed.example>");
    let told = "5.7.1 no mail for closed.example here";
    assert!(refused.text().starts_with(told), "{}: {refused}", fixture.display());
    let message = b"Subject: t\r\n\r\nx\r\n";
    gateway.client().deliver("a@example.org", &["b@example.com"], message).expect("a reply");
    let letter = String::from_utf8(sink.only_letter().octets).expect("text");
    assert!(letter.contains("X-Gatekeeper: checked\r\n"), "{}: {letter}", fixture.display());
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn is_packed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "xz")
}

/// Rust, Go, C, JavaScript, Python.
const LANGUAGES: usize = 5;
