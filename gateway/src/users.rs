//! Who may log in: a file of users and their secrets.
//!
//! ```text
//! # A line is name:secret. Lines that begin with "#" are comments.
//! alice:$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>
//! bob@example.org:SCRAM-SHA-256$65536:<salt>$<StoredKey>:<ServerKey>
//! printer:{cleartext}the password itself
//! ```
//!
//! | secret | PLAIN, LOGIN | SCRAM-SHA-256 | CRAM-MD5 |
//! | --- | --- | --- | --- |
//! | `$argon2id$`, a PHC string | yes | | |
//! | `SCRAM-SHA-256$`, as RFC 5803 has it | yes | yes | |
//! | `{cleartext}` | yes | | yes |
//!
//! Names are compared octet by octet. The file is held in memory and read again when it has
//! changed; a new version with mistakes is not taken, and the log says so.

mod book;
mod edit;
mod secret;
mod throttle;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_smtp::sasl::{Mechanism, Verifier};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::config::{Mistakes, Place};

pub use book::{Book, NameError, check_name};
pub use edit::{Change, EditError, edit};
pub use secret::{PasswordError, Scheme};
pub use throttle::Throttle;

/// The users of a file, as it is now.
#[derive(Debug)]
pub struct Users {
    file: PathBuf,
    hashing: Hashing,
    held: Mutex<Held>,
}

/// What is known of the file.
#[derive(Debug)]
struct Held {
    book: Arc<Book>,
    /// Of what was read last, fit or not.
    version: Option<Version>,
    looked: Instant,
}

/// Tells one version of a file from the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Version {
    device: u64,
    inode: u64,
    octets: u64,
    modified: (i64, i64),
}

/// Why it cannot be said whether a password is right. Nobody's fault; the client may come again.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unavailable {
    /// Too many passwords are being compared.
    #[error("too many logins at once")]
    Busy,
    /// Something that always works did not.
    #[error("passwords cannot be compared")]
    Failed,
}

/// How many passwords are compared at once, in the whole process. Cheap to clone.
///
/// A comparison is expensive on purpose; a storm of logins must not eat the processors that mail
/// is served with.
#[derive(Clone, Debug)]
pub struct Hashing {
    room: Arc<Semaphore>,
    /// How long a login waits for room.
    patience: Duration,
}

impl Hashing {
    /// Half of the processors, and one at least.
    #[must_use]
    pub fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { room: Arc::new(Semaphore::new((processors / 2).max(1))), patience: HASH_WAIT }
    }

    /// Does what is expensive, once there is room for it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let permit = timeout(self.patience, self.room.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| Unavailable::Busy)?.map_err(|_| Unavailable::Failed)?;
        let done = spawn_blocking(move || {
            // Held by the work itself: a client that leaves does not make room for another.
            let _permit = permit;
            work()
        });
        done.await.map_err(|_| Unavailable::Failed)
    }
}

impl Default for Hashing {
    fn default() -> Self {
        Self::new()
    }
}

impl Users {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// All mistakes of the file.
    pub fn open(file: &Path, hashing: Hashing) -> Result<Self, Mistakes> {
        // Before it is read: what changes meanwhile is read again.
        let version = Version::of(file).ok();
        let book = Arc::new(read(file)?);
        let held = Mutex::new(Held { book, version, looked: Instant::now() });
        Ok(Self { file: file.to_owned(), hashing, held })
    }

    /// The users as they were when the file was last looked at.
    #[must_use]
    pub fn book(&self) -> Arc<Book> {
        self.held().book.clone()
    }

    /// Whether this is the password of this user. It takes as long for who is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be said now.
    pub async fn authenticate(&self, name: &str, password: &str) -> Result<bool, Unavailable> {
        let book = self.current().await;
        let (name, password) = (name.to_owned(), Zeroizing::new(password.to_owned()));
        self.hashing.run(move || book.authenticate(&name, &password)).await
    }

    /// What a mechanism needs that does not show the password, if this user has it.
    pub async fn verifier(&self, mechanism: Mechanism, name: &str) -> Option<Verifier> {
        self.current().await.verifier(mechanism, name)
    }

    /// The users as they are now: the file is looked at once a second at most, and only when
    /// somebody wants to log in.
    async fn current(&self) -> Arc<Book> {
        let known = {
            let mut held = self.held();
            if held.looked.elapsed() < LOOK_AGAIN {
                return held.book.clone();
            }
            held.looked = Instant::now();
            held.version
        };
        let file = self.file.clone();
        let looked = spawn_blocking(move || {
            let now = Version::of(&file).ok();
            (now != known).then(|| (now, read(&file)))
        });
        if let Ok(Some((version, read))) = looked.await {
            self.take(version, read);
        }
        self.book()
    }

    /// Takes a new version, if it is fit. One that is not is complained about once.
    fn take(&self, version: Option<Version>, read: Result<Book, Mistakes>) {
        let mut held = self.held();
        held.version = version;
        match read {
            Ok(book) => {
                info!(file = %self.file.display(), users = book.len(), "users read again");
                held.book = Arc::new(book);
            }
            Err(mistakes) => {
                let first = mistakes.iter().next();
                warn!(
                    file = %self.file.display(),
                    mistakes = mistakes.len(),
                    line = first.map(|mistake| mistake.place.line),
                    mistake = first.map(|mistake| mistake.text.as_str()),
                    "the users file has changed and cannot be used; the users stay as they were"
                );
            }
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Whatever a panic interrupted, each field is whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the users of a file.
///
/// # Errors
///
/// All mistakes of the file.
pub fn read(file: &Path) -> Result<Book, Mistakes> {
    let mut octets = Vec::new();
    let read = File::open(file).and_then(|it| it.take(FILE_OCTETS + 1).read_to_end(&mut octets));
    let mut mistakes = Mistakes::default();
    if let Err(error) = read {
        let text = format!("cannot read the users file: {error}");
        mistakes.at(&Place::file(file), text, Some("\"portcullis user add\" makes one"));
    } else if octets.len() as u64 > FILE_OCTETS {
        mistakes.at(&Place::file(file), "the users file is larger than 64 MiB", None);
    }
    mistakes.or_fail()?;
    Book::parse(file, &octets)
}

/// What is legal in a users file and dangerous.
#[must_use]
pub fn warnings(file: &Path, book: &Book) -> Mistakes {
    let mut warnings = Mistakes::default();
    let place = Place::file(file);
    let shared = file.metadata().is_ok_and(|file| file.mode() & 0o004 != 0);
    if shared {
        let help = format!("chmod o-rwx {}", file.display());
        let text = "every user of this machine can read the users file";
        warnings.warn(&place, text, Some(&help));
    }
    let cleartext = book.count(Scheme::Cleartext);
    if cleartext > 0 {
        let text = format!("passwords in clear text: {cleartext}");
        let help = "only CRAM-MD5 needs them; who reads the file has them all";
        warnings.warn(&place, text, Some(help));
    }
    warnings
}

impl Version {
    fn of(file: &Path) -> io::Result<Self> {
        let file = file.metadata()?;
        Ok(Self {
            device: file.dev(),
            inode: file.ino(),
            octets: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
        })
    }
}

/// Soon enough for who has just got a new password.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a login waits for a processor. A client that has waited longer would rather come again.
const HASH_WAIT: Duration = Duration::from_secs(5);
/// Half a million users; what is larger was named by mistake.
const FILE_OCTETS: u64 = 64 << 20;

#[cfg(test)]
mod tests;
