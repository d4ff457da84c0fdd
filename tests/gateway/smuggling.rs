//! One message in, one message out, whatever looks like its end (RFC 5321 section 4.5.2).
//!
//! The upstream is one that falls for every look-alike: should one come through, it sees a second
//! message.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use portcullis_tests::sink::Manners;
use portcullis_tests::{Client, Gateway, Running, Sink};
use serde_json::json;

/// What some server has taken for the end of the content, or might.
const LOOKALIKES: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\r\n.\n\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n. \r\n",
    b"\r\n ..\r\n",
    b"\r\n.\x0b\r\n",
    b"\r\n.\xc2\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
];

/// What an attacker hopes to have run as commands.
const SMUGGLED: &[u8] = b"MAIL FROM:<eve@example.org>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\n\
    Subject: smuggled\r\n\r\nsmuggled\r\n";

#[derive(Clone, Copy, Debug)]
enum Way {
    Bdat,
    /// Two chunks, and the border between them where the others cut.
    Chunks,
    Data,
}

#[test]
fn no_second_message_comes_out_of_data_in_clear_text() {
    play(Way::Data, "plain");
}

#[test]
fn no_second_message_comes_out_of_data_under_tls() {
    play(Way::Data, "tls");
}

#[test]
fn no_second_message_comes_out_of_bdat_in_clear_text() {
    play(Way::Bdat, "plain");
}

#[test]
fn no_second_message_comes_out_of_bdat_under_tls() {
    play(Way::Bdat, "tls");
}

#[test]
fn no_second_message_comes_out_of_two_chunks() {
    play(Way::Chunks, "plain");
    play(Way::Chunks, "tls");
}

/// Sends each look-alike in two pieces, cut at every place around it.
fn play(way: Way, listener: &str) {
    for rule in ["normalize", "refuse"] {
        let sink = Sink::with(Manners { gullible: true, ..Manners::default() });
        let gateway = gateway(&sink, rule);
        let address = gateway.address(listener);
        let tls = listener == "tls";
        let (mut sent, mut accepted) = (0, 0);
        for lookalike in LOOKALIKES {
            let content = [b"Subject: first\r\n\r\nbody", *lookalike, SMUGGLED].concat();
            let from = content.len() - SMUGGLED.len() - lookalike.len();
            let wire = wire(way, &content);
            let ahead = wire.len() - content.len() - if matches!(way, Way::Data) { 5 } else { 0 };
            for cut in ahead + from - 1..=ahead + from + lookalike.len() + 1 {
                sent += 1;
                accepted += usize::from(send(address, tls, way, &wire, cut));
            }
        }
        let accepted = accepted as f64;
        gateway.wait_for_metric("portcullis_transactions_total", &[], f64::from(sent));
        let outcome = [("outcome", "accepted")];
        gateway.wait_for_metric("portcullis_transactions_total", &outcome, accepted);
        let letters = sink.letters();
        assert_eq!(letters.len() as f64, accepted, "{way:?} {listener} {rule}: a message more");
        assert!(letters.iter().all(|letter| letter.sender == "a@example.org"));
    }
}

#[test]
fn nothing_said_behind_starttls_is_heard_inside_tls() {
    let sink = Sink::smtp();
    let upstream = sink.address().to_string();
    let gateway =
        Gateway::new().tls_listener("mx", "starttls").upstream("store", "smtp", &upstream).start();
    let injected = b"STARTTLS\r\nEHLO eve.example\r\nMAIL FROM:<eve@example.org>\r\n";
    let mut shaken = 0;
    for cut in 1..=injected.len() {
        let mut client = Client::ehlo(gateway.address("mx"));
        let (head, tail) = injected.split_at(cut);
        client.send(head).expect("the connection is open");
        std::thread::sleep(Duration::from_millis(1));
        // What comes after the 220 spoils the handshake.
        let _ = client.send(tail);
        client.expect(220);
        if client.try_start_tls().is_err() {
            continue;
        }
        shaken += 1;
        client.command("RCPT TO:<b@example.com>").expect_code(503);
        client.command("EHLO client.example").expect_code(250);
        client.command("QUIT").expect_code(221);
    }
    assert!(shaken > 0, "no handshake came about");
    let heard = |verb| gateway.metrics().sum("portcullis_commands_total", &[("command", verb)]);
    assert!(heard("STARTTLS") > 0.5);
    assert!(heard("MAIL") < 0.5, "a sender was taken from before the handshake");
}

#[test]
fn nothing_said_before_the_handshake_answers_for_the_upstream() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    let address = listener.local_addr().expect("a bound socket has an address").to_string();
    let heard = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the gateway comes");
        let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut writer = stream;
        let mut heard = String::new();
        let injected = "220 go\r\n250-eve\r\n250 8BITMIME\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok";
        for said in ["220 up.example", "250-up.example\r\n250 STARTTLS", injected] {
            writer.write_all(format!("{said}\r\n").as_bytes()).expect("the gateway listens");
            let mut line = String::new();
            // At the end the gateway has left, with or without a reset.
            let _ = reader.read_line(&mut line);
            heard.push_str(&line);
        }
        heard
    });
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .set(
            "upstreams",
            json!({ "store": { "address": address, "tls": { "mode": "opportunistic" } } }),
        )
        .set("default_upstream", "store".into())
        .start();
    let mut client = gateway.client();
    let reply = client.deliver("a@example.org", &["b@example.com"], b"Subject: t\r\n\r\nx\r\n");
    assert_eq!(reply.expect("a reply").code / 100, 4);
    let heard = heard.join().expect("the upstream is fine");
    assert_eq!(heard, "EHLO gateway.example\r\nSTARTTLS\r\n");
}

/// What follows the envelope.
fn wire(way: Way, content: &[u8]) -> Vec<u8> {
    match way {
        Way::Bdat => [format!("BDAT {} LAST\r\n", content.len()).as_bytes(), content].concat(),
        Way::Chunks => content.to_vec(),
        Way::Data => [content, b"\r\n.\r\n"].concat(),
    }
}

/// Sends one message; whether it was accepted. There is one reply to it, and the conversation goes
/// on behind it.
fn send(address: SocketAddr, tls: bool, way: Way, wire: &[u8], cut: usize) -> bool {
    let mut client = if tls { Client::connect_tls(address) } else { Client::connect(address) };
    client.expect(220);
    client.command("EHLO client.example").expect_code(250);
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    client.command("RCPT TO:<b@example.com>").expect_code(250);
    if matches!(way, Way::Data) {
        client.command("DATA").expect_code(354);
    }
    let (head, tail) = wire.split_at(cut);
    if matches!(way, Way::Chunks) {
        let chunk = format!("BDAT {}\r\n", head.len());
        client.send(&[chunk.as_bytes(), head].concat()).expect("the connection is open");
        let reply = client.reply().expect("a reply to the chunk");
        assert!(matches!(reply.code, 250 | 550), "{reply}: {}", wire.escape_ascii());
        let chunk = format!("BDAT {} LAST\r\n", tail.len());
        client.send(&[chunk.as_bytes(), tail].concat()).expect("the connection is open");
    } else {
        client.send(head).expect("the connection is open");
        // The pieces are to be two reads there. Should they be one, another cut is that.
        std::thread::sleep(Duration::from_millis(1));
        client.send(tail).expect("the connection is open");
    }
    let reply = client.reply().expect("a reply to the message");
    // 503 is for what follows a chunk that was refused.
    assert!(matches!(reply.code, 250 | 503 | 550), "{reply}: {}", wire.escape_ascii());
    client.send(b"QUIT\r\n").expect("the connection is open");
    let rest = client.wait_for_end();
    assert_eq!(rest.len(), 1, "{rest:?}: {}", wire.escape_ascii());
    assert_eq!(rest[0].code, 221, "{rest:?}: {}", wire.escape_ascii());
    reply.is_positive()
}

fn gateway(sink: &Sink, bare_newlines: &str) -> Running {
    Gateway::new()
        .listener("plain", json!({ "bare_newlines": bare_newlines }))
        .tls_listener_with("tls", "implicit", json!({ "bare_newlines": bare_newlines }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start()
}
