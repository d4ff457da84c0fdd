//! Another process takes the place of the one that serves, or comes after it at sockets that somebody
//! else holds: under load, and nobody is refused, and no transaction is cut off.
//!
//! `PORTCULLIS_UPGRADES=100` for more upgrades and restarts than a usual run has.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::gateway::program;
use portcullis_tests::peers::need;
use portcullis_tests::process::Process;
use portcullis_tests::{Client, Gateway, Log, Sink, free_address, wait_for};
use serde_json::{Value, json};

fn upgrades() -> usize {
    let count = std::env::var("PORTCULLIS_UPGRADES");
    count.map_or(UPGRADES, |text| text.parse().expect("a number"))
}

#[test]
fn upgrades_under_load_refuse_nobody_and_cut_nothing() {
    let sink = Sink::smtp();
    let mut gateway = Gateway::before(&sink).start();
    let address = gateway.address("mx");
    under_load("upgrades", &sink, address, |load, round| {
        let mut slow = Slow::begin(address, round);
        let began = Instant::now();
        let mut old = gateway.upgrade();
        load.took(began.elapsed());
        slow.go_on();
        // Who comes now comes to the new one, whatever the old one still has to do.
        assert!(old.ended().is_none(), "it cut off a transaction");
        Client::ehlo(address).command("QUIT").expect_code(221);
        slow.end();
        assert!(old.wait().success());
    });
    gateway.wait_until_ready();
}

#[test]
fn upgrades_hand_the_spool_over() {
    let (sink, folder) = (Sink::smtp(), tempfile::tempdir().expect("a folder can be made"));
    let spool = json!({ "directory": folder.path().join("spool"), "free": "1MiB" });
    let mut gateway = Gateway::new()
        .listener("mx", json!({ "delivery": "spool" }))
        .upstream("store", "smtp", &sink.address().to_string())
        .set("spool", spool)
        .start();
    let address = gateway.address("mx");
    under_load("upgrades with a spool", &sink, address, |load, round| {
        let mut slow = Slow::begin(address, round);
        let ready = gateway.log.about("successor is prepared").len();
        let (log, began) = (gateway.log.clone(), Instant::now());
        let mut old = thread::scope(|scope| {
            let upgrade = scope.spawn(|| gateway.upgrade());
            wait_for("a successor", || {
                (log.about("successor is prepared").len() > ready).then_some(())
            });
            slow.go_on();
            slow.end();
            upgrade.join().expect("an upgrade")
        });
        load.took(began.elapsed());
        assert!(old.wait().success());
    });
    gateway.wait_until_ready();
}

#[test]
fn restarts_behind_a_held_socket_refuse_nobody_and_cut_nothing() {
    let Some([python]) = need(["python3"]) else { return };
    let (sink, folder) = (Sink::smtp(), tempfile::tempdir().expect("a folder can be made"));
    let address = free_address();
    let config = write(folder.path(), &sink);
    let mut command = Command::new(python);
    command.args(["-c", HOLDER, &address.port().to_string()]).arg(program()).arg(config);
    let mut holder = Process::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let log = Log::default();
    for output in holder.take_output() {
        log.follow(output);
    }
    let started = || {
        log.lines()
            .iter()
            .filter_map(|line| line.strip_prefix("started ")?.parse().ok())
            .collect::<Vec<u32>>()
    };
    under_load("restarts", &sink, address, |load, round| {
        let mut slow = Slow::begin(address, round);
        let before = wait_for("a gateway", || started().last().copied());
        let began = Instant::now();
        let gateway = Process::of(before, "the gateway");
        gateway.signal("TERM");
        slow.go_on();
        slow.end();
        wait_for("another gateway", || (started().last().copied() != Some(before)).then_some(()));
        Client::ehlo(address).command("QUIT").expect_code(221);
        load.took(began.elapsed());
    });
}

/// Holds a socket and passes it to one gateway after the other, as systemd does.
const HOLDER: &str = r#"
import os, signal, socket, sys
holder = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
child = 0
def end(*_):
    os.kill(child, signal.SIGTERM)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
while True:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.dup2(holder.fileno(), 3)
        os.set_inheritable(3, True)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="smtp")
        os.execv(sys.argv[2], [sys.argv[2], "run", "--config", sys.argv[3]])
    print("started", child, flush=True)
    os.waitpid(child, 0)
"#;

fn write(folder: &Path, sink: &Sink) -> std::path::PathBuf {
    let config: Value = json!({
        "hostname": "gateway.example",
        "listeners": [{ "name": "mx", "address": "systemd:smtp" }],
        "upstreams": { "store": { "address": sink.address().to_string() } },
        "default_upstream": "store",
        "admin": { "address": "none" },
        "log": { "level": "warn" },
    });
    let file = folder.join("portcullis.yaml");
    fs::write(&file, config.to_string()).expect("a folder takes a file");
    file
}

#[test]
fn a_process_that_cannot_serve_leaves_the_old_one_as_it_was() {
    let (sink, folder) = (Sink::smtp(), tempfile::tempdir().expect("a folder can be made"));
    let own = folder.path().join("portcullis");
    fs::copy(program(), &own).expect("a program can be copied");
    let spool = json!({ "directory": folder.path().join("spool"), "free": "1MiB" });
    let mut gateway = Gateway::before(&sink).set("spool", spool).run_by(own.clone()).start();
    let mut client = gateway.client();
    let good = fs::read_to_string(gateway.configuration()).expect("it was written");
    // A configuration with a mistake: `portcullis upgrade` reads it first, for the address.
    fs::write(gateway.configuration(), good.replace("\"smtp\"", "\"snmp\"")).expect("ours");
    gateway.process.signal("USR2");
    let told = gateway.log.wait_for("the mistake", |record| record.mentions("snmp"));
    assert_eq!(told.field("message"), "no upgrade, this process goes on");
    // It is told once, by the one that goes on: two that write to one place cut each other's lines.
    let lines = gateway.log.lines();
    assert_eq!(gateway.log.records().len(), lines.len(), "{}", lines.join("\n"));
    fs::write(gateway.configuration(), &good).expect("ours");
    // Programs that do not even begin, end, and know nothing of upgrades.
    for (text, said) in [
        ("no program", "cannot be started"),
        ("#!/bin/sh\nexit 7\n", "exit status: 7"),
        ("#!/bin/sh\nkill -SEGV $$\n", "signal: 11"),
    ] {
        replace(&own, text.as_bytes());
        let refused = gateway.try_upgrade();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
    // The same session goes on, and so does everybody else.
    client.deliver("a@a.example", &["b@b.example"], b"x\r\n").expect("a reply").expect_code(250);
    gateway.client().command("QUIT").expect_code(221);
    assert!(gateway.process.ended().is_none());
    replace(&own, &fs::read(program()).expect("it is a file"));
    let mut old = gateway.upgrade();
    assert_eq!(client.wait_for_end()[0].code, 421);
    assert!(old.wait().success());
    gateway.client().command("QUIT").expect_code(221);
}

/// Another file in the place of a program, as a package does it.
fn replace(program: &Path, octets: &[u8]) {
    let new = program.with_extension("new");
    fs::write(&new, octets).expect("a folder takes a file");
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("ours");
    fs::rename(&new, program).expect("ours");
}

#[test]
fn an_upgrade_brings_what_the_configuration_says_then() {
    let (sink, folder) = (Sink::smtp(), tempfile::tempdir().expect("a folder can be made"));
    let socket = folder.path().join("smtp.sock");
    let place = format!("unix:{}", socket.display());
    let mut gateway = Gateway::before(&sink)
        .listener("local", json!({ "address": place }))
        .listener("old", json!({}))
        .start();
    let (old_address, new_address) = (gateway.address("old"), free_address());
    let text = fs::read_to_string(gateway.configuration()).expect("it was written");
    let text = text.replace(&old_address.to_string(), &new_address.to_string());
    fs::write(gateway.configuration(), text.replace("\"old\"", "\"new\"")).expect("ours");
    let mut old = gateway.upgrade();
    assert!(old.wait().success());
    assert!(TcpStream::connect(old_address).is_err());
    Client::ehlo(new_address).command("QUIT").expect_code(221);
    // Its file is still there, though the process that made it is not.
    let mut banner = String::new();
    let stream = std::os::unix::net::UnixStream::connect(&socket).expect("a socket");
    BufReader::new(stream).read_line(&mut banner).expect("a banner");
    assert!(banner.starts_with("220 "), "{banner}");
    gateway.terminate();
    assert!(!socket.exists());
}

/// A message in the middle of its content.
struct Slow {
    client: Client,
}

impl Slow {
    fn begin(address: SocketAddr, round: usize) -> Self {
        // One who comes while the old process ends may be told to come again.
        let mut client = loop {
            match Client::try_ehlo(address) {
                Ok(client) => break client,
                Err(error) => assert!(error.to_string().starts_with("421 "), "{error}"),
            }
        };
        client.talk(
            "C: MAIL FROM:<slow@example.org>
             S: 250
             C: RCPT TO:<b@example.com>
             S: 250
             C: DATA
             S: 354",
        );
        let begun = format!("Subject: slow-{round}\r\n\r\nfirst\r\n");
        client.send(begun.as_bytes()).expect("an open connection");
        Self { client }
    }

    fn go_on(&mut self) {
        self.client.send(b"second\r\n").expect("an open connection");
    }

    fn end(mut self) {
        self.client.send(b"third\r\n.\r\n").expect("an open connection");
        self.client.expect(250);
    }
}

/// What the senders have seen.
#[derive(Debug, Default)]
struct Load {
    ended: AtomicBool,
    number: AtomicUsize,
    accepted: AtomicUsize,
    /// How often somebody was told to come again, between transactions.
    told: AtomicUsize,
    wrong: Mutex<Vec<String>>,
    times: Mutex<Vec<Duration>>,
}

impl Load {
    fn took(&self, time: Duration) {
        self.times.lock().expect("nobody panics").push(time);
    }

    fn wrong(&self, what: String) {
        self.wrong.lock().expect("nobody panics").push(what);
    }

    fn send(&self, address: SocketAddr) {
        let mut client = None;
        while !self.ended.load(Ordering::SeqCst) {
            thread::sleep(PACE);
            let mut connected = match client.take() {
                Some(client) => client,
                None => match Client::try_ehlo(address) {
                    Ok(client) => client,
                    Err(error) => {
                        if error.to_string().starts_with("421 ") {
                            self.told.fetch_add(1, Ordering::SeqCst);
                        } else {
                            self.wrong(format!("connecting: {error}"));
                        }
                        continue;
                    }
                },
            };
            if self.transaction(&mut connected) {
                client = Some(connected);
            }
        }
    }

    /// Whether the connection is still good.
    fn transaction(&self, client: &mut Client) -> bool {
        let number = self.number.fetch_add(1, Ordering::SeqCst);
        let text = format!("Subject: {number}\r\n\r\n{}\r\n.\r\n", "x".repeat(3000));
        let steps = [
            ("MAIL FROM:<a@example.org>\r\n", 250),
            ("RCPT TO:<b@example.com>\r\n", 250),
            ("DATA\r\n", 354),
            (&*text, 250),
        ];
        for (step, (said, code)) in steps.into_iter().enumerate() {
            let heard = client.send(said.as_bytes()).and_then(|()| client.reply());
            match heard {
                Ok(reply) if reply.code == code => {}
                Ok(reply) if step == 0 && reply.code == 421 => {
                    self.told.fetch_add(1, Ordering::SeqCst);
                    return false;
                }
                other => {
                    self.wrong(format!("{number}, step {step}: {other:?}"));
                    return false;
                }
            }
        }
        self.accepted.fetch_add(1, Ordering::SeqCst);
        true
    }
}

/// Does something again and again while others send 100 messages a second.
fn under_load(what: &str, sink: &Sink, address: SocketAddr, mut round: impl FnMut(&Load, usize)) {
    let (load, began, rounds) = (Load::default(), Instant::now(), upgrades());
    wait_for("somebody who listens", || TcpStream::connect(address).ok());
    thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| load.send(address));
        }
        let ended = Ended(&load.ended);
        for number in 0..rounds {
            let enough = load.accepted.load(Ordering::SeqCst) + SENDERS;
            wait_for("mail that flows", || {
                (load.accepted.load(Ordering::SeqCst) >= enough).then_some(())
            });
            round(&load, number);
        }
        drop(ended);
    });
    let wrong = load.wrong.into_inner().expect("nobody panics");
    assert!(wrong.is_empty(), "{} went wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    let accepted = load.accepted.into_inner();
    wait_for("all messages", || (sink.letters().len() >= accepted + rounds).then_some(()));
    let mut copies = BTreeMap::<String, usize>::new();
    for letter in sink.letters() {
        let text = letter.text();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
        *copies.entry(subject.expect("a message of this test").to_owned()).or_default() += 1;
    }
    assert!(copies.values().all(|copies| *copies == 1), "something arrived twice");
    assert_eq!(copies.len(), accepted + rounds);
    let mut times = load.times.into_inner().expect("nobody panics");
    times.sort();
    eprintln!(
        "{what}: {rounds} under {:.0} messages a second: {accepted} accepted and delivered once, {} told \
         421 between transactions, {rounds} slow ones finished, none refused, none cut; each took {:?} \
         at the median, {:?} at most",
        accepted as f64 / began.elapsed().as_secs_f64(),
        load.told.into_inner(),
        times[times.len() / 2],
        times[times.len() - 1],
    );
}

/// Ends the load also where a test fails.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// In a usual run.
const UPGRADES: usize = 5;

/// Clients at once.
const SENDERS: usize = 4;

/// Between two messages of one of them.
const PACE: Duration = Duration::from_millis(38);
