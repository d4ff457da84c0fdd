//! What speaks as a Redis and is none: it acknowledges what it does not keep, answers something else,
//! or late.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// How it lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    /// Everything is written, and nothing is there.
    Forgets,
    /// Whatever is asked for is there, and is nonsense.
    Garbage,
    /// Counters have more than anybody can have counted.
    Inflates,
    /// There are fewer answers than questions.
    Skips,
    /// Answers of another kind.
    Errs,
    /// No answer in time.
    Sleeps,
    /// Each answer comes shortly before it is too late.
    Dawdles,
}

/// Starts one, for as long as the test runs. It counts what it is asked.
pub(super) fn start(lie: Lie) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let count = count.clone();
            thread::spawn(move || serve(connection, lie, &count));
        }
    });
    (address, asked)
}

fn serve(mut connection: TcpStream, lie: Lie, asked: &AtomicUsize) -> io::Result<()> {
    let mut input = BufReader::new(connection.try_clone()?);
    while let Some(words) = command(&mut input)? {
        let answer = match &*words[0].to_ascii_uppercase() {
            "PING" => "+PONG\r\n".to_owned(),
            "EVALSHA" | "EVAL" => {
                asked.fetch_add(1, Ordering::SeqCst);
                script(&words, lie)
            }
            _ => "+OK\r\n".to_owned(),
        };
        connection.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// What the gateway's scripts would answer: they are told apart by their arguments.
fn script(words: &[String], lie: Lie) -> String {
    let keys: usize = words[2].parse().unwrap_or_default();
    let arguments = words.len() - 3 - keys;
    let entry = |value: &str| format!("*2\r\n${}\r\n{value}\r\n$1\r\n7\r\n", value.len());
    let list = |count: usize, entry: &str| format!("*{count}\r\n{}", entry.repeat(count));
    let nothing = "*2\r\n$-1\r\n$-1\r\n";
    match lie {
        Lie::Sleeps => thread::sleep(Duration::from_secs(60)),
        Lie::Dawdles => thread::sleep(Duration::from_millis(150)),
        _ => {}
    }
    match (lie, arguments) {
        (Lie::Errs, _) => "-ERR out of order\r\n".to_owned(),
        (Lie::Skips, 0) => list(keys.saturating_sub(1), nothing),
        (Lie::Garbage, 0) => list(keys, &entry("w99999999999 or so")),
        (Lie::Inflates, 0) => list(keys, &entry("9223372036854775807")),
        (_, 0) => list(keys, nothing),
        // `add`
        (Lie::Inflates, 2) => "$19\r\n9223372036854775807\r\n".to_owned(),
        (Lie::Garbage, 2) => "$4\r\nmany\r\n".to_owned(),
        (_, 2) => "$1\r\n1\r\n".to_owned(),
        // `put`
        (Lie::Garbage, _) => "$8\r\nwhatever\r\n".to_owned(),
        _ => "$1\r\n7\r\n".to_owned(),
    }
}

/// One command, as an array of strings.
fn command(input: &mut impl BufRead) -> io::Result<Option<Vec<String>>> {
    let Some(count) = length(input)? else { return Ok(None) };
    let mut words = Vec::new();
    for _ in 0..count {
        let octets = length(input)?.unwrap_or_default();
        let mut word = vec![0; octets + 2];
        input.read_exact(&mut word)?;
        word.truncate(octets);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Ok(Some(words).filter(|words| !words.is_empty()))
}

/// The number behind `*` or `$`.
fn length(input: &mut impl BufRead) -> io::Result<Option<usize>> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.get(1..).and_then(|digits| digits.trim().parse().ok()))
}
