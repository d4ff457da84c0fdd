//! What plugins reach over streams, and what they do not.

use std::io;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::service::Peer;
use portcullis_tests::{Client, Dns, Gateway, Running, Service, Sink, Zone};
use serde_json::{Value, json};

use crate::resolving::lines;

/// Answers each line by itself in capitals, but for those that tell it to behave badly.
fn speak(peer: &mut dyn Peer) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        let mut octet = [0];
        if peer.read(&mut octet)? == 0 {
            return Ok(());
        }
        line.extend(octet);
        if octet != *b"\n" {
            continue;
        }
        match std::mem::take(&mut line).as_slice() {
            b"hang\n" => {
                peer.read_exact(&mut [0; 1 << 20])?;
            }
            b"deaf\n" => std::thread::sleep(Duration::from_secs(20)),
            b"close\n" => return Ok(()),
            b"half\n" => return peer.write_all(b"ha"),
            b"endless\n" => loop {
                peer.write_all(&[b'x'; 4096])?;
            },
            b"much\n" => peer.write_all(&[0xff; 200_000])?,
            b"trickle\n" => loop {
                peer.write_all(b"x")?;
                std::thread::sleep(Duration::from_millis(20));
            },
            said => peer.write_all(&said.to_ascii_uppercase())?,
        }
    }
}

#[test]
fn a_plugin_reaches_granted_services_and_no_others() {
    let (service, other, sink) = (Service::tcp(speak), Service::tcp(speak), Sink::smtp());
    let folder = tempfile::tempdir().unwrap();
    let unix = Service::unix(&folder.path().join("service.sock"), speak);
    let hello = |address: &str| {
        json!([{ "stream": { "address": address,
        "say": [{ "write": "hello\n" }, { "read": 3 }, { "read": 100 }] } }])
    };
    let gateway = Gateway::before(&sink)
        .plugin(reacher(
            json!({
                "tcp": hello(&service.address),
                "unix": hello(&unix.address),
                "other": hello(&other.address),
                "name": hello(&service.address.replace("127.0.0.1", "localhost")),
                "path": hello(&format!("{}/", unix.address)),
                "nothing": hello(""),
            }),
            json!([service.address, unix.address]),
        ))
        .start();
    let mut client = client(&gateway);
    assert_eq!(heard(&mut client, "tcp"), ["written", "read HEL", "read LO\\u000a"]);
    assert_eq!(heard(&mut client, "unix"), ["written", "read HEL", "read LO\\u000a"]);
    for denied in ["other", "name", "path", "nothing"] {
        assert_eq!(heard(&mut client, denied), ["0 open, denied"], "{denied}");
    }
    assert_eq!(other.connections(), 0);
    let labels = |result| [("plugin", "reacher"), ("result", result)];
    gateway.wait_for_metric("portcullis_plugin_streams_total", &labels("denied"), 4.0);
    gateway.wait_for_metric("portcullis_plugin_streams_total", &labels("ok"), 2.0);
}

#[test]
fn without_the_grant_and_while_it_is_configured_no_stream_is_opened() {
    let (service, sink) = (Service::tcp(speak), Sink::smtp());
    let ask = json!([{ "stream": { "address": service.address, "say": [] } },
        { "stream": { "address": service.address, "say": [{ "write": "a\n" }] } }]);
    let settings = json!({ "early": ask, "do": { "now": ask } });
    for (grants, now) in [
        (json!([]), vec!["0 open, denied"; 2]),
        (json!([{ "streams": [service.address] }]), vec!["written"]),
    ] {
        let plugin = json!({ "name": "reacher", "file": plugin("test-reacher"),
            "settings": settings, "grants": grants });
        let gateway = Gateway::before(&sink).plugin(plugin).start();
        let mut client = client(&gateway);
        assert_eq!(heard(&mut client, "anybody"), ["0 open, denied"; 2]);
        assert_eq!(heard(&mut client, "now"), now);
    }
    assert_eq!(service.connections(), 2);
}

#[test]
fn a_service_whose_name_leads_inside_is_denied_unless_that_is_said() {
    let (service, sink) = (Service::tcp(speak), Sink::smtp());
    let port = service.port();
    let dns = Dns::start(
        Zone::new()
            .record("rebound.example", "A", "127.0.0.1")
            .record("metadata.example", "A", "169.254.169.254")
            .record("clamd.internal", "A", "127.0.0.1"),
    );
    let ask = |name: &str| {
        json!([{ "stream": { "address": format!("{name}:{port}"),
        "say": [{ "write": "a\n" }, { "read": 1 }] } }])
    };
    let gateway = Gateway::before(&sink)
        .set("dns", dns.settings())
        .plugin(reacher(
            json!({
                "rebound": ask("rebound.example"),
                "metadata": ask("metadata.example"),
                "inside": ask("clamd.internal"),
                "loopback": ask("localhost"),
                "nowhere": ask("nowhere.example"),
            }),
            json!([
                format!("rebound.example:{port}"),
                format!("metadata.example:{port}"),
                { "address": format!("clamd.internal:{port}"), "private": true },
                format!("localhost:{port}"),
                format!("nowhere.example:{port}"),
            ]),
        ))
        .start();
    let mut client = client(&gateway);
    for denied in ["rebound", "metadata"] {
        assert_eq!(heard(&mut client, denied), ["0 open, denied"], "{denied}");
    }
    assert_eq!(service.connections(), 0);
    assert_eq!(heard(&mut client, "inside"), ["written", "read A"]);
    assert_eq!(heard(&mut client, "loopback"), ["written", "read A"]);
    assert_eq!(heard(&mut client, "nowhere"), ["0 open, unavailable: the name has no address"]);
}

#[test]
fn bad_services_hold_nobody_for_longer_than_the_plugins_time() {
    let (service, sink) = (Service::tcp(speak), Sink::smtp());
    let say = |word: &str| {
        json!([{ "stream": { "address": service.address,
        "say": [{ "write": format!("{word}\n") }, "read-all"] } }])
    };
    let paths = ["hang", "close", "half", "endless", "much", "trickle"];
    let mut asks: serde_json::Map<String, Value> =
        paths.iter().map(|path| ((*path).to_owned(), say(path))).collect();
    // More than the system keeps for who does not read.
    let mut deaf = vec![json!({ "write": "deaf\n" })];
    deaf.extend(vec![json!({ "write-octets": 1 << 20 }); 6]);
    deaf.push(json!({ "write": "more\n" }));
    asks.insert(
        "deaf".into(),
        json!([{ "stream": { "address": service.address, "timeout_ms": 200, "say": deaf } }]),
    );
    asks.insert(
        "short".into(),
        json!([{ "stream": { "address": service.address,
        "timeout_ms": 50, "say": [{ "write": "hang\n" }, { "read": 1 }] } }]),
    );
    asks.insert("refused".into(), json!([{ "stream": { "address": "127.0.0.1:1", "say": [] } }]));
    let granted = json!([service.address, "127.0.0.1:1"]);
    let gateway = Gateway::before(&sink).plugin(reacher(asks.into(), granted)).start();
    let mut client = client(&gateway);
    let start = Instant::now();
    assert_eq!(heard(&mut client, "close"), ["written", "read 0 octets"]);
    assert_eq!(heard(&mut client, "half"), ["written", "read 2 octets"]);
    for late in ["hang", "endless", "much", "trickle"] {
        assert_eq!(heard(&mut client, late), ["written", "timed-out"], "{late}");
    }
    assert!(heard(&mut client, "refused")[0].starts_with("0 open, unavailable: "));
    let before = Instant::now();
    assert_eq!(heard(&mut client, "short"), ["written", "timed-out"]);
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    let deaf = heard(&mut client, "deaf");
    assert!(deaf.contains(&"timed-out".to_owned()), "{deaf:?}");
    let cut_short = "unavailable: something written before was cut short";
    assert_eq!(deaf.last().map(String::as_str), Some(cut_short));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn streams_have_bounds_and_end_with_their_call() {
    let (service, sink) = (Service::tcp(speak), Sink::smtp());
    let open = |times: usize, say: Value| {
        json!({ "stream": { "address": service.address,
        "times": times, "say": say } })
    };
    let gateway = Gateway::before(&sink)
        .plugin(reacher(
            json!({
                "most": [open(16, json!([{ "write": "a\n" }, { "read": 1 }])),
                    open(16, json!([{ "write": "b\n" }, { "read": 1 }]))],
                "many": [open(17, json!([]))],
                "large": [open(1, json!([{ "write-octets": (1 << 20) + 1 }, { "write": "c\n" },
                    { "read": 1 }]))],
                "kept": [open(1, json!([{ "write": "d\n" }, "keep"]))],
                "later": [open(1, json!(["kept", { "read": 1 }, { "write": "e\n" }]))],
            }),
            json!([service.address]),
        ))
        .start();
    let mut client = client(&gateway);
    assert_eq!(heard(&mut client, "most"), ["written", "read A", "written", "read B"]);
    assert_eq!(heard(&mut client, "many"), ["16 open, too-many"]);
    assert_eq!(heard(&mut client, "large"), ["too-many", "written", "read C"]);
    assert_eq!(heard(&mut client, "kept"), ["written"]);
    let ended = "unavailable: it ended with the hook call that opened it";
    assert_eq!(heard(&mut client, "later"), [ended, ended]);
}

#[test]
fn content_goes_to_a_service_without_passing_through_the_plugin() {
    let sink = Sink::smtp();
    let body = format!("{}\r\n", "x".repeat(70)).repeat(100_000);
    let expected = body.clone();
    let service = Service::tcp(move |peer| {
        let mut sent = vec![0; expected.len()];
        peer.read_exact(&mut sent)?;
        peer.write_all(if sent == expected.as_bytes() { b"all of it" } else { b"something else" })
    });
    let plugin = json!({
        "name": "reacher",
        "file": plugin("test-reacher"),
        "settings": { "stream_to": service.address },
        "grants": [{ "streams": [service.address] }],
        "time_limit": "30s",
        "memory_limit": "2MiB",
    });
    let gateway = Gateway::before(&sink).plugin(plugin).start();
    let message = format!("Subject: t\r\n\r\n{body}");
    let reply = gateway.client().deliver("a@example.org", &["b@example.com"], message.as_bytes());
    let reply = reply.unwrap().expect_code(550);
    assert_eq!(lines(&reply), [format!("10 and {}: all of it", body.len() - 10)]);
}

fn reacher(asks: Value, services: Value) -> Value {
    json!({ "name": "reacher", "file": plugin("test-reacher"), "settings": { "do": asks },
        "grants": [{ "streams": services }], "time_limit": "2s", "isolation": "transaction" })
}

/// A client with a transaction.
fn client(gateway: &Running) -> Client {
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    client
}

/// What the plugin heard.
#[track_caller]
fn heard(client: &mut Client, about: &str) -> Vec<String> {
    lines(&client.command(&format!("RCPT TO:<{about}@example.net>")).expect_code(550))
}
