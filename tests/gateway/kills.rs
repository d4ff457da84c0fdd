//! The process is killed, again and again, under load: whatever was acknowledged is at the upstream or
//! in the spool, and what arrives twice was in flight.
//!
//! `PORTCULLIS_KILLS=300` kills more often than a usual run does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use portcullis_tests::gateway::Running;
use portcullis_tests::sink::Manners;
use portcullis_tests::{Client, Gateway, Seed, Sink, wait_for};
use serde_json::json;

#[test]
fn whatever_was_acknowledged_before_a_kill_is_at_the_upstream() {
    let sink = Sink::with(Manners { delay: DELAY, ..Manners::default() });
    let (sent, _gateway) = kill_under_load(Gateway::before(&sink));
    let copies = copies(&sink);
    sent.has_all(&copies);
    let twice = duplicates(&copies);
    for (number, copies) in &copies {
        let allowed = 1 + sent.unanswered.get(number).copied().unwrap_or_default();
        assert!(*copies <= allowed, "{number} arrived {copies} times, {allowed} could be");
    }
    sent.tell("relay", &copies, twice);
}

#[test]
fn whatever_was_acknowledged_before_a_kill_is_in_the_spool_or_at_the_upstream() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let spool = folder.path().join("spool");
    let sink = Sink::with(Manners { delay: DELAY, ..Manners::default() });
    let (sent, gateway) = kill_under_load(
        Gateway::new()
            .listener("mx", json!({ "delivery": "spool" }))
            .upstream("store", "smtp", &sink.address().to_string())
            .set(
                "spool",
                json!({
                    "directory": spool,
                    "free": "1MiB",
                    "concurrency": CONCURRENCY,
                    "retry": { "first": "1s", "longest": "1s" },
                }),
            ),
    );
    wait_for("an empty spool", || is_empty(&spool.join("messages")).then_some(()));
    let copies = copies(&sink);
    sent.has_all(&copies);
    let twice = duplicates(&copies);
    // Accepted, and the client not told; or taken by the upstream, and the gateway not told.
    let allowed = sent.unanswered.values().sum::<usize>() + sent.kills * CONCURRENCY;
    assert!(twice <= allowed, "{twice} came twice, {allowed} could");
    assert!(is_empty(&spool.join("torn")), "something was torn");
    sent.tell("spool", &copies, twice);
    drop(gateway);
}

/// Whether there is no file in a folder, however deep.
fn is_empty(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().all(|entry| {
        // What was there a moment ago may have been delivered since.
        let path = entry.path();
        !path.exists() || path.is_dir() && is_empty(&path)
    })
}

/// What the clients know in the end.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    kills: usize,
    pub(crate) acknowledged: BTreeSet<usize>,
    /// How often the connection was lost between the final dot and the answer to it.
    pub(crate) unanswered: BTreeMap<usize, usize>,
}

impl Sent {
    #[track_caller]
    pub(crate) fn has_all(&self, copies: &BTreeMap<usize, usize>) {
        let lost: Vec<_> =
            self.acknowledged.iter().filter(|number| !copies.contains_key(number)).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        assert!(self.acknowledged.len() >= self.kills, "{} is no load", self.acknowledged.len());
    }

    fn tell(&self, mode: &str, copies: &BTreeMap<usize, usize>, twice: usize) {
        eprintln!(
            "{mode}: {} kills, {} messages acknowledged, {} arrived, {} connections lost behind the \
             final dot, {twice} duplicates, none lost",
            self.kills,
            self.acknowledged.len(),
            copies.len(),
            self.unanswered.values().sum::<usize>(),
        );
    }
}

/// How often each message has arrived.
pub(crate) fn copies(sink: &Sink) -> BTreeMap<usize, usize> {
    let mut copies = BTreeMap::new();
    for letter in sink.letters() {
        let text = letter.text();
        let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
        let number = subject.and_then(|number| number.parse().ok());
        *copies.entry(number.expect("a message of this test")).or_default() += 1;
    }
    copies
}

fn duplicates(copies: &BTreeMap<usize, usize>) -> usize {
    copies.values().map(|copies| copies - 1).sum()
}

/// Kills a gateway again and again while clients send. At the end it runs.
fn kill_under_load(gateway: Gateway) -> (Sent, Running) {
    let mut gateway = gateway.start();
    let address = gateway.address("mx");
    let kills =
        std::env::var("PORTCULLIS_KILLS").map_or(KILLS, |text| text.parse().expect("a number"));
    let mut seed = Seed::new();
    let load = Load::default();
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let load = &load;
            scope.spawn(move || load.send(address, sender));
        }
        for _ in 0..kills {
            let before = load.answers.load(Ordering::SeqCst);
            // Some are killed while they start.
            if seed.below(5) > 0 {
                gateway.wait_until_ready();
                wait_for("mail that flows", || {
                    (load.answers.load(Ordering::SeqCst) > before).then_some(())
                });
            }
            thread::sleep(seed.time_below(LATEST));
            gateway.process.kill();
            gateway.start_again();
        }
        gateway.wait_until_ready();
        load.ended.store(true, Ordering::SeqCst);
    });
    let sent = load.sent.into_inner().unwrap_or_else(PoisonError::into_inner);
    (Sent { kills, ..sent }, gateway)
}

/// Clients that go on whatever happens, as senders do: what was not acknowledged is sent again.
#[derive(Debug, Default)]
pub(crate) struct Load {
    pub(crate) sent: Mutex<Sent>,
    pub(crate) answers: AtomicUsize,
    pub(crate) ended: AtomicBool,
}

impl Load {
    pub(crate) fn send(&self, address: SocketAddr, sender: usize) {
        let mut numbers = (sender..).step_by(SENDERS);
        let mut number = numbers.next().expect("there are enough numbers");
        while !self.ended.load(Ordering::SeqCst) {
            if let Ok(mut client) = Client::try_ehlo(address) {
                while self.attempt(&mut client, number).is_ok() {
                    number = numbers.next().expect("there are enough numbers");
                    if self.ended.load(Ordering::SeqCst) {
                        return;
                    }
                }
            }
            // It was killed just now, or starts.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a message until it is acknowledged or the connection lost.
    fn attempt(&self, client: &mut Client, number: usize) -> io::Result<()> {
        let message = format!("Subject: {number}\r\n\r\n{}\r\n", "x".repeat(5000));
        loop {
            let mut ended = false;
            let reply =
                client.deliver_and("a@example.org", &["b@example.com"], message.as_bytes(), || {
                    ended = true;
                });
            self.answers.fetch_add(1, Ordering::SeqCst);
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            match reply {
                Ok(reply) if reply.code == 250 => {
                    sent.acknowledged.insert(number);
                    return Ok(());
                }
                Ok(reply) => assert_eq!(reply.code / 100, 4, "{reply}"),
                Err(error) => {
                    *sent.unanswered.entry(number).or_default() += usize::from(ended);
                    return Err(error);
                }
            }
        }
    }
}

/// In a usual run.
const KILLS: usize = 15;

/// Clients at once.
pub(crate) const SENDERS: usize = 8;

/// Messages that the spool delivers at once.
const CONCURRENCY: usize = 4;

/// How long the sink thinks about a message, so that there is always something in flight.
const DELAY: Duration = Duration::from_millis(5);

/// How long after the first answer the kill comes, at most.
const LATEST: Duration = Duration::from_millis(200);
