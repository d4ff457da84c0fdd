//! Modules that may not see each other mean the same by their labels, and a page knows them.

use std::fs;
use std::path::{Path, PathBuf};

use portcullis::config::OnFailure;
use portcullis::metrics::{self, ACTIONS, HOOKS, REASONS, RESULTS};
use portcullis::policy::{FailureReason, Hook, Opinion};
use portcullis_smtp::Reply;

#[test]
fn every_reason_of_a_failure_has_its_counter() {
    assert_eq!(FailureReason::ALL.map(FailureReason::label), REASONS);
}

#[test]
fn every_opinion_has_its_counter() {
    let reply = || Reply::bare(550, "no");
    let opinions = [
        Opinion::Accept,
        Opinion::Defer(reply()),
        Opinion::Discard(String::new()),
        Opinion::Disconnect(reply()),
        Opinion::Next,
        Opinion::Quarantine(String::new()),
        Opinion::Reject(reply()),
    ];
    let mut labels: Vec<&str> = opinions.iter().map(Opinion::label).collect();
    labels.extend(["abandoned", "failure"]);
    labels.sort_unstable();
    assert_eq!(labels, RESULTS);
}

#[test]
fn every_hook_and_every_meaning_of_a_failure_has_its_counter() {
    assert_eq!(Hook::ALL.map(Hook::label), HOOKS);
    let meant = [OnFailure::Accept, OnFailure::Disconnect, OnFailure::Reject, OnFailure::Tempfail];
    assert_eq!(meant.map(OnFailure::label), ACTIONS);
}

/// `PORTCULLIS_METRICS_PAGE=write` writes it.
#[test]
fn the_page_of_metrics_is_made_from_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("metrics.md");
    let page = metrics::page(ALERTS, RECORDING);
    if std::env::var_os("PORTCULLIS_METRICS_PAGE").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let wanted = "run PORTCULLIS_METRICS_PAGE=write cargo test -p portcullis --test labels";
    let differs = found.lines().zip(page.lines()).find(|(found, made)| found != made);
    assert!(found == page, "metrics.md is out of date, {wanted}\n{differs:#?}");
}

#[test]
fn every_name_in_the_code_is_on_the_page() {
    let page = metrics::page(ALERTS, RECORDING);
    let mut missing = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/metrics")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for name in code.split('"').skip(1).step_by(2).filter(|text| is_name(text)) {
            let known = page.contains(&format!("`{name}`")) || PREFIXES.contains(&file_name(&file));
            if !known {
                missing.push(format!("{}: {name}", file.display()));
            }
        }
    }
    let wanted = "everything() in metrics/reference.rs has to make one of it";
    assert!(missing.is_empty(), "{wanted}: {missing:#?}");
}

fn is_name(text: &str) -> bool {
    let ours = text.starts_with("portcullis_") || text.starts_with("process_");
    ours && text.bytes().all(|octet| octet.is_ascii_lowercase() || octet == b'_')
}

fn file_name(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .expect("it is there")
        .map(|entry| entry.expect("it can be read").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Where names are only the beginnings of names.
const PREFIXES: &[&str] = &["reference.rs", "custom.rs"];

const ALERTS: &str = include_str!("../../config/prometheus/alerts.yaml");
const RECORDING: &str = include_str!("../../config/prometheus/recording.yaml");
