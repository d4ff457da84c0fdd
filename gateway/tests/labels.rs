//! Modules that may not see each other mean the same by their labels.

use portcullis::metrics::{REASONS, RESULTS};
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
