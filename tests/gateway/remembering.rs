//! What plugins remember in stores.

use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::{REDIS_PASSWORD, Redis};
use portcullis_tests::{Client, Gateway, Running, Sink};
use serde_json::{Value, json};

#[test]
fn each_plugin_has_its_keys_and_those_of_a_shared_store_are_common() {
    let sink = Sink::smtp();
    let put = |store, value| json!({ "put": { "store": store, "key": "k", "value": value } });
    let get = |store| json!({ "get": { "store": store, "keys": ["k"] } });
    let one = json!({ "do": { "set": [put("own", "mine"), put("common", "ours")] }, "pass": true });
    let other = json!({ "do": { "set": [get("own"), get("common")] } });
    let grants = json!([{ "kv": ["own", "common"] }]);
    let gateway = Gateway::before(&sink)
        .set(
            "stores",
            json!({ "own": { "kind": "memory" }, "common": { "kind": "memory", "shared": true } }),
        )
        .plugin(reacher("one", one, grants.clone()))
        .plugin(reacher("other", other, grants))
        .start();
    assert_eq!(said(&gateway, "set"), ["none", "value ours"]);
    let lookups = [("store", "own"), ("operation", "get"), ("result", "ok")];
    gateway.wait_for_metric("portcullis_store_operations_total", &lookups, 1.0);
}

#[test]
fn what_a_store_does_not_take_is_told_to_the_plugin() {
    let sink = Sink::smtp();
    let put = |key_times: usize, value_times: usize| {
        let put = json!({
            "store": "state", "key": "k", "value": "v",
            "key_times": key_times, "value_times": value_times,
        });
        json!([{ "put": put }])
    };
    let get =
        |times: usize| json!([{ "get": { "store": "state", "keys": ["k"], "times": times } }]);
    let text = |value: &str| json!({ "put": { "store": "state", "key": "n", "value": value } });
    let add = json!({ "add": { "store": "state", "key": "n", "by": 1 } });
    let settings = json!({
        "do": {
            "long-key": put(1_025, 1),
            "huge-value": put(1, 65_537),
            "largest": put(1_024, 65_536),
            "many-keys": get(101),
            "most-keys": get(100),
            "overflow": [text("9223372036854775807"), add],
            "word": [text("seven"), add],
            "conflict": [{ "put": { "store": "state", "key": "k", "value": "", "expect": 7 } }],
            "elsewhere": [{ "add": { "store": "secrets", "key": "n", "by": 1 } }],
        },
    });
    let stores = json!({ "state": { "kind": "memory" }, "secrets": { "kind": "memory" } });
    let gateway = Gateway::before(&sink)
        .set("stores", stores)
        .plugin(reacher("test", settings, json!([{ "kv": ["state"] }])))
        .start();
    assert_eq!(said(&gateway, "long-key"), ["too-large"]);
    assert_eq!(said(&gateway, "huge-value"), ["too-large"]);
    assert_eq!(said(&gateway, "largest"), ["put"]);
    assert_eq!(said(&gateway, "many-keys"), ["too-large"]);
    assert_eq!(said(&gateway, "most-keys").first().map(String::as_str), Some("none"));
    assert_eq!(said(&gateway, "overflow"), ["put", "not-a-counter"]);
    assert_eq!(said(&gateway, "word"), ["put", "not-a-counter"]);
    assert_eq!(said(&gateway, "conflict"), ["conflict"]);
    assert_eq!(said(&gateway, "elsewhere"), ["denied"], "there, but not granted");
}

#[test]
fn without_the_grant_and_while_it_is_configured_no_store_is_open() {
    let sink = Sink::smtp();
    let settings = json!({ "early": [add("state", 1)], "do": { "now": [add("state", 1)] } });
    let early = "unavailable: a store is not open while the plugin is configured";
    for (grants, now) in [(json!([]), "denied"), (json!([{ "kv": ["state"] }]), "sum 1")] {
        let gateway = Gateway::before(&sink)
            .set("stores", json!({ "state": { "kind": "memory" } }))
            .plugin(reacher("test", settings.clone(), grants))
            .start();
        assert_eq!(said(&gateway, "anybody"), [early]);
        assert_eq!(said(&gateway, "now"), [now]);
    }
}

#[test]
fn a_full_store_is_unavailable_and_the_mail_comes_again() {
    let sink = Sink::smtp();
    let fill = |key: &str, ttl: Value| {
        let put = json!({ "store": "state", "key": key, "value": "v", "value_times": 60_000, "ttl": ttl });
        json!([{ "put": put }])
    };
    let settings = json!({
        "do": { "first": fill("a", Value::Null), "second": fill("b", Value::Null) },
        "pass": true,
    });
    let gateway = Gateway::before(&sink)
        .set("stores", json!({ "state": { "kind": "memory", "size": "64KiB" } }))
        .plugin(reacher("test", settings, json!([{ "kv": ["state"] }])))
        .start();
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    client.command("RCPT TO:<first@example.com>").expect_code(250);
    client.command("RCPT TO:<second@example.com>").expect_code(451);
    gateway.wait_for_metric("portcullis_store_operations_total", &[("result", "unavailable")], 1.0);
}

#[test]
fn a_file_keeps_what_plugins_put_there_over_a_restart() {
    let sink = Sink::smtp();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let start = || {
        let settings = json!({ "do": { "count": [add("state", 2)] } });
        Gateway::before(&sink)
            .set("stores", json!({ "state": { "kind": "redb", "file": file, "timeout": "900ms" } }))
            .plugin(reacher("test", settings, json!([{ "kv": ["state"] }])))
            .start()
    };
    let mut gateway = start();
    assert_eq!(said(&gateway, "count"), ["sum 2"]);
    assert_eq!(said(&gateway, "count"), ["sum 4"]);
    gateway.terminate();
    gateway = start();
    assert_eq!(said(&gateway, "count"), ["sum 6"]);
    gateway.process.kill();
    let gateway = start();
    assert_eq!(said(&gateway, "count"), ["sum 8"], "what was answered is on disk");
}

#[test]
fn a_file_that_is_no_store_makes_it_unavailable_and_nothing_else() {
    let sink = Sink::smtp();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    std::fs::write(&file, "no database at all".repeat(1_000)).unwrap();
    let settings = json!({ "do": { "count": [add("state", 1)] }, "pass": true });
    let gateway = Gateway::before(&sink)
        .set("stores", json!({ "state": { "kind": "redb", "file": file } }))
        .plugin(reacher("test", settings, json!([{ "kv": ["state"] }])))
        .start();
    assert_eq!(rcpt(&mut gateway.client(), "count").0, 451);
    assert_eq!(rcpt(&mut gateway.client(), "other").0, 250);
    gateway.wait_for_metric("portcullis_store_up", &[("store", "state")], 0.0);
    std::fs::remove_file(&file).unwrap();
    portcullis_tests::wait_for("the store", || {
        (rcpt(&mut gateway.client(), "count").0 == 250).then_some(())
    });
}

#[test]
fn two_gateways_agree_on_a_counter() {
    const CLIENTS: usize = 8;
    const MAILS: usize = 25;
    const TIMES: usize = 25;
    let Some(redis) = Redis::start() else { return };
    let sink = Sink::smtp();
    let mut count = add("rates", 1);
    count["add"]["times"] = json!(TIMES);
    let gateways: Vec<_> = (0..2)
        .map(|_| {
            let settings = json!({ "do": { "count": [count] }, "pass": true });
            let tell = json!({ "do": { "tell": [add("rates", 0)] } });
            let grants = json!([{ "kv": ["rates"] }]);
            Gateway::before(&sink)
                .set("stores", json!({ "rates": redis_store(&redis, "30s", true) }))
                .plugin(with_time(reacher("count", settings, grants.clone()), "60s"))
                .plugin(reacher("tell", tell, grants))
                .start()
        })
        .collect();
    thread::scope(|scope| {
        for gateway in &gateways {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = gateway.client();
                    for _ in 0..MAILS {
                        let message = b"Subject: t\r\n\r\nx\r\n";
                        let reply =
                            client.deliver("a@example.org", &["count@example.com"], message);
                        reply.unwrap().expect_code(250);
                    }
                });
            }
        }
    });
    assert_eq!(2 * CLIENTS * MAILS * TIMES, 10_000);
    for gateway in &gateways {
        assert_eq!(said(gateway, "tell"), ["sum 10000"]);
    }
}

#[test]
fn while_redis_is_away_mail_goes_by_each_plugins_failure_policy() {
    let Some(mut redis) = Redis::start() else { return };
    let sink = Sink::smtp();
    let grants = json!([{ "kv": ["rates"] }]);
    let policy = |on_failure: &str| {
        let settings = json!({ "do": { on_failure: [add("rates", 1)] }, "pass": true });
        let mut plugin = reacher(on_failure, settings, grants.clone());
        plugin["on_failure"] = on_failure.into();
        plugin
    };
    let tell = json!({ "do": { "tell": [add("rates", 1)] } });
    let gateway = Gateway::before(&sink)
        .set("stores", json!({ "rates": redis_store(&redis, "250ms", false) }))
        .plugin(policy("accept"))
        .plugin(policy("reject"))
        .plugin(policy("tempfail"))
        .plugin(reacher("tell", tell, grants.clone()))
        .start();
    let mut client = gateway.client();
    for recipient in ["accept", "reject", "tempfail"] {
        assert_eq!(rcpt(&mut client, recipient).0, 250, "{recipient}");
    }
    for stop in [Redis::stop, |redis: &mut Redis| redis.signal("STOP")] {
        stop(&mut redis);
        gateway_without_redis(&gateway);
        redis.signal("CONT");
        redis.stop();
        redis.resume();
        portcullis_tests::wait_for("Redis", || {
            (rcpt(&mut gateway.client(), "tempfail").0 == 250).then_some(())
        });
        gateway.wait_for_metric("portcullis_store_up", &[("store", "rates")], 1.0);
        assert!(said(&gateway, "tell")[0].starts_with("sum"));
    }
    let log = gateway.log.lines().join("\n");
    assert!(log.contains("store lost its connection"), "{log}");
    assert!(!log.contains(REDIS_PASSWORD), "{log}");
}

/// What every plugin and client sees then; nobody waits for long, and after the first nobody waits.
#[track_caller]
fn gateway_without_redis(gateway: &Running) {
    let start = Instant::now();
    let mut client = gateway.client();
    for _ in 0..20 {
        assert_eq!(rcpt(&mut client, "accept").0, 250);
        assert_eq!(rcpt(&mut client, "reject").0, 554);
        assert_eq!(rcpt(&mut client, "tempfail").0, 451);
    }
    let (code, lines) = rcpt(&mut client, "tell");
    assert!(code == 550 && lines[0].starts_with("unavailable"), "{lines:?}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

fn redis_store(redis: &Redis, timeout: &str, shared: bool) -> Value {
    json!({ "kind": "redis", "url": redis.url(), "timeout": timeout, "shared": shared })
}

fn add(store: &str, by: i64) -> Value {
    json!({ "add": { "store": store, "key": "n", "by": by } })
}

fn reacher(name: &str, settings: Value, grants: Value) -> Value {
    let file = plugin("test-reacher");
    json!({ "name": name, "file": file, "settings": settings, "grants": grants })
}

fn with_time(mut plugin: Value, limit: &str) -> Value {
    plugin["time_limit"] = limit.into();
    plugin
}

/// The lines of the refusal of a recipient.
#[track_caller]
fn said(gateway: &Running, recipient: &str) -> Vec<String> {
    let (code, lines) = rcpt(&mut gateway.client(), recipient);
    assert_eq!(code, 550, "{lines:?}");
    lines
}

/// The answer to one recipient, in a transaction of its own.
#[track_caller]
fn rcpt(client: &mut Client, recipient: &str) -> (u16, Vec<String>) {
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    let reply = client.command(&format!("RCPT TO:<{recipient}@example.com>"));
    client.command("RSET").expect_code(250);
    // The last line ends with the transaction's id.
    let bare = |line: &String| {
        let line = line.strip_prefix("5.7.1 ").unwrap_or(line);
        line.rsplit_once(" [").map_or(line, |(line, _)| line).to_owned()
    };
    (reply.code, reply.lines.iter().map(bare).collect())
}
