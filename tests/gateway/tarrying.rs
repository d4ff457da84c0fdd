//! Clients that have no manners, no name, or one of ours: what the plugins helo and tarpit make of them.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::{Nsd, need};
use portcullis_tests::process::{Finished, run};
use portcullis_tests::{Client, Gateway, Running, Sink};
use serde_json::{Value, json};

const DELAYED: &str = "portcullis_connections_delayed";
const DELAYS: &str = "portcullis_delays_total";
const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

fn helo() -> Value {
    json!({ "name": "helo", "file": plugin("helo"), "grants": ["dns", "mail-auth"],
        "time_limit": "5s", "settings": { "own": { "names": ["mx.example.org"] } } })
}

fn tarpit(settings: Value) -> Value {
    json!({ "name": "tarpit", "file": plugin("tarpit"), "settings": settings })
}

/// Sends a message from a client that is elsewhere; none if it is not installed.
fn swaks(gateway: &Running, client: &str, helo: &str) -> Option<Finished> {
    let [swaks] = need(["swaks"])?;
    let mut command = Command::new(swaks);
    command.args(["--server", &gateway.address("mx").to_string(), "--helo", helo]).args([
        "--xclient-addr",
        client,
        "--from",
        "a@example.com",
        "--to",
        "b@example.com",
    ]);
    Some(run(&mut command))
}

fn seen(gateway: &Running, signs: &[&str]) {
    for sign in signs {
        gateway.wait_for_metric("portcullis_plugin_helo_signs_total", &[("sign", sign)], 1.0);
    }
    let all = gateway.metrics().sum("portcullis_plugin_helo_signs_total", &[]);
    assert_eq!(all, signs.len() as f64, "no other sign than {signs:?}");
}

#[test]
fn names_of_clients_are_judged_and_only_who_takes_ours_is_refused() {
    let zone = "mail.example.com A 203.0.113.5\n\
        5.113.0.203.in-addr.arpa PTR mail.example.com\n\
        9.113.0.203.in-addr.arpa PTR 203-0-113-9.dyn.example.net\n\
        203-0-113-9.dyn.example.net A 203.0.113.10\n";
    let Some(nsd) = Nsd::start(zone) else { return };
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "trust": { "xclient": ["127.0.0.1"] } }))
        .upstream("store", "smtp", &sink.address().to_string())
        .set("dns", nsd.settings())
        .plugin(helo())
        .start();
    let Some(said) = swaks(&gateway, "203.0.113.5", "mail.example.com") else { return };
    said.expect_success();
    seen(&gateway, &[]);
    swaks(&gateway, "203.0.113.9", "nowhere.example").expect("it is there").expect_success();
    seen(&gateway, &["unknown", "ptr_dynamic", "ptr_elsewhere"]);
    assert_eq!(sink.letters().len(), 2);
    let asked = nsd.asked();
    let said = swaks(&gateway, "203.0.113.66", "MX.example.org").expect("it is there");
    assert!(said.stdout.contains("550 5.7.1 that is my name, not yours"), "{}", said.stdout);
    assert_eq!(nsd.asked(), asked, "a lie is no reason to ask anybody");
}

#[test]
fn who_cannot_wait_for_the_greeting_is_known_for_it() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink)
        .plugin(helo())
        .plugin(tarpit(json!({ "greeting": "1s", "conduct": { "early-talker": "1s" } })))
        .start();
    let mut bot = Client::connect(gateway.address("mx"));
    bot.send(b"HELO [192.0.2.1]\r\n").expect("it is there");
    bot.expect(220);
    bot.expect(250);
    bot.command("MAIL FROM:<a@example.com>").expect_code(250);
    bot.command("QUIT").expect_code(221);
    seen(&gateway, &["early_talker", "literal_elsewhere"]);
    gateway.wait_for_metric(DELAYS, &[("result", "held")], 2.0);
    gateway.wait_for_metric(DELAYED, &[], 0.0);
}

#[test]
fn who_guesses_addresses_waits_for_each_answer() {
    let sink = Sink::smtp();
    let settings = json!({ "refused_recipients": { "free": 1, "delay": "1s" } });
    let recipients = json!({ "name": "recipients", "file": plugin("recipients"),
        "settings": { "domains": { "example.org": ["ann"] } } });
    let gateway = Gateway::before(&sink).plugin(tarpit(settings)).plugin(recipients).start();
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.com>").expect_code(250);
    for (name, delays) in [("bob", 0.0), ("eve", 0.0), ("joe", 1.0)] {
        client.command(&format!("RCPT TO:<{name}@example.org>")).expect_code(550);
        let held = gateway.metrics().sum("portcullis_plugin_tarpit_delays_total", &[]);
        assert_eq!(held, delays, "{name}");
    }
    // The right one is not let off, but it is let in.
    client.command("RCPT TO:<ann@example.org>").expect_code(250);
    client.command("DATA").expect_code(354);
    client.send(b"Subject: x\r\n\r\ny\r\n.\r\n").expect("it is there");
    client.expect(250);
    gateway.wait_for_metric(DELAYS, &[("result", "held")], 2.0);
    let honest = gateway.client().deliver("a@example.com", &["ann@example.org"], MESSAGE);
    honest.expect("a reply").expect_code(250);
    gateway.wait_for_metric(DELAYS, &[("result", "held")], 2.0);
}

/// A gateway that holds back every greeting for a minute, of so many at once.
fn sticky(most: usize) -> Running {
    Gateway::before(&Sink::smtp())
        .set(
            "limits",
            json!({ "connections": 2_000, "connections_per_address": 2_000,
                "delayed_connections": most, "connection_rate_per_address": 100_000 }),
        )
        .plugin(tarpit(json!({ "greeting": "60s" })))
        .start()
}

fn memory(gateway: &Running) -> usize {
    let status = format!("/proc/{}/status", gateway.process.id());
    let status = fs::read_to_string(status).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    let number = line.split_whitespace().next().and_then(|number| number.parse::<usize>().ok());
    number.expect("a number") << 10
}

/// Connects so often, and waits until so many wait for the greeting in all.
fn connect(gateway: &Running, count: usize, delayed: usize) -> Vec<TcpStream> {
    let address = gateway.address("mx");
    let connect = |_| TcpStream::connect(address).expect("it listens");
    let clients = (0..count).map(connect).collect();
    gateway.wait_for_metric(DELAYED, &[], delayed as f64);
    clients
}

#[test]
fn a_thousand_clients_that_wait_cost_little_and_nobody_else_waits() {
    let mut gateway = sticky(1_100);
    // What the first ones cost stays: threads' pools, a table of sockets, the plugin's own memory.
    let mut clients = connect(&gateway, 100, 100);
    let before = memory(&gateway);
    clients.extend(connect(&gateway, 1_000, 1_100));
    let each = memory(&gateway).saturating_sub(before) / 1_000;
    eprintln!("a connection whose reply is held back takes {each} octets");
    assert!(each <= MOST_OCTETS, "{each} octets each");
    // There is no place for it, so that it is served.
    let mut late = gateway.client();
    late.command("NOOP").expect_code(250);
    gateway.wait_for_metric(DELAYS, &[("result", "full")], 1.0);
    let reached = [("limit", "delayed_connections")];
    gateway.wait_for_metric("portcullis_limit_reached_total", &reached, 1.0);
    clients.truncate(600);
    gateway.wait_for_metric(DELAYED, &[], 600.0);
    gateway.wait_for_metric(DELAYS, &[("result", "left")], 500.0);
    let mut rest = clients.swap_remove(0);
    assert!(gateway.terminate().success(), "the end waits for nobody");
    rest.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket");
    let mut said = String::new();
    rest.read_to_string(&mut said).expect("a farewell");
    assert!(said.contains("421 4.3.2"), "{said:?}");
}

#[test]
fn a_client_that_pipelines_and_leaves_is_gone_at_once() {
    let gateway = sticky(10);
    let mut client = connect(&gateway, 1, 1).remove(0);
    client
        .write_all(b"EHLO bot.example\r\nMAIL FROM:<>\r\nRCPT TO:<a@b.example>\r\n")
        .expect("room");
    drop(client);
    gateway.wait_for_metric(DELAYS, &[("result", "left")], 1.0);
    gateway.wait_for_metric(DELAYED, &[], 0.0);
}

/// An idle connection takes about as much. Not optimised, its futures are larger.
const MOST_OCTETS: usize = 24 << 10;
