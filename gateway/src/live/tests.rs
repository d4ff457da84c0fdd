use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::message::ClientAddress;
use crate::telemetry::{ClientRecord, RecipientRecord};

fn facts(id: &str, client: &str) -> Arc<SessionFacts> {
    let client: ClientAddress = client.parse().expect("an address");
    Arc::new(SessionFacts::new(id.into(), "mx", client))
}

fn record(id: &str, recipient: &str) -> Arc<TransactionRecord> {
    let recipient = RecipientRecord { address: recipient.into(), ..RecipientRecord::default() };
    Arc::new(TransactionRecord {
        id: id.into(),
        session: "s".into(),
        listener: "mx".into(),
        client: ClientRecord { address: "192.0.2.1".into(), ..ClientRecord::default() },
        sender: "a@example.org".into(),
        recipients: vec![recipient],
        outcome: "accepted",
        ..TransactionRecord::sample()
    })
}

fn live(transactions: usize, octets: u64) -> Arc<Live> {
    Arc::new(Live::new(config::History { transactions, octets }))
}

fn filter(conditions: &[(&str, &str)]) -> Filter {
    let with = |filter: Filter, (name, value): &(&str, &str)| filter.with(name, value);
    conditions.iter().try_fold(Filter::default(), with).expect("a filter")
}

fn kept(live: &Live, conditions: &[(&str, &str)]) -> Vec<String> {
    let found = live.transactions(&filter(conditions), 100);
    found.iter().map(|record| record.id.clone()).collect()
}

#[test]
fn a_session_is_there_as_long_as_it_lasts_and_looks_as_it_is_now() {
    let live = live(10, 1 << 20);
    let visit = live.enter(facts("s", "192.0.2.1:4711"));
    let mut known = SessionFacts::clone(&facts("s", "192.0.2.1:4711"));
    known.helo = Some("client.example".into());
    visit.learn(&Arc::new(known));
    visit.works_at(Stage::Mail);
    visit.begin("s.1", "a@example.org");
    for number in 0..20 {
        visit.recipient(&format!("b{number}@example.com"));
    }
    visit.content(100);
    visit.awaits(true, true);
    let views = live.sessions(&Filter::default(), 10);
    let view = serde_json::to_value(&views[0]).unwrap();
    assert_eq!((&view["helo"], &view["stage"]), (&"client.example".into(), &"content".into()));
    assert_eq!((&view["waits_for"], &view["transactions"]), (&"client".into(), &1.into()));
    assert_eq!(view["transaction"]["recipients"].as_array().unwrap().len(), 10);
    assert_eq!(view["transaction"]["recipient_count"], 20);
    assert_eq!(view["transaction"]["octets"], 100);
    visit.end(&record("s.1", "b0@example.com"));
    visit.awaits(false, false);
    let view = serde_json::to_value(&live.sessions(&Filter::default(), 10)[0]).unwrap();
    assert_eq!((&view["stage"], &view["transaction"]), (&"ready".into(), &().into()));
    drop(visit);
    assert_eq!(live.sessions(&Filter::default(), 10).len(), 0);
}

#[test]
fn an_idle_session_is_small() {
    assert!(size_of::<Presence>() <= 144, "{}", size_of::<Presence>());
    assert_eq!(size_of::<Visit>(), size_of::<usize>());
}

#[test]
fn the_last_transactions_are_kept_and_no_more_than_there_is_room_for() {
    let bounded = live(3, 1 << 20);
    let visit = bounded.enter(facts("s", "192.0.2.1:4711"));
    (1..=5).for_each(|number| visit.end(&record(&format!("s.{number}"), "b@example.com")));
    assert_eq!(kept(&bounded, &[]), ["s.5", "s.4", "s.3"]);
    bounded.keep(config::History { transactions: 1, octets: 1 << 20 });
    assert_eq!(kept(&bounded, &[]), ["s.5"]);
    bounded.keep(config::History { transactions: 0, octets: 1 << 20 });
    visit.end(&record("s.6", "b@example.com"));
    assert_eq!(bounded.kept(), (0, 0));

    let narrow = live(1000, 20_000);
    let visit = narrow.enter(facts("s", "192.0.2.1:4711"));
    let long = format!("{}@example.com", "b".repeat(2000));
    (1..=50).for_each(|number| visit.end(&record(&format!("s.{number}"), &long)));
    let (count, octets) = narrow.kept();
    assert!((3..10).contains(&count) && octets <= 20_000, "{count} in {octets}");
    assert_eq!(kept(&narrow, &[])[0], "s.50");
}

#[test]
fn a_filter_lets_through_what_fits_all_of_it() {
    let live = live(10, 1 << 20);
    let visit = live.enter(facts("s", "192.0.2.1:4711"));
    visit.end(&record("s.1", "bob@example.com"));
    visit.end(&record("s.2", "carol@example.net"));
    for (conditions, found) in [
        (&[("recipient", "example.com")][..], &["s.1"][..]),
        (&[("recipient", "*@example.net"), ("sender", "a@")], &["s.2"]),
        (&[("client", "192.0.2.0/24")], &["s.2", "s.1"]),
        (&[("client", "192.0.2.77/24")], &["s.2", "s.1"]),
        (&[("client", "192.0.2.2")], &[]),
        (&[("outcome", "rejected")], &[]),
        (&[("id", "s.2")], &["s.2"]),
        (&[("listener", "other")], &[]),
        (&[("sender", "")], &["s.2", "s.1"]),
    ] {
        assert_eq!(kept(&live, conditions), found, "{conditions:?}");
    }
    for client in ["x", "192.0.2.0/33", "192.0.2.0/", "/24", "\u{1b}"] {
        assert!(Filter::default().with("client", client).is_err(), "{client}");
    }
}

#[tokio::test]
async fn who_is_too_slow_loses_news_and_is_told_how_many_and_mail_goes_on() {
    let live = live(10, 1 << 20);
    let interest = Interest { transactions: true, ..Interest::default() };
    let mut subscription = live.subscribe(interest).expect("a place");
    let visit = live.enter(facts("s", "192.0.2.1:4711"));
    (0..2000).for_each(|number| visit.end(&record(&format!("s.{number}"), "b@example.com")));
    assert_eq!(live.dropped(), 2000 - 1024);
    assert!(matches!(subscription.next().await, Some(Heard::Dropped(976))));
    let Some(Heard::News(News::Transaction(first))) = subscription.next().await else {
        panic!("the oldest is there")
    };
    assert_eq!(first.id, "s.0");
    live.close();
    let mut left = 1;
    while subscription.next().await.is_some() {
        left += 1;
    }
    assert_eq!(left, 1024);
    assert_eq!(live.subscribe(Interest::default()).err(), Some(SubscribeError::Closed));
    assert_eq!(live.dropped(), 976);
}

#[tokio::test]
async fn there_is_an_end_to_subscribers_and_who_goes_leaves_a_place() {
    let live = live(10, 1 << 20);
    let mut all: Vec<_> = (0..16).map(|_| live.subscribe(Interest::default()).unwrap()).collect();
    assert_eq!(live.subscribe(Interest::default()).err(), Some(SubscribeError::Full));
    all.pop();
    assert!(live.subscribe(Interest::default()).is_ok());
}

#[tokio::test]
async fn steps_are_made_only_for_the_client_whom_somebody_follows() {
    let live = live(10, 1 << 20);
    let (one, other) =
        (live.enter(facts("s1", "192.0.2.1:1")), live.enter(facts("s2", "192.0.2.2:1")));
    one.step(|| panic!("nobody follows"));
    let filter = filter(&[("client", "192.0.2.1")]);
    let mut subscription =
        live.subscribe(Interest { steps: true, filter, ..Interest::default() }).unwrap();
    assert!(one.is_followed() && !other.is_followed());
    other.step(|| panic!("nobody follows this one"));
    one.step(|| What::Command { text: "NOOP".into() });
    let Some(Heard::News(News::Step(step))) = subscription.next().await else { panic!("a step") };
    assert_eq!((step.session.as_str(), step.client.as_str()), ("s1", "192.0.2.1:1"));
    drop(subscription);
    assert!(!one.is_followed());
}

#[tokio::test]
async fn steps_are_held_back_until_the_recipient_is_the_one_who_is_wanted() {
    let live = live(10, 1 << 20);
    let filter = filter(&[("recipient", "bob@*")]);
    let mut subscription =
        live.subscribe(Interest { steps: true, filter, ..Interest::default() }).unwrap();
    let visit = live.enter(facts("s", "192.0.2.1:1"));
    let say = |text: &str| visit.step(|| What::Command { text: text.into() });
    for text in [
        "EHLO c",
        "MAIL FROM:<a@example.org>",
        "RCPT TO:<carol@example.com>",
        "MAIL FROM:<b@example.org>",
        "RCPT TO:<dave@example.com>",
        "RCPT TO:<bob@example.com>",
        "DATA",
        "MAIL FROM:<c@example.org>",
        "RCPT TO:<eve@example.com>",
    ] {
        say(text);
    }
    let mut heard = Vec::new();
    while let Ok(Some(news)) = timeout(Duration::from_millis(50), subscription.next()).await {
        let Heard::News(News::Step(step)) = news else { panic!("steps alone") };
        let What::Command { text } = &step.what else { panic!("commands alone") };
        heard.push(text.clone());
    }
    assert_eq!(
        heard,
        [
            "EHLO c",
            "MAIL FROM:<b@example.org>",
            "RCPT TO:<dave@example.com>",
            "RCPT TO:<bob@example.com>",
            "DATA",
        ]
    );
}

#[tokio::test]
async fn sessions_are_told_of_when_they_begin_and_end() {
    let live = live(10, 1 << 20);
    let mut subscription =
        live.subscribe(Interest { sessions: true, ..Interest::default() }).unwrap();
    drop(live.enter(facts("s", "192.0.2.1:1")));
    for what in ["opened", "closed"] {
        let Some(Heard::News(News::Session(news))) = subscription.next().await else {
            panic!("news of a session")
        };
        assert_eq!((news.what, news.session.id.as_str()), (what, "s"));
    }
}
