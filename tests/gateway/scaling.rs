//! Several gateways behind one address, which share a Redis: the set-up of `config/haproxy`.

use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use portcullis_tests::gateway::{Running, plugin};
use portcullis_tests::peers::{HaProxy, Redis};
use portcullis_tests::sink::Manners;
use portcullis_tests::{Gateway, Seed, Sink, wait_for};
use serde_json::{Value, json};

use crate::kills::{self, Load, SENDERS};

#[test]
fn one_of_three_gateways_is_killed_and_no_mail_is_lost() {
    let Some(redis) = Redis::start() else { return };
    let sink = Sink::with(Manners { delay: Duration::from_millis(5), ..Manners::default() });
    let mut gateways: Vec<_> = (0..3).map(|_| node(&sink, &redis)).collect();
    let Some(balancer) = balancer(&gateways) else { return };
    let load = Load::default();
    thread::scope(|scope| {
        let _ended = Ended(&load);
        for sender in 0..SENDERS {
            let (load, address) = (&load, balancer.address);
            scope.spawn(move || load.send(address, sender));
        }
        for node in &gateways {
            wait_for("mail through each", || (accepted(node) > 0.0).then_some(()));
        }
        let mut seed = Seed::new();
        for _ in 0..KILLS {
            let before: Vec<_> = gateways.iter().map(accepted).collect();
            let busy = wait_for("mail", || {
                let mut nodes = gateways.iter().zip(&before);
                nodes.position(|(node, before)| accepted(node) > *before)
            });
            thread::sleep(seed.time_below(Duration::from_millis(200)));
            gateways[busy].process.kill();
            let before = load.answers.load(Ordering::SeqCst);
            wait_for("mail through the others", || {
                (load.answers.load(Ordering::SeqCst) > before + 20 * SENDERS).then_some(())
            });
            gateways[busy].start_again();
            gateways[busy].wait_until_ready();
        }
    });
    let attempts = load.answers.load(Ordering::SeqCst);
    let sent = load.sent.into_inner().unwrap_or_else(PoisonError::into_inner);
    let copies = kills::copies(&sink);
    sent.has_all(&copies);
    for (number, copies) in &copies {
        let allowed = 1 + sent.unanswered.get(number).copied().unwrap_or_default();
        assert!(*copies <= allowed, "{number} arrived {copies} times, {allowed} could be");
    }
    let counted = counted(&gateways[0]);
    assert!(counted >= sent.acknowledged.len(), "{counted} counted of {}", sent.acknowledged.len());
    assert!(counted <= attempts, "{counted} counted, {attempts} tried");
    for node in &gateways {
        at_rest(node);
    }
    eprintln!(
        "{KILLS} times one of three was killed: {} messages acknowledged, {} arrived, {counted} counted of \
         {attempts} attempts, none lost",
        sent.acknowledged.len(),
        copies.len(),
    );
}

/// Ends the load, also where the test fails: its threads are waited for.
struct Ended<'a>(&'a Load);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::SeqCst);
    }
}

/// A gateway with a plugin that counts recipients together with those of the others.
fn node(sink: &Sink, redis: &Redis) -> Running {
    let add = |by: i64| json!([{ "add": { "store": "rates", "key": "n", "by": by } }]);
    let reacher = |name: &str, settings: Value| {
        let file = plugin("test-reacher");
        json!({ "name": name, "file": file, "settings": settings, "grants": [{ "kv": ["rates"] }] })
    };
    let upstream = sink.address().to_string();
    Gateway::new()
        .listener("mx", json!({ "trust": { "proxy_protocol": [HaProxy::SOURCE] } }))
        .upstream("store", "smtp", &upstream)
        .set("stores", json!({ "rates": { "kind": "redis", "url": redis.url(), "shared": true } }))
        .plugin(reacher("count", json!({ "do": { "b": add(1) }, "pass": true })))
        .plugin(reacher("tell", json!({ "do": { "tell": add(0) } })))
        .start()
}

/// A balancer with the configuration that is documented, at addresses of this test.
fn balancer(gateways: &[Running]) -> Option<HaProxy> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/haproxy/haproxy.cfg");
    let mut text = fs::read_to_string(file).expect("the example is there");
    for (documented, gateway) in
        ["10.0.0.11:25", "10.0.0.12:25", "10.0.0.13:25"].iter().zip(gateways)
    {
        let server = format!(" {documented}\n");
        assert!(text.contains(&server), "{documented} is not in the example");
        let address = gateway.address("mx");
        text = text.replace(&server, &format!(" {address} source {}\n", HaProxy::SOURCE));
    }
    HaProxy::documented(&text, "bind :25\n")
}

fn accepted(gateway: &Running) -> f64 {
    let labels = [("listener", "mx"), ("outcome", "accepted")];
    gateway.metrics().sum("portcullis_transactions_total", &labels)
}

/// What all of them have counted together.
fn counted(gateway: &Running) -> usize {
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    let reply = client.command("RCPT TO:<tell@example.com>").to_string();
    let sum = reply.split("sum ").nth(1).and_then(|rest| rest.split_whitespace().next());
    sum.and_then(|sum| sum.parse().ok()).unwrap_or_else(|| panic!("no sum: {reply}"))
}

/// Every transaction that this process has begun has come to one end.
fn at_rest(gateway: &Running) {
    wait_for("every transaction ended", || {
        let metrics = gateway.metrics();
        let started = metrics.sum("portcullis_transactions_started_total", &[]);
        let ended = metrics.sum("portcullis_transactions_total", &[]);
        ((started - ended).abs() < 0.5).then_some(())
    });
}

/// How often.
const KILLS: usize = 4;
