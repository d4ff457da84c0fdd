//! What plugins hear of the resolver, with a name server of the test's own.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::Nsd;
use portcullis_tests::{Client, Dns, Fault, Gateway, Reply, Running, Sink, Zone};
use serde_json::{Value, json};

/// A plugin that asks, with what it asks by recipient.
fn inquirer(settings: Value) -> Value {
    json!({ "name": "inquirer", "file": plugin("test-inquirer"), "grants": ["dns"],
        "time_limit": "5s", "settings": settings })
}

fn gateway(sink: &Sink, dns: &Dns, settings: Value) -> Running {
    Gateway::before(sink).set("dns", dns.settings()).plugin(inquirer(settings)).start()
}

/// A client with a transaction.
fn client(gateway: &Running) -> Client {
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    client
}

/// What the plugin heard, without code and status.
fn heard(client: &mut Client, about: &str) -> Vec<String> {
    let reply = client.command(&format!("RCPT TO:<{about}@example.net>"));
    lines(&reply.expect_code(550))
}

/// The lines of a refusal, without status and without the transaction's id at the end.
pub(super) fn lines(reply: &Reply) -> Vec<String> {
    let text = reply.lines.iter().map(|line| line.strip_prefix("5.7.1 ").unwrap_or(line));
    let mut lines: Vec<_> = text.map(str::to_owned).collect();
    if let Some(last) = lines.last_mut()
        && let Some((said, _)) = last.rsplit_once(" [")
    {
        *last = said.to_owned();
    }
    lines
}

#[test]
fn every_kind_of_record_comes_as_in_a_zone_file() {
    let sink = Sink::smtp();
    let address: IpAddr = "192.0.2.7".parse().expect("an address");
    let zone = Zone::new()
        .record("example.org", "MX", "10 mail.example.org")
        .record("example.org", "NS", "ns.example.org")
        .record("null.example.org", "MX", "0 .")
        .record("mail.example.org", "A", "192.0.2.7")
        .record("mail.example.org", "AAAA", "2001:db8::7")
        .record("www.example.org", "CNAME", "mail.example.org")
        .record("_smtp._tcp.example.org", "SRV", "1 2 25 mail.example.org")
        .record("_25._tcp.mail.example.org", "TLSA", "3 1 1 00ff10")
        .text("example.org", &[b"v=spf1 ", b"-all"])
        .text("odd.example.org", &[b"\xffx"])
        .pointer(address, "mail.example.org");
    let dns = Dns::start(zone);
    let queries = [
        ("example.org", "mx", "1 records: 10 mail.example.org"),
        ("example.org.", "ns", "1 records: ns.example.org"),
        ("null.example.org", "mx", "1 records: 0 ."),
        ("MAIL.example.ORG", "a", "1 records: 192.0.2.7"),
        ("mail.example.org", "aaaa", "1 records: 2001:db8::7"),
        ("www.example.org", "cname", "1 records: mail.example.org"),
        ("www.example.org", "a", "1 records: 192.0.2.7"),
        ("_smtp._tcp.example.org", "srv", "1 records: 1 2 25 mail.example.org"),
        ("_25._tcp.mail.example.org", "tlsa", "1 records: 3 1 1 00ff10"),
        ("example.org", "txt", "1 records: v=spf1 -all"),
        ("odd.example.org", "txt", "1 records: \\ufffdx"),
        ("192.0.2.7", "ptr", "1 records: mail.example.org"),
        ("7.2.0.192.in-addr.arpa", "ptr", "1 records: mail.example.org"),
        ("mail.example.org", "txt", "no-data"),
        ("_tcp.example.org", "a", "no-data"),
        ("nowhere.example.org", "a", "no-such-name"),
    ];
    let asked: Vec<_> = queries.iter().map(|(name, kind, _)| (name, kind)).collect();
    let gateway = gateway(&sink, &dns, json!({ "ask": { "all": { "queries": asked } } }));
    let expected: Vec<_> = queries.iter().map(|(_, _, answer)| *answer).collect();
    assert_eq!(heard(&mut client(&gateway), "all"), expected);
}

#[test]
fn answers_are_kept_as_long_as_they_live() {
    let sink = Sink::smtp();
    let zone =
        |ttl| Zone::new().ttl(ttl).record("a.example", "A", "192.0.2.1").empty("empty.example");
    let dns = Dns::start(zone(300));
    let names = json!([["a.example", "a"], ["empty.example", "a"], ["nowhere.example", "a"]]);
    let settings = json!({ "ask": { "names": { "queries": names } } });
    let gateway = gateway(&sink, &dns, settings);
    let mut client = client(&gateway);
    for _ in 0..5 {
        let expected = ["1 records: 192.0.2.1", "no-data", "no-such-name"];
        assert_eq!(heard(&mut client, "names"), expected);
    }
    assert_eq!(dns.asked().len(), 3, "{:?}", dns.asked());
    gateway.wait_for_metric("portcullis_dns_queries_total", &[("result", "records")], 5.0);
    gateway.wait_for_metric("portcullis_dns_queries_total", &[("result", "no-such-name")], 5.0);
    gateway.wait_for_metric("portcullis_dns_query_duration_seconds_count", &[], 15.0);
    gateway.wait_for_metric("portcullis_dns_queries_in_flight", &[], 0.0);
}

#[test]
fn what_lives_for_no_time_is_asked_for_again() {
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new().ttl(0).record("a.example", "A", "192.0.2.1"));
    let settings = json!({ "ask": { "it": { "queries": [["a.example", "a"]] } } });
    let gateway = gateway(&sink, &dns, settings);
    let mut client = client(&gateway);
    for _ in 0..3 {
        assert_eq!(heard(&mut client, "it"), ["1 records: 192.0.2.1"]);
    }
    assert_eq!(dns.asked_for("a.example"), 3);
}

#[test]
fn what_goes_wrong_is_told_apart() {
    let sink = Sink::smtp();
    let mut zone = Zone::new().fails("broken.example", None, Fault::Code(2));
    zone = zone.fails("refused.example", None, Fault::Code(5));
    for (name, fault) in [
        ("silent.example", Fault::Silence),
        ("garbage.example", Fault::Garbage),
        ("forged.example", Fault::WrongId),
    ] {
        zone = zone.record(name, "A", "192.0.2.1").fails(name, None, fault);
    }
    let dns = Dns::start(zone);
    let names = ["broken", "refused", "silent", "garbage", "forged"];
    let names: Vec<_> = names.iter().map(|name| (format!("{name}.example"), "a")).collect();
    let settings = json!({ "ask": { "all": { "queries": names } } });
    let gateway = gateway(&sink, &dns, settings);
    let heard = heard(&mut client(&gateway), "all");
    assert_eq!(
        heard[..2],
        [
            "failed: the name server says Server Failure",
            "failed: the name server says Query Refused",
        ]
    );
    assert_eq!(heard[2], "timed-out");
    for said in &heard[3..] {
        assert!(said == "timed-out" || said.starts_with("failed: "), "{said}");
    }
    assert!(dns.asked_for("silent.example") >= 2, "attempts");
}

#[test]
fn an_authoritative_server_is_understood_and_asked_once() {
    let records = "2.0.0.127.list.example A 127.0.0.2
        2.0.0.127.list.example TXT \"https://list.example/\" \"127.0.0.2\"
        mx.example AAAA 2001:db8::1
        7.2.0.192.in-addr.arpa. PTR mx.example";
    let Some(mut nsd) = Nsd::start(records) else { return };
    let sink = Sink::smtp();
    let queries = json!([
        ["2.0.0.127.list.example", "a"],
        ["2.0.0.127.list.example", "txt"],
        ["192.0.2.7", "ptr"],
        ["mx.example", "a"],
        ["3.0.0.127.list.example", "a"],
    ]);
    let settings = json!({ "ask": { "it": { "queries": queries } } });
    let gateway = Gateway::before(&sink).set("dns", nsd.settings()).plugin(inquirer(settings));
    let gateway = gateway.start();
    let mut client = client(&gateway);
    let expected = [
        "1 records: 127.0.0.2",
        "1 records: https://list.example/127.0.0.2",
        "1 records: mx.example",
        "no-data",
        "no-such-name",
    ];
    assert_eq!(heard(&mut client, "it"), expected);
    assert_eq!((nsd.asked(), nsd.asked_for("TXT")), (5, 1));
    nsd.stop();
    assert_eq!(heard(&mut client, "it"), expected);
}

#[test]
fn a_server_that_is_not_there_is_a_failure() {
    let sink = Sink::smtp();
    let nobody = portcullis_tests::free_address().to_string();
    let settings = json!({ "ask": { "it": { "queries": [["a.example", "a"]] } } });
    let dns = json!({ "servers": [nobody], "timeout": "500ms" });
    let gateway = Gateway::before(&sink).set("dns", dns).plugin(inquirer(settings)).start();
    let heard = heard(&mut client(&gateway), "it");
    assert!(heard[0].starts_with("failed: ") || heard[0] == "timed-out", "{heard:?}");
}

#[test]
fn what_is_cut_off_is_asked_for_over_tcp() {
    let sink = Sink::smtp();
    let mut zone = Zone::new().record("short.example", "A", "192.0.2.1").fails(
        "short.example",
        None,
        Fault::Truncated,
    );
    for number in 0..500 {
        let address = format!("10.0.{}.{}", number / 250, number % 250);
        zone = zone.record("many.example", "A", &address);
    }
    let dns = Dns::start(zone);
    let names = json!([["short.example", "a"], ["many.example", "a"]]);
    let gateway = gateway(&sink, &dns, json!({ "ask": { "names": { "queries": names } } }));
    let heard = heard(&mut client(&gateway), "names");
    assert_eq!(heard[0], "1 records: 192.0.2.1");
    assert!(heard[1].starts_with("100 records: 10.0."), "{heard:?}");
    assert_eq!(dns.asked().iter().filter(|asked| asked.tcp).count(), 2);
}

#[test]
fn a_batch_is_asked_at_once() {
    let sink = Sink::smtp();
    let mut zone = Zone::new();
    let names: Vec<_> = (0..100).map(|number| format!("n{number}.example")).collect();
    for name in &names {
        zone = zone.fails(name, None, Fault::Silence);
    }
    let dns = Dns::start(zone);
    let queries: Vec<_> = names.iter().map(|name| (name, "a")).collect();
    let gateway = gateway(&sink, &dns, json!({ "ask": { "all": { "queries": queries } } }));
    let mut client = client(&gateway);
    let began = Instant::now();
    let heard = heard(&mut client, "all");
    assert!(heard.iter().all(|said| said == "timed-out"), "{heard:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(names.iter().all(|name| dns.asked_for(name) >= 2), "attempts");
}

#[test]
fn the_same_question_is_asked_once_by_all_who_ask_it() {
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new().record("a.example", "A", "192.0.2.1"));
    let asking = json!({ "queries": [["a.example", "a"]], "times": 100 });
    let gateway = gateway(&sink, &dns, json!({ "ask": { "it": asking } }));
    assert_eq!(heard(&mut client(&gateway), "it")[0], "1 records: 192.0.2.1");
    assert_eq!(dns.asked_for("a.example"), 1);
}

#[test]
fn more_than_the_contract_allows_is_too_many() {
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new().record("a.example", "A", "192.0.2.1"));
    let asking =
        |times, calls| json!({ "queries": [["a.example", "a"]], "times": times, "calls": calls });
    let settings = json!({ "ask": {
        "most": asking(100, 5),
        "call": asking(101, 1),
        "hook": asking(100, 6),
        "flood": asking(10_000, 1),
    }});
    let gateway = gateway(&sink, &dns, settings);
    let mut client = client(&gateway);
    assert_eq!(heard(&mut client, "most")[0], "1 records: 192.0.2.1");
    for about in ["call", "hook", "flood"] {
        assert_eq!(heard(&mut client, about), ["too-many"], "{about}");
    }
}

#[test]
fn a_plugin_has_what_came_shortly_before_its_time_is_over() {
    let sink = Sink::smtp();
    let zone = Zone::new().record("a.example", "A", "192.0.2.1").fails(
        "silent.example",
        None,
        Fault::Silence,
    );
    let dns = Dns::start(zone);
    let names = json!([["a.example", "a"], ["silent.example", "a"]]);
    let mut plugin = inquirer(json!({ "ask": { "names": { "queries": names } } }));
    plugin["time_limit"] = json!("1s");
    let servers = json!({ "servers": [dns.address().to_string()], "timeout": "30s" });
    let gateway = Gateway::before(&sink).set("dns", servers).plugin(plugin).start();
    let expected = ["1 records: 192.0.2.1", "timed-out"];
    assert_eq!(heard(&mut client(&gateway), "names"), expected);
}

#[test]
fn large_answers_are_not_kept() {
    let sink = Sink::smtp();
    let large = vec![&[b'x'; 250][..]; 80];
    let zone = Zone::new()
        .ttl(300)
        .text("small.example", &[b"x"])
        .text("large.example", &large)
        .record("alias.example", "CNAME", "large.example.");
    let dns = Dns::start(zone);
    for (name, asked) in [("small", 1), ("large", 2), ("alias", 2)] {
        let names = json!([[format!("{name}.example"), "txt"]]);
        let gateway = gateway(&sink, &dns, json!({ "ask": { "it": { "queries": names } } }));
        let mut client = client(&gateway);
        for _ in 0..2 {
            assert!(heard(&mut client, "it")[0].starts_with("1 records: x"));
        }
        let name = format!("{name}.example");
        let times = dns.asked().iter().filter(|one| one.name == name && !one.tcp).count();
        assert_eq!(times, asked, "{name}");
    }
}

#[test]
fn without_the_grant_nobody_is_asked() {
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new().record("a.example", "A", "192.0.2.1"));
    let mut plugin = inquirer(json!({ "ask": { "it": { "queries": [["a.example", "a"]] } } }));
    plugin["grants"] = json!([]);
    let gateway = Gateway::before(&sink).set("dns", dns.settings()).plugin(plugin).start();
    assert_eq!(heard(&mut client(&gateway), "it"), ["denied"]);
    assert_eq!(dns.asked(), []);
}

#[test]
fn a_plugin_that_is_configured_hears_nothing() {
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new().record("a.example", "A", "192.0.2.1"));
    // What is frozen then is the same with and without the grant.
    for grants in [json!([]), json!(["dns"])] {
        let mut plugin = inquirer(json!({ "ask_early": { "queries": [["a.example", "a"]] } }));
        plugin["grants"] = grants;
        let gateway = Gateway::before(&sink).set("dns", dns.settings()).plugin(plugin).start();
        let expected = ["failed: not while the plugin is configured"];
        assert_eq!(heard(&mut client(&gateway), "any"), expected);
    }
    assert_eq!(dns.asked(), []);
}

#[test]
fn hostile_names_are_no_names() {
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new());
    let long = format!("{}example", format!("{}.", "x".repeat(63)).repeat(4));
    let names = [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a\0b",
        "a\r\nb",
        "\u{202e}\u{301}.example",
        "xn--\u{fffd}",
        &"x".repeat(64),
        &long,
        &"x".repeat(100_000),
        &"a.".repeat(10_000),
        "\\",
        "\\300.example",
        "%s.example",
        "*.example",
        "_.example",
        "a b.example",
    ];
    let queries: Vec<_> = names.iter().map(|name| (name, "txt")).collect();
    let gateway = gateway(&sink, &dns, json!({ "ask": { "all": { "queries": queries } } }));
    let heard = heard(&mut client(&gateway), "all");
    assert_eq!(heard.len(), names.len());
    for (name, said) in names.iter().zip(&heard) {
        let named = ["no-data", "no-such-name"].contains(&&**said);
        assert!(named || said == "failed: not a name", "{name:?}: {said}");
    }
    for at in [0, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14] {
        assert_eq!(heard[at], "failed: not a name", "{:?}", names[at]);
    }
    assert_eq!(
        lines(&client(&gateway).command("RCPT TO:<b@example.net>").expect_code(250)).len(),
        1
    );
}
