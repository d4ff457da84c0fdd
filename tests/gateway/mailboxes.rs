//! Mailboxes on this machine: the gateway alone is the server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use portcullis_tests::gateway::{Running, plugin};
use portcullis_tests::peers::{is_root, need};
use portcullis_tests::process::run;
use portcullis_tests::{Client, Gateway};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A gateway that delivers into this folder.
fn before(root: &Path, create: bool) -> Gateway {
    let path = root.join("{domain}/{local}");
    let upstreams = json!({
        "mailboxes": { "protocol": "maildir", "path": path, "create": create, "delimiter": "+" },
    });
    Gateway::new()
        .listener("mx", json!({}))
        .set("upstreams", upstreams)
        .set("default_upstream", "mailboxes".into())
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

/// The messages of a mailbox.
fn letters(mailbox: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(mailbox.join("new")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| fs::read_to_string(path).expect("a message")).collect()
}

fn send(client: &mut Client, to: &[&str], message: &str) -> u16 {
    client.deliver("a@example.org", to, message.as_bytes()).expect("a connection").code
}

#[test]
fn what_python_reads_is_what_was_sent() {
    let Some([python]) = need(["python3"]) else { return };
    let root = folder();
    let gateway = before(root.path(), true).start();
    let message =
        "Subject: one\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n.dot\r\nB\u{fc}cher\r\n";
    let to = ["Alice+news@Example.com", "bob@example.com"];
    assert_eq!(send(&mut gateway.client(), &to, message), 250);
    let script = "
import mailbox, sys
for path in sys.argv[1:]:
    box = mailbox.Maildir(path, create=False)
    for message in box:
        print(message.get_subdir(), message['Return-Path'], message['Delivered-To'], message['Subject'])
        print(message.get_payload(decode=True).decode('utf-8'), end='')
        print(len(message.get_all('Received')), '\\r' in message.as_string())
";
    let mailbox = |name: &str| root.path().join("example.com").join(name);
    let read =
        run(Command::new(python).args(["-c", script]).arg(mailbox("alice")).arg(mailbox("bob")));
    let read = read.expect_success();
    let letter = |to: &str| format!("new <a@example.org> {to} one\n.dot\nB\u{fc}cher\n1 False\n");
    assert_eq!(read.stdout, letter(to[0]) + &letter(to[1]));
}

#[test]
fn who_has_no_mailbox_is_refused_at_once_and_nobody_leaves_the_root() {
    let root = folder();
    fs::create_dir_all(root.path().join("mail/example.com/alice")).expect("a folder");
    let gateway = before(&root.path().join("mail"), false).start();
    gateway.client().talk(
        "C: MAIL FROM:<>
         S: 250
         C: RCPT TO:<bob@example.com>
         S: 550 5.1.1
         C: RCPT TO:<../alice@example.com>
         S: 550 5.1.1
         C: RCPT TO:<\"../../mail/example.com/alice\"@example.com>
         S: 550 5.1.1
         C: RCPT TO:<..@example.com>
         S: 550 5.1.1
         C: RCPT TO:<ALICE+x@example.com>
         S: 250
         C: RSET
         S: 250",
    );
    assert_eq!(send(&mut gateway.client(), &["alice@example.com"], "Subject: x\r\n\r\n"), 250);
    let alice = letters(&root.path().join("mail/example.com/alice"));
    assert!(alice.len() == 1 && alice[0].ends_with("Subject: x\n\n"), "{alice:?}");
    let made: Vec<_> = fs::read_dir(root.path()).expect("a folder").collect();
    assert_eq!(made.len(), 1);
}

#[test]
fn each_recipient_over_lmtp_has_its_own_answer() {
    let root = folder();
    for name in ["alice", "carol"] {
        fs::create_dir_all(root.path().join("example.com").join(name)).expect("a folder");
    }
    let gateway =
        before(root.path(), false).listener("local", json!({ "protocol": "lmtp" })).start();
    let mut client = Client::connect(gateway.address("local"));
    client.expect(220);
    client.talk(
        "C: LHLO client.example
         S: 250
         C: MAIL FROM:<a@example.org>
         S: 250
         C: RCPT TO:<alice@example.com>
         S: 250
         C: RCPT TO:<carol@example.com>
         S: 250
         C: DATA
         S: 354",
    );
    // Carol moves out meanwhile.
    fs::remove_dir_all(root.path().join("example.com/carol")).expect("it was there");
    client.talk(
        "C: Subject: x\\r\\n\\r\\nx\\r\\n.
         S: 250
         S: 550 5.1.1",
    );
    assert_eq!(letters(&root.path().join("example.com/alice")).len(), 1);
}

#[test]
fn quarantine_is_a_mailbox_of_its_own() {
    let root = folder();
    let upstreams = json!({
        "mailboxes": { "protocol": "maildir", "path": root.path().join("{address}"), "create": true },
        "quarantine": { "protocol": "maildir", "path": root.path().join("quarantine"), "create": true },
    });
    let settings = json!({ "quarantine": "quarantine", "scores": { "quarantine": 4 } });
    let gateway = Gateway::new()
        .listener("mx", settings)
        .set("upstreams", upstreams)
        .set("default_upstream", "mailboxes".into())
        .plugin(json!({
            "name": "carver", "file": plugin("test-carver"),
            "grants": ["rewrite-body", "rewrite-headers"], "settings": { "points": true },
        }))
        .start();
    let to = ["alice@example.com", "bob@example.com"];
    let mut client = gateway.client();
    assert_eq!(send(&mut client, &to, "X-Points: A 5\r\nSubject: bad\r\n\r\nx\r\n"), 250);
    assert_eq!(send(&mut client, &to, "X-Points: A 1\r\nSubject: good\r\n\r\nx\r\n"), 250);
    let quarantined = letters(&root.path().join("quarantine"));
    assert_eq!(quarantined.len(), 2, "{quarantined:?}");
    assert!(quarantined.iter().all(|letter| letter.contains("Subject: bad\n")));
    for address in to {
        let own = letters(&root.path().join(address));
        assert!(own.len() == 1 && own[0].contains("Subject: good\n"), "{own:?}");
        assert!(quarantined.iter().any(|one| one.contains(&format!("Delivered-To: {address}\n"))));
    }
}

/// A small disk of its own, as long as the test needs it.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Option<Self> {
        let [mount] = need(["mount"])?;
        fs::create_dir(at).expect("a folder");
        let done =
            run(Command::new(mount).args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(at));
        if !done.status.success() {
            eprintln!("SKIPPED: no disk can be mounted: {}", done.stderr);
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_keeps_what_it_has() {
    if !is_root() {
        eprintln!("SKIPPED: only root mounts disks");
        return;
    }
    let root = folder();
    let Some(disk) = Disk::mount(&root.path().join("disk")) else { return };
    let gateway = before(&disk.0, true).start();
    let mut client = gateway.client();
    let message = |n: usize| format!("Subject: {n}\r\n\r\n{}", "0123456789abcdef\r\n".repeat(2000));
    let mut taken = 0;
    let refused = loop {
        match send(&mut client, &["alice@example.com"], &message(taken)) {
            250 => taken += 1,
            code => break code,
        }
        assert!(taken < 100, "the disk is never full");
    };
    assert_eq!(refused, 452);
    let mailbox = disk.0.join("example.com/alice");
    assert!(taken > 0);
    assert_eq!(letters(&mailbox).len(), taken);
    assert_eq!(fs::read_dir(mailbox.join("tmp")).expect("a folder").count(), 0);
    fs::remove_dir_all(mailbox.join("new")).expect("it is ours");
    assert_eq!(send(&mut client, &["alice@example.com"], &message(0)), 250);
}

/// Sends until the gateway is gone; the subjects that were acknowledged.
fn send_until_killed(
    gateway: &Running,
    sender: usize,
    round: usize,
    known: &Mutex<BTreeSet<String>>,
) {
    let Ok(mut client) = std::panic::catch_unwind(|| gateway.client()) else { return };
    for n in 0.. {
        let subject = format!("{round}-{sender}-{n}");
        let message = format!("Subject: {subject}\r\n\r\n{}", "x\r\n".repeat(n % 7 * 1000));
        let to = format!("user{}@example.com", n % 3);
        match client.deliver("a@example.org", &[&to], message.as_bytes()) {
            Ok(reply) if reply.code == 250 => {
                known.lock().expect("nobody panics").insert(subject);
            }
            _ => return,
        }
    }
}

#[test]
fn killed_while_it_delivers_it_loses_nothing_that_it_acknowledged() {
    let root = folder();
    let known = Mutex::new(BTreeSet::new());
    for round in 0..5 {
        let mut gateway = before(root.path(), true).start();
        let begun = known.lock().expect("nobody panics").len();
        std::thread::scope(|threads| {
            let running = &gateway;
            let senders: Vec<_> = (0..4)
                .map(|sender| {
                    let known = &known;
                    threads.spawn(move || send_until_killed(running, sender, round, known))
                })
                .collect();
            portcullis_tests::wait_for("mail", || {
                let sent = known.lock().expect("nobody panics").len() - begun;
                (sent >= 20 + round * 7).then_some(())
            });
            gateway.process.signal("KILL");
            for sender in senders {
                let _ = sender.join();
            }
        });
        gateway.process.wait();
    }
    let subject = |letter: &String| {
        let line = letter.lines().find_map(|line| line.strip_prefix("Subject: "));
        line.map(str::to_owned)
    };
    let mut kept = BTreeSet::new();
    for user in 0..3 {
        let letters = letters(&root.path().join(format!("example.com/user{user}")));
        kept.extend(letters.iter().filter_map(subject));
    }
    let known = known.into_inner().expect("nobody panics");
    let lost: Vec<_> = known.difference(&kept).collect();
    assert!(lost.is_empty(), "lost of {}: {lost:?}", known.len());
}

#[test]
fn what_is_fsynced_is_fsynced_before_the_answer() {
    let Some([strace]) = need(["strace"]) else { return };
    let root = folder();
    let gateway = before(root.path(), true).start();
    assert_eq!(send(&mut gateway.client(), &["alice@example.com"], "Subject: x\r\n\r\nx\r\n"), 250);
    let trace = root.path().join("trace");
    let mut tracer = portcullis_tests::Process::start(
        Command::new(strace)
            .args(["-f", "-y", "-e", "trace=fsync,linkat,sendto,write,writev,sendmsg", "-o"])
            .arg(&trace)
            .args(["-p", &gateway.process.id().to_string()]),
    );
    portcullis_tests::wait_for("strace", || {
        let status = fs::read_to_string(format!("/proc/{}/status", gateway.process.id())).ok()?;
        (!status.contains("TracerPid:\t0\n")).then_some(()).or_else(|| tracer.ended().map(drop))
    });
    if tracer.ended().is_some() {
        eprintln!("SKIPPED: strace may not look at the gateway");
        return;
    }
    for _ in 0..20 {
        assert_eq!(
            send(&mut gateway.client(), &["alice@example.com"], "Subject: x\r\n\r\nx\r\n"),
            250
        );
    }
    tracer.signal("TERM");
    tracer.wait();
    check_order(&fs::read_to_string(&trace).expect("strace writes it"));
}

/// Each 250 of a delivery begins after the fsync of a file, its link and the fsync of the folder have
/// ended.
fn check_order(trace: &str) {
    let (mut file, mut linked, mut folder, mut answers) = (0, 0, 0, 0);
    let mut begun = BTreeMap::new();
    for line in trace.lines() {
        let (thread, call) = line.split_once(' ').expect("a thread and what it does");
        if call.contains("250 2.0.0 delivered") {
            answers += 1;
            assert!(folder >= answers, "a 250 before its fsync: {line}");
        }
        let call = match call.split_once("<unfinished") {
            Some((call, _)) => {
                begun.insert(thread, call);
                continue;
            }
            None if call.contains(" resumed>") => begun.remove(thread).unwrap_or_default(),
            None => call,
        };
        if call.trim_start().starts_with("linkat(") {
            linked += 1;
            assert!(file >= linked, "a link before its fsync: {line}");
        } else if call.trim_start().starts_with("fsync(") && call.contains("/new>") {
            folder += 1;
            assert!(linked >= folder, "a folder before its link: {line}");
        } else if call.trim_start().starts_with("fsync(") && call.contains("/alice/tmp/") {
            file += 1;
        }
    }
    assert_eq!((file, linked, folder, answers), (20, 20, 20, 20), "{trace}");
}

#[test]
fn a_map_that_has_changed_sends_mail_elsewhere_and_a_broken_one_does_not() {
    let root = folder();
    let map = root.path().join("map");
    fs::write(&map, "example.com one\n").expect("a file");
    let maildir = |name: &str| json!({ "protocol": "maildir", "path": root.path().join(name), "create": true });
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .set("upstreams", json!({ "one": maildir("one"), "two": maildir("two") }))
        .set("routes", json!([{ "map": map }]))
        .start();
    let counted = |result: &'static str| [("map", map.to_str().expect("text")), ("result", result)];
    let reloads = "portcullis_route_map_reloads_total";
    let mut client = gateway.client();
    assert_eq!(send(&mut client, &["x@example.com"], "Subject: x\r\n\r\n"), 250);
    assert_eq!(send(&mut client, &["x@example.net"], "Subject: x\r\n\r\n"), 550);
    // One that began before ends as it began.
    let mut early = gateway.client();
    early.command("MAIL FROM:<>").expect_code(250);
    fs::write(&map, "example.com two\nexample.net two\n").expect("a file");
    gateway.wait_for_metric(reloads, &counted("ok"), 1.0);
    early.command("RCPT TO:<x@example.net>").expect_code(550);
    let mut client = gateway.client();
    for to in ["x@example.com", "x@example.net"] {
        assert_eq!(send(&mut client, &[to], "Subject: x\r\n\r\n"), 250);
    }
    fs::write(&map, "example.com three\n").expect("a file");
    gateway.wait_for_metric(reloads, &counted("failed"), 1.0);
    gateway.log.wait_for("the mistake", |record| {
        record.field("message").contains("no upstream \"three\"")
    });
    assert_eq!(send(&mut gateway.client(), &["x@example.net"], "Subject: x\r\n\r\n"), 250);
    let count = |name: &str| letters(&root.path().join(name)).len();
    assert_eq!((count("one"), count("two")), (1, 3));
}

#[test]
fn explain_says_where_mail_goes_and_why() {
    let root = folder();
    let gateway = before(root.path(), true)
        .set("routes", json!([{ "senders": ["<>"], "upstream": "mailboxes" }]))
        .start();
    let explain = |arguments: &[&str]| {
        let program = portcullis_tests::gateway::program();
        let mut command = Command::new(program);
        command.arg("explain").arg("--config").arg(gateway.configuration()).args(arguments);
        run(&mut command)
    };
    let said = explain(&["--to", "Bob+x@example.com", "--format", "json"]).expect_success();
    let said: Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(said["recipients"][0]["decision"]["number"], 1);
    let folder = root.path().join("example.com/bob");
    assert_eq!(said["recipients"][0]["upstream"]["address"], folder.to_str().expect("text"));
    let said = explain(&["--to", "bob@example.com", "--from", "a@example.org"]).expect_success();
    assert!(said.stdout.contains("\"default_upstream\"\n"), "{}", said.stdout);
    let wrong = explain(&["--to", "bob@example.com", "--listener", "mxx"]);
    assert_eq!(wrong.status.code(), Some(2), "{}", wrong.stderr);
    assert_eq!(explain(&["--to", "nobody"]).status.code(), Some(2));
}
