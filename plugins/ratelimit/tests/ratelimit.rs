//! The plugin as operators configure it and clients meet it.

use portcullis_plugin::kv::Store;
use portcullis_plugin::testing::{
    configure, counted, grant_store, set_unavailable, settings_in, stop_clock, subscribed,
};
use portcullis_plugin::{
    Hook, Message, Outcome, Plugin, Question, Recipient, Session, Transaction, Verdict,
};
use ratelimit::Ratelimit;

const START: u64 = 1_700_000_000;

fn ratelimit(yaml: &str) -> Result<Ratelimit, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

/// At the beginning of a window, with an empty store.
fn start(yaml: &str) -> Ratelimit {
    grant_store("rates");
    at(0);
    ratelimit(yaml).expect("settings")
}

fn at(seconds: u64) {
    stop_clock((START + seconds) * 1000);
}

fn mail(plugin: &mut Ratelimit, client: &str, sender: &str) -> Verdict {
    let session = Session::fake().with_client(client);
    plugin.ask(Question::Mail(&session, &Transaction::fake().with_sender(sender)))
}

fn refused(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Defer(_) | Verdict::Reject(_) | Verdict::Disconnect(_))
}

const CLIENTS: &str =
    "rules: [{ name: client, count: messages, key: [client], limit: 10, window: 100s }]";

#[test]
fn so_many_pass_and_the_window_slides() {
    let mut plugin = start(CLIENTS);
    let mut send = || mail(&mut plugin, "192.0.2.1", "a@a.example");
    for number in 0..10 {
        assert_eq!(send(), Verdict::Next, "{number}");
    }
    let no = Verdict::defer(451, "4.7.1", "too many messages, come again later");
    assert_eq!(send(), no);
    at(100);
    assert_eq!(send(), no, "all of the last window still count");
    at(150);
    let passed = (0..20).filter(|_| send() == Verdict::Next).count();
    assert_eq!(passed, 5, "half of it is forgotten");
    at(300);
    let passed = (0..20).filter(|_| send() == Verdict::Next).count();
    assert_eq!(passed, 10, "all of it is forgotten, and what was refused was never counted");
    assert!(counted("exceeded", Some("client")) > 20);
}

#[test]
fn each_key_has_its_own_count() {
    for (key, count, same, other) in [
        ("client", "messages", ("192.0.2.1", "a@a.example"), ("192.0.2.2", "a@a.example")),
        ("client", "messages", ("2001:db8::1", "a@a.example"), ("2001:db8:0:1::1", "a@a.example")),
        ("network", "messages", ("192.0.2.1", "a@a.example"), ("192.0.3.1", "a@a.example")),
        ("sender", "messages", ("192.0.2.1", "a@A.example"), ("192.0.2.1", "b@a.example")),
        ("sender-domain", "messages", ("192.0.2.1", "a@A.example"), ("192.0.2.1", "a@b.example")),
    ] {
        let mut plugin = start(&format!(
            "rules: [{{ name: r, count: {count}, key: [{key}], limit: 1, window: 1h }}]"
        ));
        assert_eq!(mail(&mut plugin, same.0, same.1), Verdict::Next, "{key}");
        assert_ne!(mail(&mut plugin, same.0, same.1), Verdict::Next, "{key}");
        assert_eq!(mail(&mut plugin, other.0, other.1), Verdict::Next, "{key}");
    }
    let mut plugin = start(
        "rules: [{ name: r, count: recipients, key: [sender-domain, recipient], limit: 1, window: 1h }]",
    );
    let mut rcpt = |sender: &str, recipient: &str| {
        let transaction = Transaction::fake().with_sender(sender);
        plugin.ask(Question::Rcpt(&Session::fake(), &transaction, &Recipient::fake(recipient)))
    };
    assert_eq!(rcpt("a@a.example", "x@b.example"), Verdict::Next);
    assert_ne!(rcpt("b@a.example", "X@b.example"), Verdict::Next);
    assert_eq!(rcpt("b@a.example", "y@b.example"), Verdict::Next);
    assert_eq!(rcpt("a@c.example", "x@b.example"), Verdict::Next);
}

#[test]
fn who_is_nobody_has_no_count() {
    let mut plugin = start(
        "rules: [{ name: r, count: messages, key: [sender-domain], limit: 1, window: 1h },
                 { name: u, count: messages, key: [user], limit: 1, window: 1h },
                 { name: c, count: messages, key: [client], limit: 1, window: 1h }]",
    );
    for _ in 0..3 {
        let bounce = Transaction::fake().with_null_sender();
        let inside = Session::fake().with_client("unix");
        assert_eq!(plugin.ask(Question::Mail(&inside, &bounce)), Verdict::Next);
    }
    let proxied = Session::fake().with_client("unknown");
    let bounce = Transaction::fake().with_null_sender();
    assert_eq!(plugin.ask(Question::Mail(&proxied, &bounce)), Verdict::Next);
    assert!(refused(&plugin.ask(Question::Mail(&proxied, &bounce))));
}

#[test]
fn users_have_rules_of_their_own() {
    let mut plugin = start(
        "rules: [{ name: user, count: messages, key: [user], limit: 2, window: 1h },
                 { name: client, count: messages, key: [client], limit: 1, window: 1h }]",
    );
    let ann = Session::fake().with_user("ann");
    let mut send = || plugin.ask(Question::Mail(&ann, &Transaction::fake()));
    assert_eq!(send(), Verdict::Next);
    assert_eq!(send(), Verdict::Next, "of the others she is exempt");
    assert!(refused(&send()));
}

#[test]
fn connections_are_refused_with_421() {
    let mut plugin =
        start("rules: [{ name: r, count: connections, key: [client], limit: 1, window: 1m }]");
    let session = Session::fake();
    assert_eq!(plugin.ask(Question::Connect(&session)), Verdict::Next);
    let no = Verdict::disconnect(421, "4.7.0", "too many connections, come again later");
    assert_eq!(plugin.ask(Question::Connect(&session)), no);
}

#[test]
fn octets_are_looked_at_before_and_counted_after() {
    let mut plugin =
        start("rules: [{ name: r, count: octets, key: [client], limit: 10KiB, window: 1h }]");
    let session = Session::fake();
    let announce = |plugin: &mut Ratelimit, size: &str| {
        let transaction = Transaction::fake().with_parameter("SIZE", Some(size));
        plugin.ask(Question::Mail(&session, &transaction))
    };
    let deliver = |plugin: &mut Ratelimit, size: usize| {
        let message = Message::fake(format!("\r\n{}\r\n", "x".repeat(size - 4)));
        plugin.ask(Question::Message(&session, &Transaction::fake(), &message))
    };
    for _ in 0..5 {
        assert_eq!(announce(&mut plugin, "10000"), Verdict::Next, "a promise counts nothing");
    }
    assert_eq!(deliver(&mut plugin, 6_000), Verdict::Next);
    assert_eq!(announce(&mut plugin, "4000"), Verdict::Next);
    assert!(matches!(announce(&mut plugin, "5000"), Verdict::Defer(_)));
    assert!(matches!(deliver(&mut plugin, 5_000), Verdict::Defer(_)), "unannounced");
    assert_eq!(deliver(&mut plugin, 4_000), Verdict::Next);
    for size in ["10241", "9223372036854775807"] {
        let verdict = announce(&mut plugin, size);
        assert!(matches!(verdict, Verdict::Reject(ref reply) if reply.code == 552), "{verdict:?}");
    }
    for size in ["", "-5", "much", "99999999999999999999999"] {
        assert_eq!(announce(&mut plugin, size), Verdict::Next, "{size}");
    }
}

#[test]
fn who_asks_for_many_that_are_not_here_is_stopped() {
    let mut plugin =
        start("rules: [{ name: r, count: refused, key: [client], limit: 3, window: 1h }]");
    let event = |client: &str, stage: &str, code| Outcome {
        client_address: client.to_owned(),
        stage: stage.to_owned(),
        code,
        ..Outcome::default()
    };
    plugin.outcome(&[
        event("192.0.2.1", "rcpt", 550),
        event("192.0.2.1", "rcpt", 250),
        event("192.0.2.1", "rcpt", 451),
        event("192.0.2.1", "mail", 550),
        event("192.0.2.1", "rcpt", 550),
        event("192.0.2.2", "rcpt", 550),
        event("192.0.2.1", "rcpt", 554),
        event("unix", "rcpt", 554),
    ]);
    assert_eq!(mail(&mut plugin, "192.0.2.1", "a@a.example"), Verdict::Next);
    Plugin::outcome(&mut plugin, &[event("192.0.2.1", "rcpt", 550)]);
    assert!(refused(&mail(&mut plugin, "192.0.2.1", "a@a.example")));
    assert_eq!(mail(&mut plugin, "192.0.2.2", "a@a.example"), Verdict::Next);
}

#[test]
fn a_score_lets_pass_and_goes_on_counting() {
    let mut plugin = start(
        "rules: [{ name: bulk-mail, count: messages, key: [client], limit: 2, window: 1h, score: 1.5 }]",
    );
    let mut scores = Vec::new();
    for _ in 0..4 {
        let transaction = Transaction::fake();
        assert_eq!(plugin.ask(Question::Mail(&Session::fake(), &transaction)), Verdict::Next);
        scores.push(transaction.scores());
    }
    let much = vec![("RATE_BULK-MAIL".to_owned(), 1.5)];
    assert_eq!(scores, [vec![], vec![], much.clone(), much]);
}

#[test]
fn a_delay_lets_pass_slowly() {
    let mut plugin = start(
        "rules: [{ name: r, count: messages, key: [client], limit: 1, window: 1h, delay: 5s }]",
    );
    let session = Session::fake();
    for seconds in [0, 5, 5] {
        let verdict = plugin.ask(Question::Mail(&session, &Transaction::fake()));
        assert_eq!((verdict, session.delayed().as_secs()), (Verdict::Next, seconds));
    }
}

#[test]
fn what_one_rule_refuses_no_other_counts() {
    let mut plugin = start(
        "rules: [{ name: wide, count: messages, key: [network], limit: 4, window: 1h },
                 { name: narrow, count: messages, key: [client], limit: 2, window: 1h }]",
    );
    let passed = |plugin: &mut Ratelimit, client: &str| {
        (0..10).filter(|_| mail(plugin, client, "a@a.example") == Verdict::Next).count()
    };
    assert_eq!(passed(&mut plugin, "192.0.2.1"), 2);
    assert_eq!(passed(&mut plugin, "192.0.2.2"), 2);
    assert_eq!(passed(&mut plugin, "192.0.2.3"), 0);
}

#[test]
fn some_are_left_alone() {
    let mut plugin = start(
        "rules: [{ name: m, count: messages, key: [], limit: 1, window: 1h },
                 { name: r, count: recipients, key: [], limit: 1, window: 1h }]
exempt: { clients: [198.51.100.0/24], senders: [big.example], recipients: [postmaster@] }",
    );
    for _ in 0..3 {
        assert_eq!(mail(&mut plugin, "198.51.100.1", "a@a.example"), Verdict::Next);
        assert_eq!(mail(&mut plugin, "192.0.2.1", "a@big.example"), Verdict::Next);
        let recipient = Recipient::fake("postmaster@b.example");
        let question = (Session::fake(), Transaction::fake());
        let verdict = plugin.ask(Question::Rcpt(&question.0, &question.1, &recipient));
        assert_eq!(verdict, Verdict::Next);
    }
    assert_eq!(mail(&mut plugin, "192.0.2.1", "a@a.example"), Verdict::Next);
    assert!(refused(&mail(&mut plugin, "203.0.113.1", "b@b.example")), "all together");
}

#[test]
fn while_the_store_is_away_the_policy_decides() {
    let mut plugin = start(CLIENTS);
    set_unavailable("rates", true);
    for _ in 0..20 {
        assert_eq!(mail(&mut plugin, "192.0.2.1", "a@a.example"), Verdict::Next);
    }
    assert_eq!(counted("store_away", None), 20);
    let mut plugin = ratelimit(&format!("{CLIENTS}\non_error: defer")).unwrap();
    assert!(matches!(mail(&mut plugin, "192.0.2.1", "a@a.example"), Verdict::Defer(_)));
}

#[test]
#[should_panic(expected = "KvError::Denied")]
fn a_store_that_is_not_granted_is_the_operators_mistake() {
    at(0);
    let mut plugin = ratelimit(&format!("{CLIENTS}\nstore: elsewhere")).unwrap();
    mail(&mut plugin, "192.0.2.1", "a@a.example");
}

#[test]
fn nonsense_in_the_store_keeps_nobody_out() {
    let mut plugin = start(CLIENTS);
    let store = Store::open("rates").unwrap();
    for nonsense in [&b"many"[..], b"", b"\xff", b"99999999999999999999", b"9223372036854775807"] {
        store.put("client 17000000 192.0.2.1/32", nonsense, None, None).unwrap();
        assert_eq!(mail(&mut plugin, "192.0.2.1", "a@a.example"), Verdict::Next, "{nonsense:?}");
    }
}

#[test]
fn the_readmes_example_is_right_and_only_needed_hooks_are_asked() {
    let example = settings_in(include_str!("../README.md"));
    ratelimit(example).expect("the README's settings are right");
    for (count, hooks) in [
        ("connections", vec![Hook::Connect]),
        ("messages", vec![Hook::Mail]),
        ("recipients", vec![Hook::Rcpt]),
        ("octets", vec![Hook::Mail, Hook::Message]),
        ("refused", vec![Hook::Mail, Hook::Outcome]),
    ] {
        let yaml =
            format!("rules: [{{ name: r, count: {count}, key: [client], limit: 1, window: 1h }}]");
        assert_eq!(subscribed(&ratelimit(&yaml).unwrap()), hooks, "{count}");
    }
}

#[test]
fn mistakes_are_told_with_their_place() {
    let rule = |rest: &str| format!("rules: [{{ name: r, {rest} }}]");
    for (yaml, mistake) in [
        ("rules: []".to_owned(), "rules: 0 are not from 1 to 32"),
        (
            rule("count: messages, key: [recipient], limit: 1, window: 1h"),
            "rules[0]: key: messages are not counted by recipient",
        ),
        (
            rule("count: connections, key: [helo], limit: 1, window: 1h"),
            "rules[0]: key: connections are not counted by helo",
        ),
        (
            rule("count: messages, key: [], limit: 0, window: 1h"),
            "rules[0].limit: 0 is not from 1 to 4294967295",
        ),
        (
            rule("count: octets, key: [], limit: 5MB, window: 1h"),
            "rules[0].limit: `5MB` is not a number, or octets as in `50MiB`",
        ),
        (rule("count: messages, key: [], limit: 1, window: 0s"), "rules[0]: window: at least 1s"),
        (
            rule("count: messages, key: [], limit: 1, window: 1s, refuse: 550 no, score: 1"),
            "rules[0]: one of `refuse`, `score` and `delay`",
        ),
        (
            rule("count: messages, key: [], limit: 1, window: 1s, delay: 2m"),
            "rules[0]: delay: 2m is not from 1s to 60s",
        ),
        (
            rule("count: connections, key: [], limit: 1, window: 1s, score: 1"),
            "rules[0]: score: there is no message yet; refuse it",
        ),
        (
            "rules: [{ name: a b, count: messages, key: [], limit: 1, window: 1s }]".to_owned(),
            "rules[0]: name: `a b` is not made of 1 to 32 letters, digits, `-` and `_`",
        ),
        (format!("{CLIENTS}\nnetwork: {{ ipv4: 4 }}"), "network.ipv4: 4 is not from 8 to 32"),
    ] {
        assert_eq!(ratelimit(&yaml).unwrap_err(), mistake);
    }
    let twice = "rules: [{ name: r, count: messages, key: [], limit: 1, window: 1s },
                         { name: r, count: messages, key: [], limit: 1, window: 1s }]";
    assert_eq!(ratelimit(twice).unwrap_err(), "rules[1]: there is another rule `r`");
}
