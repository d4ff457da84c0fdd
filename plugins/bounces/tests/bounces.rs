//! The plugin as operators configure it and mail meets it.

use bounces::Bounces;
use portcullis_plugin::dns::{Answer, Kind};
use portcullis_plugin::mail_auth::Finding;
use portcullis_plugin::testing::{
    Edit, Grant, answer_dns, configure, counted, find, logged, settings_in, stop_clock, subscribed,
};
use portcullis_plugin::{
    Hook, Message, Plugin, Question, Recipient, Session, Transaction, Verdict,
};

const SECRET: &str = "0123456789abcdef-secret";
/// 2026-11-22.
const TODAY: u64 = 20_779;

fn bounces(yaml: &str) -> Result<Bounces, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

fn tagging(rest: &str) -> Bounces {
    on(TODAY);
    bounces(&format!(
        "{{ domains: [example.org, .example.org], batv: {{ keys: [{{ number: 1, secret: {SECRET} }}], {rest} }} }}"
    ))
    .expect("settings")
}

fn on(day: u64) {
    stop_clock(day * 86_400_000);
}

/// What becomes of a sender.
fn sign(plugin: &mut Bounces, session: &Session, sender: &str) -> Option<String> {
    let transaction = Transaction::fake().with_sender(sender).with_grant(Grant::RewriteEnvelope);
    assert_eq!(plugin.ask(Question::Data(session, &transaction)), Verdict::Next);
    match transaction.edits().as_slice() {
        [Edit::SetSender(Some(signed))] => Some(signed.clone()),
        [] => None,
        edits => panic!("{edits:?}"),
    }
}

fn bounce() -> Transaction {
    Transaction::fake().with_null_sender().with_grant(Grant::RewriteEnvelope)
}

fn rcpt(plugin: &mut Bounces, transaction: &Transaction, recipient: &str) -> Verdict {
    plugin.ask(Question::Rcpt(&Session::fake(), transaction, &Recipient::fake(recipient)))
}

fn refused(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Reject(reply) if reply.code == 550)
}

#[test]
fn what_is_ours_is_signed_when_it_goes_and_known_when_it_comes_back() {
    let mut plugin = tagging("refuse_from: 2026-11-22");
    let ann = Session::fake().with_user("ann");
    let signed = sign(&mut plugin, &ann, "Ann@Example.org").expect("signed");
    for (session, sender) in [
        (Session::fake(), "ann@example.org"),
        (ann.clone(), "ann@elsewhere.example"),
        (ann, &*signed),
    ] {
        assert_eq!(sign(&mut plugin, &session, sender), None, "{sender}");
    }
    on(TODAY + 7);
    let transaction = bounce();
    assert_eq!(rcpt(&mut plugin, &transaction, &signed), Verdict::Next);
    assert_eq!(transaction.edits(), [Edit::SetRecipient(0, "Ann@Example.org".to_owned())]);
    assert_eq!(transaction.scores(), [("BATV_VALID".to_owned(), -0.5)]);
    on(TODAY + 8);
    let transaction = bounce();
    assert!(refused(&rcpt(&mut plugin, &transaction, &signed)), "too late");
    assert!(transaction.edits().is_empty());
    let lines = format!("{:?} {plugin:?}", logged());
    assert!(!lines.contains("secret"), "{lines}");
}

#[test]
fn mail_with_a_sender_finds_its_way_too() {
    let mut plugin = tagging("refuse_from: 2026-11-22");
    let signed = sign(&mut plugin, &Session::fake().with_user("ann"), "ann@example.org").unwrap();
    let answer = || Transaction::fake().with_grant(Grant::RewriteEnvelope);
    let transaction = answer();
    assert_eq!(rcpt(&mut plugin, &transaction, &signed), Verdict::Next);
    assert_eq!(transaction.edits(), [Edit::SetRecipient(0, "ann@example.org".to_owned())]);
    for recipient in ["ann@example.org", "prvs=1786000000=ann@example.org"] {
        let transaction = answer();
        assert_eq!(rcpt(&mut plugin, &transaction, recipient), Verdict::Next, "{recipient}");
        assert!(transaction.edits().is_empty());
    }
}

#[test]
fn a_bounce_of_what_we_have_not_sent_is_refused_from_a_day_on() {
    let mut plugin = tagging("refuse_from: 2026-11-23");
    let transaction = bounce();
    assert_eq!(rcpt(&mut plugin, &transaction, "ann@example.org"), Verdict::Next);
    assert_eq!(transaction.scores(), [("BATV_MISSING".to_owned(), 1.0)]);
    on(TODAY + 1);
    for recipient in ["ann@example.org", "ann@mail.EXAMPLE.org", "prvs=1786000000=ann@example.org"]
    {
        assert!(refused(&rcpt(&mut plugin, &bounce(), recipient)), "{recipient}");
    }
    let long = format!("{}@example.org", "x".repeat(49));
    for recipient in ["ann@elsewhere.example", &long, "postmaster", "Postmaster@example.org"] {
        assert_eq!(rcpt(&mut plugin, &bounce(), recipient), Verdict::Next, "{recipient}");
    }
    assert_eq!(counted("mails", Some("tag_missing")), 4);
}

#[test]
fn keys_are_changed_one_after_the_other() {
    on(TODAY);
    let both = |first: u8, second: u8| {
        let key = |number: u8| format!("{{ number: {number}, secret: {SECRET}-{number} }}");
        let settings = format!(
            "{{ domains: [example.org], batv: {{ refuse_from: 2026-01-01, keys: [{}, {}] }} }}",
            key(first),
            key(second)
        );
        bounces(&settings).unwrap()
    };
    let ann = Session::fake().with_user("ann");
    let old = sign(&mut both(1, 2), &ann, "ann@example.org").unwrap();
    let new = sign(&mut both(2, 1), &ann, "ann@example.org").unwrap();
    assert!(old.starts_with("prvs=1") && new.starts_with("prvs=2"));
    for address in [&old, &new] {
        assert_eq!(rcpt(&mut both(2, 1), &bounce(), address), Verdict::Next, "{address}");
    }
    assert!(refused(&rcpt(&mut both(2, 3), &bounce(), &old)));
}

#[test]
fn without_the_grant_a_tag_is_a_failure() {
    let mut plugin = tagging("");
    let transaction = Transaction::fake().with_sender("ann@example.org");
    let ann = Session::fake().with_user("ann");
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        plugin.ask(Question::Data(&ann, &transaction))
    }));
    assert!(asked.is_err());
}

#[test]
fn mail_without_a_sender_is_for_one() {
    let mut plugin = bounces("domains: [example.org]").unwrap();
    let one = bounce().with_recipient("ann@example.org");
    assert_eq!(rcpt(&mut plugin, &bounce(), "ann@example.org"), Verdict::Next);
    assert!(refused(&rcpt(&mut plugin, &one, "bob@example.org")));
    assert_eq!(rcpt(&mut plugin, &one, "postmaster@example.org"), Verdict::Next);
    let mail = Transaction::fake().with_recipient("ann@example.org");
    assert_eq!(rcpt(&mut plugin, &mail, "bob@example.org"), Verdict::Next);
    let mut plugin = bounces("{ domains: [example.org], null_sender: { recipients: 0 } }").unwrap();
    assert_eq!(rcpt(&mut plugin, &one, "bob@example.org"), Verdict::Next);
}

#[test]
fn who_says_to_be_ours_and_is_not_is_marked() {
    let settings = "
domains: [example.org]
ours: { clients: [198.51.100.0/24], listeners: [inside] }
exempt: { senders: [list@example.org] }
";
    let ask = |session: &Session, sender: &str| {
        let transaction = Transaction::fake().with_sender(sender);
        let verdict = bounces(settings).unwrap().ask(Question::Mail(session, &transaction));
        assert_eq!(verdict, Verdict::Next);
        !transaction.scores().is_empty()
    };
    assert!(ask(&Session::fake(), "Boss@EXAMPLE.org"));
    for (session, sender) in [
        (Session::fake(), "boss@elsewhere.example"),
        (Session::fake(), "list@example.org"),
        (Session::fake().with_user("boss"), "boss@example.org"),
        (Session::fake().with_client("198.51.100.7"), "boss@example.org"),
        (Session::fake().with_listener("inside"), "boss@example.org"),
    ] {
        assert!(!ask(&session, sender), "{sender}");
    }
    find(&[Finding::new("spf", "softfail")]);
    assert!(ask(&Session::fake(), "boss@example.org"));
    find(&[Finding::new("spf", "pass")]);
    assert!(!ask(&Session::fake(), "boss@example.org"), "our SPF record names it");
    let mut strict = bounces(
        "{ domains: [example.org], forged: { reverse_path: { refuse: 550 5.7.1 log in }, unless_authentic: false } }",
    )
    .unwrap();
    let forged = Transaction::fake().with_sender("boss@example.org");
    let verdict = strict.ask(Question::Mail(&Session::fake(), &forged));
    assert_eq!(verdict, Verdict::reject(550, "5.7.1", "log in"));
}

#[test]
fn an_author_who_is_not_is_marked() {
    let ask = |from: &str| {
        let message = Message::fake(format!("{from}\r\nSubject: x\r\n\r\nx\r\n"));
        let transaction = Transaction::fake();
        let mut plugin = bounces("domains: [example.org]").unwrap();
        let verdict = plugin.ask(Question::Message(&Session::fake(), &transaction, &message));
        assert_eq!(verdict, Verdict::Next);
        transaction.scores()
    };
    let forged = [("FORGED_FROM".to_owned(), 2.0)];
    assert_eq!(ask("From: The boss <boss@Example.org>"), forged);
    assert_eq!(ask("From: a@b.example\r\nFrom: boss@example.org"), forged);
    assert_eq!(ask("From: \"boss@example.org\" <a@b.example>"), []);
    assert_eq!(ask("X: y"), []);
    find(&[Finding::new("dkim", "pass"), Finding::new("dmarc", "fail")]);
    assert_eq!(ask("From: boss@example.org"), forged);
    find(&[Finding::new("dmarc", "pass")]);
    assert_eq!(ask("From: boss@example.org"), []);
}

/// A world in which `there.example` takes mail.
fn reaching(unreachable: &str) -> Bounces {
    answer_dns("there.example", Kind::Mx, Answer::Records(vec!["10 mx.there.example".to_owned()]));
    answer_dns("none.example", Kind::Mx, Answer::Records(vec!["0 .".to_owned()]));
    answer_dns("none.example", Kind::A, Answer::Records(vec!["192.0.2.80".to_owned()]));
    for kind in [Kind::Mx, Kind::A, Kind::Aaaa] {
        answer_dns("bare.example", kind, Answer::NoData);
        answer_dns("slow.example", kind, Answer::TimedOut);
    }
    bounces(&format!(
        "
domains: [example.org, .example.org]
ours: {{ clients: [198.51.100.0/24] }}
unreachable: {unreachable}
exempt: {{ clients: [203.0.113.9], senders: [root@left.example], symbols: [FRIEND] }}
"
    ))
    .expect("settings")
}

/// What becomes of a sender, and its points.
fn mail(plugin: &mut Bounces, session: &Session, sender: &str) -> (Verdict, Vec<(String, f64)>) {
    let transaction = Transaction::fake().with_sender(sender);
    let verdict = plugin.ask(Question::Mail(session, &transaction));
    (verdict, transaction.scores())
}

#[test]
fn whom_nothing_can_be_returned_to_is_marked() {
    let mut plugin = reaching("{}");
    let stranger = Session::fake().with_client("203.0.113.1");
    for (sender, symbol) in [
        ("ann@nowhere.example", Some(("SENDER_UNKNOWN", 3.0))),
        ("ann@bare.example", Some(("SENDER_UNKNOWN", 3.0))),
        ("ann@None.Example", Some(("SENDER_NO_MAIL", 2.0))),
        ("ann@there.example", None),
        ("\"ann@nowhere.example\"@there.example", None),
        ("ann@slow.example", None),
        ("ann@[192.0.2.1]", None),
        ("postmaster", None),
        ("root@left.example", None),
    ] {
        let scores = symbol.map(|(symbol, points)| (symbol.to_owned(), points));
        let marked = (Verdict::Next, scores.into_iter().collect());
        assert_eq!(mail(&mut plugin, &stranger, sender), marked, "{sender}");
    }
    let empty = Transaction::fake().with_null_sender();
    assert_eq!(plugin.ask(Question::Mail(&stranger, &empty)), Verdict::Next);
    assert!(empty.scores().is_empty());
    for (result, count) in [("sender_unknown", 2), ("sender_no_mail", 1), ("sender_unanswered", 1)]
    {
        assert_eq!(counted("mails", Some(result)), count, "{result}");
    }
}

#[test]
fn who_is_ours_or_exempt_may_have_any_sender() {
    let mut plugin = reaching("{ unknown: { refuse: 550 5.1.8 who is that } }");
    let stranger = Session::fake().with_client("203.0.113.1");
    let refusal = Verdict::reject(550, "5.1.8", "who is that");
    assert_eq!(mail(&mut plugin, &stranger, "ann@nowhere.example"), (refusal, vec![]));
    for session in [
        stranger.clone().with_user("ann"),
        Session::fake().with_client("198.51.100.7"),
        Session::fake().with_client("203.0.113.9"),
    ] {
        assert_eq!(mail(&mut plugin, &session, "ann@nowhere.example"), (Verdict::Next, vec![]));
    }
    let known = Transaction::fake().with_sender("ann@nowhere.example");
    known.score("FRIEND", -1.0).unwrap();
    assert_eq!(plugin.ask(Question::Mail(&stranger, &known)), Verdict::Next);
    // Ours are another rule's.
    let forged = vec![("FORGED_SENDER".to_owned(), 4.0)];
    let (verdict, scores) = mail(&mut plugin, &stranger, "boss@nowhere.example.org");
    assert_eq!((verdict, scores), (Verdict::Next, forged));
}

#[test]
fn each_rule_may_be_off() {
    let stranger = Session::fake().with_client("203.0.113.1");
    let mut plugin = reaching("{ unknown: { score: 0 }, no_mail: { refuse: 550 5.7.27 no } }");
    assert_eq!(mail(&mut plugin, &stranger, "a@nowhere.example"), (Verdict::Next, vec![]));
    let refusal = Verdict::reject(550, "5.7.27", "no");
    assert_eq!(mail(&mut plugin, &stranger, "a@none.example"), (refusal, vec![]));
    let mut plugin = reaching("{ unknown: { refuse: 450 4.1.8 not now }, no_mail: { score: 0 } }");
    assert_eq!(mail(&mut plugin, &stranger, "a@none.example"), (Verdict::Next, vec![]));
    let later = Verdict::defer(450, "4.1.8", "not now");
    assert_eq!(mail(&mut plugin, &stranger, "a@nowhere.example"), (later, vec![]));
}

#[test]
fn who_has_no_answer_passes_unless_the_settings_say_otherwise() {
    let stranger = Session::fake().with_client("203.0.113.1");
    let mut plugin = reaching("{ on_error: defer }");
    let (verdict, scores) = mail(&mut plugin, &stranger, "ann@slow.example");
    assert_eq!(verdict, Verdict::defer(451, "4.4.3", "your domain cannot be looked up now"));
    assert!(scores.is_empty());
    assert_eq!(mail(&mut plugin, &stranger, "ann@there.example"), (Verdict::Next, vec![]));
}

#[test]
fn without_the_grant_nobody_is_asked_about_and_that_is_a_failure() {
    let mut plugin = bounces("{ domains: [example.org], unreachable: {} }").unwrap();
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        mail(&mut plugin, &Session::fake(), "ann@nowhere.example")
    }));
    assert!(asked.is_err());
    let mut plugin = bounces("domains: [example.org]").unwrap();
    let unmarked = (Verdict::Next, vec![]);
    assert_eq!(mail(&mut plugin, &Session::fake(), "ann@nowhere.example"), unmarked);
}

#[test]
fn the_readmes_example_is_right_and_only_needed_hooks_are_asked() {
    let example = settings_in(include_str!("../README.md"));
    let example = example.replace("${file:/etc/portcullis/batv.key}", SECRET);
    bounces(&example).expect("the README's settings are right");
    for (rest, hooks) in [
        ("", vec![Hook::Mail, Hook::Rcpt, Hook::Message]),
        (
            "forged: { reverse_path: { score: 0 }, from: { score: 0 } }, null_sender: { recipients: 0 }",
            vec![],
        ),
        ("forged: { from: { score: 0 } }", vec![Hook::Mail, Hook::Rcpt]),
        (
            "forged: { reverse_path: { score: 0 } }, unreachable: {}",
            vec![Hook::Mail, Hook::Rcpt, Hook::Message],
        ),
        (
            "forged: { reverse_path: { score: 0 } }, unreachable: { unknown: { score: 0 }, no_mail: { score: 0 } }",
            vec![Hook::Rcpt, Hook::Message],
        ),
    ] {
        let settings = format!("{{ domains: [example.org], {rest} }}");
        assert_eq!(subscribed(&bounces(&settings).unwrap()), hooks, "{rest}");
    }
    let hooks = [Hook::Mail, Hook::Rcpt, Hook::Data, Hook::Message];
    assert_eq!(subscribed(&tagging("")), hooks);
}

#[test]
fn mistakes_are_told_with_their_place_and_no_secret() {
    let batv = |rest: &str| format!("{{ domains: [a.example], batv: {{ {rest} }} }}");
    let secret = "a secret is a text of 16 octets or more, best in a file: \"${file:secret.key}\"";
    for (yaml, mistake) in [
        ("domains: []".to_owned(), "domains: which are ours has to be said".to_owned()),
        (batv("keys: []"), "batv.keys: at least one; without tags leave `batv` out".to_owned()),
        (batv("keys: [{ number: 1, secret: s3cr3t }]"), format!("batv.keys[0].secret: {secret}")),
        (
            batv("keys: [{ number: 1, secret: 1234567890123456 }]"),
            format!("batv.keys[0].secret: {secret}"),
        ),
        (
            batv(&format!("keys: [{{ number: 10, secret: {SECRET} }}]")),
            "batv.keys[0].number: from 0 to 9, and no two the same".to_owned(),
        ),
        (
            batv(&format!("lifetime: 1h, keys: [{{ number: 1, secret: {SECRET} }}]")),
            "batv.lifetime: 1h is not from 1d to 100d".to_owned(),
        ),
        (
            batv("keys: [], refuse_from: soon"),
            "batv.refuse_from: `soon` is not a day as in `2026-12-31`".to_owned(),
        ),
        (
            "{ domains: [a.example], exempt: { recipients: [abuse@] } }".to_owned(),
            "exempt.recipients: they need no tag, and without `batv` nobody does; leave out senders or clients instead, or set `batv`".to_owned(),
        ),
        (
            "{ domains: [a.example], forged: { from: { score: 1, refuse: 550 no } } }".to_owned(),
            "forged.from: either `refuse` or `score`".to_owned(),
        ),
        (
            "{ domains: [a.example], unreachable: { no_mail: { score: 1, refuse: 550 no } } }"
                .to_owned(),
            "unreachable.no_mail: either `refuse` or `score`".to_owned(),
        ),
        (
            "{ domains: [a.example], unreachable: { on_error: score } }".to_owned(),
            "unreachable.on_error: unknown variant `score`, expected `pass` or `defer`".to_owned(),
        ),
    ] {
        assert_eq!(bounces(&yaml).unwrap_err(), mistake);
    }
}
