//! The plugin as operators configure it and rspamd answers it.

use portcullis_plugin::http::{HttpError, Response};
use portcullis_plugin::testing::{
    Edit, Grant, answer_http, configure, counted, logged, requested, settings_in,
};
use portcullis_plugin::{Message, Plugin, Question, Session, TlsInfo, Transaction, Verdict};
use rspamd::Rspamd;

const MAIL: &str = "Subject: t\nReceived: a\nX-Spam: No\nReceived: b\n\nx\n";
const HAM: &str = r#"{"score": 1.5, "required_score": 15, "action": "no action", "symbols": {}}"#;

fn rspamd(yaml: &str) -> Result<Rspamd, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

fn ok(body: &str) -> Result<Response, HttpError> {
    Ok(Response { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() })
}

fn says(answer: &str) {
    answer_http("http://127.0.0.1:11333/checkv2", ok(answer));
}

fn transaction() -> Transaction {
    Transaction::fake().with_recipient("a@a.example").with_recipient("b@b.example")
}

fn ask(yaml: &str, transaction: &Transaction, message: &Message) -> Verdict {
    let session = Session::fake().with_client("192.0.2.1");
    let mut plugin = rspamd(yaml).expect("settings");
    plugin.ask(Question::Message(&session, transaction, message))
}

fn verdict(yaml: &str, answer: &str) -> Verdict {
    says(answer);
    ask(yaml, &transaction(), &Message::fake(MAIL).with_grant(Grant::RewriteHeaders))
}

/// The message that goes on.
fn edited(yaml: &str, answer: &str) -> String {
    says(answer);
    let message = Message::fake(MAIL).with_grant(Grant::RewriteHeaders);
    assert_eq!(ask(yaml, &transaction(), &message), Verdict::Next);
    message.edited_text().replace("\r\n", "\n")
}

fn scores(yaml: &str, answer: &str) -> Vec<(String, f64)> {
    says(answer);
    let transaction = transaction();
    ask(yaml, &transaction, &Message::fake(MAIL));
    transaction.scores()
}

fn advice(action: &str, more: &str) -> String {
    format!(r#"{{"score": 7, "required_score": 15, "action": "{action}"{more}}}"#)
}

#[test]
fn the_message_is_sent_with_what_is_known_of_its_envelope() {
    says(HAM);
    let tls = TlsInfo {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES".to_owned(),
        server_name: None,
        client_subject: None,
    };
    let session = Session::fake()
        .with_client("::ffff:192.0.2.1")
        .with_helo("c\r\nX: y")
        .with_client_name("c.example")
        .with_user("ann")
        .with_tls(tls);
    let yaml = "{exempt: {authenticated: false}, password: \"secret\\n\", mta_name: mx.example, \
                headers: {Deliver-To: bob}}";
    let mut plugin = rspamd(yaml).unwrap();
    assert!(!format!("{plugin:?}").contains("secret\\n"));
    let message = Message::fake(MAIL);
    plugin.ask(Question::Message(&session, &transaction(), &message));
    let request = requested().pop().unwrap();
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)));
    let headers: Vec<_> = headers.filter(|line| !line.starts_with("Queue-Id: ")).collect();
    assert_eq!(
        headers,
        [
            "IP: 192.0.2.1",
            "Helo: cX: y",
            "Hostname: c.example",
            "From: sender@example.org",
            "Rcpt: a@a.example",
            "Rcpt: b@b.example",
            "User: ann",
            "TLS-Cipher: TLS_AES",
            "TLS-Version: TLSv1.3",
            "MTA-Name: mx.example",
            "Flags: milter",
            "Password: secret",
            "Deliver-To: bob",
        ]
    );
    assert_eq!((&*request.method, request.timeout_ms), ("POST", Some(4000)));
    assert_eq!(request.body, MAIL.replace('\n', "\r\n").as_bytes());
}

#[test]
fn each_action_has_its_verdict() {
    for (action, expected) in [
        ("no action", Verdict::Next),
        ("greylist", Verdict::Next),
        ("add header", Verdict::Next),
        ("rewrite subject", Verdict::Next),
        ("something new", Verdict::Next),
        ("soft reject", Verdict::defer(451, "4.7.1", "try again later")),
        ("reject", Verdict::reject(550, "5.7.1", "message refused as spam")),
        ("discard", Verdict::discard("rspamd: discard")),
        ("quarantine", Verdict::quarantine("rspamd: quarantine")),
    ] {
        assert_eq!(verdict("{}", &advice(action, "")), expected, "{action}");
    }
    assert_eq!(counted("answers", Some("other")), 1);
}

#[test]
fn settings_say_something_else() {
    let yaml = "actions: { reject: 554 5.7.1 never, add_header: quarantine, greylist: defer, no_action: discard }";
    assert_eq!(verdict(yaml, &advice("reject", "")), Verdict::reject(554, "5.7.1", "never"));
    assert_eq!(verdict(yaml, &advice("add header", "")), Verdict::quarantine("rspamd: add_header"));
    assert_eq!(
        verdict(yaml, &advice("greylist", "")),
        Verdict::defer(451, "4.7.1", "try again later")
    );
    assert_eq!(verdict(yaml, &advice("no action", "")), Verdict::discard("rspamd: no_action"));
}

#[test]
fn its_words_are_told_but_no_others() {
    let say = |action: &str, text: &str| {
        verdict("{}", &advice(action, &format!(r#", "messages": {{"smtp_message": "{text}"}}"#)))
    };
    assert_eq!(say("reject", "Gtube pattern"), Verdict::reject(550, "5.7.1", "Gtube pattern"));
    assert_eq!(say("soft reject", "4.7.0 wait"), Verdict::defer(451, "4.7.0", "wait"));
    assert_eq!(say("reject", "250 2.0.0 ok"), Verdict::reject(550, "5.7.1", "ok"));
    assert_eq!(
        say("reject", "a\\r\\n221 b\\u0000\\u00e9"),
        Verdict::reject(550, "5.7.1", "a  221 b ?")
    );
}

#[test]
fn a_rule_may_soften_what_its_action_is() {
    let say = |milter: &str| verdict("{}", &advice("reject", &format!(r#", "milter": {milter}"#)));
    assert_eq!(say(r#"{"no_action": true}"#), Verdict::Next);
    assert_eq!(say(r#"{"reject": "discard"}"#), Verdict::discard("rspamd: discard"));
    assert_eq!(say(r#"{"reject": "quarantine"}"#), Verdict::quarantine("rspamd: quarantine"));
    assert!(matches!(say(r#"{"reject": "reject"}"#), Verdict::Reject(_)));
}

#[test]
fn header_fields_are_added_and_removed_where_it_says() {
    let add = r#", "milter": {
        "add_headers": {"X-A": "1", "X-B": {"value": "2", "order": 0}, "X-C": [{"value": "3;\n\tmore", "order": 1},
            {"value": "4", "order": -2}], "X-D": {"value": 5, "order": 99}, "Bad Name": "6"},
        "remove_headers": {"Received": 2, "X-None": 0}},
        "dkim-signature": ["v=1; a", "v=1; b"]"#;
    assert_eq!(
        edited("{}", &advice("no action", add)),
        "X-B: 2\nDKIM-Signature: v=1; a\nDKIM-Signature: v=1; b\nSubject: t\nX-C: 3;\n\tmore\n\
         Received: a\nX-Spam: No\nX-C: 4\nX-A: 1\nX-D: 5\n\nx\n"
    );
    let remove = |which: &str| {
        let milter = format!(r#", "milter": {{"remove_headers": {{"received": {which}}}}}"#);
        edited("{}", &advice("no action", &milter)).matches("Received").count()
    };
    assert_eq!(["0", "1", "-1", "-3", "3", "[1, 2]", "\"x\""].map(remove), [0, 1, 1, 2, 2, 0, 2]);
    assert!(edited("{edits: false}", &advice("no action", add)).starts_with("Subject: t\n"));
}

#[test]
fn spam_is_marked_and_forged_marks_are_gone() {
    let plain = edited("{}", &advice("add header", ""));
    assert_eq!(plain, "Subject: t\nReceived: a\nReceived: b\nX-Spam: Yes\n\nx\n");
    let value = edited(
        "{spam_header: X-Junk}",
        &advice("add header", r#", "milter": {"spam_header": "7"}"#),
    );
    assert!(value.ends_with("X-Junk: 7\n\nx\n"), "{value}");
    let named = r#", "milter": {"spam_header": {"X-Spam": "very"}}"#;
    assert!(
        edited("{}", &advice("add header", named)).ends_with("Received: b\nX-Spam: very\n\nx\n")
    );
    assert!(!edited("{}", &advice("no action", named)).contains("very"));
    let subject = edited("{}", &advice("rewrite subject", r#", "subject": "[SPAM]\r\nBcc: t""#));
    assert!(subject.starts_with("Subject: [SPAM]\n\tBcc: t\nReceived"), "{subject}");
}

#[test]
fn forged_marks_beyond_number_let_no_spam_pass_as_something_else() {
    let forged = "X-Spam: No\n".repeat(1_001) + "\nx\n";
    for action in ["add header", "rewrite subject"] {
        says(&advice(action, ""));
        let message = Message::fake(&forged).with_grant(Grant::RewriteHeaders);
        let verdict = ask("{}", &transaction(), &message);
        let Verdict::Reject(reply) = verdict else { panic!("{action}: {verdict:?}") };
        assert_eq!((reply.code, reply.status), (554, Some((5, 6, 0))));
    }
    says(HAM);
    let message = Message::fake(&forged).with_grant(Grant::RewriteHeaders);
    assert_eq!(ask("{}", &transaction(), &message), Verdict::Next);
}

#[test]
fn the_envelope_changes_under_its_grant() {
    let milter = r#", "milter": {"change_from": "<>", "add_rcpt": ["c@c.example", "no address"],
        "del_rcpt": "<A@a.example>"}"#;
    says(&advice("no action", milter));
    let granted = transaction().with_grant(Grant::RewriteEnvelope);
    assert_eq!(ask("{}", &granted, &Message::fake(MAIL)), Verdict::Next);
    let edits = granted.edits();
    assert_eq!(edits[0], Edit::SetSender(None));
    assert!(edits.contains(&Edit::AddRecipient("c@c.example".to_owned())), "{edits:?}");
    assert!(edits.contains(&Edit::DropRecipient(0)), "{edits:?}");
    let denied = transaction();
    assert_eq!(ask("{}", &denied, &Message::fake(MAIL)), Verdict::Next);
    assert_eq!(denied.edits(), []);
    assert_eq!(counted("edits", Some("denied")), 4);
}

#[test]
fn a_message_for_nobody_is_gone() {
    says(&advice("no action", r#", "milter": {"del_rcpt": ["a@a.example", "b@b.example"]}"#));
    let transaction = transaction().with_grant(Grant::RewriteEnvelope);
    let verdict = ask("{}", &transaction, &Message::fake(MAIL));
    assert_eq!(verdict, Verdict::discard("rspamd has left no recipient"));
}

#[test]
fn its_score_is_one_symbol_of_ours() {
    let score = |score: &str| {
        let answer = format!(r#"{{"score": {score}, "required_score": 15, "action": "reject"}}"#);
        assert_eq!(verdict("{verdict: score}", &answer), Verdict::Next);
        scores("{verdict: score}", &answer)
    };
    assert_eq!(score("15"), [("RSPAMD".to_owned(), 10.0)]);
    assert_eq!(score("1000"), [("RSPAMD".to_owned(), 15.0)]);
    assert_eq!(score("-1000"), [("RSPAMD".to_owned(), -3.0)]);
    assert_eq!(score("0"), []);
    let forced = "{verdict: score}";
    assert!(matches!(verdict(forced, &advice("soft reject", "")), Verdict::Defer(_)));
    let own = "{verdict: score, score: {symbol: X, scale: 0.5}, actions: {reject: reject}}";
    assert_eq!(scores(own, &advice("no action", "")), [("X".to_owned(), 3.5)]);
    assert!(matches!(verdict(own, &advice("reject", "")), Verdict::Reject(_)));
}

#[test]
fn its_symbols_are_symbols_of_ours() {
    let symbols = r#", "symbols": {"BAD RULE\r\n": {"score": 3}, "HUGE": {"score": 900}, "NIL": {"score": 0},
        "GOOD": {"score": -1.5}}"#;
    let yaml = "{verdict: symbols, score: {scale: 1}}";
    let all = scores(yaml, &advice("no action", symbols));
    let expected = [("RSPAMD_HUGE", 5.0), ("RSPAMD_BAD_RULE__", 3.0), ("RSPAMD_GOOD", -1.5)];
    assert_eq!(all, expected.map(|(name, points)| (name.to_owned(), points)));
    let capped = "{verdict: symbols, score: {scale: 1, most: 4}}";
    let sum: f64 =
        scores(capped, &advice("no action", symbols)).iter().map(|(_, points)| points).sum();
    assert!((sum - 4.0).abs() < 1e-9, "{sum}");
    let many: Vec<_> = (0..500).map(|at| format!(r#""S{at}": {{"score": 0.01}}"#)).collect();
    let many = format!(r#", "symbols": {{{}}}"#, many.join(","));
    assert_eq!(scores(yaml, &advice("no action", &many)).len(), 90);
}

#[test]
fn without_an_answer_the_settings_decide() {
    for answer in [
        Err(HttpError::TimedOut),
        Err(HttpError::Unavailable("refused".to_owned())),
        Err(HttpError::TooLarge),
        Ok(Response { status: 500, headers: Vec::new(), body: HAM.as_bytes().to_vec() }),
        ok(""),
        ok("{"),
        ok("{}"),
        ok("[]"),
        ok("null"),
        ok(r#"{"score": "much", "action": "reject"}"#),
        ok(r#"{"score": 1e999, "action": "reject"}"#),
        ok(r#"{"action": "reject"}"#),
        ok(&"[".repeat(100_000)),
    ] {
        answer_http("http://127.0.0.1:11333/checkv2", answer);
        let (next, message) = (transaction(), Message::fake(MAIL));
        assert_eq!(ask("{}", &next, &message), Verdict::Next);
        assert_eq!(next.scores(), []);
        assert!(matches!(ask("{on_error: defer}", &next, &message), Verdict::Defer(_)));
        assert_eq!(ask("{on_error: score}", &next, &message), Verdict::Next);
        assert_eq!(next.scores(), [("RSPAMD_UNAVAILABLE".to_owned(), 1.0)]);
    }
    assert_eq!(counted("failures", Some("not_understood")), 27);
    assert!(!logged().concat().contains("much"));
}

#[test]
fn nonsense_within_an_answer_is_left_out() {
    for more in [
        r#", "milter": 5, "messages": [], "dkim-signature": {"a": 1}"#,
        r#", "milter": {"add_headers": [1], "remove_headers": {"Received": {}}, "add_rcpt": 7, "change_from": []}"#,
        r#", "milter": {"remove_headers": {"Received": -9223372036854775808}, "add_headers": {"X": {"order": 1}}}"#,
    ] {
        assert_eq!(edited("{}", &advice("no action", more)), MAIL, "{more}");
    }
}

#[test]
fn the_next_server_is_asked_where_one_is_away() {
    answer_http("http://a.example/checkv2", Err(HttpError::TimedOut));
    answer_http("https://b.example/x/checkv2", ok(&advice("reject", "")));
    let yaml = "servers: [http://a.example/, https://b.example/x]";
    assert!(matches!(ask(yaml, &transaction(), &Message::fake(MAIL)), Verdict::Reject(_)));
    assert_eq!(requested().len(), 2);
}

#[test]
fn some_are_left_alone() {
    says(&advice("reject", ""));
    let yaml = "{max_size: 100, exempt: {clients: [192.0.2.9], recipients: [postmaster@]}}";
    let ask = |session: Session, transaction: Transaction, body: usize| {
        let message = Message::fake(format!("Subject: t\n\n{}", "x".repeat(body)));
        rspamd(yaml).unwrap().ask(Question::Message(&session, &transaction, &message))
    };
    let stranger = || Session::fake().with_client("192.0.2.1");
    let to = |address| Transaction::fake().with_recipient(address);
    assert_eq!(ask(stranger().with_user("ann"), transaction(), 1), Verdict::Next);
    assert_eq!(ask(Session::fake().with_client("192.0.2.9"), transaction(), 1), Verdict::Next);
    assert_eq!(ask(stranger(), to("postmaster@a.example"), 1), Verdict::Next);
    assert_eq!(ask(stranger(), transaction(), 100), Verdict::Next);
    assert_eq!(requested().len(), 0);
    let both = to("postmaster@a.example").with_recipient("b@b.example");
    assert!(matches!(ask(stranger(), both, 1), Verdict::Reject(_)));
}

#[test]
fn mistakes_of_the_operator_are_told() {
    for (yaml, mistake) in [
        ("servers: []", "servers: name from 1 to 8"),
        ("servers: [\"127.0.0.1:11333\"]", "servers[0]: a URL as in"),
        ("timeout: 5m", "timeout: from `1s` to `60s`"),
        ("timeout: 5", "timeout: "),
        ("actions: {rejekt: pass}", "actions.rejekt: rspamd's actions are no_action, greylist"),
        ("actions: {reject: maybe}", "actions.reject: it is `pass`"),
        ("score: {most: -1}", "score: `reject`, `most`"),
        ("score: {scale: 0}", "score.scale: more than 0"),
        ("score: {symbol: \"a b\"}", "score.symbol: "),
        ("spam_header: \"X:\"", "spam_header: "),
        ("headers: {\"A B\": x}", "headers, flags, "),
        ("password: \"a\\nb\"", "headers, flags, "),
        ("on_error: reject", "on_error: unknown variant"),
        ("server: x", "server: unknown field"),
    ] {
        let told = rspamd(yaml).expect_err(yaml);
        assert!(told.starts_with(mistake), "{yaml}: {told}");
    }
}

#[test]
#[should_panic(expected = "http://127.0.0.1:11333 is not granted")]
fn a_missing_grant_is_a_failure() {
    ask("{}", &transaction(), &Message::fake(MAIL));
}

#[test]
fn the_readme_shows_what_works() {
    let readme = include_str!("../README.md");
    rspamd(settings_in(readme)).unwrap();
}
