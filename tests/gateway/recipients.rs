//! Recipients that are known by files and by the store itself, and mail that several stores share.

use std::fs;
use std::time::{Duration, Instant};

use portcullis_tests::faulty::{Character, Fault, Stage};
use portcullis_tests::gateway::{Running, plugin};
use portcullis_tests::sink::Manners;
use portcullis_tests::{Faulty, Gateway, Sink, free_address, wait_for};
use serde_json::{Value, json};

const MESSAGE: &[u8] = b"Subject: x\r\n\r\nx\r\n";

fn manners(answers: &[(&str, &str)]) -> Manners {
    let answers = answers.iter().map(|(to, say)| ((*to).to_owned(), (*say).to_owned())).collect();
    Manners { answers, ..Manners::default() }
}

/// The plugin `recipients`, with time enough on any machine.
fn recipients(grants: Value, settings: Value) -> Value {
    json!({
        "name": "recipients",
        "file": plugin("recipients"),
        "grants": grants,
        "settings": settings,
        "time_limit": "20s",
    })
}

fn verifying(settings: Value) -> Value {
    let grants = json!([{ "kv": ["known"] }, { "upstreams": ["store"] }]);
    recipients(grants, json!({ "domains": { "b.example": "any" }, "verify": settings }))
}

/// What is said to RCPT, whatever it is.
fn rcpt(gateway: &Running, recipient: &str) -> String {
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@a.example>").expect_code(250);
    let reply = client.command(&format!("RCPT TO:<{recipient}>"));
    format!("{} {}", reply.code, reply.text())
}

#[test]
fn the_store_says_who_is_there_and_gets_mail_over_the_same_connections() {
    let unknown = ("RCPT TO:<x@b.example>", "550 5.1.1 no such user");
    let sink = Sink::with(manners(&[unknown]));
    let gateway = Gateway::before(&sink)
        .plugin(verifying(json!({ "upstream": "store", "store": "known" })))
        .set("stores", json!({ "known": { "kind": "memory" } }))
        .start();
    for _ in 0..2 {
        assert!(rcpt(&gateway, "x@b.example").starts_with("550 5.1.1 no such user"));
        let mut client = gateway.client();
        let reply = client.deliver("a@a.example", &["y@b.example"], MESSAGE);
        reply.expect("a connection").expect_code(250);
    }
    assert_eq!(sink.wait_for(2).len(), 2);
    let asked = [("plugin", "recipients"), ("result", "ok")];
    gateway.wait_for_metric("portcullis_plugin_calls_ahead_total", &asked, 2.0);
    let known = [("plugin", "recipients"), ("result", "known")];
    let metrics = gateway.metrics();
    let name = "portcullis_plugin_recipients_verified_total";
    assert_eq!(metrics.sum(name, &known[1..]), 1.0, "{}", metrics.text());
}

#[test]
fn a_store_that_is_slow_or_dead_keeps_no_mail_for_long() {
    let slow = Faulty::new(
        Character { lmtp: false, stage: Stage::Mail, fault: Fault::Silent, extensions: Vec::new() },
        None,
    );
    slow.fail();
    let sink = Sink::smtp();
    for (address, on_error, says) in [
        (slow.address(), "pass", "250 "),
        (slow.address(), "defer", "451 4.3.0"),
        (free_address(), "pass", "250 "),
        (free_address(), "defer", "451 4.3.0"),
    ] {
        let mut plugin = verifying(json!({
            "upstream": "store", "store": "known", "on_error": on_error, "away": "1h",
        }));
        plugin["time_limit"] = "2s".into();
        let gateway = Gateway::before(&sink)
            .upstream("other", "smtp", &sink.address().to_string())
            .upstream("store", "smtp", &address.to_string())
            .set("default_upstream", "other".into())
            .set("stores", json!({ "known": { "kind": "memory" } }))
            .plugin(plugin)
            .start();
        assert!(rcpt(&gateway, "y@b.example").starts_with(says), "{address} {on_error}");
        // From then on it is known to be away.
        let asked = Instant::now();
        assert!(rcpt(&gateway, "z@b.example").starts_with(says), "{address} {on_error}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{address} {on_error}");
    }
}

#[test]
fn files_are_read_again_and_a_bad_one_is_not_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let users = folder.path().join("users");
    fs::write(&users, "y@b.example\n").expect("a file");
    let domain = json!({ "recipients": { "file": "users" } });
    let mut plugin = recipients(json!([]), json!({ "domains": { "b.example": domain } }));
    plugin["files"] = json!({ "users": users });
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).plugin(plugin).start();
    assert!(rcpt(&gateway, "y@b.example").starts_with("250 "));
    assert!(rcpt(&gateway, "z@b.example").starts_with("550 5.1.1"));
    // Who has begun ends with what was there.
    let mut begun = gateway.client();
    begun.command("MAIL FROM:<a@a.example>").expect_code(250);
    fs::write(&users, "# another one\nz@b.example\n").expect("a file");
    wait_for("the new file", || rcpt(&gateway, "z@b.example").starts_with("250 ").then_some(()));
    assert!(rcpt(&gateway, "y@b.example").starts_with("550 5.1.1"));
    begun.command("RCPT TO:<y@b.example>").expect_code(250);
    let counted = |result| [("plugin", "recipients"), ("result", result)];
    let name = "portcullis_plugin_files_reloads_total";
    gateway.wait_for_metric(name, &counted("ok"), 1.0);
    for (bad, times) in [(&b"# nobody\n"[..], 1.0), (b"\xff\n", 2.0)] {
        fs::write(&users, bad).expect("a file");
        gateway.wait_for_metric(name, &counted("failed"), times);
        assert!(rcpt(&gateway, "z@b.example").starts_with("250 "), "the old one stays");
    }
    fs::write(&users, "y\n").expect("a file");
    wait_for("the good file", || rcpt(&gateway, "y@b.example").starts_with("250 ").then_some(()));
}

#[test]
fn an_alias_of_several_is_delivered_to_each() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink)
        .plugin(recipients(
            json!(["rewrite-envelope"]),
            json!({
                "domains": { "b.example": ["y", "z"] },
                "aliases": { "team": ["y@b.example", "z@b.example"] },
            }),
        ))
        .start();
    let mut client = gateway.client();
    let reply = client.deliver("a@a.example", &["z@b.example", "team@b.example"], MESSAGE);
    reply.expect("a connection").expect_code(250);
    let mut got: Vec<_> = sink.letters().into_iter().flat_map(|letter| letter.recipients).collect();
    got.sort();
    assert_eq!(got, ["y@b.example", "z@b.example"]);
}

fn routing(settings: Value, upstreams: &[&str]) -> Value {
    json!({
        "name": "routing",
        "file": plugin("routing"),
        "grants": ["route", "rewrite-envelope", { "upstreams": upstreams }],
        "settings": settings,
        "time_limit": "20s",
    })
}

fn archiving() -> Value {
    let archive = json!({ "address": "all@archive.example", "upstream": "archive" });
    routing(json!({ "archive": [archive] }), &["archive"])
}

#[test]
fn who_is_down_gets_nothing_and_who_is_chosen_gets_all() {
    let (old, new) = (Sink::smtp(), Sink::smtp());
    let gateway = Gateway::before(&old)
        .upstream("new", "smtp", &new.address().to_string())
        .upstream("dead", "smtp", &free_address().to_string())
        .plugin(routing(
            json!({ "routes": [
                { "recipients": ["new.example"], "canary": { "upstream": "new", "percent": 100 } },
                { "recipients": ["canary.example"], "canary": { "upstream": "new", "percent": 30 } },
                { "least_busy": ["store", "dead"] },
            ] }),
            &["store", "dead"],
        ))
        .start();
    let mut client = gateway.client();
    let mut deliver = |to: &str| {
        client.deliver("a@a.example", &[to], MESSAGE).expect("a connection").expect_code(250);
    };
    deliver("x@new.example");
    assert_eq!(new.only_letter().recipients, ["x@new.example"]);
    deliver("x@b.example");
    assert_eq!(old.only_letter().recipients, ["x@b.example"]);
    for _ in 0..2 {
        (0..10).for_each(|n| deliver(&format!("{n}@canary.example")));
    }
    let of = |sink: &Sink| {
        let all = sink.letters().into_iter().flat_map(|letter| letter.recipients);
        all.filter(|one| one.ends_with("@canary.example")).collect::<Vec<_>>()
    };
    let (stay, go) = (of(&old), of(&new));
    assert_eq!(stay.len() + go.len(), 20);
    assert!(stay.iter().all(|one| !go.contains(one)), "nobody has mail in two stores");
}

#[test]
fn while_the_archive_is_away_the_client_comes_again_and_nobody_gets_it_twice() {
    let (store, address) = (Sink::smtp(), free_address());
    let gateway = Gateway::before(&store)
        .upstream("archive", "smtp", &address.to_string())
        .plugin(archiving())
        .start();
    let send = || {
        // By which it is known to be the same.
        let message = [b"Message-ID: <1@a.example>\r\n", MESSAGE].concat();
        let reply = gateway.client().deliver("a@a.example", &["x@b.example"], &message);
        reply.expect("a connection").code
    };
    assert_eq!(send(), 451);
    let archive = Sink::at(address, Manners::default());
    assert_eq!(send(), 250);
    assert_eq!(store.letters().len(), 1, "it has it once");
    assert_eq!(archive.only_letter().recipients, ["all@archive.example"]);
}

#[test]
fn a_copy_waits_in_the_spool_and_nobody_waits_for_it() {
    let (store, address) = (Sink::smtp(), free_address());
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = Gateway::new()
        .listener("mx", json!({ "delivery": "spool" }))
        .upstream("store", "smtp", &store.address().to_string())
        .upstream("archive", "smtp", &address.to_string())
        .set(
            "spool",
            json!({
                "directory": folder.path().join("spool"), "free": "1MiB",
                "retry": { "first": "1s", "factor": 1, "longest": "1s" },
            }),
        )
        .plugin(archiving())
        .start();
    let reply = gateway.client().deliver("a@a.example", &["x@b.example"], MESSAGE);
    reply.expect("a connection").expect_code(250);
    assert_eq!(store.only_letter().recipients, ["x@b.example"]);
    let archive = Sink::at(address, Manners::default());
    assert_eq!(archive.only_letter().recipients, ["all@archive.example"]);
    assert_eq!(store.letters().len(), 1);
}
