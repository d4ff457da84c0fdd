//! A configuration that is replaced while mail flows, and plugins that may be one file only.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portcullis_tests::gateway::{Running, plugin, program};
use portcullis_tests::process::{Finished, run};
use portcullis_tests::sink::Letter;
use portcullis_tests::{Client, Gateway, Sink, free_address, wait_for};
use serde_json::{Value, json};

fn stamping(name: &str, mark: &str) -> Value {
    json!({
        "name": name,
        "file": plugin("test-stamp"),
        "grants": ["rewrite-headers"],
        "settings": { "name": name, "mark": mark },
    })
}

/// A gateway whose plugins, first and second, stamp this.
fn marked(sink: &Sink, mark: &str) -> Gateway {
    Gateway::before(sink).plugin(stamping("first", mark)).plugin(stamping("second", mark))
}

fn edit(gateway: &Running, change: impl FnOnce(&mut Value)) {
    let file = gateway.configuration();
    let text = fs::read_to_string(&file).expect("the gateway has read it");
    let mut config = serde_json::from_str(&text).expect("it was written as JSON");
    change(&mut config);
    fs::write(&file, config.to_string()).expect("it was written before");
}

fn mark(config: &mut Value, mark: &str) {
    for plugin in config["plugins"].as_array_mut().expect("a list") {
        plugin["settings"]["mark"] = mark.into();
    }
}

fn reload(gateway: &Running) -> Finished {
    run(Command::new(program()).arg("reload").arg("--config").arg(gateway.configuration()))
}

fn lock(gateway: &Running) -> Finished {
    let command = ["plugin", "lock", "--config"];
    run(Command::new(program()).args(command).arg(gateway.configuration())).expect_success()
}

/// What the plugins have stamped: name, then the marks of `helo`, `rcpt` and `message`.
fn stamps(letter: &Letter) -> Vec<String> {
    let text = letter.text();
    text.lines().filter_map(|line| line.strip_prefix("X-Stamp: ")).map(str::to_owned).collect()
}

#[track_caller]
fn deliver(client: &mut Client) {
    let reply = client.deliver("a@a.example", &["b@b.example"], b"Subject: x\r\n\r\nx\r\n");
    reply.expect("a connection").expect_code(250);
}

/// How often the configuration is replaced under load: `PORTCULLIS_RELOADS=1000` for more than a usual
/// run does.
fn reloads() -> u32 {
    std::env::var("PORTCULLIS_RELOADS").map_or(20, |text| text.parse().expect("a number"))
}

#[test]
fn reloads_under_load_fail_no_mail_and_mix_no_transaction() {
    let sink = Sink::smtp();
    // A plugin that has no processor for a second is no failure of a reload.
    let patient = |name| {
        let mut plugin = stamping(name, "0");
        plugin["time_limit"] = "60s".into();
        plugin
    };
    let gateway = Gateway::before(&sink).plugin(patient("first")).plugin(patient("second")).start();
    let (stop, sent) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (began, rounds, mut refused) = (Instant::now(), reloads(), 0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = gateway.client();
                    // A session has an end: `limits.transactions`.
                    for _ in 0..100 {
                        deliver(&mut client);
                        sent.fetch_add(1, Ordering::Relaxed);
                        // 100 messages a second, all together.
                        std::thread::sleep(Duration::from_millis(38));
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    client.command("QUIT").expect_code(221);
                }
            });
        }
        let ended = Ended(&stop);
        for round in 1..=rounds {
            let enough = sent.load(Ordering::Relaxed) + 8;
            // Every tenth has a mistake, and is refused; some bring a listener, or leave it out.
            let is_wrong = round % 10 == 5;
            edit(&gateway, |config| {
                mark(config, &round.to_string());
                config["plugins"][1]["settings"]["name"] =
                    if is_wrong { json!(7) } else { "second".into() };
                config["listeners"].as_array_mut().expect("a list").truncate(1);
                if round % 4 == 0 {
                    let late = json!({ "name": "late", "address": "127.0.0.1:0" });
                    config["listeners"].as_array_mut().expect("a list").push(late);
                }
            });
            refused += u32::from(is_wrong);
            let asked = match round % 2 {
                0 => Some(reload(&gateway).status.success()),
                _ => {
                    gateway.process.signal("HUP");
                    None
                }
            };
            assert!(asked.is_none_or(|taken| taken != is_wrong));
            for (result, count) in [("ok", round - refused), ("failed", refused)] {
                let labels = [("result", result)];
                gateway.wait_for_metric("portcullis_reloads_total", &labels, f64::from(count));
            }
            wait_for("more mail", || (sent.load(Ordering::Relaxed) >= enough).then_some(()));
        }
        drop(ended);
    });
    let (letters, sent) = (sink.letters(), sent.into_inner());
    assert_eq!(letters.len(), sent);
    let mut seen = BTreeSet::new();
    for letter in &letters {
        let stamps = stamps(letter);
        let marks: BTreeSet<_> = stamps.iter().flat_map(|stamp| stamp.split(' ').skip(2)).collect();
        assert!(stamps.len() == 2 && marks.len() == 1, "mixed: {stamps:?}");
        seen.extend(marks.into_iter().map(str::to_owned));
    }
    assert!(seen.len() >= (rounds - refused) as usize, "marks {seen:?}");
    gateway.wait_for_metric("portcullis_configurations_in_use", &[], 1.0);
    eprintln!(
        "{rounds} reloads, {refused} of them refused, under {:.0} messages a second: {sent} messages, \
         none failed, none under two configurations",
        sent as f64 / began.elapsed().as_secs_f64(),
    );
}

/// Ends the load also where a test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn listener(config: &mut Value, number: usize) -> &mut Value {
    &mut config["listeners"][number]
}

#[test]
fn listeners_come_move_and_go() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).listener("side", json!({})).start();
    let (side, moved, late) = (gateway.address("side"), free_address(), free_address());
    // One more, and one at another address, whose sessions go on.
    let mut stays = Client::ehlo(side);
    edit(&gateway, |config| {
        listener(config, 1)["address"] = moved.to_string().into();
        let late = json!({ "name": "late", "address": late.to_string() });
        config["listeners"].as_array_mut().expect("a list").push(late);
    });
    let _ = reload(&gateway).expect_success();
    deliver(&mut Client::ehlo(late));
    deliver(&mut Client::ehlo(moved));
    deliver(&mut stays);
    wait_for("a port that is closed", || TcpStream::connect(side).is_err().then_some(()));
    // One is left out: a transaction in flight ends, and then the session.
    let mut goes = Client::ehlo(late);
    goes.talk(
        "C: MAIL FROM:<a@a.example>
         S: 250
         C: RCPT TO:<b@b.example>
         S: 250
         C: DATA
         S: 354",
    );
    let mut idle = Client::ehlo(late);
    edit(&gateway, |config| config["listeners"].as_array_mut().expect("a list").truncate(2));
    let _ = reload(&gateway).expect_success();
    assert_eq!(idle.wait_for_end()[0].code, 421);
    wait_for("a port that is closed", || TcpStream::connect(late).is_err().then_some(()));
    let opened = [("listener", "late")];
    gateway.wait_for_metric("portcullis_connections_open", &opened, 1.0);
    goes.send(b"x\r\n.\r\n").expect("an open connection");
    goes.expect(250);
    assert_eq!(goes.wait_for_end()[0].code, 421);
    wait_for("metrics without it", || {
        (!gateway.metrics().text().contains("listener=\"late\"")).then_some(())
    });
    // It comes back, and its counters with it.
    edit(&gateway, |config| {
        let late = json!({ "name": "late", "address": late.to_string() });
        config["listeners"].as_array_mut().expect("a list").push(late);
    });
    let _ = reload(&gateway).expect_success();
    deliver(&mut Client::ehlo(late));
    gateway.wait_for_metric("portcullis_connections_total", &opened, 4.0);
}

#[test]
fn a_socket_goes_on_under_another_name_and_another_protocol() {
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink).listener("side", json!({})).start();
    let side = gateway.address("side");
    let (stop, connected) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let mut client = Client::connect(side);
                client.expect(220);
                connected.fetch_add(1, Ordering::Relaxed);
            }
        });
        let ended = Ended(&stop);
        for (name, protocol) in [("other", "smtp"), ("other", "lmtp"), ("side", "smtp")] {
            let mut client = Client::connect(side);
            client.expect(220);
            edit(&gateway, |config| {
                listener(config, 1)["name"] = name.into();
                listener(config, 1)["protocol"] = protocol.into();
            });
            let _ = reload(&gateway).expect_success();
            assert_eq!(client.wait_for_end()[0].code, 421);
            let greeting = if protocol == "lmtp" { "LHLO x.example" } else { "EHLO x.example" };
            let mut client = Client::connect(side);
            client.expect(220);
            client.command(greeting).expect_code(250);
            let enough = connected.load(Ordering::Relaxed) + 5;
            wait_for("more clients", || {
                (connected.load(Ordering::Relaxed) >= enough).then_some(())
            });
        }
        drop(ended);
    });
}

#[test]
fn limits_the_cache_and_the_admin_address_are_reloaded() {
    let (sink, folder) = (Sink::smtp(), tempfile::tempdir().expect("a folder can be made"));
    let gateway = marked(&sink, "old").start();
    let mut client = gateway.client();
    edit(&gateway, |config| {
        config["limits"] = json!({ "connections": 1, "plugin_copies": 100 });
        config["cache_directory"] = json!(folder.path());
        mark(config, "new");
    });
    let _ = reload(&gateway).expect_success();
    deliver(&mut client);
    assert_eq!(stamps(&sink.letters()[0]), ["first old new new", "second old new new"]);
    Client::connect(gateway.address("mx")).expect(421);
    assert!(folder.path().join("plugins").is_dir());
    edit(&gateway, |config| config["limits"] = json!({ "connections": 2 }));
    let _ = reload(&gateway).expect_success();
    deliver(&mut gateway.client());
    // Who asks at the old address hears the answer there.
    let admin = free_address();
    edit(&gateway, |config| config["admin"]["address"] = admin.to_string().into());
    assert_eq!(post(gateway.admin, "/api/reload"), "200");
    wait_for("a port that is closed", || TcpStream::connect(gateway.admin).is_err().then_some(()));
    let metrics = portcullis_tests::Metrics::scrape(admin);
    assert!((metrics.sum("portcullis_reloads_total", &[("result", "ok")]) - 3.0).abs() < 0.5);
    let _ = reload(&gateway).expect_success();
}

/// The status of the answer to a program.
fn post(admin: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).expect("it listens");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {admin}\r\nPortcullis-Request: 1\r\nContent-Length: 0\r\n\r\n"
    )
    .expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).expect("a status").to_owned()
}

#[test]
fn a_transaction_ends_under_the_configuration_it_began_with() {
    let (sink, other) = (Sink::smtp(), Sink::smtp());
    let gateway = marked(&sink, "old").start();
    let mut client = gateway.client();
    client.talk(
        "C: MAIL FROM:<a@a.example>
         S: 250
         C: RCPT TO:<b@b.example>
         S: 250",
    );
    edit(&gateway, |config| {
        mark(config, "new");
        config["upstreams"]["store"]["address"] = other.address().to_string().into();
        config["listeners"][0]["plugins"] = json!(["second", "first"]);
    });
    let _ = reload(&gateway).expect_success();
    gateway.wait_for_metric("portcullis_configurations_in_use", &[], 2.0);
    client.talk(
        "C: DATA
         S: 354
         C: Subject: x
         C:
         C: .
         S: 250",
    );
    // The old plugins go with the transaction, though its session is still there.
    gateway.wait_for_metric("portcullis_configurations_in_use", &[], 1.0);
    assert_eq!(stamps(&sink.letters()[0]), ["first old old old", "second old old old"]);
    deliver(&mut client);
    assert_eq!(sink.letters().len(), 1);
    // What was saved of the session is still there, wherever the plugin stands now.
    assert_eq!(stamps(&other.letters()[0]), ["second old new new", "first old new new"]);
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing() {
    let sink = Sink::smtp();
    let gateway = marked(&sink, "old").start();
    let mut client = gateway.client();
    edit(&gateway, |config| {
        mark(config, "new");
        config["plugins"][1]["settings"]["mork"] = "x".into();
    });
    gateway.process.signal("HUP");
    gateway.wait_for_metric("portcullis_reloads_total", &[("result", "failed")], 1.0);
    let error = gateway.log.wait_for("the mistake", |record| record.mentions("mork"));
    assert_eq!(error.field("level").to_lowercase(), "error");
    assert!(error.field("place").contains("portcullis.yaml:1:"), "{error:?}");
    let told = reload(&gateway);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert!(told.stderr.contains("plugin second: it refuses its settings"), "{told:?}");
    // A listener at a port that somebody else has.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    edit(&gateway, |config| {
        mark(config, "new");
        config["plugins"][1]["settings"] = config["plugins"][0]["settings"].clone();
        config["listeners"].as_array_mut().unwrap().push(json!({
            "name": "late",
            "address": address.to_string(),
        }));
    });
    let told = reload(&gateway);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert!(told.stderr.contains(&format!("cannot listen on {address} (late): ")), "{told:?}");
    assert!(!gateway.metrics().text().contains("listener=\"late\""));
    deliver(&mut client);
    assert_eq!(stamps(&sink.letters()[0]), ["first old old old", "second old old old"]);
    let metrics = gateway.metrics();
    assert!((metrics.sum("portcullis_reloads_total", &[("result", "ok")])).abs() < 0.5);
    assert!((metrics.sum("portcullis_configurations_in_use", &[]) - 1.0).abs() < 0.5);
}

#[test]
fn a_module_that_changed_since_it_was_locked_is_refused() {
    let (sink, folder) = (Sink::smtp(), tempfile::tempdir().unwrap());
    let file = folder.path().join("stamp.wasm");
    fs::copy(plugin("test-stamp"), &file).unwrap();
    let mut locked = stamping("first", "old");
    locked["file"] = json!(file);
    let gateway = Gateway::before(&sink).plugin(locked).start();
    assert!(lock(&gateway).stdout.contains("first: "));
    let _ = reload(&gateway).expect_success();
    // Another module under its name.
    fs::copy(plugin("access"), &file).unwrap();
    edit(&gateway, |config| mark(config, "new"));
    let told = reload(&gateway);
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    for part in
        ["changed on disk since it was locked", "portcullis.lock:5:", "plugin lock --config"]
    {
        assert!(told.stderr.contains(part), "{part}: {}", told.stderr);
    }
    deliver(&mut gateway.client());
    assert_eq!(stamps(&sink.letters()[0]), ["first old old old"]);
    // One that slipped in.
    fs::copy(plugin("test-stamp"), &file).unwrap();
    edit(&gateway, |config| {
        config["plugins"].as_array_mut().unwrap().push(stamping("second", "new"));
    });
    let told = reload(&gateway);
    assert!(told.stderr.contains("the plugin \"second\" is not in the lock file"), "{told:?}");
    let told = lock(&gateway).stdout;
    assert!(told.contains("(as it was)") && told.contains("(new)"), "{told}");
    let _ = reload(&gateway).expect_success();
    deliver(&mut gateway.client());
    assert_eq!(stamps(&sink.letters()[1]), ["first new new new", "second new new new"]);
}

/// Memory in octets, threads, and file descriptors.
fn weight(gateway: &Running) -> (u64, u64, usize) {
    let process = format!("/proc/{}", gateway.process.id());
    let status = fs::read_to_string(format!("{process}/status")).expect("it runs");
    let number = |key: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let descriptors = fs::read_dir(format!("{process}/fd")).expect("it runs").count();
    (number("VmRSS:") << 10, number("Threads:"), descriptors)
}

#[test]
fn many_reloads_leave_nothing_behind() {
    let sink = Sink::smtp();
    let gateway = marked(&sink, "0").start();
    let mut client = gateway.client();
    let mut round = |from: u32, to: u32| {
        for n in from..to {
            edit(&gateway, |config| mark(config, if n % 2 == 0 { "even" } else { "odd" }));
            let _ = reload(&gateway).expect_success();
            deliver(&mut client);
        }
        gateway.wait_for_metric("portcullis_configurations_in_use", &[], 1.0);
        let series = |line: &&str| !line.starts_with('#');
        (weight(&gateway), gateway.metrics().text().lines().filter(series).count())
    };
    let ((octets, threads, descriptors), series) = round(0, 15);
    let ((octets_now, threads_now, descriptors_now), series_now) = round(15, 65);
    assert_eq!(series_now, series);
    // The runtime keeps a few threads for work that blocks, more or less of them.
    assert!(threads_now <= threads + 8, "{threads} threads became {threads_now}");
    assert!(
        descriptors_now <= descriptors + 8,
        "{descriptors} descriptors became {descriptors_now}"
    );
    // The upstream has not changed, so that one connection has carried it all.
    let connects = gateway.metrics().sum("portcullis_upstream_connects_total", &[]);
    assert!(connects < 3.0, "{connects} connections to the upstream");
    let grown = octets_now.saturating_sub(octets);
    assert!(grown < 24 << 20, "{octets} octets grew by {grown} in 50 reloads");
}

#[test]
fn pages_in_browsers_reload_nothing() {
    let gateway = Gateway::before(&Sink::smtp()).start();
    let ask = |method: &str, fields: &str| {
        let mut stream = TcpStream::connect(gateway.admin).unwrap();
        write!(stream, "{method} /api/reload HTTP/1.1\r\n{fields}Content-Length: 0\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let here = format!("Host: {}\r\n", gateway.admin);
    assert_eq!(ask("GET", &format!("{here}Portcullis-Request: 1\r\n")), "405");
    assert_eq!(ask("POST", &here), "403");
    let rebound = "Host: evil.example\r\nPortcullis-Request: 1\r\n";
    assert_eq!(ask("POST", rebound), "403");
    let page = format!("{here}Origin: https://evil.example\r\nPortcullis-Request: 1\r\n");
    assert_eq!(ask("POST", &page), "403");
    assert_eq!(ask("POST", &format!("{here}Portcullis-Request: 1\r\n")), "200");
    gateway.wait_for_metric("portcullis_reloads_total", &[], 1.0);
}
