//! Content in chunks, binary content, and an answer for each recipient.

use portcullis_tests::sink::Manners;
use portcullis_tests::{Gateway, Running, Sink};
use serde_json::json;

#[test]
fn chunks_arrive_as_one_message_by_data() {
    let sink = Sink::with(offering(&["CHUNKING", "BINARYMIME"]));
    let gateway = Gateway::before(&sink).start();
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>\\r\\nRCPT TO:<b@example.com>\\r\\nBDAT 14\\r\\nSubject: t\\r\\n
         S: 250 2.1.0
         S: 250 2.1.5
         S: 250 2.0.0 14 octets taken
         C: BDAT 12\\r\\n.\\r\\nQUIT\\r\\n.
         S: 250 2.0.0 12 octets taken
         C: BDAT 7 LAST\\r\\na\\nb\\rc\\r\\nQUIT
         S: 250 2.0.0
         S: 221",
    );
    let letter = sink.only_letter();
    let want = b"Subject: t\r\n\r\n.\r\nQUIT\r\n.\r\na\r\nb c\r\n";
    assert_eq!(letter.without_received(), want, "{}", letter.text());
}

#[test]
fn binary_content_goes_through_octet_for_octet() {
    let sink = Sink::with(offering(&["CHUNKING", "BINARYMIME"]));
    // The second goes through a file.
    for (count, octets) in [(1, 200), (2, 3_000_000)] {
        let gateway = binary(&sink);
        let body: Vec<u8> = (0..octets).map(|n: u32| (n.wrapping_mul(n) / 7) as u8).collect();
        let mut message = b"Subject: t\r\nContent-Transfer-Encoding: binary\r\n\r\n".to_vec();
        message.extend_from_slice(b"\n.\r\n\0\r\0\n");
        message.extend_from_slice(&body);
        let mut client = gateway.client();
        client.command("MAIL FROM:<a@example.org> BODY=BINARYMIME").expect_code(250);
        client.command("RCPT TO:<b@example.com>").expect_code(250);
        client.command("DATA").expect_code(503);
        for chunk in message.chunks(100_000) {
            client.send(format!("BDAT {}\r\n", chunk.len()).as_bytes()).unwrap();
            client.send(chunk).unwrap();
            client.expect(250);
        }
        client.command("BDAT 0 LAST").expect_code(250);
        let letter = sink.wait_for(count).pop().unwrap();
        assert!(letter.commands[0].ends_with(" BODY=BINARYMIME"), "{:?}", letter.commands);
        assert!(letter.without_received() == message, "content differs");
    }
}

#[test]
fn binary_content_for_an_upstream_that_takes_none_is_refused_before_it_is_sent() {
    let sink = Sink::with(offering(&["CHUNKING"]));
    let gateway = binary(&sink);
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org> BODY=BINARYMIME
         S: 250
         C: RCPT TO:<b@example.com>
         S: 554 5.6.3 upstream store takes no binary content
         C: BDAT 6 LAST\\r\\nNOOP
         S: 554 5.5.1
         C: MAIL FROM:<a@example.org> BODY=8BITMIME
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250",
    );
    assert!(sink.letters().is_empty());
}

#[test]
fn who_leaves_inside_a_chunk_has_sent_nothing() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    client.command("RCPT TO:<b@example.com>").expect_code(250);
    client.send(b"BDAT 14\r\nSubject: t\r\n\r\nBDAT 100 LAST\r\nx\r\n.\r\n").unwrap();
    client.expect(250);
    drop(client);
    let lost = [("listener", "mx"), ("outcome", "lost")];
    gateway.wait_for_metric("portcullis_transactions_total", &lost, 1.0);
    assert!(sink.letters().is_empty());
}

#[test]
fn with_prdr_each_recipient_has_an_answer_and_upstreams_may_differ() {
    let (here, there) = (Sink::smtp(), refusing());
    let gateway = two_upstreams(&here, &there);
    gateway.talk(
        "C: EHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org> PRDR
         S: 250
         C: RCPT TO:<b@example.net>
         S: 250
         C: RCPT TO:<b@example.com>
         S: 250
         C: BDAT 14 LAST\\r\\nSubject: t\\r\\n
         S: 353
         S: 550 5.7.1 not here
         S: 250 2.0.0 <b@example.com> kept
         S: 250 2.0.0 ok for 1 of 2 recipients
         C: QUIT
         S: 221",
    );
    assert_eq!(here.only_letter().recipients, ["b@example.com"]);
    assert!(!here.only_letter().commands.concat().contains("PRDR"));
    let mixed = [("listener", "mx"), ("outcome", "mixed")];
    gateway.wait_for_metric("portcullis_transactions_total", &mixed, 1.0);
}

fn offering(extensions: &[&str]) -> Manners {
    let extensions = extensions.iter().map(|&extension| extension.to_owned()).collect();
    Manners { extensions, ..Manners::default() }
}

fn binary(sink: &Sink) -> Running {
    Gateway::new()
        .listener("mx", json!({ "extensions": ["chunking", "binarymime"] }))
        .upstream("store", "smtp", &sink.address().to_string())
        .start()
}

/// One that takes no message.
pub(crate) fn refusing() -> Sink {
    let verdicts = vec!["550 5.7.1 not here".to_owned()];
    Sink::with(Manners { verdicts, ..Manners::default() })
}

/// `example.net` goes there, all else here; PRDR is offered.
pub(crate) fn two_upstreams(here: &Sink, there: &Sink) -> Running {
    Gateway::new()
        .listener("mx", json!({ "extensions": ["chunking", "prdr"] }))
        .upstream("store", "smtp", &here.address().to_string())
        .upstream("there", "smtp", &there.address().to_string())
        .set("routes", json!([{ "domains": ["example.net"], "upstream": "there" }]))
        .set("default_upstream", json!("store"))
        .start()
}
