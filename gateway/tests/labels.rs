//! Modules that may not see each other mean the same by their labels, and the README knows them.

use portcullis::metrics::{Metrics, Names, REASONS, RESULTS, Stage};
use portcullis::policy::{FailureReason, Opinion};
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
    labels.push("failure");
    labels.sort_unstable();
    assert_eq!(labels, RESULTS);
}

#[test]
fn every_metric_has_its_row_in_the_readme() {
    let readme = include_str!("../README.md");
    let metrics = Metrics::new(&Names {
        listeners: vec!["mx".to_owned()],
        plugins: vec![("access".to_owned(), vec!["rcpt"])],
        stores: vec!["greylist".to_owned()],
        upstreams: vec!["store".to_owned()],
    });
    metrics.watch_content(|| (0, 0));
    metrics.upstream("store").reply(Stage::Banner, 220);
    metrics.listener("mx").certificate_ends("mx.pem", 0);
    let text = metrics.render();
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let missing: Vec<&str> = names.filter(|name| !readme.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
