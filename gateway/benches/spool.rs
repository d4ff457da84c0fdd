//! How many messages a second come to be on the disk, by how many are stored at once.
//!
//! `cargo bench -p portcullis --bench spool [DIRECTORY]`: the directory says which disk; by default
//! that of temporary files.

#![expect(clippy::unwrap_used, reason = "nobody depends on it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portcullis::config;
use portcullis::message::{Content, HeaderSection, Message, Outbound, Provenance};
use portcullis::metrics::{Metrics, Names};
use portcullis::spool::{Addressee, Entry, Id, Spool, State};
use portcullis_smtp::{Mailbox, ReversePath};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let place = place.map_or_else(std::env::temp_dir, Into::into);
    let directory = tempfile::tempdir_in(place).unwrap();
    let mut config = config::Spool::in_directory(directory.path().join("spool"));
    config.free_octets = 0;
    let (spool, _) = Spool::open(&config, Metrics::new(&Names::default()).spool()).unwrap();
    println!("{:>10}{:>10}{:>14}{:>14}", "octets", "at once", "stored/s", "median");
    for octets in [4 << 10, 100 << 10] {
        for at_once in [1, 8, 64] {
            row(&spool, octets, at_once).await;
        }
    }
    for count in [1000, 20_000] {
        fill(&spool, count).await;
    }
    drop(spool);
    let began = Instant::now();
    let (_spool, waiting) = Spool::open(&config, Metrics::new(&Names::default()).spool()).unwrap();
    println!("{} messages found again in {:.2?}", waiting.len(), began.elapsed());
}

/// Messages that nobody delivers.
async fn fill(spool: &Arc<Spool>, count: usize) {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..64 {
        let spool = spool.clone();
        clients.spawn(async move {
            let message = message(4 << 10);
            for _ in 0..count / 64 {
                spool.store(entry(), &message).await.unwrap().claim();
            }
        });
    }
    clients.join_all().await;
    println!(
        "{count} messages of 4 KiB that stay: {:.0}/s",
        count as f64 / began.elapsed().as_secs_f64()
    );
}

/// A line of the table. What is stored is removed at once, as if it were delivered.
async fn row(spool: &Arc<Spool>, octets: usize, at_once: usize) {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..at_once {
        let spool = spool.clone();
        clients.spawn(async move {
            let message = message(octets);
            let mut took = Vec::new();
            while began.elapsed() < LONG_ENOUGH {
                let one = Instant::now();
                let stored = spool.store(entry(), &message).await.unwrap();
                took.push(one.elapsed());
                stored.claim();
                spool.remove(stored.id()).await.unwrap();
            }
            took
        });
    }
    let mut took = clients.join_all().await.concat();
    let rate = took.len() as f64 / began.elapsed().as_secs_f64();
    took.sort_unstable();
    let median = took[took.len() / 2].as_secs_f64() * 1000.0;
    println!("{octets:>10}{at_once:>10}{rate:>14.0}{median:>11.2} ms");
}

fn entry() -> Entry {
    let accepted = Timestamp::now();
    let mailbox = |text| Mailbox::parse(text).unwrap();
    Entry {
        id: Id::fresh(),
        accepted,
        provenance: Provenance::default(),
        reverse_path: ReversePath::Mailbox(mailbox("sender@example.org")),
        parameters: Vec::new(),
        octets: 0,
        held: false,
        pinned: false,
        recipients: vec![Addressee {
            address: mailbox("recipient@example.com"),
            parameters: Vec::new(),
            upstream: "store".to_owned(),
            state: State::new(accepted),
        }],
    }
}

fn message(octets: usize) -> Outbound {
    let header = HeaderSection::parse(b"Subject: on the disk\r\n\r\n".to_vec());
    let body = Content::from_bytes(b"0123456789abcdef0123456789abcd\r\n".repeat(octets / 32));
    let prefix = b"Received: from a by b\r\n".to_vec();
    Outbound { prefix, message: Message::new(Arc::new(header), body) }
}

const LONG_ENOUGH: Duration = Duration::from_secs(3);
