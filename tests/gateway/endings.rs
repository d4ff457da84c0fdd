//! The process ends, in order and out of order, and no mail is lost.

use std::time::Duration;

use portcullis_tests::sink::Manners;
use portcullis_tests::{Gateway, Sink};

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
