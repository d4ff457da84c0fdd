//! What a plugin reaches beyond the mail, as the fakes have it.

use portcullis_plugin::dns::{self, Answer, Kind};
use portcullis_plugin::http::{HttpError, Request, Response};
use portcullis_plugin::kv::{KvError, Store};
use portcullis_plugin::mail_auth::{self, AuthError, Finding};
use portcullis_plugin::streams::{Connection, StreamError};
use portcullis_plugin::testing::{
    Grant, answer_dns, answer_http, answer_stream, answer_upstream, fail_upstream, find,
    grant_store, requested, set_unavailable, set_upstream, stop_clock, streamed, verified,
};
use portcullis_plugin::upstreams::{self, UpstreamError};
use portcullis_plugin::{
    EditError, Message, Outcome, Plugin, Session, Transaction, Verdict, clock, http, plugin, random,
};

#[derive(Default)]
struct Listener {
    refused: usize,
}

#[plugin]
impl Listener {
    fn connect(&self) -> Verdict {
        Verdict::Next
    }

    fn outcome(&mut self, events: &[Outcome]) {
        self.refused += events.iter().filter(|event| event.code >= 500).count();
    }
}

#[test]
fn outcomes_are_told() {
    let mut listener = Listener::default();
    let event = |code| Outcome { code, ..Outcome::default() };
    Plugin::outcome(&mut listener, &[event(250), event(550), event(554)]);
    assert_eq!(listener.refused, 2);
    assert_eq!(Listener::HOOKS.len(), 2);
}

#[test]
fn lists_have_addresses_the_other_way_round() {
    let name = |address: &str| dns::listed_name(address.parse().unwrap(), "bl.example.");
    assert_eq!(name("192.0.2.99"), "99.2.0.192.bl.example");
    assert_eq!(name("::ffff:192.0.2.99"), "99.2.0.192.bl.example");
    let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2";
    assert_eq!(name("2001:db8::1"), format!("{nibbles}.bl.example"));
}

#[test]
fn names_are_looked_up_once_they_are_granted() {
    assert!(dns::lookup_one("a.example", Kind::A).is_err());
    answer_dns("a.example", Kind::A, Answer::Records(vec!["192.0.2.1".into()]));
    answer_dns("slow.example", Kind::A, Answer::TimedOut);
    assert_eq!(dns::lookup_one("A.example.", Kind::A).unwrap().records(), ["192.0.2.1"]);
    assert!(dns::lookup_one("slow.example", Kind::A).unwrap().is_uncertain());
    assert_eq!(dns::lookup_one("a.example", Kind::Mx), Ok(Answer::NoSuchName));
}

#[test]
fn stores_keep_and_count() {
    assert!(matches!(Store::open("counts"), Err(KvError::Denied)));
    let store = grant_store("counts");
    assert_eq!(store.add("n", 2, None), Ok(2));
    assert_eq!(store.add("n", -3, None), Ok(-1));
    assert_eq!(store.get_one("n").unwrap().unwrap().value, b"-1");
    assert_eq!(store.put("word", b"x", Some(60), Some(0)), Ok(1));
    assert_eq!(store.put("word", b"y", None, Some(7)), Err(KvError::Conflict));
    assert_eq!(store.add("word", 1, None), Err(KvError::NotACounter));
    set_unavailable("counts", true);
    assert!(matches!(store.get_one("n"), Err(KvError::Unavailable(_))));
}

#[test]
fn requests_are_answered_and_remembered() {
    let url = "https://filter.example/check";
    assert_eq!(http::send_one(Request::get(url)), Err(HttpError::Denied));
    let response = Response { status: 200, headers: Vec::new(), body: b"ok".to_vec() };
    answer_http(url, Ok(response));
    let message = Message::fake("Subject: a\n\nbody\n");
    let sent = http::send_content(&Request::post(url, ""), &message.read_body()).unwrap();
    assert_eq!((sent.status, requested()[1].body.as_slice()), (200, &b"body\r\n"[..]));
}

#[test]
fn upstreams_are_asked_once_they_are_granted() {
    let ask = || upstreams::verify_one("store", None, "nobody@example.org");
    assert_eq!(ask(), Err(UpstreamError::Denied));
    answer_upstream("store", "nobody@example.org", "550 5.1.1 no such user");
    assert_eq!(ask().unwrap().code, 550);
    assert_eq!(upstreams::verify_one("store", None, "bob@example.org").unwrap().code, 250);
    assert_eq!(verified(), ["nobody@example.org", "bob@example.org"]);
    fail_upstream("store", Some(UpstreamError::TimedOut));
    assert_eq!(ask(), Err(UpstreamError::TimedOut));
    set_upstream("store", &[("available", 1), ("busy", 3), ("waiting", 1), ("limit", 8)]);
    let state = upstreams::state("store").unwrap();
    assert!(state.is_available() && state.load() == 0.5 && state.get("connections").is_none());
    assert_eq!(upstreams::state("other"), Err(UpstreamError::Denied));
}

#[test]
fn streams_are_answered_and_remembered() {
    let address = "clamd.internal:3310";
    assert!(matches!(Connection::open(address, None), Err(StreamError::Denied)));
    answer_stream(address, |heard| match heard {
        b"PING" => Ok(b"PONG".to_vec()),
        heard if heard.ends_with(b"\r\n") => Ok(b"PONG, and thanks".to_vec()),
        _ => Err(StreamError::TimedOut),
    });
    let connection = Connection::open(address, Some(1_000)).unwrap();
    assert_eq!(connection.read(1), Err(StreamError::TimedOut));
    connection.write(b"PING").unwrap();
    assert_eq!(connection.read_exact(4).unwrap(), b"PONG");
    assert!(matches!(connection.read_exact(1), Err(StreamError::Unavailable(_))));
    let body = Message::fake("Subject: a\n\nbody\n").read_body();
    assert_eq!(connection.write_content(&body, 2), Ok(2));
    assert_eq!(connection.write_content(&body, 100), Ok(4));
    assert_eq!(connection.read(100).unwrap(), b", and thanks");
    assert_eq!(connection.write(&[0; (1 << 20) + 1]), Err(StreamError::TooMany));
    assert_eq!(streamed(address), [b"PINGbody\r\n"]);
}

#[test]
fn findings_come_when_they_can() {
    let (session, transaction) = (Session::fake(), Transaction::fake());
    assert_eq!(mail_auth::sender(&session, &transaction), Err(AuthError::Denied));
    let dkim = Finding::new("dkim", "pass").with_property("header.d", "example.org");
    find(&[Finding::new("spf", "fail"), dkim]);
    assert_eq!(mail_auth::sender(&session, &transaction).unwrap().len(), 1);
    let content = mail_auth::content(&session, &transaction, &Message::fake("")).unwrap();
    assert_eq!(content[0].property("header.d"), Some("example.org"));
}

#[test]
fn a_body_is_spliced_where_nothing_overlaps() {
    let message = Message::fake("A: b\n\n0123456789").with_grant(Grant::RewriteBody);
    message.splice_body(8, 2, b"").unwrap();
    message.splice_body(0, 1, b"x\n").unwrap();
    assert_eq!(message.splice_body(9, 1, b""), Err(EditError::OutOfRange));
    assert_eq!(message.splice_body(5, 6, b""), Err(EditError::OutOfRange));
    assert_eq!(message.edited_text(), "A: b\r\n\r\nx\r\n1234567");
}

#[test]
fn symbols_are_scored_once_each() {
    let transaction = Transaction::fake();
    transaction.score("A_B", 2.5).unwrap();
    transaction.score("A_B", 1.0).unwrap();
    assert_eq!(transaction.score("A B", 1.0), Err(EditError::Malformed));
    assert_eq!(transaction.score("A", f64::NAN), Err(EditError::OutOfRange));
    assert_eq!(transaction.scores(), [("A_B".to_owned(), 1.0)]);
}

#[test]
fn time_and_chance_are_there() {
    stop_clock(1_000);
    assert_eq!(clock::now(), 1_000);
    assert!(clock::monotonic() <= clock::monotonic());
    assert_eq!(random::bytes(11).len(), 11);
}

#[test]
fn parts_are_those_of_the_test() {
    let message = Message::fake("").with_part("text/plain", Some("a.txt"), b"hello");
    assert_eq!(message.parts()[0].file_name.as_deref(), Some("a.txt"));
    assert_eq!(message.read_part(0).unwrap().read(100), b"hello");
    assert_eq!(message.read_part(0).unwrap().sha256().len(), 32);
}
