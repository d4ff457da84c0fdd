//! The process ends, in order and out of order, and no mail is lost.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portcullis_tests::sink::Manners;
use portcullis_tests::{Client, Gateway, Sink, wait_for};

/// Sends messages until the gateway is gone; those that were answered with 250.
fn send(
    address: std::net::SocketAddr,
    numbers: impl Iterator<Item = usize>,
    sent: &AtomicUsize,
) -> Vec<usize> {
    let mut client = Client::ehlo(address);
    let mut acknowledged = Vec::new();
    for number in numbers {
        let message = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(5000));
        match client.deliver("a@example.org", &["b@example.com"], message.as_bytes()) {
            Ok(reply) if reply.code == 250 => acknowledged.push(number),
            Ok(reply) => assert_eq!(reply.code / 100, 4, "{reply}"),
            Err(_) => break,
        }
        sent.fetch_add(1, Ordering::SeqCst);
    }
    acknowledged
}

fn subjects(sink: &Sink) -> Vec<usize> {
    let number = |text: String| {
        let line = text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned));
        line.and_then(|number| number.parse().ok()).expect("a message of this test")
    };
    sink.letters().iter().map(|letter| number(letter.text())).collect()
}

#[test]
fn whatever_was_acknowledged_before_a_kill_is_at_the_upstream() {
    let manners = Manners { delay: Duration::from_millis(10), ..Manners::default() };
    let sink = Sink::with(manners);
    let mut gateway = Gateway::before(&sink).start();
    let address = gateway.address("mx");
    let sent = Arc::new(AtomicUsize::new(0));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let senders: Vec<_> = (0..10)
        .map(|sender| {
            let (sent, acknowledged) = (Arc::clone(&sent), Arc::clone(&acknowledged));
            thread::spawn(move || {
                let yes = send(address, (0..10).map(|number| sender * 10 + number), &sent);
                acknowledged.lock().unwrap().extend(yes);
            })
        })
        .collect();
    wait_for("half of the messages", || (sent.load(Ordering::SeqCst) >= 50).then_some(()));
    gateway.process.kill();
    for sender in senders {
        sender.join().unwrap();
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    assert!((50..100).contains(&acknowledged.len()), "{} of 100", acknowledged.len());
    let arrived: HashSet<_> = subjects(&sink).into_iter().collect();
    let missing: Vec<_> = acknowledged.iter().filter(|number| !arrived.contains(number)).collect();
    assert!(missing.is_empty(), "acknowledged but not at the upstream: {missing:?}");
}

#[test]
fn a_transaction_in_flight_ends_before_the_process_does() {
    let manners = Manners { delay: Duration::from_secs(1), ..Manners::default() };
    let sink = Sink::with(manners);
    let mut gateway = Gateway::before(&sink).start();
    let mut client = gateway.client();
    client.talk(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: DATA
         S: 354",
    );
    client.send(b"Subject: t\r\n\r\nx\r\n.\r\n").unwrap();
    gateway.process.signal("TERM");
    client.expect(250);
    client.wait_for_end();
    assert!(gateway.process.wait().success());
    assert_eq!(sink.letters().len(), 1);
}

#[test]
fn a_client_in_between_is_told_and_nobody_new_gets_in() {
    let sink = Sink::smtp();
    let mut gateway = Gateway::before(&sink).start();
    let address = gateway.address("mx");
    let mut client = gateway.client();
    gateway.process.signal("TERM");
    let replies = client.wait_for_end();
    assert_eq!(replies.iter().map(|reply| reply.code).collect::<Vec<_>>(), [421]);
    assert!(gateway.process.wait().success());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn who_takes_too_long_to_end_is_cut_off() {
    let manners = Manners { delay: Duration::from_secs(30), ..Manners::default() };
    let sink = Sink::with(manners);
    let mut gateway =
        Gateway::before(&sink).set("shutdown", serde_json::json!({ "deadline": "1s" })).start();
    let mut client = gateway.client();
    client.talk(
        "C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: DATA
         S: 354",
    );
    client.send(b"Subject: t\r\n\r\nx\r\n.\r\n").unwrap();
    gateway.process.signal("TERM");
    let replies = client.wait_for_end();
    assert!(replies.iter().all(|reply| reply.code / 100 == 4), "{replies:?}");
    gateway.process.wait();
}
