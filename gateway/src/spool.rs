//! Messages that were accepted and are not delivered yet, on the disk.
//!
//! ```text
//!   store --> read --> update (what came of it, if that was not plain success) --> remove
//!   open: what waits since the last time
//! ```
//!
//! A message is a file: written in `incoming/`, had on the disk, moved to `messages/`, and the names
//! there had on the disk. Only then is it stored. What came of its recipients is a small file in
//! `states/`, written only when something else than plain success came of them. What is no message
//! or state any more is kept in `torn/`. The layout is told in `README.md`.
//!
//! A kill loses nothing of this. After a loss of power a message that was removed in the last
//! seconds may be there again, for a removal is not waited for: it is delivered twice.

mod disk;
mod entry;
mod error;
mod file;
mod id;
mod layout;
mod ledger;
mod order;
mod place;
mod recovery;
mod rounds;
mod storing;
mod survey;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tracing::{error, warn};

use crate::config;
use crate::message::Outbound;
use crate::metrics::{SpoolMetrics, SpoolStep};
use disk::Disk;
use file::MessageFile;
use layout::Layout;
use ledger::Ledger;

pub use entry::{Addressee, Entry, State};
pub use error::SpoolError;
pub use file::Torn;
pub use id::{Id, NoId};
pub use order::{Action, Obeyed, Order};
pub use place::examine;
pub use storing::Stored;
pub use survey::Survey;

/// Messages that wait. One for the process; it alone has the directory.
#[derive(Debug)]
pub struct Spool {
    layout: Layout,
    disk: Disk,
    ledger: Ledger,
    metrics: Arc<SpoolMetrics>,
    /// How many messages may be written at once; closed while another process has the directory.
    writers: Mutex<Arc<Semaphore>>,
    /// What was stored and then taken care of by nobody.
    adrift: mpsc::UnboundedSender<Entry>,
    found_adrift: Mutex<Option<mpsc::UnboundedReceiver<Entry>>>,
    /// When the disk failed the last time that something was to be stored, unless something was since.
    failed: Mutex<Option<Instant>>,
    /// Locked as long as it is open, and not let go.
    lock: File,
}

impl Spool {
    /// Opens the directory, for this process alone, and finds what waits in it: in the order in
    /// which it was accepted. What is half-written is removed, what is torn is put aside. Blocks.
    ///
    /// # Errors
    ///
    /// If the directory cannot be used, or another process has it. Never for the sake of a message.
    pub fn open(
        config: &config::Spool,
        metrics: Arc<SpoolMetrics>,
    ) -> Result<(Arc<Self>, Vec<Entry>), SpoolError> {
        let disk = Disk::new(metrics.clone());
        Self::open_on(disk, config, metrics)
    }

    fn open_on(
        disk: Disk,
        config: &config::Spool,
        metrics: Arc<SpoolMetrics>,
    ) -> Result<(Arc<Self>, Vec<Entry>), SpoolError> {
        let (layout, lock) = Layout::make(&config.directory, &disk)?;
        let ledger = Ledger::new(config, metrics.clone());
        let (adrift, found_adrift) = mpsc::unbounded_channel();
        let spool = Arc::new(Self {
            layout,
            disk,
            ledger,
            metrics,
            writers: Mutex::new(Arc::new(Semaphore::new(WRITERS))),
            adrift,
            found_adrift: Mutex::new(Some(found_adrift)),
            failed: Mutex::default(),
            lock,
        });
        let entries = spool.recover()?;
        let watched = Arc::downgrade(&spool);
        spool
            .metrics
            .watch(move || watched.upgrade().map(|spool| spool.ledger.uses()).unwrap_or_default());
        Ok((spool, entries))
    }

    /// Sets other bounds. What waits stays, also where that is too much now.
    pub fn bound(&self, config: &config::Spool) {
        self.ledger.bind(config);
    }

    /// Whether another message of so many octets may come. No, already before the disk is full.
    #[must_use]
    pub fn has_room(&self, octets: u64) -> bool {
        let bound = self.ledger.bound(octets);
        if let Some(bound) = bound {
            self.metrics.refused(bound);
        }
        bound.is_none()
    }

    /// The same for who only wants to know; a no is not counted.
    #[must_use]
    pub fn would_have_room(&self, octets: u64) -> bool {
        self.ledger.bound(octets).is_none()
    }

    /// Why it stores nothing now, as far as is known.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        // Whoever is sent elsewhere for it brings nothing that would show that the disk is well again.
        let recent = |at: &Instant| at.elapsed() < FAILED_FOR;
        if self.failed.lock().is_ok_and(|failed| failed.as_ref().is_some_and(recent)) {
            return Some("the spool's disk fails".to_owned());
        }
        let bound = self.ledger.bound(0)?;
        Some(format!("the spool is full: \"{}\" is reached", bound.label()))
    }

    fn note(&self, stored: Result<(), &SpoolError>) {
        let Ok(mut failed) = self.failed.lock() else { return };
        match stored {
            Ok(()) => *failed = None,
            Err(SpoolError::Disk(_) | SpoolError::Directory { .. }) => {
                *failed = Some(Instant::now());
            }
            Err(_) => {}
        }
    }

    /// Messages that were stored, and then taken care of by nobody, because whoever wanted them stored was
    /// gone: see [`Stored::claim`]. For whoever delivers, once; nothing the second time.
    #[must_use]
    pub fn adrift(&self) -> Option<mpsc::UnboundedReceiver<Entry>> {
        self.found_adrift.lock().ok()?.take()
    }

    /// Stores a message: it is on the disk when this returns, whatever happens to the machine. If the
    /// future is dropped, it is stored all the same and found [adrift](Self::adrift), or never was.
    ///
    /// # Errors
    ///
    /// If it is not stored. Nothing of it is left then.
    pub async fn store(
        self: &Arc<Self>,
        mut entry: Entry,
        message: &Outbound,
    ) -> Result<Arc<Stored>, SpoolError> {
        entry.octets = message.octets();
        let writers = self.writers(|writers| writers.clone());
        let permit = writers.acquire_owned().await.map_err(|_| SpoolError::LetGo)?;
        let (spool, message) = (self.clone(), message.clone());
        blocking(move || {
            let _permit = permit;
            let kept = spool.clone().keep(entry, &message);
            spool.note(kept.as_ref().map(|_| ()));
            kept
        })
        .await
    }

    /// Leaves the directory to another process, when what is being written is. From then on nothing is
    /// stored.
    ///
    /// # Errors
    ///
    /// If the system does not unlock it.
    pub async fn let_go(&self) -> io::Result<()> {
        let writers = self.writers(|writers| writers.clone());
        let _all = writers.acquire_many(WRITERS as u32).await.map_err(io::Error::other)?;
        writers.close();
        self.lock.unlock()
    }

    /// Has the directory again, as it was left: the other process has done nothing with it.
    ///
    /// # Errors
    ///
    /// If another process has it.
    pub fn take_back(&self) -> io::Result<()> {
        self.lock.try_lock()?;
        self.writers(|writers| *writers = Arc::new(Semaphore::new(WRITERS)));
        Ok(())
    }

    fn writers<T>(&self, work: impl FnOnce(&mut Arc<Semaphore>) -> T) -> T {
        work(&mut self.writers.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A message with what is known of its recipients. The body stays in the file, and can be read for
    /// as long as the message is held, even if it is removed.
    ///
    /// # Errors
    ///
    /// If there is none, or it is not what was written: then it is put aside and waits no longer.
    pub async fn read(self: &Arc<Self>, id: &Id) -> Result<(Entry, Outbound), SpoolError> {
        let (spool, id) = (self.clone(), id.clone());
        blocking(move || spool.take_up(&id)).await
    }

    fn take_up(&self, id: &Id) -> Result<(Entry, Outbound), SpoolError> {
        let path = self.layout.message(id);
        let read = self.disk.open(&path).map_err(Torn::from).and_then(MessageFile::read);
        let reason = match read.and_then(MessageFile::message) {
            Ok((entry, message)) => return Ok((self.with_state(entry)?, message)),
            Err(Torn::Read(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SpoolError::Unknown(id.clone()));
            }
            Err(reason) => reason.of_the_file()?,
        };
        self.put_aside(&path, id.as_str(), &reason);
        self.ledger.strike(id);
        Err(SpoolError::Torn { id: id.clone(), reason })
    }

    /// Keeps what is known of a message's recipients: on the disk when this returns. Updates of one
    /// message come one after the other.
    ///
    /// # Errors
    ///
    /// If there is no such message, or the disk fails. What was known before stays then.
    pub async fn update(self: &Arc<Self>, entry: &Entry) -> Result<(), SpoolError> {
        let (spool, entry) = (self.clone(), entry.clone());
        blocking(move || spool.keep_state(&entry)).await
    }

    /// Removes a message, delivered or not. The disk is not waited for.
    ///
    /// # Errors
    ///
    /// If the disk fails; the message is still there.
    pub async fn remove(self: &Arc<Self>, id: &Id) -> Result<(), SpoolError> {
        let (spool, id) = (self.clone(), id.clone());
        blocking(move || spool.unlink(&id)).await
    }

    fn unlink(&self, id: &Id) -> Result<(), SpoolError> {
        self.disk.unlink(&self.layout.message(id))?;
        self.ledger.strike(id);
        // A state without its message is removed at the next start.
        if let Err(cause) = self.disk.unlink(&self.layout.state(id)) {
            warn!(%id, %cause, "the state of a message that was removed stays");
        }
        Ok(())
    }

    /// Moves what is no message or state out of the way. It is never removed.
    fn put_aside(&self, path: &std::path::Path, name: &str, reason: &Torn) {
        self.metrics.torn();
        if let Torn::Read(_) = reason {
            self.disk.failed(SpoolStep::Read);
        }
        match self.layout.aside(name).and_then(|aside| {
            self.disk.rename(path, &aside)?;
            Ok(aside)
        }) {
            Ok(aside) => {
                error!(file = %path.display(), aside = %aside.display(), %reason, "put aside");
            }
            Err(cause) => {
                error!(file = %path.display(), %reason, %cause, "cannot be put aside, stays");
            }
        }
    }
}

/// Blocks elsewhere. What it does it does to the end, whether or not anybody waits for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static,
) -> Result<T, SpoolError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Messages that are written at once, each by a thread: enough for all of them to share the disk's
/// work, few enough to leave threads to others.
const WRITERS: usize = 64;

/// So long a disk that failed is said to fail, if nothing else is known of it.
const FAILED_FOR: Duration = Duration::from_secs(30);
