//! The sums that must come out even, at rest and after clients that behave as badly as they can;
//! and how much there is to be counted at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;

use portcullis_tests::gateway::plugin;
use portcullis_tests::{Client, Gateway, Metrics, Running, Sink};
use serde_json::json;

use super::judging::bundled;

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

/// How many names clients make up; `PORTCULLIS_NAMES` says otherwise.
const NAMES: usize = 4_000;

/// How many of them a connection says at once.
const AT_ONCE: usize = 20;

/// More than a scrape can be bothered with.
const MOST_SERIES: usize = 2_500;

fn villain() -> serde_json::Value {
    json!({
        "name": "villain",
        "file": plugin("test-misbehave"),
        "settings": { "mode": "trap", "when": { "hook": "rcpt", "sender": "villain@example.org" } },
    })
}

fn wait_for_rest(gateway: &Running) {
    gateway.wait_for_metric("portcullis_connections_open", &[], 0.0);
    gateway.wait_for_metric("portcullis_transactions_in_flight", &[], 0.0);
}

#[track_caller]
fn assert_even(metrics: &Metrics) {
    let each = |name: &str, by: &[&str]| metrics.sums(name, by);
    let listener: &[&str] = &["listener"];
    let started = each("portcullis_transactions_started_total", listener);
    let ended = each("portcullis_transactions_total", listener);
    assert_eq!(started, sum(ended, each("portcullis_transactions_in_flight", listener)));
    let came = each("portcullis_connections_total", listener);
    let closed = each("portcullis_sessions_closed_total", listener);
    let open = each("portcullis_connections_open", listener);
    assert_eq!(came, sum(closed.clone(), open));
    assert_eq!(closed, each("portcullis_session_duration_seconds_count", listener));
    let ended = each("portcullis_transactions_total", listener);
    assert_eq!(ended, each("portcullis_transaction_duration_seconds_count", listener));
    let hook: &[&str] = &["plugin", "hook"];
    let begun = each("portcullis_plugin_calls_started_total", hook);
    let results = each("portcullis_plugin_calls_total", hook);
    assert!(!begun.is_empty());
    assert_eq!(begun, results);
    assert_eq!(begun, each("portcullis_plugin_call_duration_seconds_count", hook));
}

fn sum(
    mut one: BTreeMap<Vec<String>, f64>,
    other: BTreeMap<Vec<String>, f64>,
) -> BTreeMap<Vec<String>, f64> {
    for (key, value) in other {
        *one.entry(key).or_insert(0.0) += value;
    }
    one
}

/// A client that hears everything. How many replies it got.
fn well_behaved(address: SocketAddr, number: usize) -> usize {
    let mut client = Client::connect(address);
    let to = if number.is_multiple_of(3) { "gone@example.com" } else { "b@example.com" };
    let from = if number.is_multiple_of(5) { "villain@example.org" } else { "a@example.org" };
    let commands = format!(
        "EHLO client{number}.example\r\nMAIL FROM:<{from}>\r\nRCPT TO:<{to}>\r\nNOOP\r\nRSET\r\n\
         MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
    );
    client.send(commands.as_bytes()).expect("an open connection");
    client.send(b"Subject: t\r\n\r\nx\r\n.\r\nBOGUS\r\nQUIT\r\n").expect("an open connection");
    client.wait_for_end().len()
}

/// A client that goes whenever it likes, in one of many ways.
fn badly_behaved(address: SocketAddr, number: usize) {
    let mut client = Client::connect(address);
    let hello = "EHLO a.example\r\n";
    let begun = format!("{hello}MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\n");
    let said = match number % 8 {
        0 => String::new(),
        1 => hello.to_owned(),
        2 => format!("{hello}MAIL FROM:<a@example.org>\r\n"),
        3 => begun,
        4 => format!("{begun}DATA\r\nSubject: t\r\n\r\nhalf a"),
        5 => format!("{begun}DATA\r\nSubject: t\r\n\r\nwhole\r\n.\r\n"),
        6 => "\0\u{1}\u{ff}GET / HTTP/1.1\r\n\r\n".repeat(30),
        _ => format!("{begun}{begun}STARTTLS\r\nVRFY <a>\r\n{}", "NOOP\r\n".repeat(200)),
    };
    // It may have been hung up on.
    drop(client.send(said.as_bytes()));
    if number.is_multiple_of(2) {
        drop(client.reply());
    }
}

#[test]
fn the_sums_come_out_even_under_hostile_clients() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).tls_listener("wild", "starttls");
    let gateway = bundled(gateway).plugin(villain()).start();
    let (tame, wild) = (gateway.address("mx"), gateway.address("wild"));
    let threads: Vec<_> = (0..6)
        .map(|thread| {
            thread::spawn(move || {
                (0..30).fold(0, |heard, number| {
                    badly_behaved(wild, thread + number);
                    heard + well_behaved(tame, thread + number)
                })
            })
        })
        .collect();
    let heard: usize = threads.into_iter().map(|thread| thread.join().expect("a client")).sum();
    wait_for_rest(&gateway);
    let metrics = gateway.metrics();
    assert_even(&metrics);
    let told = metrics.sum("portcullis_replies_total", &[("listener", "mx")]);
    assert_eq!(told as usize, heard, "replies that clients saw");
    let quit = [("listener", "mx"), ("cause", "quit")];
    assert_eq!(metrics.sum("portcullis_sessions_closed_total", &quit) as usize, 180);
    assert!(metrics.sum("portcullis_sessions_lost_total", &[("listener", "wild")]) >= 1.0);
    assert!(metrics.sum("portcullis_refusals_total", &[("by", "plugin")]) >= 60.0);
    let policy = [("plugin", "villain"), ("action", "tempfail")];
    assert!(metrics.sum("portcullis_plugin_failure_policy_total", &policy) >= 1.0);
}

#[test]
fn the_sums_are_even_with_something_in_flight() {
    let sink = Sink::smtp();
    let gateway = bundled(Gateway::before(&sink)).start();
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    let metrics = gateway.metrics();
    assert_even(&metrics);
    assert_eq!(metrics.sum("portcullis_connections_open", &[]) as usize, 1);
    assert_eq!(metrics.sum("portcullis_transactions_in_flight", &[]) as usize, 1);
}

#[test]
fn names_that_clients_make_up_add_no_series() {
    let names: usize =
        std::env::var("PORTCULLIS_NAMES").map_or(NAMES, |text| text.parse().expect("a number"));
    let sink = Sink::smtp();
    let much = 10_000;
    let limits = json!({
        "idle_commands": much, "refused_recipients": much, "transactions": much,
        "errors": much, "unknown_commands": much,
    });
    let gateway =
        bundled(Gateway::before(&sink)).set("session", json!({ "limits": limits })).start();
    // One of each kind, so that only what is new could be more.
    make_up(gateway.address("mx"), 0..1);
    make_up(gateway.address("mx"), 0..2);
    wait_for_rest(&gateway);
    let before = gateway.metrics().series();
    let (threads, address) = (16, gateway.address("mx"));
    let connections: Vec<_> = (0..threads)
        .map(|thread| {
            thread::spawn(move || {
                let share = names / threads;
                let own = thread * share..(thread + 1) * share;
                // Some hundred connections all together.
                let each = (share / 16).max(1);
                own.clone()
                    .step_by(each)
                    .for_each(|at| make_up(address, at..(at + each).min(own.end)));
            })
        })
        .collect();
    connections.into_iter().for_each(|thread| thread.join().expect("a client"));
    wait_for_rest(&gateway);
    let metrics = gateway.metrics();
    let new: Vec<_> = metrics.series().difference(&before).cloned().collect();
    assert!(new.is_empty(), "{new:#?}");
    assert_even(&metrics);
    let said = metrics.sum("portcullis_commands_total", &[("command", "RCPT")]) as usize;
    assert!(said >= names / threads * threads, "{said} recipients");
}

/// Says each number as a name, a sender, a recipient and a command, on one connection.
fn make_up(address: SocketAddr, numbers: std::ops::Range<usize>) {
    let mut client = Client::connect(address);
    client.expect(220);
    for start in numbers.clone().step_by(AT_ONCE) {
        let batch = start..(start + AT_ONCE).min(numbers.end);
        let said: String = batch
            .clone()
            .map(|n| {
                format!(
                    "EHLO h{n}.example\r\nMAIL FROM:<s{n}@d{n}.example>\r\n\
                     RCPT TO:<r{n}@example.com>\r\nRSET\r\nX{n} {n}\r\n"
                )
            })
            .collect();
        client.send(said.as_bytes()).expect("an open connection");
        for _ in 0..batch.len() * 5 {
            client.reply().expect("a reply");
        }
    }
    client.command("QUIT").expect_code(221);
}

#[test]
fn an_ordinary_configuration_stays_below_2500_series() {
    let sink = Sink::smtp();
    let address = sink.address().to_string();
    let gateway = Gateway::before(&sink)
        .tls_listener("submission", "implicit")
        .tls_listener("lmtp", "starttls")
        .upstream("archive", "smtp", &address)
        .upstream("partner", "smtp", &address);
    let gateway = bundled(gateway)
        .plugin(villain())
        .plugin(json!({
            "name": "stamp",
            "file": plugin("test-stamp"),
            "grants": ["rewrite-headers"],
            "settings": { "name": "X-Stamp", "mark": "here" },
        }))
        .start();
    for number in 0..15 {
        well_behaved(gateway.address("mx"), number);
        badly_behaved(gateway.address("lmtp"), number);
    }
    let mut client = Client::connect_tls(gateway.address("submission"));
    client.expect(220);
    client.command("EHLO client.example").expect_code(250);
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    let metrics = gateway.metrics();
    let count = metrics.series().len();
    println!("{count} series");
    let mut families: BTreeMap<String, usize> = BTreeMap::new();
    for series in metrics.series() {
        let name = series.split('{').next().unwrap_or_default();
        let family = ["_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
        *families.entry(family.unwrap_or(name).to_owned()).or_default() += 1;
    }
    let mut largest: Vec<_> = families.into_iter().map(|(name, count)| (count, name)).collect();
    largest.sort_unstable_by(|one, other| other.cmp(one));
    largest.truncate(12);
    assert!(count <= MOST_SERIES, "{count} series; the largest: {largest:#?}");
}
