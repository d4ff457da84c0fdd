//! The plugin as operators configure it and messages meet it.

use headers::Headers;
use portcullis_plugin::testing::{Edit, Grant, configure, settings_in, subscribed};
use portcullis_plugin::{Hook, Message, Plugin, Question, Session, Transaction, Verdict};

fn headers(yaml: &str) -> Result<Headers, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

/// What the README shows is what works.
fn example() -> Headers {
    let example = settings_in(include_str!("../README.md"));
    headers(example).expect("the README's settings are right")
}

fn ask(plugin: &mut Headers, message: &Message) -> (Verdict, Vec<Edit>) {
    let session = Session::fake().with_helo("client.example");
    let transaction = Transaction::fake().with_grant(Grant::Route);
    let verdict = plugin.ask(Question::Headers(&session, &transaction, message));
    (verdict, transaction.edits())
}

fn message(section: &str) -> Message {
    Message::fake(section).with_grant(Grant::RewriteHeaders)
}

#[test]
fn rules_decide() {
    for (section, verdict) in [
        ("X-Fixture: reject", Verdict::reject(550, "5.7.1", "message refused")),
        ("x-fixture:   REJECT ", Verdict::reject(550, "5.7.1", "message refused")),
        ("X-Fixture: reject\nX-Fixture: defer", Verdict::reject(550, "5.7.1", "message refused")),
        ("X-Fixture: a\nX-Fixture: defer", Verdict::defer(451, "4.7.1", "try again later")),
        ("Subject: Buy\n Cheap\n Watches now\nMessage-ID: a", Verdict::quarantine("watches")),
        ("Subject: a", Verdict::reject(550, "5.7.1", "a message has a Message-ID")),
        ("", Verdict::reject(550, "5.7.1", "a message has a Message-ID")),
        ("Message-ID: a\nX-Mailer: BulkCannon 3", Verdict::discard("bulk cannon")),
        ("Message-ID: a\nX-Mailer: The Bulk Cannon", Verdict::Next),
        ("Message-ID: a\nX-Fixture: rejected", Verdict::Next),
    ] {
        assert_eq!(ask(&mut example(), &message(section)), (verdict, vec![]), "{section}");
    }
}

#[test]
fn rules_route() {
    let (verdict, edits) = ask(&mut example(), &message("Message-ID: a\nList-Id: b"));
    assert_eq!(verdict, Verdict::Next);
    assert_eq!(edits, [Edit::Route("lists".to_owned(), None)]);
}

#[test]
fn headers_are_dropped_set_and_added() {
    let message = message(
        "Received: from a\nX-Spam-Score: 9\nMessage-ID: b\nx-internal-token: c\n\td\nX-Spam-Flag: YES\nTo: e\n\nX-Spam-Flag: YES\n",
    );
    assert_eq!(ask(&mut example(), &message).0, Verdict::Next);
    let expected = "X-Envelope-From: <sender@example.org>
Received: from a
Message-ID: b
To: e
X-Spam-Flag: NO
X-Filtered: mx transaction-1 [192.0.2.1] client.example

X-Spam-Flag: YES
";
    assert_eq!(message.edited_text(), expected.replace('\n', "\r\n"));
}

#[test]
fn what_is_set_is_there_once() {
    let yaml = "set: [{ name: X-A, value: new }]";
    for (before, after) in [
        ("X-B: 1\nx-a: 1\nX-B: 2\nX-A: 2\nX-A: 3\n", "X-B: 1\nx-a: new\nX-B: 2\n"),
        ("X-B: 1\n", "X-B: 1\nX-A: new\n"),
        ("", "X-A: new\n"),
    ] {
        let message = message(before);
        assert_eq!(ask(&mut headers(yaml).unwrap(), &message).0, Verdict::Next);
        assert_eq!(message.edited_text(), format!("{after}\n").replace('\n', "\r\n"));
    }
}

#[test]
fn a_refused_message_is_not_edited() {
    let message = message("X-Fixture: reject\n");
    ask(&mut example(), &message);
    assert_eq!(message.edited_text(), "X-Fixture: reject\r\n\r\n");
}

#[test]
#[should_panic(expected = "denied")]
fn without_the_grant_the_plugin_fails() {
    ask(&mut example(), &Message::fake("Message-ID: a\n"));
}

#[test]
fn a_regular_expression_cannot_be_made_to_hang() {
    let yaml = "rules: [{ header: Subject, matches: '^(a|aa)*$', refuse: 550 no }]";
    let subject = format!("Subject: {}!\n", "a".repeat(5_000));
    assert_eq!(ask(&mut headers(yaml).unwrap(), &message(&subject)).0, Verdict::Next);
}

#[test]
fn without_rules_no_hook_is_called() {
    assert_eq!(subscribed(&headers("{}").unwrap()), []);
    assert_eq!(subscribed(&example()), [Hook::Headers]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    const CONDITIONS: &str =
        "rules[0]: a rule has exactly one of `contains`, `equals`, `matches` and `present`";
    const ACTIONS: &str =
        "rules[0]: a rule has exactly one of `discard`, `quarantine`, `refuse` and `route`";
    for (yaml, mistake) in [
        ("rule: []", "rule: unknown field `rule`, expected one of `rules`, `drop`, `set`, `add`"),
        ("rules: [{ header: A, route: b }]", CONDITIONS),
        ("rules: [{ header: A, equals: b, present: true, route: b }]", CONDITIONS),
        ("rules: [{ header: A, present: true }]", ACTIONS),
        ("rules: [{ header: A, present: true, route: b, discard: c }]", ACTIONS),
        (
            "rules: [{ header: 'A:', present: true, route: b }]",
            "rules[0]: `A:` is not the name of a header",
        ),
        ("drop: [A, '*']", "drop[1]: `` is not the name of a header"),
        (
            "add: [{ name: A, value: '{date}' }]",
            "add[0].value: in braces stands one of client-address, helo, sender, id, listener",
        ),
        ("set: [{ name: 'A B', value: c }]", "set[0].name: `A B` is not the name of a header"),
    ] {
        assert_eq!(headers(yaml).unwrap_err(), mistake);
    }
    let mistake = headers("rules: [{ header: A, matches: '(', route: b }]").unwrap_err();
    assert!(mistake.starts_with("rules[0]: matches: "), "{mistake}");
}
