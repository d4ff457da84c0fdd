//! Peers that speak for others, by the PROXY protocol, XCLIENT and XFORWARD.

mod local;
mod postfix;
mod swaks;

use std::io::Write;
use std::net::SocketAddr;

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::HaProxy;
use portcullis_tests::{Client, Gateway, Record, Running, Sink, wait_for};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// Nobody whom a test connects from.
const ELSEWHERE: &str = "192.0.2.99";
const HEADERS: &str = "portcullis_proxy_headers_total";
const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 25\r\n";
const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

/// A gateway that trusts these, with a plugin that tells what it sees of the session.
fn trusting(sink: &Sink, trust: Value) -> Gateway {
    with_porter(Gateway::new().listener("mx", json!({ "trust": trust })), sink)
}

fn with_porter(gateway: Gateway, sink: &Sink) -> Gateway {
    gateway.upstream("store", "smtp", &sink.address().to_string()).plugin(json!({
        "name": "porter",
        "file": plugin("test-porter"),
        "grants": ["rewrite-headers"],
        "settings": { "tell": true },
    }))
}

/// Sends a message, and says where from as the client sees it.
fn deliver(mut client: Client) -> SocketAddr {
    client.expect(220);
    client.command("EHLO client.example").expect_code(250);
    let said = client.deliver("a@example.org", &["b@example.com"], MESSAGE);
    said.expect("a reply").expect_code(250);
    client.local_address()
}

/// The record of the only transaction.
fn transaction(gateway: &Running) -> Record {
    gateway.log.wait_for("the transaction", |it| it.field("target") == "transaction")
}

/// What the porter saw of the session in which this message came.
fn seen(message: &str) -> Value {
    let line = message.lines().find_map(|line| line.strip_prefix("X-Session: "));
    serde_json::from_str(line.expect("a header of the porter")).expect("JSON")
}

/// Whatever the proxy is, this is the client.
#[track_caller]
fn expect_client(gateway: &Running, sink: &Sink, client: SocketAddr, via: &str) {
    let letter = sink.only_letter();
    let received = letter.received();
    assert!(received.contains(&format!("from client.example ([{}])", client.ip())), "{received}");
    let record = transaction(gateway);
    assert_eq!(record.peer("/client"), client.to_string(), "{record:?}");
    assert!(record.peer("/client/via").starts_with(via), "{record:?}");
    let seen = seen(&letter.text());
    assert_eq!(seen["client-address"], client.ip().to_string());
    assert_eq!(seen["client-port"], client.port());
}

#[test]
fn haproxy_says_who_the_client_is() {
    for server in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority",
        "send-proxy-v2-ssl-cn",
    ] {
        let sink = Sink::smtp();
        let gateway = trusting(&sink, json!({ "proxy_protocol": [HaProxy::SOURCE] })).start();
        let Some(haproxy) = HaProxy::before(gateway.address("mx"), server) else { return };
        let client = deliver(Client::connect(haproxy.address));
        expect_client(&gateway, &sink, client, HaProxy::SOURCE);
        gateway.wait_for_metric(HEADERS, &[("listener", "mx"), ("result", "ok")], 1.0);
        let accepted = [("listener", "mx"), ("outcome", "accepted")];
        gateway.wait_for_metric("portcullis_transactions_total", &accepted, 1.0);
    }
}

#[test]
fn haproxy_says_it_before_the_handshake() {
    let sink = Sink::smtp();
    let trust = json!({ "trust": { "proxy_protocol": [HaProxy::SOURCE] } });
    let gateway = with_porter(Gateway::new().tls_listener_with("mx", "implicit", trust), &sink);
    let gateway = gateway.start();
    let Some(haproxy) = HaProxy::before(gateway.address("mx"), "send-proxy-v2") else { return };
    let client = deliver(Client::connect_tls(haproxy.address));
    expect_client(&gateway, &sink, client, HaProxy::SOURCE);
    let letter = sink.only_letter();
    assert!(letter.received().contains(" with ESMTPS id "), "{}", letter.received());
    let seen = seen(&letter.text());
    assert_eq!(seen["server-name"], "gateway.example");
    assert_eq!(seen["tls-at-proxy"], Value::Null);
}

#[test]
fn tls_that_ends_at_haproxy_is_told_and_is_not_ours() {
    for (options, told) in [
        ("ssl,cert-cn,authority", "(TLSv1.3 at the proxy)"),
        ("ssl-cipher,authority", "(TLSv1.3 TLS_AES_256_GCM_SHA384 at the proxy)"),
    ] {
        let (sink, users) = (Sink::smtp(), users());
        let listener = json!({
            "trust": { "proxy_protocol": [HaProxy::SOURCE] },
            "auth": { "mechanisms": ["plain"], "users": users.path() },
        });
        let gateway = Gateway::new().tls_listener_with("mx", "starttls", listener);
        let gateway = with_porter(gateway, &sink).start();
        let server = format!("send-proxy-v2 proxy-v2-options {options}");
        let certificate = gateway.certificate();
        let haproxy = HaProxy::ending_tls(gateway.address("mx"), &server, certificate);
        let Some(haproxy) = haproxy else { return };
        let mut client = Client::connect_tls(haproxy.address);
        client.expect(220);
        let offered = client.command("EHLO client.example").expect_code(250);
        assert!(!offered.lines.iter().any(|line| line.starts_with("AUTH")), "{offered}");
        client.command("AUTH PLAIN AGFubgBvcGVuIHNlc2FtZQ==").expect_code(538);
        client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
        expect_client(&gateway, &sink, client.local_address(), HaProxy::SOURCE);
        let letter = sink.only_letter();
        let received = letter.received();
        assert!(received.contains(" with ESMTP id "), "{received}");
        assert!(received.contains(&format!("\r\n\t{told}\r\n")), "{received}");
        let seen = seen(&letter.text());
        assert_eq!(seen["server-name"], "gateway.example");
        assert_eq!(seen["tls-at-proxy"], true);
        let record = transaction(&gateway);
        let tls = ["/tls/version", "/tls/cipher"].map(|part| record.at(part)).join(" ");
        assert_eq!(record.at("/tls/at_proxy"), "true");
        assert_eq!(format!("({} at the proxy)", tls.trim()), told);
    }
}

#[test]
fn haproxy_finds_the_gateway_well_and_is_no_client() {
    for (server, healthy) in [
        // Closed behind the header: LOCAL, or UNKNOWN in version 1.
        ("check inter 50ms send-proxy-v2", "L4OK"),
        ("check inter 50ms send-proxy", "L4OK"),
        // Stays for a banner and QUIT.
        ("check inter 50ms send-proxy-v2 check-send-proxy", "L7OK"),
    ] {
        let sink = Sink::smtp();
        let gateway = trusting(&sink, json!({ "proxy_protocol": [HaProxy::SOURCE] }))
            .set("limits", json!({ "connections_per_address": 1 }))
            .start();
        let address = gateway.address("mx");
        let smtp = "\n option tcp-check\n tcp-check expect string 220\n \
            tcp-check send QUIT\\r\\n\n tcp-check expect string 221";
        let server = if healthy == "L7OK" { format!("{server}{smtp}") } else { server.to_owned() };
        let Some(haproxy) = HaProxy::before(address, &server) else { return };
        wait_for(&format!("{server}: {healthy}, {:?}", haproxy.health()), || {
            haproxy.health().filter(|health| health == healthy)
        });
        wait_for("several checks", || {
            let ok = gateway.metrics().sum(HEADERS, &[("listener", "mx"), ("result", "ok")]);
            (ok >= 3.0).then_some(())
        });
        let all = gateway.metrics().sum(HEADERS, &[]);
        let ok = gateway.metrics().sum(HEADERS, &[("result", "ok")]);
        assert!(all <= ok, "{}", gateway.metrics().text());
        // Two clients at once may be one too many, but the checks do not count.
        let client = deliver(Client::connect(haproxy.address));
        expect_client(&gateway, &sink, client, HaProxy::SOURCE);
        assert!(gateway.log.about("WARN").is_empty(), "{:?}", gateway.log.lines());
    }
}

#[test]
fn a_check_that_only_connects_is_counted_and_no_warning() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "proxy_protocol": ["127.0.0.1"] })).start();
    let mut client = Client::connect(gateway.address("mx"));
    client.shut_down();
    assert_eq!(client.wait_for_end(), []);
    gateway.wait_for_metric(HEADERS, &[("listener", "mx"), ("result", "closed")], 1.0);
    assert!(gateway.log.about("WARN").is_empty(), "{:?}", gateway.log.lines());
}

#[test]
fn limits_are_those_of_the_client() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "proxy_protocol": [HaProxy::SOURCE, "127.0.0.1"] }))
        .set("limits", json!({ "connections_per_address": 1 }))
        .start();
    let Some(haproxy) = HaProxy::before(gateway.address("mx"), "send-proxy-v2") else { return };
    let mut first = Client::connect(haproxy.address);
    first.expect(220);
    Client::connect(haproxy.address).expect(421);
    // Another client of another proxy, and the same client by another way.
    let mut other = Client::connect(gateway.address("mx"));
    other.send(LINE).unwrap();
    other.expect(220);
    let mut same = Client::connect(gateway.address("mx"));
    same.send(b"PROXY TCP4 127.0.0.1 192.0.2.1 1 25\r\n").unwrap();
    same.expect(421);
    first.command("QUIT").expect_code(221);
}

#[test]
fn a_header_from_elsewhere_is_an_unknown_command() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "proxy_protocol": [ELSEWHERE] })).start();
    let mut client = gateway.client();
    client.send(LINE).unwrap();
    client.expect(500);
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    expect_client(&gateway, &sink, client.local_address(), "");
    assert_eq!(transaction(&gateway).peer("/client/via"), "");
    assert!(gateway.metrics().sum(HEADERS, &[]) < 0.5);
}

#[test]
fn haproxy_that_is_not_trusted_is_the_client() {
    for server in ["send-proxy", "send-proxy-v2"] {
        let sink = Sink::smtp();
        let gateway = trusting(&sink, json!({ "proxy_protocol": [ELSEWHERE] })).start();
        let Some(haproxy) = HaProxy::before(gateway.address("mx"), server) else { return };
        let mut client = Client::connect(haproxy.address);
        client.expect(220);
        client.expect(500);
        // What follows a header of version 2 is the end of a line that nobody understands.
        client.send(b"\r\nEHLO client.example\r\n").unwrap();
        let heard = std::iter::repeat_with(|| client.reply().unwrap());
        assert!(heard.take(9).any(|reply| reply.code == 250), "{server}");
        client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
        let record = transaction(&gateway);
        assert!(record.peer("/client").starts_with(HaProxy::SOURCE), "{record:?}");
        assert_eq!(record.peer("/client/via"), "");
    }
}

#[test]
fn a_trusted_proxy_that_says_nothing_of_a_client_is_closed() {
    for (said, result) in [
        (&b"EHLO client.example\r\n"[..], "missing"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "missing"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1 RABBIT 25\r\n", "malformed"),
        (b"\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x0c", "malformed"),
        (b"PROXY TCP4 192.0.2.7 192.0.2.1", "timeout"),
        (b"", "timeout"),
    ] {
        let listener = json!({
            "trust": { "proxy_protocol": ["127.0.0.1"] },
            // Short only where it is waited for.
            "timeouts": { "proxy_header": if result == "timeout" { "200ms" } else { "30s" } },
        });
        let gateway = Gateway::new()
            .listener("mx", listener)
            .upstream("store", "smtp", &Sink::smtp().address().to_string())
            .start();
        let mut client = Client::connect(gateway.address("mx"));
        client.send(said).unwrap();
        assert_eq!(client.wait_for_end(), [], "{}", said.escape_ascii());
        gateway.wait_for_metric(HEADERS, &[("listener", "mx"), ("result", result)], 1.0);
        let late = [("listener", "mx"), ("limit", "timeouts.proxy_header")];
        let reached = if result == "timeout" { 1.0 } else { 0.0 };
        gateway.wait_for_metric("portcullis_limit_reached_total", &late, reached);
        gateway.log.wait_for("a warning", |it| {
            it.mentions("a trusted proxy did not say whose connection it is")
        });
    }
}

#[test]
fn a_header_may_dawdle_within_its_time_and_bring_the_next_command() {
    let sink = Sink::smtp();
    let gateway = trusting(&sink, json!({ "proxy_protocol": ["127.0.0.1"] })).start();
    let mut client = Client::connect(gateway.address("mx"));
    for octet in &LINE[..LINE.len() - 1] {
        client.send(&[*octet]).unwrap();
    }
    client.send(b"\nEHLO client.example\r\n").unwrap();
    client.expect(220);
    client.expect(250);
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    expect_client(&gateway, &sink, "192.0.2.7:56324".parse().unwrap(), "127.0.0.1:");
}

#[test]
fn who_may_say_xclient_is_the_client_behind_the_header() {
    let sink = Sink::smtp();
    let gateway = trusting(
        &sink,
        json!({ "proxy_protocol": ["127.0.0.1"], "xclient": ["127.0.0.1", "192.0.2.8"] }),
    );
    let gateway = gateway.start();
    for (from, code) in [("192.0.2.7", 550), ("192.0.2.8", 220)] {
        let mut client = Client::connect(gateway.address("mx"));
        client.send(format!("PROXY TCP4 {from} 192.0.2.1 1 25\r\n").as_bytes()).unwrap();
        client.expect(220);
        client.command("EHLO client.example").expect_code(250);
        client.command("XCLIENT ADDR=198.51.100.1").expect_code(code);
    }
}

/// A file that knows `ann` with `open sesame`.
fn users() -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file can be made");
    file.write_all(b"ann:{cleartext}open sesame\n").expect("a new file can be written");
    file
}
