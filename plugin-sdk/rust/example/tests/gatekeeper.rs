//! The example without a gateway.

use gatekeeper::Gatekeeper;
use portcullis_plugin::dns::{Answer, Kind};
use portcullis_plugin::testing::{
    Grant, answer_dns, configure, counted, grant_store, logged, set_unavailable,
};
use portcullis_plugin::{Message, Recipient, Session, Verdict};
use serde_json::json;

fn gatekeeper() -> Gatekeeper {
    configure(&json!({ "refuse": ["closed.example"], "list": "bl.example", "store": "counts" }))
        .expect("the settings are right")
}

#[test]
fn listed_clients_are_turned_away() {
    let listed = Answer::Records(vec!["127.0.0.2".to_owned()]);
    answer_dns("1.2.0.192.bl.example", Kind::A, listed);
    answer_dns("2.2.0.192.bl.example", Kind::A, Answer::TimedOut);
    let connect = |client| gatekeeper().connect(&Session::fake().with_client(client));
    let turned_away = Verdict::reject(554, "5.7.1", "192.0.2.1 is listed by bl.example");
    assert_eq!(connect("192.0.2.1"), turned_away);
    assert_eq!(connect("192.0.2.2"), Verdict::Next);
    assert_eq!(connect("192.0.2.3"), Verdict::Next);
    assert_eq!(connect("2001:db8::1"), Verdict::Next);
    assert_eq!(logged().len(), 1, "only the list that does not answer is worth a line");
}

#[test]
fn closed_domains_are_refused() {
    let refused = Verdict::reject(550, "5.7.1", "no mail for closed.example here");
    assert_eq!(gatekeeper().rcpt(&Recipient::fake("a@Closed.Example")), refused);
    assert_eq!(gatekeeper().rcpt(&Recipient::fake("a@open.example")), Verdict::Next);
}

#[test]
fn messages_are_counted_and_stamped() {
    grant_store("counts");
    let stamped = || {
        let message = Message::fake("A: b\n\n").with_grant(Grant::RewriteHeaders);
        assert_eq!(gatekeeper().message(&message), Ok(Verdict::Next));
        message.edited_text()
    };
    assert_eq!(stamped(), "X-Gatekeeper: message 1\r\nA: b\r\n\r\n");
    assert_eq!(stamped(), "X-Gatekeeper: message 2\r\nA: b\r\n\r\n");
    set_unavailable("counts", true);
    assert_eq!(stamped(), "X-Gatekeeper: checked\r\nA: b\r\n\r\n");
    assert_eq!(counted("messages", None), 3);
}

#[test]
fn settings_are_checked() {
    let mistake = configure::<Gatekeeper>(&json!({})).expect_err("refuse is missing");
    assert_eq!(mistake, "missing field `refuse`");
}
