//! What the gateway has said yes to is on the disk, and a disk that fails makes no yes.

mod disk;
mod trace;

use std::path::Path;
use std::thread;

use portcullis_tests::gateway::Running;
use portcullis_tests::peers::need;
use portcullis_tests::{Client, Gateway, Sink, wait_for};
use serde_json::json;

use disk::Disk;

/// A gateway that accepts on the disk, below this folder, and delivers to this address.
fn spooling(folder: &Path, address: &str) -> Gateway {
    Gateway::new()
        .listener("mx", json!({ "delivery": "spool" }))
        .upstream("store", "smtp", address)
        .set("log", json!({ "format": "json", "level": "error" }))
        .set(
            "spool",
            json!({
                "directory": folder.join("spool"),
                "free": "1MiB",
                "retry": { "first": "1s", "longest": "1s" },
            }),
        )
}

#[test]
fn message_and_name_are_on_the_disk_before_the_client_is_told() {
    let Some([strace]) = need(["strace"]) else { return };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let trace = folder.path().join("trace");
    let sink = Sink::smtp();
    let mut gateway = spooling(folder.path(), &sink.address().to_string())
        .under(&trace::command(&strace.to_string_lossy(), &trace.to_string_lossy()))
        .start();
    let address = gateway.address("mx");
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::ehlo(address);
                let message = format!("Subject: t\r\n\r\n{}\r\n", "x".repeat(2000));
                (0..TRANSACTIONS / SENDERS)
                    .map(|_| accepted(&mut client, message.as_bytes()))
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let ids: Vec<_> =
        senders.into_iter().flat_map(|sender| sender.join().expect("it has sent")).collect();
    assert_eq!(ids.len(), TRANSACTIONS);
    assert!(gateway.terminate().success());
    let trace = wait_for("the trace of all", || {
        let trace = trace::Trace::read(&trace)?;
        ids.iter().all(|id| trace.has_told(id)).then_some(trace)
    });
    let wrong: Vec<_> = ids.iter().filter_map(|id| trace.complaint(id)).collect();
    assert!(wrong.is_empty(), "{} of {TRANSACTIONS}: {}", wrong.len(), wrong.join("\n"));
    eprintln!("{} transactions: file, name and directory on the disk before the 250", ids.len());
}

/// Sends a message; the name under which it is accepted.
#[track_caller]
fn accepted(client: &mut Client, message: &[u8]) -> String {
    let reply = client.deliver("a@example.org", &["b@example.com"], message).expect("a reply");
    let reply = reply.expect_code(250).text();
    let (_, id) = reply.split_once("queued as ").unwrap_or_else(|| panic!("no name in {reply}"));
    id.split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn no_write_that_fails_makes_a_yes() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let Some(disk) = Disk::new(folder.path()) else { return };
    let sink = Sink::smtp();
    let gateway = disk.below(spooling(folder.path(), &sink.address().to_string())).start();
    let mut mail = Mail::new(&gateway);
    mail.send().expect_yes();
    for kind in ["create", "write", "sync", "rename", "mkdir"] {
        for (error, code) in [(ENOSPC, 452), (EDQUOT, 452), (EIO, 451)] {
            for call in 1.. {
                // The last one has to leave the disk alone before the calls of the next are counted.
                mail.settle(&sink);
                disk.fail(kind, call..=call, error);
                let sent = mail.send();
                if disk.failures() == 0 {
                    sent.expect_yes();
                    assert!(call > 1 || kind == "mkdir", "nothing asks the disk to {kind}");
                    break;
                }
                sent.expect_no(code, kind);
                assert!(call < MANY, "{kind} without end");
                disk.mend();
            }
        }
    }
    for kind in ["create", "write", "sync", "rename"] {
        disk.fail(kind, 1..=usize::MAX >> 1, ENOSPC);
        for _ in 0..3 {
            mail.send().expect_no(452, kind);
        }
        disk.mend();
        mail.send().expect_yes();
    }
    mail.settle(&sink);
    assert_eq!(gateway.metrics().sum("portcullis_transactions_in_flight", &[]), 0.0);
}

#[test]
fn a_disk_that_fails_while_mail_waits_loses_none_of_it() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let Some(disk) = Disk::new(folder.path()) else { return };
    let upstream = portcullis_tests::free_address();
    let gateway = disk.below(spooling(folder.path(), &upstream.to_string())).start();
    let mut mail = Mail::new(&gateway);
    for kind in ["create", "write", "sync", "rename", "unlink"] {
        for error in [ENOSPC, EIO] {
            // What came of the attempts cannot be written.
            mail.send().expect_yes();
            disk.fail(kind, 1..=usize::MAX >> 1, error);
            thread::sleep(std::time::Duration::from_millis(1200));
            disk.mend();
        }
    }
    let sink = Sink::at(upstream, portcullis_tests::sink::Manners::default());
    mail.arrives(&sink);
}

/// Numbered messages over one connection, and what was said to them.
struct Mail {
    client: Client,
    next: usize,
    accepted: Vec<usize>,
}

/// What was said to one of them.
struct Said<'a> {
    mail: &'a mut Mail,
    number: usize,
    reply: portcullis_tests::Reply,
}

impl Mail {
    fn new(gateway: &Running) -> Self {
        Self { client: gateway.client(), next: 0, accepted: Vec::new() }
    }

    fn send(&mut self) -> Said<'_> {
        self.next += 1;
        let number = self.next;
        // Larger than what is written at once.
        let line = format!("{}\r\n", "x".repeat(998));
        let message = format!("Subject: {number}\r\n\r\n{}", line.repeat(300));
        let reply = self.client.deliver("a@example.org", &["b@example.com"], message.as_bytes());
        let reply = reply.expect("the gateway goes on");
        Said { mail: self, number, reply }
    }

    /// Waits until all that was accepted is there; once, and nothing else.
    #[track_caller]
    fn settle(&self, sink: &Sink) {
        let mut arrived = self.arrives(sink);
        arrived.sort_unstable();
        assert_eq!(arrived, self.accepted, "each once, and none that was refused");
    }

    /// Waits until all that was accepted is there; all that is there.
    #[track_caller]
    fn arrives(&self, sink: &Sink) -> Vec<usize> {
        wait_for("all that was accepted", || {
            let subject = |text: &str| {
                text.lines().find_map(|line| line.strip_prefix("Subject: ")?.parse().ok())
            };
            let arrived: Vec<usize> =
                sink.letters().iter().filter_map(|letter| subject(&letter.text())).collect();
            self.accepted.iter().all(|number| arrived.contains(number)).then_some(arrived)
        })
    }
}

impl Said<'_> {
    #[track_caller]
    fn expect_yes(self) {
        assert_eq!(self.reply.code, 250, "{}", self.reply);
        self.mail.accepted.push(self.number);
    }

    #[track_caller]
    fn expect_no(self, code: u16, kind: &str) {
        assert_eq!(self.reply.code, code, "{} though the disk fails to {kind}", self.reply);
        self.mail.client.command("RSET").expect_code(250);
    }
}

/// At once.
const SENDERS: usize = 8;

const TRANSACTIONS: usize = 1000;

/// More calls of one kind than a message makes.
const MANY: usize = 50;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;
