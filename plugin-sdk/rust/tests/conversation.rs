//! A plugin with every kind of method, asked as the gateway would, without wasm.

use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use portcullis_plugin::testing::{self, Edit, Grant};
use portcullis_plugin::{
    EditError, Hook, Message, Plugin, Question, Recipient, Session, Transaction, Verdict, log,
    metrics, plugin,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Debug)]
struct Concierge {
    settings: Settings,
    seen: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    closed: Vec<String>,
    #[serde(default)]
    stamp: bool,
}

#[plugin]
impl Concierge {
    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.closed.iter().any(String::is_empty) {
            return Err("closed: a domain is empty".to_owned());
        }
        Ok(Self { settings, seen: 0 })
    }

    fn skip(&self) -> Vec<Hook> {
        if self.settings.stamp { vec![] } else { vec![Hook::Headers] }
    }

    fn helo(&self, name: &str, session: &Session) -> Verdict {
        if session.client_ip().is_some_and(|client| client.is_loopback()) || name != "localhost" {
            return Verdict::Next;
        }
        Verdict::disconnect(550, "5.7.1", "you are not me")
    }

    fn rcpt(&mut self, to: &Recipient, transaction: &Transaction) -> Result<Verdict, EditError> {
        self.seen += 1;
        if self.settings.closed.iter().any(|domain| domain == to.domain()) {
            log::info("closed", &[("domain", to.domain())]);
            metrics::add("refused", 1, Some(("domain", to.domain())));
            return Ok(Verdict::reject(550, "5.7.1", "closed"));
        }
        transaction.route("inside", Some(to.index))?;
        Ok(Verdict::Accept)
    }

    fn headers(&self, message: &Message) -> Result<Verdict, EditError> {
        message.add_header(Some(0), "X-Seen", self.seen.to_string().as_bytes())?;
        Ok(Verdict::Next)
    }
}

fn concierge() -> Concierge {
    testing::configure(&json!({ "closed": ["closed.example"], "stamp": true })).expect("settings")
}

#[test]
fn only_what_is_written_is_a_hook() {
    assert_eq!(Concierge::HOOKS, [Hook::Helo, Hook::Rcpt, Hook::Headers]);
}

#[test]
fn settings_leave_hooks_out() {
    let quiet: Concierge = testing::configure(&json!({ "closed": [] })).unwrap();
    assert_eq!(testing::subscribed(&quiet), [Hook::Helo, Hook::Rcpt]);
    assert_eq!(testing::subscribed(&concierge()), Concierge::HOOKS);
}

#[test]
fn mistakes_in_settings_are_told_with_their_place() {
    for (settings, mistake) in [
        (json!({ "closed": ["a", 2] }), "closed[1]: invalid type: integer `2`, expected a string"),
        (json!({ "close": [] }), "close: unknown field `close`, expected `closed` or `stamp`"),
        (json!({ "closed": [""] }), "closed: a domain is empty"),
        (json!(null), "missing field `closed`"),
    ] {
        assert_eq!(testing::configure::<Concierge>(&settings).unwrap_err(), mistake);
    }
}

#[test]
fn a_refusal_is_logged_and_counted() {
    let verdict = concierge().rcpt(&Recipient::fake("a@closed.example"), &Transaction::fake());
    assert_eq!(verdict, Ok(Verdict::reject(550, "5.7.1", "closed")));
    assert_eq!(testing::logged(), ["info closed domain=closed.example"]);
    assert_eq!(testing::counted("refused", Some("closed.example")), 1);
    assert_eq!(testing::counted("refused", Some("open.example")), 0);
}

#[test]
fn a_route_is_staged() {
    let transaction = Transaction::fake().with_recipient("a@open.example").with_grant(Grant::Route);
    let verdict = concierge().rcpt(&transaction.recipients()[0], &transaction);
    assert_eq!(verdict, Ok(Verdict::Accept));
    assert_eq!(transaction.edits(), [Edit::Route("inside".to_owned(), Some(0))]);
}

#[test]
fn nothing_is_granted_by_itself() {
    let verdict = concierge().rcpt(&Recipient::fake("a@open.example"), &Transaction::fake());
    assert_eq!(verdict, Err(EditError::Denied));
}

#[test]
fn an_error_is_a_failure_with_the_place_of_its_hook() {
    let (places, told) = mpsc::channel();
    let here = thread::current().id();
    panic::set_hook(Box::new(move |panicked| {
        if thread::current().id() == here {
            let place = panicked.location().map(|place| (place.file().to_owned(), place.line()));
            places.send((place, panicked.to_string())).expect("the test listens");
        }
    }));
    let (session, transaction) = (Session::fake(), Transaction::fake());
    let to = Recipient::fake("a@open.example");
    let asked = AssertUnwindSafe(|| concierge().ask(Question::Rcpt(&session, &transaction, &to)));
    assert!(panic::catch_unwind(asked).is_err());
    drop(panic::take_hook());
    let (place, text) = told.recv().unwrap();
    let line = include_str!("conversation.rs").lines().position(|line| line.contains("fn rcpt("));
    assert_eq!(place, Some((file!().to_owned(), line.unwrap() as u32 + 1)));
    assert!(text.ends_with("\ndenied"), "{text}");
}

#[test]
fn what_one_hook_learns_the_next_one_knows() {
    let mut concierge = concierge();
    let transaction = Transaction::fake();
    for address in ["a@closed.example", "b@closed.example"] {
        concierge.rcpt(&Recipient::fake(address), &transaction).unwrap();
    }
    let message = Message::fake("Subject: a\n\nb\n").with_grant(Grant::RewriteHeaders);
    concierge.headers(&message).unwrap();
    assert_eq!(message.edited_text(), "X-Seen: 2\r\nSubject: a\r\n\r\nb\r\n");
}

#[test]
fn only_strangers_may_not_be_localhost() {
    let refusal = Verdict::disconnect(550, "5.7.1", "you are not me");
    for (client, name, verdict) in [
        ("192.0.2.1", "localhost", refusal),
        ("192.0.2.1", "client.example", Verdict::Next),
        ("::1", "localhost", Verdict::Next),
        ("::ffff:127.0.0.1", "localhost", Verdict::Next),
    ] {
        let session = Session::fake().with_client(client);
        assert_eq!(concierge().helo(name, &session), verdict, "{client} {name}");
    }
}

#[test]
fn manners_are_shown_and_a_reply_is_held_back_as_long_as_may_be() {
    let session = Session::fake().with_conduct("early-talker", 1).with_conduct("syntax-errors", 3);
    assert_eq!((session.lapses("early-talker"), session.lapses("unknown-commands")), (1, 0));
    assert_eq!(session.conduct().len(), 2);
    assert_eq!(session.delayed(), Duration::ZERO);
    assert_eq!(session.delay(60_001), Err(EditError::OutOfRange));
    session.hold_back(Duration::from_secs(5));
    session.hold_back(Duration::from_secs(2));
    assert_eq!(session.delayed(), Duration::from_secs(5), "the longest counts");
    session.hold_back(Duration::from_secs(90));
    assert_eq!(session.delayed(), Session::LONGEST_DELAY);
}
