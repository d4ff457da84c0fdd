//! Greylist, rates and bounces, with stores that gateways share, and with stores that are no help.

mod liar;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::{Postfix, Redis};
use portcullis_tests::{Client, Gateway, Running, Sink};
use serde_json::{Value, json};

use liar::Lie;

const MESSAGE: &[u8] = b"From: a@sender.example\r\nSubject: t\r\n\r\nx\r\n";

#[test]
fn a_real_mail_server_comes_again_and_its_mail_arrives() {
    let sink = Sink::smtp();
    let store = json!({ "kind": "memory" });
    let settings = json!({ "delay": "2s", "retry_window": "1h", "header": true });
    let gateway = Gateway::before(&sink)
        .set("stores", json!({ "greylist": store }))
        .plugin(greylist(settings))
        .start();
    let again = "minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n";
    let Some(postfix) = Postfix::sender_with(gateway.address("mx"), again) else { return };
    let mut client = Client::ehlo(postfix.address);
    client.deliver("a@sender.example", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    let letter = sink.only_letter();
    assert!(letter.text().contains("X-Greylist: delayed "), "{}", letter.text());
    let log = postfix.log();
    assert!(log.contains("greylisted, come again in 2 seconds"), "{log}");
    let waited = [("result", "waited")];
    gateway.wait_for_metric("portcullis_plugin_greylist_recipients_total", &waited, 1.0);
    // A second message of the same triplet is not held up.
    client.deliver("a@sender.example", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
    let second = &sink.wait_for(2)[1];
    assert!(second.text().contains("X-Greylist: known"), "{}", second.text());
}

#[test]
fn gateways_on_one_redis_know_each_others_strangers() {
    let Some(redis) = Redis::start() else { return };
    let sink = Sink::smtp();
    let node = || {
        Gateway::before(&sink)
            .set("stores", json!({ "greylist": redis_store(&redis.url()) }))
            .plugin(greylist(json!({ "delay": "2s", "retry_window": "1h" })))
            .start()
    };
    let (first, second) = (node(), node());
    let rcpt = |gateway: &Running| rcpt(&mut gateway.client(), "b@example.com");
    assert_eq!(rcpt(&first), 451);
    assert_eq!(rcpt(&second), 451);
    portcullis_tests::wait_for("the delay", || (rcpt(&second) == 250).then_some(()));
    assert_eq!(rcpt(&first), 250);
    // Both at once, again and again: whoever is faster, the other one does not fail.
    thread::scope(|scope| {
        for gateway in [&first, &second] {
            scope.spawn(move || {
                let mut client = gateway.client();
                for number in 0..50 {
                    let code = self::rcpt(&mut client, &format!("c{number}@example.com"));
                    assert_eq!(code, 451, "{number}");
                }
            });
        }
    });
}

#[test]
fn gateways_on_one_redis_keep_one_limit() {
    const LIMIT: usize = 100;
    let Some(redis) = Redis::start() else { return };
    let sink = Sink::smtp();
    let gateways: Vec<_> = (0..2)
        .map(|_| {
            Gateway::before(&sink)
                .set("stores", json!({ "rates": redis_store(&redis.url()) }))
                .plugin(ratelimit(LIMIT))
                .start()
        })
        .collect();
    let passed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..8 {
            let (gateway, passed) = (&gateways[number % 2], &passed);
            scope.spawn(move || {
                let mut client = gateway.client();
                for _ in 0..25 {
                    if rcpt(&mut client, "b@example.com") == 250 {
                        passed.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let passed = passed.into_inner();
    // Who was too much by a moment takes back what it has counted, and another one was refused
    // for that meanwhile.
    assert!(passed <= LIMIT && passed > LIMIT - 16, "{passed}");
    let refused: f64 = gateways
        .iter()
        .map(|gateway| {
            let rule = [("rule", "all")];
            gateway.metrics().sum("portcullis_plugin_ratelimit_exceeded_total", &rule)
        })
        .sum();
    assert!((refused - (200 - passed) as f64).abs() < 0.5, "{refused} {passed}");
}

#[test]
fn while_redis_is_away_mail_passes_and_nobody_waits() {
    let Some(mut redis) = Redis::start() else { return };
    let sink = Sink::smtp();
    let gateway = with_store(&sink, &redis.url());
    assert_eq!(rcpt(&mut gateway.client(), "b@example.com"), 451);
    for stop in [Redis::stop, |redis: &mut Redis| redis.signal("STOP")] {
        stop(&mut redis);
        let start = Instant::now();
        let mut client = gateway.client();
        for _ in 0..20 {
            assert_eq!(rcpt(&mut client, "b@example.com"), 250);
        }
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        redis.signal("CONT");
        redis.stop();
        redis.resume();
        // An empty one, in which nobody is known.
        portcullis_tests::wait_for("Redis", || {
            (rcpt(&mut gateway.client(), "b@example.com") == 451).then_some(())
        });
    }
}

#[test]
fn whatever_a_store_says_mail_arrives_within_a_bounded_time() {
    let sink = Sink::smtp();
    let lies = [
        Lie::Forgets,
        Lie::Garbage,
        Lie::Inflates,
        Lie::Skips,
        Lie::Errs,
        Lie::Sleeps,
        Lie::Dawdles,
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let (address, asked) = liar::start(lie);
        let gateway = with_store(&sink, &format!("redis://{address}/0"));
        let begin = Instant::now();
        portcullis_tests::wait_for(&format!("mail in spite of {lie:?}"), || {
            let mut client = gateway.client();
            let start = Instant::now();
            let reply = client.deliver("a@sender.example", &["b@example.com"], MESSAGE).unwrap();
            assert!(start.elapsed() < Duration::from_secs(3), "{lie:?}: {:?}", start.elapsed());
            (reply.code == 250).then_some(())
        });
        assert!(begin.elapsed() < Duration::from_secs(10), "{lie:?}: {:?}", begin.elapsed());
        assert_eq!(sink.wait_for(number + 1).len(), number + 1);
        assert!(asked.load(Ordering::SeqCst) > 0, "{lie:?}");
    }
}

#[test]
fn a_bounce_of_what_was_sent_is_told_from_others() {
    let sink = Sink::smtp();
    let settings = json!({
        "domains": ["example.org"],
        "ours": { "listeners": ["out"] },
        "batv": {
            "keys": [{ "number": 1, "secret": "not-a-secret-but-long" }],
            "refuse_from": "2026-01-01",
        },
    });
    let file = plugin("bounces");
    let gateway = Gateway::before(&sink)
        .listener("out", json!({}))
        .plugin(json!({
            "name": "bounces", "file": file, "settings": settings, "grants": ["rewrite-envelope"],
        }))
        .start();
    let mut out = Client::ehlo(gateway.address("out"));
    out.deliver("ann@example.org", &["b@elsewhere.example"], MESSAGE).unwrap().expect_code(250);
    let signed = sink.only_letter().sender;
    assert!(signed.starts_with("prvs=1") && signed.ends_with("=ann@example.org"), "{signed}");
    let mut client = gateway.client();
    client.command("MAIL FROM:<>").expect_code(250);
    client.command("RCPT TO:<ann@example.org>").expect_code(550);
    client.command(&format!("RCPT TO:<{}>", signed.replace("prvs=1", "prvs=2"))).expect_code(550);
    client.command("RSET").expect_code(250);
    client.deliver("", &[&signed], MESSAGE).unwrap().expect_code(250);
    assert_eq!(sink.wait_for(2)[1].recipients, ["ann@example.org"]);
    client.deliver("a@sender.example", &["ann@example.org"], MESSAGE).unwrap().expect_code(250);
    let log = gateway.log.lines().join("\n");
    assert!(!log.contains("not-a-secret"), "{log}");
}

/// Greylist and rates on one store.
fn with_store(sink: &Sink, url: &str) -> Running {
    Gateway::before(sink)
        .set("stores", json!({ "greylist": redis_store(url), "rates": redis_store(url) }))
        .plugin(ratelimit(1_000))
        .plugin(greylist(json!({ "delay": "1s", "retry_window": "1h" })))
        .start()
}

fn redis_store(url: &str) -> Value {
    json!({ "kind": "redis", "url": url, "timeout": "250ms" })
}

fn greylist(settings: Value) -> Value {
    json!({
        "name": "greylist", "file": plugin("greylist"), "settings": settings,
        "grants": [{ "kv": ["greylist"] }, "rewrite-headers"],
    })
}

/// So many recipients a day, whoever asks.
fn ratelimit(limit: usize) -> Value {
    let rule =
        json!({ "name": "all", "count": "recipients", "key": [], "limit": limit, "window": "1d" });
    json!({
        "name": "ratelimit", "file": plugin("ratelimit"), "settings": { "rules": [rule] },
        "grants": [{ "kv": ["rates"] }],
    })
}

/// The answer to one recipient, in a transaction of its own.
#[track_caller]
fn rcpt(client: &mut Client, recipient: &str) -> u16 {
    client.command("MAIL FROM:<a@sender.example>").expect_code(250);
    let reply = client.command(&format!("RCPT TO:<{recipient}>"));
    client.command("RSET").expect_code(250);
    reply.code
}
