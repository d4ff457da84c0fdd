//! The routing plugin through its hooks, natively.

use std::collections::BTreeSet;

use portcullis_plugin::testing::{Edit, Grant, configure, set_upstream, settings_in, subscribed};
use portcullis_plugin::{Hook, Plugin, Question, Recipient, Session, Transaction, Verdict};
use routing::Routing;

fn routing(yaml: &str) -> Result<Routing, String> {
    let settings: serde_json::Value = serde_yaml::from_str(yaml).expect("YAML");
    configure(&settings)
}

fn transaction() -> Transaction {
    Transaction::fake().with_grant(Grant::Route).with_grant(Grant::RewriteEnvelope)
}

fn way(plugin: &mut Routing, transaction: &Transaction, to: &str) -> Option<String> {
    let before = transaction.edits().len();
    let to = Recipient::fake(to);
    let verdict = plugin.ask(Question::Rcpt(&Session::fake(), transaction, &to));
    assert_eq!(verdict, Verdict::Next);
    match transaction.edits().get(before) {
        None => None,
        Some(Edit::Route(upstream, Some(0))) => Some(upstream.clone()),
        Some(other) => panic!("{other:?}"),
    }
}

fn copies(plugin: &mut Routing, transaction: &Transaction) -> Vec<Edit> {
    assert_eq!(plugin.ask(Question::Data(&Session::fake(), transaction)), Verdict::Next);
    transaction.edits()
}

#[test]
fn the_readme_is_right() {
    routing(settings_in(include_str!("../README.md"))).expect("the README's settings are right");
}

#[test]
fn the_first_route_that_fits_is_taken() {
    let mut plugin = routing(
        "routes: [{recipients: [a.example], senders: ['<>'], upstream: bounces},
                  {recipients: [a.example, vip@b.example], upstream: one}, {upstream: rest}]",
    )
    .unwrap();
    let to = |plugin: &mut Routing, address| way(plugin, &transaction(), address);
    assert_eq!(to(&mut plugin, "x@A.example").as_deref(), Some("one"));
    assert_eq!(to(&mut plugin, "VIP@b.example").as_deref(), Some("one"));
    assert_eq!(to(&mut plugin, "x@b.example").as_deref(), Some("rest"));
    let report = transaction().with_null_sender();
    assert_eq!(way(&mut plugin, &report, "x@a.example").as_deref(), Some("bounces"));
    assert_eq!(subscribed(&plugin), [Hook::Rcpt]);
}

#[test]
fn the_least_busy_of_those_that_are_up_is_taken() {
    let mut plugin = routing("routes: [{least_busy: [a, b, c]}]").unwrap();
    let mut to = || way(&mut plugin, &transaction(), "x@a.example");
    assert_eq!(to().as_deref(), Some("a"), "nobody can tell");
    set_upstream("a", &[("available", 1), ("busy", 5), ("limit", 10)]);
    set_upstream("b", &[("available", 1), ("busy", 8), ("limit", 100)]);
    set_upstream("c", &[("available", 0), ("busy", 0), ("limit", 10)]);
    assert_eq!(to().as_deref(), Some("b"));
    set_upstream("b", &[("available", 0)]);
    assert_eq!(to().as_deref(), Some("a"));
    set_upstream("a", &[("available", 0)]);
    assert_eq!(to().as_deref(), Some("a"), "none is up");
}

#[test]
fn a_canary_gets_its_share_and_always_the_same() {
    let share = |yaml: &str| {
        let mut plugin = routing(yaml).unwrap();
        let all = (0..10_000).map(|n| format!("user{n}@a.example"));
        let new =
            |address: &String| way(&mut plugin, &transaction(), address).as_deref() == Some("new");
        all.filter(new).collect::<BTreeSet<_>>()
    };
    let five = share("routes: [{canary: {upstream: new, percent: 5, others: old}}]");
    assert!((400..600).contains(&five.len()), "{}", five.len());
    let ten = share("routes: [{canary: {upstream: new, percent: 10}}]");
    assert!(ten.is_superset(&five), "who has moved stays");
    let others = share("routes: [{canary: {upstream: new, percent: 5, seed: b}}]");
    assert!(others.intersection(&five).count() < 100);
    assert!(share("routes: [{canary: {upstream: new, percent: 0}}]").is_empty());
    assert_eq!(share("routes: [{canary: {upstream: new, percent: 100}}]").len(), 10_000);
    let mut plugin =
        routing("routes: [{canary: {upstream: new, percent: 5, others: old}}]").unwrap();
    let one = five.first().unwrap().to_ascii_uppercase();
    assert_eq!(way(&mut plugin, &transaction(), &one).as_deref(), Some("new"), "in any case");
}

#[test]
fn a_share_of_transactions_takes_all_recipients_of_one() {
    let yaml = "routes: [{canary: {upstream: new, percent: 50, by: transaction, others: old}}]";
    let mut plugin = routing(yaml).unwrap();
    let all = (0..20).map(|n| way(&mut plugin, &transaction(), &format!("user{n}@a.example")));
    assert_eq!(all.collect::<BTreeSet<_>>().len(), 1);
}

#[test]
fn an_archive_gets_one_copy() {
    let yaml =
        "archive: [{address: all@archive.example, upstream: archive, recipients: [a.example]}]";
    let mut plugin = routing(yaml).unwrap();
    let to = |address: &str| transaction().with_recipient("x@b.example").with_recipient(address);
    let copy =
        [Edit::AddRecipient("all@archive.example".into()), Edit::Route("archive".into(), Some(2))];
    assert_eq!(copies(&mut plugin, &to("y@a.example")), copy);
    assert_eq!(copies(&mut plugin, &to("y@c.example")), []);
    assert_eq!(copies(&mut plugin, &to("y@a.example").with_null_sender()), copy);
    assert_eq!(subscribed(&plugin), [Hook::Data]);
}

#[test]
fn an_archive_gets_nothing_twice_and_no_reports_if_so_set() {
    let yaml = "archive: [{address: all@archive.example, upstream: archive, bounces: false}]";
    let mut plugin = routing(yaml).unwrap();
    let there = transaction().with_recipient("All@Archive.example");
    assert_eq!(copies(&mut plugin, &there), [], "it gets that anyway");
    let back = transaction().with_sender("all@archive.example").with_recipient("x@a.example");
    assert_eq!(copies(&mut plugin, &back), [], "it comes from there");
    let report = transaction().with_null_sender().with_recipient("x@a.example");
    assert_eq!(copies(&mut plugin, &report), []);
    assert_eq!(copies(&mut plugin, &transaction().with_recipient("x@a.example")).len(), 2);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("{}", "there is nothing to do: neither `routes` nor `archive`"),
        ("routes: [{}]", "routes[0]: one of `upstream`, `least_busy` and `canary` is needed"),
        (
            "routes: [{upstream: a, least_busy: [b]}]",
            "routes[0]: one of `upstream`, `least_busy` and `canary` is needed",
        ),
        ("routes: [{least_busy: []}]", "routes[0].least_busy: there is no upstream in it"),
        (
            "routes: [{canary: {upstream: a, percent: 101}}]",
            "routes[0].canary.percent: a percentage is a number from 0 to 100",
        ),
        ("archive: [{address: all, upstream: a}]", "archive[0].address: `all` is not an address"),
    ] {
        assert_eq!(routing(yaml).unwrap_err(), mistake);
    }
}
