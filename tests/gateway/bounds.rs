//! Limits, and what happens at them.

use portcullis_tests::{Client, Gateway, Running, Sink, wait_for};
use serde_json::json;

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

#[test]
fn one_address_has_its_share_of_connections_and_no_more() {
    let sink = Sink::smtp();
    let gateway =
        Gateway::before(&sink).set("limits", json!({ "connections_per_address": 2 })).start();
    let mut first = gateway.client();
    let second = gateway.client();
    let mut third = Client::connect(gateway.address("mx"));
    third.expect(421);
    assert!(third.wait_for_end().is_empty());
    drop(second);
    gateway.wait_for_metric("portcullis_connections_open", &[], 1.0);
    gateway.client().deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap();
    first.command("NOOP").expect_code(250);
    let refused =
        gateway.metrics().sum("portcullis_connections_refused_total", &[("reason", "per-address")]);
    assert!((refused - 1.0).abs() < 0.5, "{refused}");
}

#[test]
fn a_header_section_beyond_the_limit_is_refused_and_the_session_goes_on() {
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "limits": { "header": "4KiB" } }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start();
    let mut client = gateway.client();
    let long = format!("X-Long: {}\r\n\r\nx\r\n", "x".repeat(5000));
    let reply = client.deliver("a@example.org", &["b@example.com"], long.as_bytes()).unwrap();
    assert_eq!(reply.code / 100, 5, "{reply}");
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.letters().len(), 1);
}

#[test]
fn a_listener_may_refuse_bare_newlines() {
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "bare_newlines": "refuse" }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start();
    let mut client = gateway.client();
    for text in
        ["Subject: t\r\n\r\na\nb\r\n", "Subject: t\r\n\r\na\rb\r\n", "Subject: t\n\r\nx\r\n"]
    {
        let reply = client.deliver("a@example.org", &["b@example.com"], text.as_bytes()).unwrap();
        assert_eq!(reply.code, 550, "{reply}");
    }
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.letters().len(), 1);
}

#[test]
fn messages_beyond_what_memory_holds_go_through_files() {
    let sink = Sink::smtp();
    let gateway =
        Gateway::before(&sink).set("limits", json!({ "message_memory": "16KiB" })).start();
    let mut client = gateway.client();
    let message =
        [b"Subject: t\r\n\r\n".to_vec(), b"0123456789abcdef\r\n".repeat(300_000)].concat();
    client.deliver("a@example.org", &["b@example.com"], &message).unwrap().expect_code(250);
    assert!(sink.only_letter().without_received() == message);
    gateway.wait_for_metric("portcullis_content_disk_bytes", &[], 0.0);
    gateway.wait_for_metric("portcullis_content_memory_bytes", &[], 0.0);
}

#[test]
fn without_room_for_content_the_client_keeps_its_mail() {
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "limits": { "message": "1MiB" } }))
        .upstream("store", "smtp", &sink.address().to_string())
        .set(
            "limits",
            json!({ "content_memory": "1MiB", "content_disk": "1MiB", "content_wait": "100ms" }),
        )
        .start();
    let mut clients: Vec<_> = (0..5).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.talk(
            "C: MAIL FROM:<a@example.org>
             S: 250
             C: RCPT TO:<b@example.com>
             S: 250
             C: DATA
             S: 354",
        );
    }
    // One has its room before the others come: they could take it from each other otherwise, or come
    // when it is free again.
    for (place, client) in clients.iter_mut().enumerate() {
        client.send(b"Subject: t\r\n\r\n").unwrap();
        client.send(&b"0123456789abcdef\r\n".repeat(50_000)).unwrap();
        if place == 0 {
            let kept = |name| gateway.metrics().sum(name, &[]);
            wait_for("the first content", || {
                let kept =
                    kept("portcullis_content_memory_bytes") + kept("portcullis_content_disk_bytes");
                (kept > 850_000.0).then_some(())
            });
        }
    }
    // Whose header section finds no room is refused for the memory, the others for the disk.
    let refused =
        |limit| gateway.metrics().sum("portcullis_limit_reached_total", &[("limit", limit)]);
    wait_for("a client without room", || {
        (refused("content_disk") + refused("content_memory") >= 1.0).then_some(())
    });
    let mut taken = 0;
    for client in &mut clients {
        client.send(b".\r\n").unwrap();
        let reply = client.reply().unwrap();
        assert!([250, 452].contains(&reply.code), "{reply}");
        taken += usize::from(reply.code == 250);
    }
    assert!((1..5).contains(&taken), "{taken} of 5 were taken");
    assert_eq!(sink.letters().len(), taken);
    gateway
        .client()
        .deliver("a@example.org", &["b@example.com"], MESSAGE)
        .unwrap()
        .expect_code(250);
}

/// Waits until a limit was reached so often.
#[track_caller]
fn reached(gateway: &Running, limit: &str, times: f64) {
    gateway.wait_for_metric("portcullis_limit_reached_total", &[("limit", limit)], times);
}

#[test]
fn a_message_that_would_not_fit_is_refused_before_it_is_sent() {
    let sink = Sink::smtp();
    let limits = json!({ "content_memory": "1MiB", "content_disk": "60MiB" });
    let gateway = Gateway::before(&sink).set("limits", limits).start();
    let mut first = gateway.client();
    first.talk(
        "C: MAIL FROM:<a@example.org> SIZE=50000000
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: DATA
         S: 354",
    );
    first.send(b"Subject: t\r\n\r\n").unwrap();
    first.send(&b"0123456789abcdef\r\n".repeat(1_000_000)).unwrap();
    wait_for("content on the disk", || {
        (gateway.metrics().sum("portcullis_content_disk_bytes", &[]) > 15e6).then_some(())
    });
    let mut second = gateway.client();
    second.talk(
        "C: MAIL FROM:<a@example.org> SIZE=50000000
         S: 452 4.3.1
         C: MAIL FROM:<a@example.org> SIZE=1000
         S: 250",
    );
    reached(&gateway, "content_disk", 1.0);
    first.send(b".\r\n").unwrap();
    first.reply().unwrap().expect_code(250);
}

#[test]
fn one_network_has_its_share_unless_it_is_exempt() {
    let sink = Sink::smtp();
    let bounds = json!({ "connections_per_network": 1, "connections_per_address": 1 });
    let gateway = Gateway::before(&sink).set("limits", bounds).start();
    let _first = gateway.client();
    Client::connect(gateway.address("mx")).expect(421);
    reached(&gateway, "connections_per_address", 1.0);
    let bounds = json!({ "connections_per_network": 1 });
    let gateway = Gateway::before(&sink).set("limits", bounds).start();
    let _first = gateway.client();
    Client::connect(gateway.address("mx")).expect(421);
    reached(&gateway, "connections_per_network", 1.0);
    let bounds = json!({ "connections_per_address": 1, "exempt": ["127.0.0.0/8"] });
    let gateway = Gateway::before(&sink).set("limits", bounds).start();
    let _first = gateway.client();
    let _second = gateway.client();
}

#[test]
fn who_connects_too_often_is_turned_away() {
    let sink = Sink::smtp();
    let bounds = json!({ "connection_rate_per_address": 2 });
    let gateway = Gateway::before(&sink).set("limits", bounds).start();
    let codes: Vec<_> =
        (0..6).map(|_| Client::connect(gateway.address("mx")).reply().unwrap().code).collect();
    assert_eq!(codes[0], 220);
    assert!(codes.contains(&421), "{codes:?}");
}

#[test]
fn limits_of_a_session_are_announced_kept_and_counted() {
    let sink = Sink::smtp();
    let limits = json!({
        "transactions": 2, "idle_commands": 3, "unknown_commands": 1, "parameter": 64, "header_fields": 10,
    });
    let gateway = Gateway::new()
        .listener("mx", json!({ "limits": limits, "pipelining": "refuse" }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start();
    let mut client = Client::connect(gateway.address("mx"));
    client.expect(220);
    let hello = client.command("EHLO client.example");
    assert!(hello.lines.iter().any(|line| line == "LIMITS MAILMAX=2 RCPTMAX=1000"), "{hello}");
    let many = format!("{}\r\nx\r\n", "A: b\r\n".repeat(11));
    let reply = client.deliver("a@example.org", &["b@example.com"], many.as_bytes()).unwrap();
    assert_eq!((reply.code, reply.text().as_str()), (554, "5.6.0 too many header fields"));
    client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    client.command("MAIL FROM:<a@example.org>").expect_code(421);
    assert!(client.wait_for_end().is_empty());
    gateway.talk("C: XXXX\n S: 500\n C: XXXX\n S: 421");
    gateway.talk("C: NOOP\n S: 250\n C: NOOP\n S: 250\n C: NOOP\n S: 250\n C: NOOP\n S: 421");
    let mut client = gateway.client();
    client.send(b"NOOP\r\nNOOP\r\n").unwrap();
    client.expect(503);
    client.expect(250);
    for limit in
        ["header_fields", "transactions", "unknown_commands", "idle_commands", "pipelining"]
    {
        reached(&gateway, limit, 1.0);
    }
    assert_eq!(sink.letters().len(), 1);
}

#[test]
fn who_talks_before_the_banner_is_shown_the_door() {
    let sink = Sink::smtp();
    let gateway = Gateway::new()
        .listener("mx", json!({ "greeting_delay": "10s" }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start();
    let mut client = Client::connect(gateway.address("mx"));
    client.send(b"EHLO bot.example\r\n").unwrap();
    client.expect(554);
    reached(&gateway, "early_talkers", 1.0);
}
