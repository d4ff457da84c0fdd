//! DNS lists: a real name server that has them, and one that is slow, lies, or is not there.

use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::Nsd;
use portcullis_tests::{Client, Dns, Fault, Gateway, Running, Sink, Zone};
use serde_json::{Value, json};

/// 192.0.2.66 and 2001:db8::66 are bad, 192.0.2.7 is good, and so are and are not some domains.
const LISTS: &str = "
    66.2.0.192.zen.spamhaus.org A 127.0.0.4
    66.2.0.192.zen.spamhaus.org TXT \"https://check.example/query/ip/192.0.2.66\"
    6.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.zen.spamhaus.org A 127.0.0.3
    7.2.0.192.zen.spamhaus.org A 127.0.0.10
    7.2.0.192.list.dnswl.org A 127.0.9.3
    spam.com.dbl.spamhaus.org A 127.0.1.2
    8.2.0.192.zen.spamhaus.org A 127.255.255.254
    refused.com.dbl.spamhaus.org A 127.255.255.252
";

const LINK: &[u8] =
    b"Subject: t\r\nContent-Type: text/html\r\n\r\n<a href='https://www.SP&#65;M.com/x'>y</a>\r\n";

fn dnsbl(more: Value) -> Value {
    let mut settings =
        json!({ "lists": ["zen.spamhaus.org", "dbl.spamhaus.org", "list.dnswl.org"] });
    for (key, value) in more.as_object().expect("a mapping") {
        settings[key] = value.clone();
    }
    json!({ "name": "dnsbl", "file": plugin("dnsbl"), "grants": ["dns"], "time_limit": "5s",
        "settings": settings })
}

fn uribl() -> Value {
    json!({ "name": "uribl", "file": plugin("uribl"), "grants": ["dns"], "time_limit": "5s",
        "settings": { "lists": ["dbl.spamhaus.org"], "refuse": { "score": 5 } } })
}

/// A gateway that believes whatever a client says of its address.
fn gateway(sink: &Sink, dns: Value, plugins: impl IntoIterator<Item = Value>) -> Running {
    let gateway = Gateway::new()
        .listener("mx", json!({ "trust": { "xclient": ["127.0.0.1"] } }))
        .upstream("store", "smtp", &sink.address().to_string())
        .set("dns", dns);
    plugins.into_iter().fold(gateway, Gateway::plugin).start()
}

fn client(gateway: &Running, address: &str) -> Client {
    let mut client = gateway.client();
    let prefix = if address.contains(':') { "IPV6:" } else { "" };
    client.command(&format!("XCLIENT ADDR={prefix}{address}")).expect_code(220);
    client.command("EHLO client.example").expect_code(250);
    client
}

fn deliver(client: &mut Client, from: &str, message: &[u8]) -> String {
    client.deliver(from, &["b@example.com"], message).expect("the session goes on").text()
}

#[test]
fn who_is_listed_hears_why_and_others_are_let_in() {
    let Some(nsd) = Nsd::start(LISTS) else { return };
    let sink = Sink::smtp();
    let gateway = gateway(&sink, nsd.settings(), [dnsbl(json!({}))]);
    let mut bad = client(&gateway, "192.0.2.66");
    bad.command("MAIL FROM:<a@example.org>").expect_code(250);
    let refused = bad.command("RCPT TO:<b@example.com>").expect_code(550).text();
    let why = "5.7.1 192.0.2.66 is listed by zen.spamhaus.org: \
        https://check.example/query/ip/192.0.2.66";
    assert!(refused.starts_with(why), "{refused}");
    bad.command("RCPT TO:<postmaster@example.com>").expect_code(250);
    let refused = deliver(&mut client(&gateway, "2001:db8::66"), "a@example.org", b"x\r\n");
    assert!(refused.contains("2001:db8::66 is listed by zen.spamhaus.org"), "{refused}");
    let refused = deliver(&mut client(&gateway, "192.0.2.1"), "a@spam.com", b"x\r\n");
    assert!(refused.contains("spam.com is listed by dbl.spamhaus.org: a domain"), "{refused}");
    assert_eq!(sink.letters().len(), 0);
    // One that is trusted, one whom an error of a list is about, one whom nobody knows.
    for good in ["192.0.2.7", "192.0.2.8", "192.0.2.9"] {
        let said = deliver(&mut client(&gateway, good), "a@refused.com", b"x\r\n");
        assert!(said.starts_with("2.0.0"), "{good}: {said}");
    }
    assert_eq!(sink.wait_for(3).len(), 3);
    let refusals = "portcullis_plugin_dnsbl_refusals_total";
    gateway.wait_for_metric(refusals, &[("list", "ZEN")], 2.0);
    gateway.wait_for_metric(refusals, &[("list", "DBL")], 1.0);
    gateway.wait_for_metric("portcullis_plugin_dnsbl_nonsense_total", &[("list", "ZEN")], 1.0);
}

#[test]
fn the_second_mail_asks_nobody() {
    let Some(nsd) = Nsd::start(LISTS) else { return };
    let sink = Sink::smtp();
    let gateway = gateway(&sink, nsd.settings(), [dnsbl(json!({})), uribl()]);
    let mut asked = Vec::new();
    for _ in 0..2 {
        let mut client = client(&gateway, "192.0.2.1");
        let refused = deliver(&mut client, "a@good.com", LINK);
        let why = "this message leads to spam.com, which is listed by dbl.spamhaus.org: ";
        assert!(refused.contains(why), "{refused}");
        asked.push(nsd.asked());
    }
    // Two lists of addresses, sender and EHLO at that of domains; the link, its reason, and whether
    // that list has everything.
    assert_eq!(asked, [7, 7]);
}

#[test]
fn without_a_name_server_mail_goes_through_or_waits_as_the_settings_say() {
    let Some(mut nsd) = Nsd::start(LISTS) else { return };
    nsd.stop();
    for (on_error, said) in [("pass", "2.0.0"), ("score", "2.0.0"), ("defer", "4.7.1")] {
        let sink = Sink::smtp();
        let plugins = [dnsbl(json!({ "on_error": on_error })), uribl()];
        let gateway = gateway(&sink, nsd.settings(), plugins);
        let mut client = client(&gateway, "192.0.2.66");
        let start = Instant::now();
        let heard = deliver(&mut client, "a@spam.com", LINK);
        assert!(heard.starts_with(said), "{on_error}: {heard}");
        assert!(start.elapsed() < BOUND, "{on_error}: {:?}", start.elapsed());
    }
}

#[test]
fn once_the_name_server_is_back_lists_count_again() {
    let Some(mut nsd) = Nsd::start(LISTS) else { return };
    nsd.stop();
    let sink = Sink::smtp();
    let gateway = gateway(&sink, nsd.settings(), [dnsbl(json!({}))]);
    let said = deliver(&mut client(&gateway, "192.0.2.66"), "a@example.org", b"x\r\n");
    assert!(said.starts_with("2.0.0"), "{said}");
    nsd.resume();
    portcullis_tests::wait_for("a refusal", || {
        let said = deliver(&mut client(&gateway, "192.0.2.66"), "a@example.org", b"x\r\n");
        said.contains("is listed by zen.spamhaus.org").then_some(())
    });
}

#[test]
fn lists_that_are_silent_cost_one_wait_and_block_nobody() {
    let sink = Sink::smtp();
    let zone = Zone::new()
        .fails("66.2.0.192.zen.spamhaus.org", None, Fault::Silence)
        .fails("66.2.0.192.list.dnswl.org", None, Fault::Silence)
        .fails("spam.com.dbl.spamhaus.org", None, Fault::Silence)
        .fails("client.example.dbl.spamhaus.org", None, Fault::Silence);
    let dns = Dns::start(zone);
    let settings =
        json!({ "servers": [dns.address().to_string()], "timeout": "2s", "attempts": 1 });
    let mut dnsbl = dnsbl(json!({}));
    dnsbl["time_limit"] = json!("30s");
    let gateway = gateway(&sink, settings, [dnsbl]);
    let mut client = client(&gateway, "192.0.2.66");
    let start = Instant::now();
    let said = deliver(&mut client, "a@spam.com", b"Subject: t\r\n\r\nx\r\n");
    assert!(said.starts_with("2.0.0"), "{said}");
    // Four that wait for two seconds each, all at once.
    assert!(start.elapsed() < Duration::from_secs(6), "{:?}", start.elapsed());
    // The next mail of the session does not wait for them again.
    let asked = dns.asked().len();
    let said = deliver(&mut client, "a@spam.com", b"Subject: t\r\n\r\nx\r\n");
    assert!(said.starts_with("2.0.0"), "{said}");
    assert_eq!(dns.asked().len(), asked);
    assert_eq!(sink.wait_for(2).len(), 2);
}

#[test]
fn what_a_lying_name_server_says_blocks_nobody() {
    let sink = Sink::smtp();
    let names = ["66.2.0.192.zen.spamhaus.org", "spam.com.dbl.spamhaus.org"];
    let lies: [(&str, Zone); 6] = [
        (
            "garbage",
            names.iter().fold(Zone::new(), |zone, name| zone.fails(name, None, Fault::Garbage)),
        ),
        (
            "another id",
            names.iter().fold(Zone::new(), |zone, name| zone.fails(name, None, Fault::WrongId)),
        ),
        (
            "SERVFAIL",
            names.iter().fold(Zone::new(), |zone, name| zone.fails(name, None, Fault::Code(2))),
        ),
        (
            "an advertisement",
            names.iter().fold(Zone::new(), |zone, name| zone.record(name, "A", "198.51.100.1")),
        ),
        (
            "an error",
            names.iter().fold(Zone::new(), |zone, name| zone.record(name, "A", "127.255.255.254")),
        ),
        (
            "the whole world",
            names.iter().fold(Zone::new(), |zone, name| {
                zone.record(name, "A", "127.0.0.2")
                    .record(name, "A", "127.0.1.2")
                    .record("1.0.0.127.zen.spamhaus.org", "A", "127.0.0.2")
                    .record("invalid.dbl.spamhaus.org", "A", "127.0.1.2")
            }),
        ),
    ];
    for (lie, zone) in lies {
        let dns = Dns::start(zone);
        let settings =
            json!({ "servers": [dns.address().to_string()], "timeout": "300ms", "attempts": 1 });
        let gateway = gateway(&sink, settings, [dnsbl(json!({})), uribl()]);
        let start = Instant::now();
        let said = deliver(&mut client(&gateway, "192.0.2.66"), "a@spam.com", LINK);
        assert!(said.starts_with("2.0.0"), "{lie}: {said}");
        assert!(start.elapsed() < BOUND, "{lie}: {:?}", start.elapsed());
    }
}

/// Well below what the plugins may take together, on a busy machine.
const BOUND: Duration = Duration::from_secs(10);
