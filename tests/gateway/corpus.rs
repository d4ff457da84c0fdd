//! Real messages, and such as no package has, come out as they went in.

use portcullis_tests::corpus::{Sample, expected, real, synthetic};
use portcullis_tests::{Client, Gateway, Sink};
use serde_json::json;

#[test]
fn the_corpus_is_large_enough() {
    assert!(real().len() >= 300);
}

#[test]
fn real_messages_pass_byte_for_byte() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    pass(&mut gateway.client(), &sink, &real());
}

#[test]
fn edge_cases_pass_byte_for_byte() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).start();
    pass(&mut gateway.client(), &sink, &synthetic());
}

#[test]
fn messages_pass_an_lmtp_store_byte_for_byte() {
    let sink = Sink::lmtp();
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .upstream("store", "lmtp", &sink.address().to_string())
        .start();
    pass(&mut gateway.client(), &sink, &synthetic());
}

#[test]
fn nothing_changes_under_plugins_that_look_at_everything() {
    let sink = Sink::smtp();
    let gateway = super::judging::bundled(Gateway::before(&sink)).start();
    pass(&mut gateway.client(), &sink, &synthetic());
}

fn pass(client: &mut Client, sink: &Sink, samples: &[Sample]) {
    let before = sink.letters().len();
    for sample in samples {
        let reply = client.deliver("a@example.org", &["b@example.com"], &sample.octets);
        let reply = reply.expect("the gateway stays");
        assert_eq!(reply.code, 250, "{}: {reply}", sample.name);
    }
    let letters = sink.wait_for(before + samples.len());
    for (sample, letter) in samples.iter().zip(&letters[before..]) {
        let (want, have) = (expected(&sample.octets), letter.without_received());
        assert!(want == have, "{}: {}", sample.name, first_difference(&want, have));
    }
}

fn first_difference(want: &[u8], have: &[u8]) -> String {
    let at = want
        .iter()
        .zip(have)
        .position(|(a, b)| a != b)
        .unwrap_or_else(|| want.len().min(have.len()));
    let near = |octets: &[u8]| {
        let end = octets.len().min(at + 40);
        String::from_utf8_lossy(&octets[at.saturating_sub(40)..end]).into_owned()
    };
    format!(
        "{} octets became {}; at {at} {:?} became {:?}",
        want.len(),
        have.len(),
        near(want),
        near(have)
    )
}
