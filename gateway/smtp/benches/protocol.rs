//! What the protocol costs: `cargo bench -p portcullis-smtp [-- part-of-a-name]`.
//!
//! Without a framework, so that tests need not build one. The number is the median of many samples,
//! which is enough to see whether a change costs ten per cent.

use std::env;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_smtp::command::{Command, Dialect};
use portcullis_smtp::server::{Channel, Limits, Session, Settings, Step, Verdict};
use portcullis_smtp::{Extension, Reply};

fn main() {
    let wanted = env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let bench = Bench { wanted };
    commands(&bench);
    replies(&bench);
    conversations(&bench);
    content(&bench);
    chunks(&bench);
    println!("{:<40} {:>9} octets", "session/size", size_of::<Session>());
}

fn commands(bench: &Bench) {
    for (name, line) in [
        ("command/ehlo", "EHLO client.example.org"),
        ("command/mail", "MAIL FROM:<alice.liddell@example.org> BODY=8BITMIME SIZE=12345"),
        ("command/rcpt", "RCPT TO:<bob@example.com>"),
        ("command/rcpt-quoted", "RCPT TO:<\"bob \\\" the builder\"@example.com>"),
        ("command/unknown", "XYZZY nothing happens"),
    ] {
        let parse = || Command::parse(black_box(line.as_bytes()), Dialect::default());
        bench.run(name, line.len(), || {
            let _ = black_box(parse());
        });
    }
}

fn replies(bench: &Bench) {
    let reply = Reply::fixed(250, (2, 1, 5), "ok");
    let mut out = Vec::new();
    bench.run("reply/short", 0, || {
        out.clear();
        black_box(&reply).encode(&mut out);
    });
}

fn conversations(bench: &Bench) {
    let message = lines(76, 4096);
    let envelope = b"EHLO client.example\r\nMAIL FROM:<alice@example.org> SIZE=4096\r\n\
        RCPT TO:<bob@example.com>\r\nDATA\r\n";
    let text = [&message, &b".\r\nQUIT\r\n"[..]].concat();
    bench.run("session/4-KiB-message-pipelined", message.len(), || {
        consume(converse(&[envelope, &text]));
    });
    let commands: Vec<&[u8]> = envelope.split_inclusive(|&octet| octet == b'\n').collect();
    let pieces = [&commands[..], &[&text]].concat();
    bench.run("session/4-KiB-message-one-by-one", message.len(), || {
        consume(converse(&pieces));
    });
    bench.run("session/connect-and-quit", 0, || consume(converse(&[b"QUIT\r\n"])));
    let noops = b"NOOP\r\n".repeat(100);
    bench.run("session/100-noops", noops.len(), || consume(converse(&[&noops])));
}

fn content(bench: &Bench) {
    const MEBIBYTE: usize = 1 << 20;
    let begin = b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\n";
    for (name, text) in [
        ("content/lines-of-76", lines(76, MEBIBYTE)),
        ("content/lines-of-998", lines(998, MEBIBYTE)),
        ("content/one-line", lines(MEBIBYTE, MEBIBYTE)),
        ("content/lines-of-1", lines(1, MEBIBYTE)),
        ("content/empty-lines", b"\r\n".repeat(MEBIBYTE / 2)),
        ("content/stuffed-dots", b"..\r\n".repeat(MEBIBYTE / 4)),
        ("content/bare-newlines", b"\n".repeat(MEBIBYTE)),
        ("content/header-only", b"Received\r\n".repeat(MEBIBYTE / 10)),
    ] {
        let mut pieces: Vec<&[u8]> = vec![begin];
        pieces.extend(text.chunks(64 * 1024));
        pieces.push(b".\r\n");
        bench.run(name, text.len(), || consume(converse(&pieces)));
    }
}

fn chunks(bench: &Bench) {
    let text = lines(76, 1 << 20);
    let last = format!("BDAT {} LAST\r\n", text.len());
    for (name, body) in [("chunks/lines-of-76", "8BITMIME"), ("chunks/binary", "BINARYMIME")] {
        let begin =
            format!("EHLO a\r\nMAIL FROM:<> BODY={body}\r\nRCPT TO:<b@b.example>\r\n{last}");
        let mut pieces = vec![begin.as_bytes()];
        pieces.extend(text.chunks(64 * 1024));
        bench.run(name, text.len(), || consume(converse(&pieces)));
    }
    let many = b"BDAT 6\r\nabcd\r\n".repeat(1000);
    let begin = b"EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\n";
    bench.run("chunks/1000-of-6-octets", 0, || consume(converse(&[begin, &many])));
}

/// A header and lines of so many octets.
fn lines(length: usize, octets: usize) -> Vec<u8> {
    let line = [&b"x".repeat(length)[..], b"\r\n"].concat();
    let mut text =
        b"Received: from a by b\r\nFrom: alice@example.org\r\nSubject: t\r\n\r\n".to_vec();
    while text.len() < octets {
        text.extend_from_slice(&line);
    }
    text
}

/// Plays the pieces to a session that is refused nothing; gives what it said.
fn converse(pieces: &[&[u8]]) -> usize {
    let mut session = Session::new(Arc::clone(&SETTINGS), Channel::default());
    let mut octets = 0;
    for piece in [&[][..]].iter().chain(pieces) {
        session.receive(piece);
        loop {
            match session.poll() {
                Step::Ask(_) => session.decide(Verdict::Accept),
                Step::Content(content) => octets += content.len(),
                Step::Aborted | Step::Refused(_) => {}
                Step::Read | Step::StartTls | Step::Close => break,
                // AUTH is not offered.
                Step::Disproved { .. } | Step::Nonce | Step::Verifier { .. } => break,
            }
        }
        octets += session.take_output().len() + session.take_events().len();
    }
    octets
}

fn consume(octets: usize) {
    let _ = black_box(octets);
}

static SETTINGS: std::sync::LazyLock<Arc<Settings>> = std::sync::LazyLock::new(|| {
    Arc::new(Settings {
        limits: Limits { message_octets: 1 << 30, ..Limits::default() },
        offers: [Extension::BinaryMime, Extension::Chunking].into_iter().collect(),
        ..Settings::new("mx.example")
    })
});

struct Bench {
    wanted: Option<String>,
}

impl Bench {
    /// Prints the time of one call, and the rate if a call deals with so many octets.
    fn run(&self, name: &str, octets: usize, mut call: impl FnMut()) {
        if self.wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            return;
        }
        let mut calls = 1_u32;
        while time(calls, &mut call) < SAMPLE {
            calls *= 2;
        }
        let mut samples: Vec<Duration> = (0..SAMPLES).map(|_| time(calls, &mut call)).collect();
        samples.sort_unstable();
        let seconds = samples[SAMPLES / 2].as_secs_f64() / f64::from(calls);
        let rate = if octets > 0 {
            format!("{:>9.0} MB/s", octets as f64 / seconds / 1e6)
        } else {
            String::new()
        };
        println!("{name:<40} {:>9.0} ns {rate}", seconds * 1e9);
    }
}

fn time(calls: u32, call: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    (0..calls).for_each(|_| call());
    start.elapsed()
}

/// Long enough for the clock not to matter, short enough for a coffee-less wait.
const SAMPLE: Duration = Duration::from_millis(10);
const SAMPLES: usize = 31;
