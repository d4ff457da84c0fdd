//! The plugin as operators configure it and strangers meet it.

use greylist::Greylist;
use portcullis_plugin::kv::Store;
use portcullis_plugin::mail_auth::Finding;
use portcullis_plugin::testing::{
    Grant, configure, counted, find, grant_store, set_unavailable, settings_in, stop_clock,
    subscribed,
};
use portcullis_plugin::{
    Hook, Message, Plugin, Question, Recipient, Session, Transaction, Verdict,
};

const START: u64 = 1_700_000_000;

fn greylist(yaml: &str) -> Result<Greylist, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

/// A clock that stands and an empty store.
fn start(yaml: &str) -> Greylist {
    grant_store("greylist");
    at(0);
    greylist(yaml).expect("settings")
}

fn at(seconds: u64) {
    stop_clock((START + seconds) * 1000);
}

fn wait(seconds: u64) -> Verdict {
    Verdict::defer(451, "4.7.1", format!("greylisted, come again in {seconds} seconds"))
}

/// Each mail meets a copy of its own.
fn rcpt(yaml: &str, session: &Session, transaction: &Transaction, recipient: &str) -> Verdict {
    let mut copy = greylist(yaml).expect("settings");
    copy.ask(Question::Rcpt(session, transaction, &Recipient::fake(recipient)))
}

fn from(client: &str, sender: &str, recipient: &str) -> Verdict {
    let session = Session::fake().with_client(client);
    rcpt("{}", &session, &Transaction::fake().with_sender(sender), recipient)
}

#[test]
fn a_stranger_has_to_come_again_and_is_known_then() {
    start("{}");
    let mail = || from("192.0.2.1", "a@a.example", "B@b.example");
    assert_eq!(mail(), wait(300));
    at(100);
    assert_eq!(mail(), wait(200));
    at(299);
    assert_eq!(mail(), wait(1));
    at(300);
    assert_eq!(mail(), Verdict::Next);
    at(301);
    assert_eq!(mail(), Verdict::Next);
    assert_eq!(from("192.0.2.77", "A@A.example", "b@b.example"), Verdict::Next, "the network");
    assert_eq!(from("192.0.3.1", "a@a.example", "b@b.example"), wait(300), "another network");
    assert_eq!(from("192.0.2.1", "x@a.example", "b@b.example"), wait(300), "another sender");
    assert_eq!(from("192.0.2.1", "a@a.example", "x@b.example"), wait(300), "another recipient");
    assert_eq!(counted("recipients", Some("waited")), 1);
    assert_eq!(counted("recipients", Some("known")), 2);
    assert_eq!(counted("recipients", Some("deferred")), 6);
}

#[test]
fn who_comes_again_too_late_begins_anew() {
    start("{}");
    let mail = || from("2001:db8::1", "a@a.example", "b@b.example");
    assert_eq!(mail(), wait(300));
    at(86_401);
    assert_eq!(mail(), wait(300), "even if the store has kept it");
    at(86_701);
    assert_eq!(mail(), Verdict::Next);
    assert_eq!(from("2001:db8::2:1", "a@a.example", "b@b.example"), Verdict::Next);
    assert_eq!(from("2001:db8:1::1", "a@a.example", "b@b.example"), wait(300));
    // Each mail renews it, so that 35 days count from the last one.
    at(86_701 + 30 * 86_400);
    assert_eq!(mail(), Verdict::Next);
    at(86_701 + 60 * 86_400);
    assert_eq!(mail(), Verdict::Next);
    at(86_701 + 100 * 86_400);
    assert_eq!(mail(), wait(300));
}

#[test]
fn a_network_that_always_comes_again_is_let_in() {
    start("{}");
    for round in 0..5 {
        let sender = format!("{}@a.example", (b'a' + round) as char);
        at(u64::from(round) * 1000);
        assert_eq!(from("192.0.2.1", &sender, "x@b.example"), wait(300), "{round}");
        assert_eq!(from("192.0.2.1", &sender, "y@b.example"), wait(300), "{round}");
        at(u64::from(round) * 1000 + 300);
        // Two recipients of one message are one pass.
        let mut copy = greylist("{}").unwrap();
        let transaction = Transaction::fake().with_sender(&sender);
        for recipient in ["x@b.example", "y@b.example"] {
            let session = Session::fake().with_client("192.0.2.1");
            let recipient = Recipient::fake(recipient);
            let verdict = copy.ask(Question::Rcpt(&session, &transaction, &recipient));
            assert_eq!(verdict, Verdict::Next, "{round}");
        }
    }
    assert_eq!(from("192.0.2.9", "new@a.example", "z@b.example"), Verdict::Next);
    assert_eq!(from("192.0.3.9", "new@a.example", "z@b.example"), wait(300));
}

#[test]
fn a_sender_whose_spf_passes_is_known_by_its_domain() {
    start("{}");
    find(&[Finding::new("spf", "pass").with_property("smtp.mailfrom", "a@big.example")]);
    assert_eq!(from("192.0.2.1", "a@big.example", "b@b.example"), wait(300));
    at(600);
    assert_eq!(from("203.0.113.1", "x77@BIG.example", "b@b.example"), Verdict::Next);
    assert_eq!(from("203.0.113.1", "a@other.example", "b@b.example"), wait(300));
    find(&[Finding::new("spf", "softfail")]);
    assert_eq!(from("203.0.113.1", "a@big.example", "b@b.example"), wait(300));
}

#[test]
fn only_who_is_suspicious_has_to_wait() {
    let settings =
        "only_if: { score: 2, symbols: [DNSBL_X], spf: [fail, softfail], iprev: [fail] }";
    start(settings);
    let ask = |scores: &[(&str, f64)]| {
        let transaction = Transaction::fake();
        for (symbol, points) in scores {
            transaction.score(symbol, *points).unwrap();
        }
        rcpt(settings, &Session::fake(), &transaction, "b@b.example")
    };
    find(&[Finding::new("spf", "none"), Finding::new("iprev", "pass")]);
    assert_eq!(ask(&[]), Verdict::Next);
    assert_eq!(ask(&[("A", 1.0), ("B", 0.9)]), Verdict::Next);
    assert_eq!(ask(&[("A", 1.0), ("B", 1.0)]), wait(300));
    assert_eq!(ask(&[("A", 3.0), ("B", -2.0)]), Verdict::Next);
    assert_eq!(ask(&[("DNSBL_X", 0.5)]), wait(300));
    find(&[Finding::new("spf", "softfail"), Finding::new("iprev", "pass")]);
    assert_eq!(ask(&[]), wait(300));
    find(&[Finding::new("spf", "pass"), Finding::new("iprev", "fail")]);
    assert_eq!(ask(&[]), wait(300));
}

#[test]
fn some_are_left_alone() {
    let settings = "
        exempt:
          clients: [198.51.100.0/24]
          senders: [partner.example, .partner.example]
          recipients: [postmaster@, now@b.example]
          symbols: [BATV_VALID]
    ";
    start(settings);
    let mail = |session: Session, sender: &str, recipient: &str| {
        rcpt(settings, &session, &Transaction::fake().with_sender(sender), recipient)
    };
    let stranger = Session::fake;
    for (session, sender, recipient) in [
        (stranger().with_user("ann"), "a@a.example", "b@b.example"),
        (stranger().with_client("198.51.100.7"), "a@a.example", "b@b.example"),
        (stranger().with_client("unix"), "a@a.example", "b@b.example"),
        (stranger(), "a@mail.partner.example", "b@b.example"),
        (stranger(), "a@a.example", "Postmaster@b.example"),
        (stranger(), "a@a.example", "now@b.example"),
    ] {
        assert_eq!(mail(session, sender, recipient), Verdict::Next, "{sender} {recipient}");
    }
    assert_eq!(mail(stranger(), "a@a.example", "b@b.example"), wait(300));
    assert_eq!(mail(stranger().with_client("unknown"), "a@a.example", "b@b.example"), wait(300));
    let tagged = Transaction::fake().with_null_sender();
    tagged.score("BATV_VALID", -0.5).unwrap();
    let tagged = tagged.with_recipient("b@b.example");
    let mut copy = greylist(settings).unwrap();
    assert_eq!(copy.ask(Question::Data(&stranger(), &tagged)), Verdict::Next);
}

#[test]
fn a_call_out_is_let_through_and_a_bounce_waits() {
    let mut copy = start("{}");
    let session = Session::fake();
    let bounce = Transaction::fake().with_null_sender();
    let recipient = Recipient::fake("b@b.example");
    assert_eq!(copy.ask(Question::Rcpt(&session, &bounce, &recipient)), Verdict::Next);
    let bounce = bounce.with_recipient("b@b.example");
    assert_eq!(copy.ask(Question::Data(&session, &bounce)), wait(300));
    at(300);
    assert_eq!(copy.ask(Question::Data(&session, &bounce)), Verdict::Next);
    // Mail with a sender was judged at RCPT.
    let mail = Transaction::fake().with_recipient("b@b.example");
    assert_eq!(greylist("{}").unwrap().ask(Question::Data(&session, &mail)), Verdict::Next);
}

#[test]
fn at_data_all_recipients_wait_for_the_last() {
    start("ask_at: data");
    let session = Session::fake();
    let ask = |recipients: &[String]| {
        let mut transaction = Transaction::fake();
        for recipient in recipients {
            transaction = transaction.with_recipient(recipient);
        }
        greylist("ask_at: data").unwrap().ask(Question::Data(&session, &transaction))
    };
    let recipients: Vec<_> = (0..150).map(|number| format!("b{number}@b.example")).collect();
    assert_eq!(ask(&recipients[..1]), wait(300));
    at(100);
    assert_eq!(ask(&recipients), wait(300));
    at(399);
    assert_eq!(ask(&recipients), wait(1));
    assert_eq!(ask(&recipients[..1]), Verdict::Next);
    at(400);
    assert_eq!(ask(&recipients), Verdict::Next);
}

#[test]
fn while_the_store_is_away_the_policy_decides() {
    start("{}");
    set_unavailable("greylist", true);
    assert_eq!(from("192.0.2.1", "a@a.example", "b@b.example"), Verdict::Next);
    let verdict = rcpt("on_error: defer", &Session::fake(), &Transaction::fake(), "b@b.example");
    assert!(matches!(verdict, Verdict::Defer(ref reply) if reply.code == 451), "{verdict:?}");
    assert_eq!(counted("recipients", Some("store_away")), 2);
}

#[test]
#[should_panic(expected = "KvError::Denied")]
fn a_store_that_is_not_granted_is_the_operators_mistake() {
    at(0);
    rcpt("store: elsewhere", &Session::fake(), &Transaction::fake(), "b@b.example");
}

#[test]
fn nonsense_in_the_store_keeps_nobody_out() {
    start("{}");
    let store = Store::open("greylist").unwrap();
    let key = "t 192.0.2.0/24 a@a.example b@b.example";
    let lies: [&[u8]; 5] = [b"", b"w", b"w99999999999", b"k99999999999", b"\xff\xfe garbage"];
    for (lie, time) in lies.into_iter().zip((0..).step_by(1000)) {
        at(time);
        store.put(key, lie, None, None).unwrap();
        assert_eq!(from("192.0.2.1", "a@a.example", "b@b.example"), wait(300), "{lie:?}");
        at(time + 300);
        assert_eq!(from("192.0.2.1", "a@a.example", "b@b.example"), Verdict::Next, "{lie:?}");
    }
    store.put("n 203.0.113.0/24", b"many", None, None).unwrap();
    at(10_000);
    assert_eq!(from("203.0.113.1", "c@a.example", "b@b.example"), wait(300));
    at(10_300);
    assert_eq!(from("203.0.113.1", "c@a.example", "b@b.example"), Verdict::Next);
}

#[test]
fn a_header_tells_how_it_went() {
    start("header: true");
    let mut copy = greylist("header: true").unwrap();
    let (session, transaction) = (Session::fake(), Transaction::fake());
    let recipient = Recipient::fake("b@b.example");
    assert_eq!(copy.ask(Question::Rcpt(&session, &transaction, &recipient)), wait(300));
    at(372);
    assert_eq!(copy.ask(Question::Rcpt(&session, &transaction, &recipient)), Verdict::Next);
    let message = Message::fake("Subject: x\r\n\r\n").with_grant(Grant::RewriteHeaders);
    let verdict = copy.ask(Question::Headers(&session, &transaction, &message));
    assert_eq!(verdict, Verdict::Next);
    let edited = String::from_utf8(message.edited()).unwrap();
    assert!(edited.starts_with("X-Greylist: delayed 372 seconds\r\n"), "{edited}");
}

#[test]
fn the_readmes_example_is_right_and_only_needed_hooks_are_asked() {
    let example = settings_in(include_str!("../README.md"));
    greylist(example).expect("the README's settings are right");
    for (yaml, hooks) in [
        ("{}", vec![Hook::Rcpt, Hook::Data]),
        ("null_sender: rcpt", vec![Hook::Rcpt]),
        ("null_sender: never", vec![Hook::Rcpt]),
        ("ask_at: data", vec![Hook::Data]),
        ("{ ask_at: data, null_sender: rcpt }", vec![Hook::Rcpt, Hook::Data]),
        ("{ header: true, null_sender: never }", vec![Hook::Rcpt, Hook::Headers]),
    ] {
        assert_eq!(subscribed(&greylist(yaml).unwrap()), hooks, "{yaml}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        (
            "delay: 5",
            "delay: invalid type: integer `5`, expected a time as in `90s`, `5m`, `4h` or `35d`",
        ),
        ("delay: 0s", "delay: at least 1s; without any, leave the plugin out"),
        (
            "{ delay: 1h, retry_window: 30m }",
            "retry_window: 30m is not longer than the delay of 1h, so that no retry would count",
        ),
        ("known_for: 1s", "known_for: 1s is not longer than the delay of 5m"),
        ("network: { ipv4: 33 }", "network.ipv4: 33 is not from 8 to 32"),
        ("reply: 550 5.7.1 no", "reply: who is to come again needs a code from 400 to 499"),
        ("ask_at: never", "ask_at: rcpt or data; to ask nobody, leave the plugin out"),
        (
            "exempt: { clients: [192.0.2.1/24] }",
            "exempt.clients: `192.0.2.1/24` has bits behind its prefix; is `192.0.2.0/24` meant?",
        ),
    ] {
        assert_eq!(greylist(yaml).unwrap_err(), mistake);
    }
    assert!(greylist("delays: 5m").unwrap_err().starts_with("delays: unknown field `delays`"));
}
