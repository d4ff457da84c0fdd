//! What plugins reach over HTTP, and what they do not.

use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::{Certificate, Client, Dns, Gateway, Running, Sink, Web, Zone};
use serde_json::{Value, json};

use crate::resolving::lines;

#[test]
fn a_plugin_reaches_granted_origins_and_no_others() {
    let (web, other, sink) = (Web::start(), Web::start(), Sink::smtp());
    let gateway = Gateway::before(&sink)
        .plugin(reacher(
            json!({
                "hello": [{ "url": web.url("/hello") }],
                "post": [{ "method": "POST", "url": web.url("/post"), "body": "12345",
                    "headers": [["X-One", "1"]] }],
                "both": [{ "url": web.url("/1") }, { "url": other.url("/2") }, { "url": web.url("/3") }],
                "tls": [{ "url": web.url("/").replace("http:", "https:") }],
                "port": [{ "url": "http://127.0.0.1/" }],
                "name": [{ "url": web.url("/").replace("127.0.0.1", "localhost") }],
                "redirect": [{ "url": web.url("/redirect") }],
            }),
            json!([format!("http://{}", web.address)]),
        ))
        .start();
    let mut client = client(&gateway);
    assert_eq!(heard(&mut client, "hello"), ["200 8 octets: /hello 0"]);
    assert_eq!(heard(&mut client, "post"), ["200 7 octets: /post 5"]);
    let (head, body) = web.seen().requests.pop().expect("a request");
    assert!(head.contains("\r\nx-one: 1\r\n") && body == b"12345", "{head}");
    assert!(head.contains(&format!("\r\nhost: {}\r\n", web.address)), "{head}");
    assert_eq!(heard(&mut client, "both"), ["200 4 octets: /1 0", "denied", "200 4 octets: /3 0"]);
    for denied in ["tls", "port", "name"] {
        assert_eq!(heard(&mut client, denied), ["denied"], "{denied}");
    }
    assert_eq!(other.seen().connections, 0);
    assert_eq!(heard(&mut client, "redirect"), ["302 /hello0 octets: "]);
    let seen = web.seen();
    assert_eq!(seen.requests.len(), 5, "nobody follows a redirect");
    assert!(seen.connections < 5, "connections are used again: {}", seen.connections);
    let labels = [("plugin", "reacher"), ("result", "denied")];
    gateway.wait_for_metric("portcullis_plugin_http_requests_total", &labels, 4.0);
}

#[test]
fn without_the_grant_and_while_it_is_configured_nobody_is_reached() {
    let (web, sink) = (Web::start(), Sink::smtp());
    let ask = json!([{ "http": [{ "url": web.url("/") }] }]);
    let settings = json!({ "early": ask, "do": { "now": ask } });
    for (grants, now) in [
        (json!([]), "denied"),
        (json!([{ "http": [format!("http://{}", web.address)] }]), "200 3 octets: / 0"),
    ] {
        let plugin = json!({ "name": "reacher", "file": plugin("test-reacher"),
            "settings": settings, "grants": grants });
        let gateway = Gateway::before(&sink).plugin(plugin).start();
        let mut client = client(&gateway);
        assert_eq!(heard(&mut client, "anybody"), ["denied"]);
        assert_eq!(heard(&mut client, "now"), [now]);
    }
    assert_eq!(web.seen().connections, 1);
}

#[test]
fn a_name_that_leads_inside_is_denied_unless_that_is_said() {
    let (web, sink) = (Web::start(), Sink::smtp());
    let port = web.address.port();
    let dns = Dns::start(
        Zone::new()
            .record("rebound.example", "A", "127.0.0.1")
            .record("metadata.example", "A", "169.254.169.254")
            .record("six.example", "AAAA", "::ffff:127.0.0.1")
            .record("rspamd.internal", "A", "127.0.0.1"),
    );
    let ask = |name: &str| json!([{ "url": format!("http://{name}:{port}/x") }]);
    let gateway = Gateway::before(&sink)
        .set("dns", dns.settings())
        .plugin(reacher(
            json!({
                "rebound": ask("rebound.example"),
                "metadata": ask("metadata.example"),
                "six": ask("six.example"),
                "inside": ask("rspamd.internal"),
                "loopback": ask("localhost"),
                "nowhere": ask("nowhere.example"),
            }),
            json!([
                format!("http://rebound.example:{port}"),
                format!("http://metadata.example:{port}"),
                format!("http://six.example:{port}"),
                { "origin": format!("http://rspamd.internal:{port}"), "private": true },
                format!("http://localhost:{port}"),
                format!("http://nowhere.example:{port}"),
            ]),
        ))
        .start();
    let mut client = client(&gateway);
    for denied in ["rebound", "metadata", "six"] {
        assert_eq!(heard(&mut client, denied), ["denied"], "{denied}");
    }
    assert_eq!(web.seen().connections, 0);
    assert_eq!(heard(&mut client, "inside"), ["200 4 octets: /x 0"]);
    assert_eq!(heard(&mut client, "loopback"), ["200 4 octets: /x 0"]);
    assert_eq!(heard(&mut client, "nowhere"), ["unavailable: the name has no address"]);
}

#[test]
fn bad_servers_are_told_and_hold_nobody_for_longer_than_the_plugins_time() {
    let (web, sink) = (Web::start(), Sink::smtp());
    let paths =
        ["garbage", "half", "hang", "huge", "huge-headers", "endless", "largest", "trickle"];
    let mut asks: serde_json::Map<String, Value> = paths
        .iter()
        .map(|path| ((*path).to_owned(), json!([{ "url": web.url(&format!("/{path}")) }])))
        .collect();
    asks.insert("short".into(), json!([{ "url": web.url("/hang"), "timeout_ms": 50 }]));
    asks.insert("refused".into(), json!([{ "url": "http://127.0.0.1:1/" }]));
    let origins = json!([format!("http://{}", web.address), "http://127.0.0.1:1"]);
    let gateway = Gateway::before(&sink).plugin(reacher(asks.into(), origins)).start();
    let mut client = client(&gateway);
    let start = Instant::now();
    assert_eq!(heard(&mut client, "garbage"), ["unavailable: the answer is no HTTP"]);
    assert_eq!(heard(&mut client, "half"), ["unavailable: the answer broke off"]);
    assert_eq!(heard(&mut client, "huge"), ["too-large"]);
    assert_eq!(heard(&mut client, "huge-headers"), ["too-large"]);
    assert_eq!(heard(&mut client, "endless"), ["too-large"]);
    assert!(heard(&mut client, "largest")[0].starts_with("200 1048576 octets"));
    assert_eq!(heard(&mut client, "hang"), ["timed-out"]);
    assert_eq!(heard(&mut client, "trickle"), ["timed-out"]);
    assert!(heard(&mut client, "refused")[0].starts_with("unavailable"));
    let before = Instant::now();
    assert_eq!(heard(&mut client, "short"), ["timed-out"]);
    assert!(before.elapsed() < Duration::from_secs(1), "{:?}", before.elapsed());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn what_frames_a_request_is_the_gateways_and_bounds_are_kept() {
    let (web, sink) = (Web::start(), Sink::smtp());
    let header =
        |name: &str, value: &str| json!([{ "url": web.url("/"), "headers": [[name, value]] }]);
    let one = json!({ "url": web.url("/") });
    let gateway = Gateway::before(&sink)
        .plugin(reacher(
            json!({
                "host": header("Host", "evil.example"),
                "length": header("Content-Length", "5"),
                "chunks": header("Transfer-Encoding", "chunked"),
                "upgrade": header("Upgrade", "websocket"),
                "split": header("X-A", "1\r\nHost: evil.example"),
                "method": [{ "url": web.url("/"), "method": "GET / HTTP/1.1\r\nX: y" }],
                "connect": [{ "url": web.url("/"), "method": "CONNECT" }],
                "user": [{ "url": web.url("/").replace("http://", "http://u:p@") }],
                "scheme": [{ "url": "file:///etc/passwd" }],
                "body": [{ "url": web.url("/"), "method": "POST", "body_octets": (1 << 20) + 1 }],
                "many": vec![one.clone(); 17],
                "most": vec![one; 16],
            }),
            json!([format!("http://{}", web.address)]),
        ))
        .start();
    let mut client = client(&gateway);
    for malformed in
        ["host", "length", "chunks", "upgrade", "split", "method", "connect", "user", "scheme"]
    {
        let said = heard(&mut client, malformed);
        assert!(said[0].starts_with("malformed"), "{malformed}: {said:?}");
    }
    assert_eq!(heard(&mut client, "body"), ["too-large"]);
    assert!(heard(&mut client, "many").iter().all(|said| said.starts_with("malformed")));
    assert_eq!(web.seen().connections, 0);
    assert_eq!(heard(&mut client, "most"), ["200 3 octets: / 0"; 16]);
}

#[test]
fn with_https_the_servers_certificate_has_to_be_trusted() {
    let (certificate, sink) = (Certificate::new(), Sink::smtp());
    let web = Web::with_tls(&certificate);
    let url = format!("https://localhost:{}", web.address.port());
    let gateway = || {
        let asks = json!({ "tls": [{ "url": format!("{url}/x") }] });
        Gateway::before(&sink).plugin(reacher(asks, json!([url])))
    };
    let trusting = gateway().environment("SSL_CERT_FILE", certificate.certificate()).start();
    assert_eq!(heard(&mut client(&trusting), "tls"), ["200 4 octets: /x 0"]);
    let said = heard(&mut client(&gateway().start()), "tls");
    assert!(said[0].starts_with("unavailable"), "{said:?}");
    assert_eq!(web.seen().requests.len(), 1);
}

#[test]
fn content_goes_to_a_server_without_passing_through_the_plugin() {
    let (web, sink) = (Web::start(), Sink::smtp());
    let plugin = json!({
        "name": "reacher",
        "file": plugin("test-reacher"),
        "settings": { "content_to": web.url("/scan") },
        "grants": [{ "http": [format!("http://{}", web.address)] }],
        "time_limit": "30s",
        "memory_limit": "2MiB",
    });
    let gateway = Gateway::before(&sink).plugin(plugin).start();
    let body = format!("{}\r\n", "x".repeat(70)).repeat(100_000);
    let message = format!("Subject: t\r\n\r\n{body}");
    let reply = gateway.client().deliver("a@example.org", &["b@example.com"], message.as_bytes());
    let reply = reply.unwrap().expect_code(550);
    assert_eq!(lines(&reply), [format!("200 13 octets: /scan {}", body.len())]);
    let (head, sent) = web.seen().requests.pop().expect("a request");
    assert!(head.starts_with("POST /scan HTTP/1.1\r\n"), "{head}");
    assert!(sent == body.as_bytes(), "{} octets", sent.len());
}

fn reacher(asks: Value, origins: Value) -> Value {
    let Value::Object(asks) = asks else { panic!("requests by recipient") };
    let asks: serde_json::Map<_, _> =
        asks.into_iter().map(|(name, all)| (name, json!([{ "http": all }]))).collect();
    json!({ "name": "reacher", "file": plugin("test-reacher"), "settings": { "do": asks },
        "grants": [{ "http": origins }], "time_limit": "2s" })
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
