use std::time::Instant;

use super::*;

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound")
}

fn cluster(addresses: &[SocketAddr]) -> Hop {
    let members = addresses.iter().copied().map(member).collect();
    Hop { members, ..upstream(addresses[0]) }
}

async fn play(scripts: &[&str]) -> Script {
    Script::start(scripts.iter().map(|&script| script.to_owned()).collect()).await
}

fn taken() -> String {
    let mail = "C: MAIL FROM:<a@a.example>
        C: RCPT TO:<b@b.example>
        S: 250 2.1.0 ok\\r\\n250 2.1.5 ok";
    script(&[GREETING, mail, DATA, "S: 250 taken"])
}

/// As [`taken`], by a transaction that is repeated when its size is known.
fn taken_anew() -> String {
    taken().replace("a.example>\n", "a.example> SIZE=34\n")
}

#[tokio::test]
async fn an_address_that_cannot_be_talked_to_is_passed_over() {
    let down = Gateway::new(&cluster(&[nobody(), play(&[&taken()]).await.address]));
    assert_eq!(down.send(&["b@b.example"]).await, ["250 2.0.0 taken"]);
    assert!(down.metric("portcullis_upstream_retries_total{reason=\"connect\",upstream=\"up\"} 1"));
    let hello = "S: 220 hi\nC: EHLO gw.example";
    for lines in [
        "",
        "S: 554 5.3.2 go away",
        "S: 421 4.3.2 busy",
        "S: HTTP/1.1 400 Bad Request",
        &format!("{hello}\nS: 451 later"),
        hello,
    ] {
        let (bad, good) = (play(&[lines]).await, play(&[&taken()]).await);
        let gateway = Gateway::new(&cluster(&[bad.address, good.address]));
        assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 taken"], "{lines}");
        assert_eq!(good.contents().await, [HELLO], "{lines}");
        bad.contents().await;
    }
}

#[tokio::test]
async fn who_is_silent_is_left_for_another_while_there_is_time() {
    let silent = [play(&["silence"]).await, play(&["silence"]).await];
    let good = play(&[&taken()]).await;
    let attempt_timeout = Duration::from_millis(200);
    let hop = cluster(&[silent[0].address, silent[1].address, good.address]);
    let gateway = Gateway::new(&Hop { attempt_timeout, ..hop });
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 taken"]);

    let silent = [play(&["silence"]).await, play(&["silence"]).await, play(&["silence"]).await];
    let hop = cluster(&silent.each_ref().map(|script| script.address));
    let connect_timeout = 2 * attempt_timeout;
    let gateway = Gateway::new(&Hop { attempt_timeout, connect_timeout, ..hop });
    let began = Instant::now();
    let heard = gateway.send(&["b@b.example"]).await;
    assert_eq!(heard, ["451 4.4.2 upstream up did not answer in time"]);
    assert!(began.elapsed() >= connect_timeout);
    let tried = "portcullis_upstream_connects_total{result=\"timeout\",upstream=\"up\"} 2";
    assert!(gateway.metric(tried), "as long as there was time");
}

#[tokio::test]
async fn a_connection_that_is_lost_before_the_end_of_the_content_is_replaced_elsewhere() {
    let envelope = "C: MAIL FROM:<a@a.example>\nC: RCPT TO:<b@b.example>";
    for (lost, again) in [
        (script(&[GREETING, envelope]), taken()),
        (script(&[GREETING, envelope, "S: 421 4.3.2 shutting down"]), taken()),
        (script(&[GREETING, ENVELOPE, "C: DATA"]), taken_anew()),
        (script(&[GREETING, ENVELOPE, "C: DATA\nS: 421 4.3.2 shutting down"]), taken_anew()),
    ] {
        let (bad, good) = (play(&[&lost]).await, play(&[&again]).await);
        let gateway = Gateway::new(&cluster(&[bad.address, good.address]));
        assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 taken"], "{lost}");
        assert_eq!(good.contents().await, [HELLO], "{lost}");
        bad.contents().await;
        assert!(
            gateway.metric("portcullis_upstream_retries_total{reason=\"lost\",upstream=\"up\"} 1")
        );
    }
}

#[tokio::test]
async fn content_of_which_the_end_has_not_left_is_sent_again() {
    let body = "0123456789abcdef\r\n".repeat(1 << 20);
    let data = "C: DATA\nS: 354 go\nsome content";
    let greeting = GREETING.replace("SIZE 100000", "SIZE");
    let bad = play(&[&script(&[&greeting, ENVELOPE, data])]).await;
    let size = "Received: x\r\nSubject: t\r\n\r\n".len() + body.len();
    let anew = taken_anew().replace("SIZE=34", &format!("SIZE={size}"));
    let good = play(&[&anew.replace("SIZE 100000", "SIZE")]).await;
    let gateway = Gateway::new(&cluster(&[bad.address, good.address]));
    let mut delivery = gateway.begin();
    let recipient = to(0, "b@b.example");
    assert_eq!(delivery.offer(&sender(), &[], &recipient).await, Ok(()));
    let replies = delivery.deliver(&sender(), &[], &[recipient], &message(&body)).await;
    assert_eq!(texts(&replies), ["250 2.0.0 taken"]);
    bad.contents().await;
    assert_eq!(good.contents().await[0].len(), size + ".\r\n".len());
}

#[tokio::test]
async fn nothing_goes_elsewhere_once_the_end_of_the_content_may_have_left() {
    let (bad, good) = (play(&[&script(&[GREETING, ENVELOPE, DATA])]).await, play(&[""]).await);
    let gateway = Gateway::new(&cluster(&[bad.address, good.address]));
    let heard = gateway.send(&["b@b.example"]).await;
    assert_eq!(heard, ["451 4.4.2 no answer to the message: upstream up lost the connection"]);
    assert!(gateway.metric("portcullis_upstream_ambiguous_total{upstream=\"up\"} 1"));
    assert!(gateway.metric("portcullis_upstream_connects_total{result=\"ok\",upstream=\"up\"} 1"));
}

#[tokio::test]
async fn refusals_are_answers() {
    for (answers, heard) in [
        ("250 ok\\r\\n550 5.1.1 no such user", "550 5.1.1 no such user"),
        ("250 ok\\r\\n451 4.7.1 greylisted", "451 4.7.1 greylisted"),
        ("550 5.7.1 not from you\\r\\n503 no", "550 5.7.1 not from you"),
    ] {
        let envelope = "C: MAIL FROM:<a@a.example>\nC: RCPT TO:<b@b.example>";
        let answers = format!("S: {answers}\nC: RSET\nS: 250 ok");
        let bad = play(&[&script(&[GREETING, envelope, &answers])]).await;
        let gateway = Gateway::new(&cluster(&[bad.address, nobody()]));
        assert_eq!(gateway.send(&["b@b.example"]).await, [heard]);
        bad.contents().await;
    }
}

#[tokio::test]
async fn a_stale_connection_leads_to_the_same_address_first_and_then_to_the_next() {
    let once = script(&[GREETING, ENVELOPE, DATA, "S: 250 one"]);
    let (first, second) = (play(&[&once]).await, play(&[&taken(), &taken()]).await);
    let gateway = Gateway::new(&cluster(&[first.address, second.address]));
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 one"]);
    // Its listener has gone with the script.
    first.contents().await;
    for _ in 0..2 {
        assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 taken"]);
    }
    assert_eq!(second.contents().await.len(), 2);
}

#[tokio::test]
async fn an_upstream_without_an_address_that_is_up_answers_at_once() {
    let cool_down = Duration::from_mins(1);
    let health = UpstreamHealth { cool_down, longest_cool_down: cool_down, ..Default::default() };
    let gateway = Gateway::new(&Hop { health, ..cluster(&[nobody(), nobody()]) });
    let down = "451 4.4.1 upstream up cannot be reached";
    for _ in 0..10 {
        assert_eq!(gateway.send(&["b@b.example"]).await, [down]);
    }
    let tried = "portcullis_upstream_connects_total{result=\"failed\",upstream=\"up\"} 6";
    assert!(gateway.metric(tried), "three times each");
    assert!(gateway.metric("portcullis_upstream_up{upstream=\"up\"} 0"));
    let away = "portcullis_upstream_turned_away_total{reason=\"down\",upstream=\"up\"} 7";
    assert!(gateway.metric(away));
    assert_eq!(gateway.metrics.upstreams_down(), ["up"]);
}

#[tokio::test]
async fn who_is_to_remember_nothing_tries_every_time() {
    let health = UpstreamHealth { failures: None, ..UpstreamHealth::default() };
    let gateway = Gateway::new(&Hop { health, ..cluster(&[nobody()]) });
    for _ in 0..10 {
        gateway.send(&["b@b.example"]).await;
    }
    let tried = "portcullis_upstream_connects_total{result=\"failed\",upstream=\"up\"} 10";
    assert!(gateway.metric(tried));
    assert!(gateway.metric("portcullis_upstream_up{upstream=\"up\"} 1"));
}

/// Fails until it is down, then plays scripts at the same address.
async fn revived(health: UpstreamHealth, scripts: &[&str]) -> (Gateway, Script) {
    let address = nobody();
    let gateway = Gateway::new(&Hop { health, ..upstream(address) });
    for _ in 0..3 {
        gateway.send(&["b@b.example"]).await;
    }
    assert_eq!(gateway.metrics.upstreams_down(), ["up"]);
    let scripts = scripts.iter().map(|&script| script.to_owned()).collect();
    (gateway, Script::again(address, scripts).await)
}

#[tokio::test]
async fn a_probe_finds_out_that_an_address_is_back() {
    let probe = Some(Duration::from_millis(20));
    let cool_down = Duration::from_mins(1);
    let health =
        UpstreamHealth { probe, cool_down, longest_cool_down: cool_down, ..Default::default() };
    let looked = script(&[GREETING, "C: NOOP\nS: 250 ok\ngone"]);
    let (gateway, up) = revived(health, &[&looked, &taken()]).await;
    while !gateway.metrics.upstreams_down().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 taken"]);
    assert_eq!(up.contents().await, [HELLO]);
    assert!(gateway.metric("portcullis_upstream_probes_total{result=\"ok\",upstream=\"up\"} 1"));
}

#[tokio::test]
async fn without_probes_mail_finds_out_that_an_address_is_back() {
    let cool_down = Duration::from_millis(100);
    let health = UpstreamHealth { probe: None, cool_down, ..UpstreamHealth::default() };
    let (gateway, up) = revived(health, &[&taken()]).await;
    loop {
        match &gateway.send(&["b@b.example"]).await[..] {
            [reply] if reply.starts_with("250") => break,
            other => assert_eq!(other, ["451 4.4.1 upstream up cannot be reached"]),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(up.contents().await, [HELLO]);
    assert!(gateway.metrics.upstreams_down().is_empty());
}

#[tokio::test]
async fn who_refuses_connections_and_serves_others_is_busy_and_not_down() {
    let busy = script(&[GREETING, ENVELOPE, "gone"]);
    let up =
        play(&[&busy, "S: 421 too many", "S: 421 too many", "S: 421 too many", &taken()]).await;
    let gateway = Gateway::new(&upstream(up.address));
    // The script plays one connection after the other, so this one must go for the next to come.
    let mut first = gateway.begin();
    assert_eq!(first.offer(&sender(), &[], &to(0, "b@b.example")).await, Ok(()));
    let address = gateway.pool.fleet.roster().seats[0].address.clone();
    let open = super::super::address::Open::new(address.clone());
    drop(first);
    for _ in 0..3 {
        let heard = gateway.send(&["b@b.example"]).await;
        assert_eq!(heard, ["451 4.3.2 upstream up takes no mail now"]);
    }
    assert!(address.health.is_up());
    drop(open);
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 taken"]);
}

#[tokio::test]
async fn what_is_known_of_an_address_stays_through_a_reload() {
    let (down, up) = (nobody(), nobody());
    let gateway = Gateway::new(&upstream(down));
    for _ in 0..3 {
        gateway.send(&["b@b.example"]).await;
    }
    let renewed = |hop: &Hop| {
        let directory = directory(&gateway.metrics, Zone::default());
        let metrics = gateway.metrics.upstream("up");
        let pool = Pool::new("up", hop, directory, Some(&gateway.pool), metrics);
        pool.expect("a configuration").share(1)
    };
    let states = |pool: &Pool| {
        let roster = pool.fleet.roster();
        roster.seats.iter().map(|seat| pool.fleet.is_up(&seat.address)).collect::<Vec<_>>()
    };
    assert_eq!(states(&renewed(&Hop { uses: 7, ..cluster(&[up, down]) })), [true, false]);
    let label = format!("address=\"{down}\"");
    let line = format!("portcullis_upstream_address_up{{{label},upstream=\"up\"}} 0");
    assert!(gateway.metric(&line));
    assert_eq!(states(&renewed(&upstream(up))), [true]);
    assert!(!gateway.metrics.render().contains(&label), "it is asked for no more");
    assert!(gateway.metrics.upstreams_down().is_empty());
}

#[tokio::test]
async fn mail_exchangers_are_used_in_their_order() {
    use crate::resolver::{Answer, Kind, Record};
    let up = play(&[&taken()]).await;
    let mut zone = Zone::default();
    for (name, kind, texts) in [
        ("d.example", Kind::Mx, &["20 b.example", "10 a.example"][..]),
        // Nobody is there.
        ("a.example", Kind::A, &["127.0.0.2", "127.0.0.3"]),
        ("b.example", Kind::A, &["127.0.0.1"]),
    ] {
        let records = texts.iter().map(|text| Record::parse(kind, text).expect("a record"));
        assert!(zone.put(name, kind, Answer::Records(records.collect())));
    }
    let metrics = Arc::new(Metrics::new(&Names::default()));
    let mx = UpstreamAddress::Mx { domain: "d.example".to_owned(), port: up.address.port() };
    let hop = Hop { members: vec![Member::only(mx)], ..upstream(up.address) };
    let directory = directory(&metrics, zone);
    let pool = Pool::new("up", &hop, directory, None, metrics.upstream("up"));
    let gateway = Gateway { pool: Arc::new(pool.expect("a good configuration")), metrics };
    assert_eq!(gateway.send(&["b@b.example"]).await, ["250 2.0.0 taken"]);
    let tried = "portcullis_upstream_connects_total{result=\"failed\",upstream=\"up\"} 2";
    assert!(gateway.metric(tried));
    assert_eq!(up.contents().await, [HELLO]);
}

#[tokio::test]
async fn an_address_that_was_down_before_a_reload_is_looked_at_after_it() {
    use crate::resolver::{Answer, Kind, Record};
    let (back, other) = (nobody(), nobody());
    let probe = Some(Duration::from_millis(20));
    let named = UpstreamAddress::Mx { domain: "back.example".to_owned(), port: back.port() };
    let members = vec![Member::only(named), member(other)];
    let health = UpstreamHealth { probe, ..UpstreamHealth::default() };
    let hop = Hop { members, health, ..upstream(back) };
    let metrics = Arc::new(Metrics::new(&Names::default()));
    let pool = |earlier: Option<&Pool>| {
        let mut zone = Zone::default();
        for (name, kind, text) in
            [("back.example", Kind::Mx, "10 host.example"), ("host.example", Kind::A, "127.0.0.1")]
        {
            let record = Record::parse(kind, text).expect("a record");
            assert!(zone.put(name, kind, Answer::Records(vec![record])));
        }
        let directory = directory(&metrics, zone);
        Pool::new("up", &hop, directory, earlier, metrics.upstream("up")).expect("a good one")
    };
    let before = pool(None);
    before.fleet.look_up().await.expect("a name");
    let address = before.fleet.roster().seats[0].address.clone();
    for _ in 0..3 {
        address.health.failed(before.fleet.policy(), Instant::now(), 0);
    }
    assert!(!address.health.is_up());
    let after = pool(Some(&before));
    drop(before);
    let up = Script::again(back, vec![script(&[GREETING, "C: NOOP\nS: 250 ok\ngone"])]).await;
    after.fleet.look_up().await.expect("a name");
    let is_back = async {
        while !address.health.is_up() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), is_back).await.expect("it is looked at");
    up.contents().await;
}
