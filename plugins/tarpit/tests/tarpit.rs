//! The plugin as operators configure it and clients meet it.

use std::time::Duration;

use portcullis_plugin::testing::{configure, counted, settings_in, subscribed};
use portcullis_plugin::{Hook, Plugin, Question, Recipient, Session, Transaction, Verdict};
use tarpit::Tarpit;

fn tarpit(yaml: &str) -> Tarpit {
    configure(&serde_yaml::from_str(yaml).expect("YAML")).expect("settings")
}

/// How long the reply to MAIL is held back.
fn at_mail(yaml: &str, session: &Session, scores: &[(&str, f64)]) -> Duration {
    let transaction = Transaction::fake();
    for (symbol, points) in scores {
        transaction.score(symbol, *points).expect("a score");
    }
    let verdict = tarpit(yaml).ask(Question::Mail(session, &transaction));
    assert_eq!(verdict, Verdict::Next, "it has no opinion");
    session.delayed()
}

#[test]
fn a_score_costs_time_from_its_bound_on() {
    for (points, seconds) in [(3.9, 0), (4.0, 5), (6.5, 9), (100.0, 30), (-5.0, 0)] {
        let delay = at_mail("{}", &Session::fake(), &[("A", points - 1.0), ("B", 1.0)]);
        assert_eq!(delay.as_secs(), seconds, "{points}");
    }
}

#[test]
fn what_another_plugin_has_noted_costs_time() {
    let settings = "{notes: {dnsbl.listed: 7s, other.mark: 2s}}";
    let session = || Session::fake().with_note("dnsbl.listed", "2");
    assert_eq!(at_mail(settings, &session(), &[]).as_secs(), 7);
    assert_eq!(at_mail(settings, &session().with_note("other.mark", "x"), &[]).as_secs(), 9);
    assert_eq!(at_mail("{}", &session(), &[]), Duration::ZERO);
    let taken_back = Session::fake().with_note("dnsbl.listed", "");
    assert_eq!(at_mail(settings, &taken_back, &[]), Duration::ZERO);
    assert_eq!(counted("delays", Some("mail")), 2);
}

#[test]
fn delays_grow_with_the_recipients_that_were_refused() {
    let delays = (0..=12).map(|refused| {
        let session = Session::fake().with_conduct("refused-recipients", refused);
        let (transaction, recipient) = (Transaction::fake(), Recipient::fake("a@b.example"));
        tarpit("{most: 60s}").ask(Question::Rcpt(&session, &transaction, &recipient));
        session.delayed().as_secs()
    });
    assert_eq!(delays.collect::<Vec<_>>(), [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
}

#[test]
fn hooks_that_cost_nobody_time_are_left_out() {
    use Hook::{Connect, Data, Mail, Message, Rcpt};
    for (settings, asked) in [
        ("{}", vec![Mail, Rcpt]),
        (
            "{greeting: 2s, steps: [data, message], refused_recipients: {delay: 0s}}",
            vec![Connect, Data, Message],
        ),
        ("{steps: []}", vec![Rcpt]),
    ] {
        assert_eq!(subscribed(&tarpit(settings)), asked, "{settings}");
    }
}

#[test]
fn the_readmes_example_is_right() {
    let example = settings_in(include_str!("../README.md"));
    tarpit(example);
}
