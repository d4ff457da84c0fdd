use std::time::Instant;

use super::*;
use crate::policy::{CallAhead, Unverified};

/// What is said of these recipients.
async fn verify(gateway: &Gateway, recipients: &[&str]) -> Result<Vec<String>, Unverified> {
    verify_within(gateway, recipients, Duration::from_secs(5)).await
}

async fn verify_within(
    gateway: &Gateway,
    recipients: &[&str],
    time: Duration,
) -> Result<Vec<String>, Unverified> {
    let place = super::super::Place::Hop(gateway.pool.clone());
    let upstreams = super::super::Upstreams { places: [("up".to_owned(), place)].into() };
    let asked = CallAhead {
        sender: sender(),
        recipients: recipients.iter().map(|it| Mailbox::parse(it).expect("a mailbox")).collect(),
        provenance: Arc::default(),
        deadline: Instant::now() + time,
    };
    let said = crate::policy::Destinations::verify(&upstreams, "up", &asked).await;
    said.map(|said| texts(&said))
}

const ASKED: &str = "C: MAIL FROM:<a@a.example>
    C: RCPT TO:<b@b.example>
    C: RCPT TO:<nobody@b.example>
    C: RSET
    S: 250 2.1.0 ok\\r\\n250 2.1.5 ok\\r\\n550 no such user\\r\\n250 2.0.0 ok\n";

#[tokio::test]
async fn all_is_asked_at_once_over_a_connection_that_mail_uses_too() {
    let (gateway, up) =
        Gateway::with(&[&script(&[GREETING, ASKED, ASKED, ENVELOPE, DATA, "S: 250 ok"])]).await;
    for _ in 0..2 {
        let said = verify(&gateway, &["b@b.example", "nobody@b.example"]).await;
        let said = said.expect("it was asked");
        assert_eq!(said, ["250 2.1.5 ok", "550 5.0.0 no such user"]);
    }
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"]);
    assert_eq!(up.contents().await, [HELLO]);
}

#[tokio::test]
async fn without_pipelining_it_is_asked_one_after_the_other() {
    let (gateway, up) = Gateway::with(&["S: 220 up.example
        C: EHLO gw.example
        S: 250 hi
        C: MAIL FROM:<a@a.example>
        S: 250 ok
        C: RCPT TO:<b@b.example>
        S: 452 4.2.2 full
        C: RCPT TO:<c@b.example>
        S: 250 ok
        C: RSET
        S: 250 ok
        gone"])
    .await;
    let said = verify(&gateway, &["b@b.example", "c@b.example"]).await.expect("it was asked");
    assert_eq!(said, ["452 4.2.2 full", "250 2.0.0 ok"]);
    gateway.pool.close();
    up.contents().await;
}

#[tokio::test]
async fn who_takes_not_even_the_sender_says_nothing_of_recipients() {
    let refused = "C: MAIL FROM:<a@a.example>
        C: RCPT TO:<b@b.example>
        C: RSET
        S: 451 4.7.1 later\\r\\n503 MAIL first\\r\\n250 ok\n";
    let (gateway, up) =
        Gateway::with(&[&script(&[GREETING, refused, ENVELOPE, DATA, "S: 250 ok"])]).await;
    let why = "upstream up does not take the sender: 451 4.7.1 later".to_owned();
    assert_eq!(verify(&gateway, &["b@b.example"]).await, Err(Unverified::Unavailable(why)));
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 ok"], "on the same connection");
    up.contents().await;
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_done_without() {
    let once = script(&[GREETING, ASKED, "C: MAIL FROM:<a@a.example>"]);
    let (gateway, up) = Gateway::with(&[&once, &script(&[GREETING, ASKED])]).await;
    for _ in 0..2 {
        assert!(verify(&gateway, &["b@b.example", "nobody@b.example"]).await.is_ok());
    }
    up.contents().await;
}

#[tokio::test]
async fn who_closes_or_talks_nonsense_is_unavailable_and_remembered() {
    for (lines, why) in [
        ("", "lost the connection"),
        ("S: 421 4.3.2 shutting down", "shutting down"),
        ("S: garbage", "does not speak the protocol"),
    ] {
        let asked = "C: MAIL FROM:<a@a.example>\nC: RCPT TO:<b@b.example>\nC: RSET";
        let (gateway, up) = Gateway::with(&[&script(&[GREETING, asked, lines])]).await;
        match verify(&gateway, &["b@b.example"]).await {
            Err(Unverified::Unavailable(said)) => assert!(said.contains(why), "{said}"),
            other => panic!("{lines}: {other:?}"),
        }
        up.contents().await;
    }
}

#[tokio::test]
async fn who_is_not_there_is_unavailable_and_after_some_time_not_even_tried() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let gateway = Gateway::new(&impatient(address));
    for _ in 0..5 {
        let said = verify(&gateway, &["b@b.example"]).await;
        let why = "upstream up cannot be reached".to_owned();
        assert_eq!(said, Err(Unverified::Unavailable(why)));
    }
    let turned_away = "portcullis_upstream_turned_away_total{reason=\"down\",upstream=\"up\"} 2";
    assert!(gateway.metric(turned_away), "the breaker is open");
}

#[tokio::test]
async fn the_deadline_is_the_plugins_and_the_slow_connection_is_given_up() {
    let asked = "C: MAIL FROM:<a@a.example>\nC: RCPT TO:<b@b.example>\nC: RSET\ngone";
    let (gateway, up) = Gateway::with(&[&script(&[GREETING, asked])]).await;
    let soon = Duration::from_millis(300);
    let said = verify_within(&gateway, &["b@b.example"], soon).await;
    assert_eq!(said, Err(Unverified::TimedOut));
    up.contents().await;
    assert!(gateway.metric("portcullis_upstream_connections{upstream=\"up\"} 0"));
}

#[tokio::test]
async fn where_all_connections_carry_mail_it_gives_way_soon() {
    let (_, up) = Gateway::with(&[&script(&[GREETING, ENVELOPE, "gone"])]).await;
    let gateway = Gateway::new(&Hop { connections: 1, ..upstream(up.address) });
    let mut delivery = gateway.begin();
    assert_eq!(delivery.offer(&sender(), &[], &to(0, "b@b.example")).await, Ok(()));
    let why = "upstream up has no connection free".to_owned();
    assert_eq!(verify(&gateway, &["c@b.example"]).await, Err(Unverified::Unavailable(why)));
    drop(delivery);
    up.contents().await;
}

#[tokio::test]
async fn its_numbers_are_told() {
    let (gateway, up) = Gateway::with(&[&script(&[GREETING, ENVELOPE, "gone"])]).await;
    let mut delivery = gateway.begin();
    assert_eq!(delivery.offer(&sender(), &[], &to(0, "b@b.example")).await, Ok(()));
    let place = super::super::Place::Hop(gateway.pool.clone());
    let upstreams = super::super::Upstreams { places: [("up".to_owned(), place)].into() };
    let state = crate::policy::Destinations::state(&upstreams, "up").expect("it is there");
    let want = [("available", 1), ("connections", 1), ("busy", 1), ("waiting", 0), ("limit", 10)];
    assert_eq!(state, want);
    assert_eq!(crate::policy::Destinations::state(&upstreams, "other"), None);
    drop(delivery);
    up.contents().await;
}
