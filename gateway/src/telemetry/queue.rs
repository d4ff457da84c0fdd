//! Lines on their way out. Whoever logs never waits: a thread of its own writes, what waits for it is
//! bounded, and what has no room is dropped and counted.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::Level;

use super::output::Output;

/// The lines that wait. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to write.
    filled: Condvar,
    /// There is nothing left to write.
    emptied: Condvar,
    counts: [AtomicU64; LEVELS.len()],
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    batches: VecDeque<Batch>,
    /// Octets of all of them, and of what is being written.
    octets: usize,
    bound: usize,
    /// Whether something is being written.
    writing: bool,
    /// Lines dropped that nobody was told of.
    untold: u64,
}

/// Lines for one output, in one piece.
#[derive(Debug)]
struct Batch {
    output: Arc<Output>,
    octets: Vec<u8>,
    /// Where each line ends.
    ends: Vec<usize>,
}

/// What became of lines, since the start.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LogCounts {
    /// How many there were, by level: those that were dropped, too.
    pub records: [(&'static str, u64); LEVELS.len()],
    /// How many were dropped.
    pub dropped: u64,
}

impl Queue {
    /// A queue of at most so many octets, and the thread that writes what is in it.
    pub(super) fn start(bound: usize) -> io::Result<Self> {
        let queue = Self::idle(bound);
        let writer = queue.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_for_ever())?;
        Ok(queue)
    }

    fn idle(bound: usize) -> Self {
        let waiting =
            Waiting { batches: VecDeque::new(), octets: 0, bound, writing: false, untold: 0 };
        Self(Arc::new(Shared {
            waiting: Mutex::new(waiting),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            counts: Default::default(),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Another bound.
    pub(super) fn resize(&self, bound: usize) {
        self.waiting().bound = bound;
    }

    /// Puts a line in, or drops it if there is no room.
    pub(super) fn push(&self, output: &Arc<Output>, level: Level, line: &[u8]) {
        self.0.counts[place(level)].fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting();
        if waiting.octets + line.len() > waiting.room(level) {
            waiting.untold += 1;
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.octets += line.len();
        match waiting.batches.back_mut() {
            Some(last) if last.octets.len() < BATCH && Arc::ptr_eq(&last.output, output) => {
                last.octets.extend_from_slice(line);
                last.ends.push(last.octets.len());
            }
            _ => waiting.batches.push_back(Batch {
                output: output.clone(),
                octets: line.to_vec(),
                ends: vec![line.len()],
            }),
        }
        if !waiting.writing {
            self.0.filled.notify_one();
        }
    }

    /// Waits until all is written, but no longer than this. Whether it is.
    pub(super) fn flush(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut waiting = self.waiting();
        while waiting.octets > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.0.emptied.wait_timeout(waiting, left);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(super) fn counts(&self) -> LogCounts {
        let count = |at: usize| (LEVELS[at], self.0.counts[at].load(Ordering::Relaxed));
        LogCounts {
            records: std::array::from_fn(count),
            dropped: self.0.dropped.load(Ordering::Relaxed),
        }
    }

    fn write_for_ever(&self) {
        loop {
            self.write_next();
        }
    }

    fn write_next(&self) {
        let batch = self.next();
        let lost = batch.output.write(&batch.octets, &batch.ends);
        self.0.dropped.fetch_add(lost, Ordering::Relaxed);
        let told = {
            let mut waiting = self.waiting();
            waiting.octets -= batch.octets.len();
            waiting.untold += lost;
            // Told when there is room again, so that it is one line and not many.
            let again = waiting.octets <= waiting.bound / 2 && lost == 0;
            if again { std::mem::take(&mut waiting.untold) } else { 0 }
        };
        if told > 0 {
            let line = batch.output.dropped(told);
            let unwritten = batch.output.write(&line, &[line.len()]);
            if unwritten > 0 {
                self.waiting().untold += told;
            }
        }
        if self.waiting().octets == 0 {
            self.0.emptied.notify_all();
            // Who logs meanwhile wakes nobody, and what comes then is written at once.
            thread::sleep(PAUSE);
        }
        self.waiting().writing = false;
    }

    fn next(&self) -> Batch {
        let mut waiting = self.waiting();
        loop {
            if let Some(batch) = waiting.batches.pop_front() {
                waiting.writing = true;
                return batch;
            }
            waiting = self.0.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// What is grave has a part of the room to itself: it is what is looked for afterwards.
    fn room(&self, level: Level) -> usize {
        match level {
            Level::ERROR | Level::WARN => self.bound,
            _ => self.bound - self.bound / 8,
        }
    }
}

fn place(level: Level) -> usize {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}

/// The values of the metrics' `level` label.
pub(super) const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// How long the writer rests where there is nothing to write: on a busy gateway each line would wake it.
const PAUSE: Duration = Duration::from_millis(2);

/// Octets that are written at once: few calls where there is much, and room comes back soon.
const BATCH: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// An output that somebody reads at the other end.
    fn output() -> (Arc<Output>, UnixStream) {
        let (here, there) = UnixStream::pair().expect("two sockets");
        (Arc::new(Output::stream(here)), there)
    }

    fn wait_until(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < deadline, "it takes too long");
            thread::yield_now();
        }
    }

    #[test]
    fn what_is_put_in_comes_out_in_order() {
        let (output, mut reader) = output();
        let queue = Queue::start(1 << 20).expect("a thread");
        for n in 0..1000 {
            queue.push(&output, Level::INFO, format!("line {n}\n").as_bytes());
        }
        assert!(queue.flush(Duration::from_secs(10)));
        drop(queue);
        let mut text = vec![0; (0..1000).map(|n| format!("line {n}\n").len()).sum()];
        reader.read_exact(&mut text).expect("all of it");
        let want: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(String::from_utf8(text).expect("text"), want);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_read() {
        let (output, mut reader) = output();
        let queue = Queue::start(1 << 20).expect("a thread");
        let line = [&[b'x'; 999][..], b"\n"].concat();
        let began = Instant::now();
        for _ in 0..20_000 {
            queue.push(&output, Level::INFO, &line);
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(!queue.flush(Duration::from_millis(10)));
        let counts = queue.counts();
        assert_eq!(counts.records[2], ("info", 20_000));
        assert!(counts.dropped > 15_000, "{counts:?}");
        // There is room left for what is grave.
        queue.push(&output, Level::ERROR, b"grave\n");
        assert_eq!(queue.counts().dropped, counts.dropped);
        let heard = thread::spawn(move || {
            let mut text = Vec::new();
            let mut piece = [0; 65_536];
            let has = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|it| it == part);
            while !(has(&text, b"dropped") && has(&text, b"grave\n")) {
                let read = reader.read(&mut piece).expect("more");
                text.extend_from_slice(&piece[..read]);
            }
            String::from_utf8(text).expect("text")
        });
        let text = heard.join().expect("no panic");
        assert!(text.contains(&format!("{} lines of the log were dropped", counts.dropped)));
        assert!(text.contains("grave\n"));
        wait_until(|| queue.flush(Duration::from_millis(10)));
    }

    #[test]
    fn a_reader_that_is_gone_is_counted_and_holds_nobody_up() {
        let (output, reader) = output();
        drop(reader);
        let queue = Queue::start(1 << 20).expect("a thread");
        queue.push(&output, Level::INFO, b"to nobody\n");
        assert!(queue.flush(Duration::from_secs(10)));
        wait_until(|| queue.counts().dropped == 1);
    }
}
