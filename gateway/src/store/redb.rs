//! A store in a file.
//!
//! One thread has the file. It takes what has been asked meanwhile together, and one commit makes
//! it all durable; nobody is answered before. A file that fails is closed and opened anew.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableTable, Table, TableDefinition};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Entry, StoreError, full, sum};
use crate::metrics::StoreMetrics;

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Redb {
    pub(super) file: PathBuf,
    bound: Arc<AtomicU64>,
    jobs: mpsc::Sender<Job>,
    /// Taken by the thread when it starts.
    waiting: Mutex<Option<Owner>>,
}

#[derive(Debug)]
pub(super) enum Request {
    Add {
        key: String,
        by: i64,
        time_to_live: Option<Duration>,
    },
    /// Close the file; whoever asks later finds it opened anew.
    Close,
    Delete(Vec<String>),
    Get(Vec<String>),
    Put {
        key: String,
        value: Vec<u8>,
        time_to_live: Option<Duration>,
        expect: Option<u64>,
    },
}

#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Entries(Vec<Option<Entry>>),
    Sum(i64),
    Version(u64),
}

#[derive(Debug)]
struct Job {
    request: Request,
    answer: oneshot::Sender<Result<Answer, StoreError>>,
}

impl Redb {
    pub(super) fn new(name: &str, file: PathBuf, octets: u64, metrics: Arc<StoreMetrics>) -> Self {
        let (jobs, receiver) = mpsc::channel(WAITING);
        let bound = Arc::new(AtomicU64::new(octets));
        let owner = Owner {
            name: name.to_owned(),
            file: file.clone(),
            bound: Arc::clone(&bound),
            jobs: receiver,
            metrics,
            failed: None,
        };
        Self { file, bound, jobs, waiting: Mutex::new(Some(owner)) }
    }

    /// Sets another bound.
    pub(super) fn bound(&self, octets: u64) {
        self.bound.store(octets, Ordering::Relaxed);
    }

    /// Opens the file. Before, it may be another process's.
    pub(super) fn start(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = waiting.take() {
            let thread = std::thread::Builder::new().name("store".to_owned());
            if let Err(error) = thread.spawn(move || owner.run()) {
                tracing::error!(%error, "no thread for a store");
            }
        }
    }

    pub(super) async fn ask(&self, request: Request, time: Duration) -> Result<Answer, StoreError> {
        self.start();
        let (answer, answered) = oneshot::channel();
        let work = async {
            self.jobs.send(Job { request, answer }).await.ok()?;
            answered.await.ok()
        };
        match timeout(time, work).await {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(StoreError::Unavailable("the store has failed".to_owned())),
            Err(_) => Err(StoreError::Unavailable("the disk is too slow".to_owned())),
        }
    }
}

/// The thread.
#[derive(Debug)]
struct Owner {
    name: String,
    file: PathBuf,
    bound: Arc<AtomicU64>,
    jobs: mpsc::Receiver<Job>,
    metrics: Arc<StoreMetrics>,
    /// When and why it could not be used the last time.
    failed: Option<(Instant, String)>,
}

impl Owner {
    fn run(mut self) {
        let mut database = self.open();
        while let Some(first) = self.jobs.blocking_recv() {
            let mut jobs = VecDeque::from([first]);
            while jobs.len() < BATCH {
                let Ok(job) = self.jobs.try_recv() else { break };
                jobs.push_back(job);
            }
            if jobs.iter().any(|job| matches!(job.request, Request::Close)) {
                database = None;
            } else if database.is_none() {
                database = self.open();
            }
            database = self.serve(database, jobs);
        }
    }

    /// Answers all, and returns the database if it can be used on.
    fn serve(&mut self, database: Option<Database>, jobs: VecDeque<Job>) -> Option<Database> {
        let (requests, answers): (Vec<_>, Vec<_>) =
            jobs.into_iter().map(|job| (job.request, job.answer)).unzip();
        let done = database.map(|database| {
            let (bound, metrics) = (self.bound.load(Ordering::Relaxed), &self.metrics);
            // A damaged file may lead the library anywhere.
            let work =
                || work(&database, requests, bound, metrics).map_err(|error| error.to_string());
            let done = catch_unwind(AssertUnwindSafe(work));
            let done = done.unwrap_or_else(|_| Err("the file is damaged".to_owned()));
            done.map(|done| (database, done))
        });
        match done {
            Some(Ok((database, done))) => {
                for (answer, done) in answers.into_iter().zip(done) {
                    // Who no longer waits does not need it.
                    let _ = answer.send(done);
                }
                return Some(database);
            }
            Some(Err(reason)) => self.fail(&reason),
            None => {}
        }
        let reason = self.failed.as_ref().map_or("closed", |(_, reason)| reason);
        for answer in answers {
            let _ = answer.send(Err(StoreError::Unavailable(reason.to_owned())));
        }
        None
    }

    /// Opens the file, but not again and again.
    fn open(&mut self) -> Option<Database> {
        if self.failed.as_ref().is_some_and(|(when, _)| when.elapsed() < BETWEEN_ATTEMPTS) {
            return None;
        }
        let opened = catch_unwind(|| open(&self.file));
        match opened.unwrap_or_else(|_| Err("the file is damaged".to_owned())) {
            Ok(database) => {
                tracing::info!(store = self.name, file = %self.file.display(), "store opened");
                self.failed = None;
                self.metrics.up(true);
                Some(database)
            }
            Err(reason) => {
                self.fail(&reason);
                None
            }
        }
    }

    fn fail(&mut self, reason: &str) {
        let known = self.failed.as_ref().is_some_and(|(_, known)| known == reason);
        if !known {
            let (store, file) = (&self.name, self.file.display());
            tracing::error!(store, %file, reason, "store cannot be used");
        }
        self.metrics.up(false);
        self.failed = Some((Instant::now(), reason.to_owned()));
    }
}

/// Opens a file that nobody else reads: it tells who writes to whom.
fn open(file: &Path) -> Result<Database, String> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(file)
        .map_err(|error| error.to_string())?;
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_OCTETS);
    let backend = FileBackend::new(opened).map_err(|error| error.to_string())?;
    let database = builder.create_with_backend(backend).map_err(|error| error.to_string())?;
    let tables = || -> Result<(), redb::Error> {
        let write = database.begin_write()?;
        write.open_table(ENTRIES)?;
        write.open_table(ENDS)?;
        write.open_table(FACTS)?;
        write.commit()?;
        Ok(())
    };
    tables().map_err(|error| error.to_string())?;
    Ok(database)
}

type Outcome = Result<Answer, StoreError>;

fn work(
    database: &Database,
    requests: Vec<Request>,
    bound: u64,
    metrics: &StoreMetrics,
) -> Result<Vec<Outcome>, redb::Error> {
    let write = database.begin_write()?;
    let changes = requests.iter().any(|request| !matches!(request, Request::Get(_)));
    let mut done = Vec::with_capacity(requests.len());
    let evicted = {
        let mut tables = Tables::open(&write, bound)?;
        if changes {
            tables.expire(EXPIRED_AT_ONCE)?;
        }
        for request in requests {
            done.push(tables.answer(request)?);
        }
        metrics.holds(tables.octets);
        tables.close()?
    };
    if changes {
        write.commit()?;
    } else {
        write.abort()?;
    }
    metrics.evicted(evicted);
    Ok(done)
}

/// The tables within a transaction.
struct Tables<'t> {
    entries: Table<'t, &'static str, Slot<'static>>,
    ends: Table<'t, (u64, &'static str), ()>,
    facts: Table<'t, &'static str, u64>,
    octets: u64,
    version: u64,
    bound: u64,
    now: u64,
    evicted: u64,
}

/// Version, end (0 is none) in milliseconds since 1970, value.
type Slot<'a> = (u64, u64, &'a [u8]);

impl<'t> Tables<'t> {
    fn open(write: &'t redb::WriteTransaction, bound: u64) -> Result<Self, redb::Error> {
        let facts = write.open_table(FACTS)?;
        let fact = |name| Ok::<_, redb::Error>(facts.get(name)?.map_or(0, |fact| fact.value()));
        let (octets, version) = (fact(OCTETS)?, fact(VERSION)?);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            entries: write.open_table(ENTRIES)?,
            ends: write.open_table(ENDS)?,
            facts,
            octets,
            version,
            bound,
            now: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            evicted: 0,
        })
    }

    /// How many entries had to make room.
    fn close(mut self) -> Result<u64, redb::Error> {
        self.facts.insert(OCTETS, self.octets)?;
        self.facts.insert(VERSION, self.version)?;
        Ok(self.evicted)
    }

    fn answer(&mut self, request: Request) -> Result<Outcome, redb::Error> {
        Ok(match request {
            Request::Close => Ok(Answer::Done),
            Request::Get(keys) => {
                let found = keys.iter().map(|key| Ok(self.living(key)?.map(|(entry, _)| entry)));
                Ok(Answer::Entries(found.collect::<Result<_, redb::Error>>()?))
            }
            Request::Delete(keys) => {
                for key in keys {
                    self.remove(&key)?;
                }
                Ok(Answer::Done)
            }
            Request::Put { key, value, time_to_live, expect } => {
                let stored = self.living(&key)?.map_or(0, |(entry, _)| entry.version);
                if expect.is_some_and(|expected| expected != stored) {
                    return Ok(Err(StoreError::Conflict));
                }
                let end = self.end(time_to_live);
                self.set(&key, &value, end)?.map(Answer::Version)
            }
            Request::Add { key, by, time_to_live } => {
                let stored = self.living(&key)?;
                let sum = match sum(stored.as_ref().map(|(entry, _)| &*entry.value), by) {
                    Ok(sum) => sum,
                    Err(error) => return Ok(Err(error)),
                };
                let end = stored.map_or_else(|| self.end(time_to_live), |(_, end)| end);
                let set = self.set(&key, sum.to_string().as_bytes(), end)?;
                set.map(|_| Answer::Sum(sum))
            }
        })
    }

    fn living(&self, key: &str) -> Result<Option<(Entry, u64)>, redb::Error> {
        let Some(slot) = self.entries.get(key)? else { return Ok(None) };
        let (version, end, value) = slot.value();
        let living = end == 0 || end > self.now;
        Ok(living.then(|| (Entry { value: value.to_vec(), version }, end)))
    }

    fn set(
        &mut self,
        key: &str,
        value: &[u8],
        end: u64,
    ) -> Result<Result<u64, StoreError>, redb::Error> {
        let before = self.remove(key)?;
        if !self.make_room(cost(key, value))? {
            if let Some((version, end, value)) = before {
                self.insert(key, (version, end, &value))?;
            }
            return Ok(Err(full()));
        }
        self.version += 1;
        self.insert(key, (self.version, end, value))?;
        Ok(Ok(self.version))
    }

    /// As in memory: what ends soonest goes first, and what has no end stays.
    fn make_room(&mut self, octets: u64) -> Result<bool, redb::Error> {
        while self.octets.saturating_add(octets) > self.bound {
            let Some((end, key)) = self.first_end()? else { return Ok(false) };
            self.evicted += u64::from(end > self.now);
            self.remove(&key)?;
        }
        Ok(true)
    }

    fn expire(&mut self, most: usize) -> Result<(), redb::Error> {
        for _ in 0..most {
            match self.first_end()? {
                Some((end, key)) if end <= self.now => self.remove(&key)?,
                _ => break,
            };
        }
        Ok(())
    }

    fn first_end(&self) -> Result<Option<(u64, String)>, redb::Error> {
        let Some((first, _)) = self.ends.first()? else { return Ok(None) };
        let (end, key) = first.value();
        Ok(Some((end, key.to_owned())))
    }

    fn insert(&mut self, key: &str, slot: Slot<'_>) -> Result<(), redb::Error> {
        let (_, end, value) = slot;
        self.octets += cost(key, value);
        if end > 0 {
            self.ends.insert((end, key), ())?;
        }
        self.entries.insert(key, slot)?;
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<Option<(u64, u64, Vec<u8>)>, redb::Error> {
        let removed = self.entries.remove(key)?.map(|slot| {
            let (version, end, value) = slot.value();
            (version, end, value.to_vec())
        });
        if let Some((_, end, value)) = &removed {
            self.octets = self.octets.saturating_sub(cost(key, value));
            if *end > 0 {
                self.ends.remove((*end, key))?;
            }
        }
        Ok(removed)
    }

    fn end(&self, time_to_live: Option<Duration>) -> u64 {
        let time = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        time_to_live.map_or(0, |it| self.now.saturating_add(time(it)).max(1))
    }
}

fn cost(key: &str, value: &[u8]) -> u64 {
    (2 * key.len() + value.len()) as u64 + OVERHEAD_OCTETS
}

const ENTRIES: TableDefinition<'_, &str, Slot<'_>> = TableDefinition::new("entries");
/// Those that have an end, the soonest first.
const ENDS: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("ends");
const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");
const OCTETS: &str = "octets";
const VERSION: &str = "version";

/// Numbers and lengths of both tables.
const OVERHEAD_OCTETS: u64 = 64;

/// What one commit carries. The file takes the same time for one as for a few hundred.
const BATCH: usize = 256;

/// Requests that wait for the file.
const WAITING: usize = 1_024;

/// More than a batch brings in the long run.
const EXPIRED_AT_ONCE: usize = 2 * BATCH;

/// The inner pages of a file of the usual size; the rest is the system's to cache.
const CACHE_OCTETS: usize = 16 << 20;

/// Between attempts to open a file that fails.
const BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);
