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
    const CONDITIONS: &str = "rules[0]: a rule has exactly one of `contains`, `equals`, `matches`, `present`, `more_than` and `fewer_than`, `differs_from` and `poses_as`";
    const ACTIONS: &str = "rules[0]: a rule has exactly one of `discard`, `quarantine`, `refuse`, `route` and `score`";
    for (yaml, mistake) in [
        (
            "rule: []",
            "rule: unknown field `rule`, expected one of `rules`, `drop`, `set`, `add`, `rename`, `rewrite`, `decoded`",
        ),
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

fn fits(rule: &str, section: &str) -> bool {
    let yaml = format!("rules: [{{{rule}, refuse: 550 no}}]");
    let plugin = &mut headers(&yaml).expect("right settings");
    let session = Session::fake().with_client("198.51.100.7");
    let transaction = Transaction::fake().with_recipient("b@example.com");
    let message = message(section);
    plugin.ask(Question::Headers(&session, &transaction, &message)) != Verdict::Next
}

#[test]
fn conditions_ask_what_they_say() {
    const ENCODED: &str = "Subject: =?UTF-8?B?Q2hlYXAgd2F0Y2hlcw==?=";
    const FORGED: &str = "From: \"boss@example.com\" <x@evil.example>\nReply-To: y@other.example";
    const LIST: &str = "From: A <a@example.com>\nReply-To: list@lists.example.com";
    for (rule, section, want) in [
        ("header: Subject, contains: cheap watches", ENCODED, false),
        ("header: Subject, contains: cheap watches, decoded: true", ENCODED, true),
        ("header: From, more_than: 1", "From: a\nFROM: b", true),
        ("header: From, more_than: 1", "From: a", false),
        ("header: Received, more_than: 0, fewer_than: 3", "Received: a\nReceived: b", true),
        ("header: Received, fewer_than: 1", "", true),
        ("header: From, of: domain, equals: EVIL.example", FORGED, true),
        ("header: From, of: display_name, contains: '@example.com'", FORGED, true),
        ("header: From, of: local_part, matches: '^[xyz]$'", FORGED, true),
        ("header: From, of: address, equals: boss@example.com", FORGED, false),
        ("header: From, poses_as: [example.com]", FORGED, true),
        ("header: From, poses_as: [example.com]", LIST, false),
        ("header: Reply-To, differs_from: From", FORGED, true),
        ("header: Reply-To, differs_from: From", LIST, false),
        ("header: Reply-To, differs_from: From, of: address", LIST, true),
        ("header: Reply-To, differs_from: From", "From: a@b.example", false),
        ("section_larger_than: 10", "Subject: a b c", true),
        ("from: [example.org]", "", true),
        ("from: ['<>']", "", false),
        ("to: [b@example.com]", "", true),
        ("clients: [198.51.100.0/24]", "", true),
        ("clients: [192.0.2.0/24]", "", false),
        ("authenticated: false", "", true),
        ("from: [example.org], header: Subject, present: true", "", false),
        ("any: [{header: A, present: true}, {header: B, present: true}]", "B: 1", true),
        ("all: [{header: A, present: true}, {header: B, present: true}]", "B: 1", false),
        ("not: {any: [{header: A, present: true}]}", "B: 1", true),
    ] {
        assert_eq!(fits(rule, section), want, "{rule}: {section}");
    }
}

#[test]
fn points_of_one_symbol_add_up() {
    let yaml = "rules: [{header: A, present: true, score: 1, symbol: S}, {header: B, present: true, score: 2.5, symbol: S}, {header: C, present: false, score: -1}]";
    let transaction = Transaction::fake();
    let question = &message("A: 1\nB: 2");
    let question = Question::Headers(&Session::fake(), &transaction, question);
    assert_eq!(headers(yaml).unwrap().ask(question), Verdict::Next);
    assert_eq!(transaction.scores(), [("S".to_owned(), 3.5), ("HEADER_RULE".to_owned(), -1.0)]);
}

#[test]
fn headers_are_rewritten_and_renamed() {
    let yaml = r#"
rewrite:
  - { name: Subject, matches: '^\[EXT\] ?(.*)$', value: "$1" }
  - { name: X-Host, matches: '([a-z]+)\.inside', value: "${1}.example.org" }
rename: [{ from: X-Host, to: X-Name }]
drop: [X-Gone]
"#;
    for (before, after) in [
        ("Subject: [EXT] hello\n", "Subject: hello\n"),
        ("Subject: [EXT]\n hello\n", "Subject: hello\n"),
        ("Subject: hello\n", "Subject: hello\n"),
        ("Subject: [EXT] \u{e9}\n", "Subject: \u{e9}\n"),
        ("x-host: a.inside\nTo: b\n", "To: b\nX-Name: a.example.org\n"),
        ("X-Host: c\nX-Gone: d\n", "X-Name: c\n"),
    ] {
        let message = message(before);
        assert_eq!(ask(&mut headers(yaml).unwrap(), &message).0, Verdict::Next);
        assert_eq!(message.edited_text(), format!("{after}\n").replace('\n', "\r\n"));
    }
}

#[test]
fn mistakes_in_conditions_are_told_with_their_place() {
    for (rule, mistake) in [
        ("equals: a", "rules[0]: what a condition asks of a field wants its `header`"),
        ("all: []", "rules[0]: all: no conditions"),
        (
            "any: [{header: A, present: true, route: b}]",
            "rules[0]: any[0]: what is done stands in the rule, not in a condition of it",
        ),
        (
            "not: {header: A}",
            "rules[0]: not: a rule has exactly one of `contains`, `equals`, `matches`, `present`, `more_than` and `fewer_than`, `differs_from` and `poses_as`",
        ),
        (
            "header: A, present: true, of: domain",
            "rules[0]: `of` and `decoded` do not go with `present`",
        ),
        (
            "header: A, present: true, symbol: a b, score: 1",
            "rules[0]: symbol: up to 64 letters, digits, `_`, `-` and `.`",
        ),
    ] {
        let action = if rule.contains("score") { "" } else { ", refuse: 550 no" };
        let told = headers(&format!("rules: [{{{rule}{action}}}]")).unwrap_err();
        assert_eq!(told, mistake);
    }
}

#[test]
fn who_brings_more_fields_than_can_be_dropped_is_refused() {
    for (count, refused) in [(999, false), (2_000, true)] {
        let mut plugin = headers("drop: [X-Spam-*]").unwrap();
        let (verdict, _) = ask(&mut plugin, &message(&"X-Spam-Flag: x\n".repeat(count)));
        let text = "too many header fields that have to be changed";
        let wanted = if refused { Verdict::reject(554, "5.6.0", text) } else { Verdict::Next };
        assert_eq!(verdict, wanted, "{count}");
    }
}
