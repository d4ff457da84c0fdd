//! The plugin as operators configure it and clients meet it.

use helo::Helo;
use portcullis_plugin::dns::{Answer, Kind};
use portcullis_plugin::mail_auth::Finding;
use portcullis_plugin::testing::{
    answer_dns, configure, counted, find, logged, settings_in, subscribed,
};
use portcullis_plugin::{Hook, Plugin, Question, Session, Transaction, Verdict};

fn helo(yaml: &str) -> Result<Helo, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

/// What MAIL gets, and the score.
fn mail(yaml: &str, session: &Session) -> (Verdict, Vec<(String, f64)>) {
    let transaction = Transaction::fake();
    let verdict = helo(yaml).expect("settings").ask(Question::Mail(session, &transaction));
    (verdict, transaction.scores())
}

/// A client whose address has this name.
fn client(ptr: &str, name: &str) -> Session {
    let answer = match ptr {
        "" => Answer::NoSuchName,
        ptr => Answer::Records(vec![ptr.to_owned()]),
    };
    answer_dns("192.0.2.1", Kind::Ptr, answer);
    find(&[Finding::new("iprev", if ptr.is_empty() { "permerror" } else { "pass" })]);
    Session::fake().with_helo(name)
}

#[test]
fn what_the_first_mail_found_out_the_next_one_knows() {
    let session = client("", "[192.0.2.1]");
    let (_, scores) = mail("{}", &session);
    assert_eq!(scores, [("HELO_LITERAL".to_owned(), 0.5), ("NO_PTR".to_owned(), 1.5)]);
    answer_dns("192.0.2.1", Kind::Ptr, Answer::Failed("not asked again".to_owned()));
    assert_eq!(mail("{}", &session).1, scores);
    let session = session.with_helo("[192.0.2.2]");
    assert_eq!(mail("{}", &session).1, [("HELO_LITERAL_ELSEWHERE".to_owned(), 2.0)]);
}

#[test]
fn what_the_dns_did_not_say_is_asked_again() {
    let session = client("", "nowhere.example");
    answer_dns("192.0.2.1", Kind::Ptr, Answer::TimedOut);
    assert_eq!(mail("{}", &session), (Verdict::Next, vec![("HELO_UNKNOWN".to_owned(), 1.0)]));
    answer_dns("192.0.2.1", Kind::Ptr, Answer::NoData);
    let names: Vec<_> = mail("{}", &session).1.into_iter().map(|(symbol, _)| symbol).collect();
    assert_eq!(names, ["NO_PTR", "HELO_UNKNOWN"]);
}

#[test]
fn each_rule_may_refuse_and_says_why_in_the_log() {
    let settings = "rules: {no_ptr: 450 4.7.25 your address has no name, literal: 0}";
    let (verdict, scores) = mail(settings, &client("", "[192.0.2.1]"));
    assert_eq!(verdict, Verdict::defer(450, "4.7.25", "your address has no name"));
    assert_eq!((scores, counted("signs", Some("no_ptr"))), (vec![], 1));
    assert!(logged()[0].contains("sign=no_ptr"), "{:?}", logged());
}

#[test]
fn mistakes_of_operators_are_told() {
    for (yaml, mistake) in [
        ("own: {names: ['*.example.org']}", "own.names[0]: `*.example.org` is not a name"),
        ("own: {addresses: [mx]}", "own.addresses[0]"),
        ("rules: {no_dot: 101}", "rules.no_dot: 101 is not from -10 to 100"),
        ("rules: {no_dot: 250 fine}", "rules.no_dot"),
        ("rules: {nodot: 1}", "rules.nodot: there is no such rule"),
        ("most: 0", "most: at least 1"),
        ("exempt: {recipients: [a@b.example]}", "exempt.recipients"),
        ("name: x", "name"),
    ] {
        let told = helo(yaml).expect_err(yaml);
        assert!(told.contains(mistake), "{yaml}: {told}");
    }
}

#[test]
fn manners_are_looked_at_again_only_where_a_rule_wants_it() {
    assert_eq!(subscribed(&helo("{}").unwrap()), [Hook::Mail, Hook::Message]);
    let off = "rules: {early_talker: 0, out_of_turn: 0, unknown_commands: 0, syntax_errors: 0,
        out_of_sequence: 0, refused_recipients: 0, auth_failures: 0, bare_newlines: 0}";
    assert_eq!(subscribed(&helo(off).unwrap()), [Hook::Mail]);
}

#[test]
fn the_readmes_example_is_right() {
    let example = settings_in(include_str!("../README.md"));
    helo(example).expect("the README's settings are right");
}
