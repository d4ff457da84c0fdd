//! The plugin as operators configure it and clients meet it.

use dnsbl::Dnsbl;
use portcullis_plugin::dns::{Answer, Kind};
use portcullis_plugin::testing::{answer_dns, configure, counted, settings_in, subscribed};
use portcullis_plugin::{Hook, Plugin, Question, Recipient, Session, Transaction, Verdict};

fn dnsbl(yaml: &str) -> Result<Dnsbl, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

fn listed(name: &str, answer: &str) {
    answer_dns(name, Kind::A, Answer::Records(vec![answer.to_owned()]));
}

fn mail(plugin: &mut Dnsbl, session: &Session) -> Verdict {
    let transaction = Transaction::fake().with_sender("a@sender.example");
    let verdict = plugin.ask(Question::Mail(session, &transaction));
    if verdict != Verdict::Next {
        return verdict;
    }
    plugin.ask(Question::Rcpt(session, &transaction, &Recipient::fake("b@example.org")))
}

#[test]
fn what_the_readme_shows_is_right() {
    let plugin = dnsbl(settings_in(include_str!("../README.md"))).unwrap();
    assert_eq!(subscribed(&plugin), [Hook::Mail, Hook::Rcpt]);
}

#[test]
fn hooks_that_decide_nothing_are_not_called() {
    for (at, hooks) in [
        ("connect", &[Hook::Connect, Hook::Mail, Hook::Rcpt][..]),
        ("mail", &[Hook::Mail]),
        ("rcpt", &[Hook::Mail, Hook::Rcpt]),
        ("never", &[Hook::Mail]),
    ] {
        let yaml = format!("{{lists: [zen.spamhaus.org], refuse: {{at: {at}}}}}");
        assert_eq!(subscribed(&dnsbl(&yaml).unwrap()), hooks, "{at}");
    }
}

#[test]
fn notes_are_left_and_taken_back() {
    listed("sender.example.bad.example", "127.0.0.2");
    listed("1.2.0.192.good.example", "127.0.0.2");
    let mut plugin = dnsbl(
        "lists:
  - {zone: bad.example, of: [sender]}
  - {zone: good.example, score: -1}",
    )
    .unwrap();
    let session = Session::fake();
    assert_eq!(mail(&mut plugin, &session), Verdict::Next);
    assert_eq!(session.note("test.listed").as_deref(), Some("BAD_EXAMPLE"));
    assert_eq!(session.note("test.allowed").as_deref(), Some("GOOD_EXAMPLE"));
    let transaction = Transaction::fake().with_null_sender();
    plugin.ask(Question::Mail(&session, &transaction));
    assert_eq!(session.note("test.listed").as_deref(), Some(""));
    assert_eq!(session.note("test.allowed").as_deref(), Some("GOOD_EXAMPLE"));
}

#[test]
fn a_refusal_is_of_one_mail() {
    listed("sender.example.bad.example", "127.0.0.2");
    let mut plugin =
        dnsbl("{lists: [{zone: bad.example, of: [sender]}], refuse: {score: 3}}").unwrap();
    let session = Session::fake();
    assert!(matches!(mail(&mut plugin, &session), Verdict::Reject(_)));
    let transaction = Transaction::fake().with_null_sender();
    plugin.ask(Question::Mail(&session, &transaction));
    let recipient = Recipient::fake("b@example.org");
    let verdict = plugin.ask(Question::Rcpt(&session, &transaction, &recipient));
    assert_eq!(verdict, Verdict::Next);
}

#[test]
fn a_refusal_outlives_the_copy_that_found_it() {
    listed("1.2.0.192.bad.example", "127.0.0.2");
    let settings = "{lists: [bad.example], refuse: {score: 3}}";
    let session = Session::fake();
    let transaction = Transaction::fake();
    let recipient = Recipient::fake("b@example.org");
    dnsbl(settings).unwrap().ask(Question::Mail(&session, &transaction));
    let verdict = dnsbl(settings).unwrap().ask(Question::Rcpt(&session, &transaction, &recipient));
    let Verdict::Reject(reply) = verdict else { panic!("{verdict:?}") };
    assert_eq!(reply.status, Some((5, 7, 1)));
    assert!(reply.text.contains("bad.example"), "{}", reply.text);
}

#[test]
fn a_copy_that_has_judged_another_mail_says_nothing_of_this_one() {
    listed("1.2.0.192.bad.example", "127.0.0.2");
    let mut plugin = dnsbl("{lists: [bad.example], refuse: {score: 3}}").unwrap();
    plugin.ask(Question::Mail(&Session::fake(), &Transaction::fake()));
    // As where a tarpit made this mail another copy, and pooled ones are at hand.
    let innocent = Session::fake().with_client("192.0.2.9");
    let other = Transaction::fake().with_id("transaction-2");
    let recipient = Recipient::fake("b@example.org");
    let verdict = plugin.ask(Question::Rcpt(&innocent, &other, &recipient));
    assert_eq!(verdict, Verdict::Next);
}

#[test]
fn a_mail_that_was_not_asked_about_is_not_told_what_was_found_about_another() {
    listed("1.2.0.192.bad.example", "127.0.0.2");
    let settings = "{lists: [bad.example], refuse: {score: 3}}";
    let session = Session::fake();
    dnsbl(settings).unwrap().ask(Question::Mail(&session, &Transaction::fake()));
    // As where a plugin before this one has let the sender in.
    let other = Transaction::fake().with_id("transaction-2");
    let recipient = Recipient::fake("b@example.org");
    let verdict = dnsbl(settings).unwrap().ask(Question::Rcpt(&session, &other, &recipient));
    assert_eq!(verdict, Verdict::Next);
}

#[test]
fn of_a_sender_who_is_exempt_nothing_is_known_from_another_mail() {
    listed("1.2.0.192.bad.example", "127.0.0.2");
    let mut plugin =
        dnsbl("{lists: [bad.example], refuse: {score: 3}, exempt: {senders: [partner.example]}}")
            .unwrap();
    let session = Session::fake();
    assert_ne!(mail(&mut plugin, &session), Verdict::Next);
    assert_eq!(session.note("test.listed").as_deref(), Some("BAD_EXAMPLE"));
    let other = Transaction::fake().with_id("transaction-2").with_sender("a@partner.example");
    plugin.ask(Question::Mail(&session, &other));
    let recipient = Recipient::fake("b@example.org");
    assert_eq!(plugin.ask(Question::Rcpt(&session, &other, &recipient)), Verdict::Next);
    assert_eq!(session.note("test.listed").as_deref(), Some(""));
}

#[test]
fn who_does_not_answer_is_not_asked_again_in_the_same_minute() {
    answer_dns("1.2.0.192.slow.example", Kind::A, Answer::TimedOut);
    let mut plugin = dnsbl("{lists: [slow.example, fast.example]}").unwrap();
    let session = Session::fake();
    let unanswered = || counted("unanswered", Some("SLOW_EXAMPLE"));
    mail(&mut plugin, &session);
    let first = unanswered();
    mail(&mut plugin, &session);
    assert_eq!((first, unanswered()), (1, 1));
    mail(&mut plugin, &Session::fake());
    assert_eq!(unanswered(), 2);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("{}", "missing field `lists`"),
        ("lists: []", "lists: name the lists to ask, as in `[zen.spamhaus.org]`"),
        ("lists: [zen]", "lists[0]: `zen` is not a zone as in `zen.spamhaus.org`"),
        (
            "lists: [a.b, A.B.]",
            "lists: [1]: another list is called A_B, too; give this one a `name`",
        ),
        ("lists: [{zone: a.b, of: [from]}]", "lists[0].of[0]: unknown variant `from`"),
        ("{lists: [a.b], refuse: {at: data}}", "refuse.at: unknown variant `data`"),
        (
            "{lists: [a.b], refuse: {reply: '550 {user}'}}",
            "refuse.reply: in braces stands one of client, subject, list, reason",
        ),
        ("{lists: [a.b], refuse: {reply: '250 ok'}}", "refuse.reply: a refusal is a code"),
        (
            "{lists: [a.b], exempt: {clients: [x]}}",
            "exempt.clients: `x` is not an address or a network",
        ),
        (
            "{lists: [a.b], exempt: {recipients: [abuse@]}}",
            "exempt.recipients: `refuse.except` has the local parts that are reachable",
        ),
        (
            "{lists: [a.b], exempt: {senders: [a.b]}, refuse: {at: connect}}",
            "exempt.senders: with `refuse.at: connect` it is the client who is refused",
        ),
        (
            "{lists: [a.b], on_error: defer, refuse: {at: never}}",
            "on_error: `defer` is a refusal, and `refuse.at` is `never`",
        ),
    ] {
        let said = dnsbl(yaml).unwrap_err();
        assert!(said.starts_with(mistake), "{yaml}: {said}");
    }
}
