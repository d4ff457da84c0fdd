//! A mailbox on disk: `tmp`, `new` and `cur`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Mode, OFlags, fsync, linkat, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Why nothing was delivered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The message itself, on its way through the gateway.
    #[error("message content cannot be read")]
    Content(#[source] io::Error),
    /// There is no such mailbox, and none is to be made.
    #[error("there is no such mailbox")]
    Missing,
    /// The disk, or a right that the gateway has not.
    #[error("{0}")]
    Disk(#[source] io::Error),
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::Disk(error.into())
    }
}

/// Taken for writing while folders are made: nobody delivers into one that is not on disk yet.
static MAKING: RwLock<()> = RwLock::new(());

/// Where a message goes.
#[derive(Debug)]
pub(super) struct Mailbox {
    new: OwnedFd,
    tmp: OwnedFd,
}

/// Whether there is a mailbox, as far as its folder tells.
pub(super) fn look(root: &Path, folders: &[String]) -> Result<(), Failure> {
    let _making = MAKING.read().unwrap_or_else(PoisonError::into_inner);
    find(root, folders).map(drop)
}

/// A mailbox, complete; made if there is none and `create` says so.
pub(super) fn open(root: &Path, folders: &[String], create: bool) -> Result<Mailbox, Failure> {
    match complete(root, folders) {
        Err(Failure::Missing) => {}
        found => return found,
    }
    let _making = MAKING.write().unwrap_or_else(PoisonError::into_inner);
    let folder =
        folders.iter().try_fold(above(root)?, |folder, name| step(&folder, name, create))?;
    // The one that deliveries begin in comes last: who sees it sees all.
    step(&folder, "cur", true)?;
    let new = step(&folder, "new", true)?;
    let tmp = step(&folder, "tmp", true)?;
    Ok(Mailbox { new, tmp })
}

/// A mailbox that wants nothing.
fn complete(root: &Path, folders: &[String]) -> Result<Mailbox, Failure> {
    let _making = MAKING.read().unwrap_or_else(PoisonError::into_inner);
    let mailbox = find(root, folders)?;
    let tmp = step(&mailbox, "tmp", false)?;
    Ok(Mailbox { new: step(&mailbox, "new", false)?, tmp })
}

fn find(root: &Path, folders: &[String]) -> Result<OwnedFd, Failure> {
    folders.iter().try_fold(above(root)?, |folder, name| step(&folder, name, false))
}

/// The root, which is the operator's: it may be a symbolic link.
fn above(root: &Path) -> Result<OwnedFd, Failure> {
    Ok(rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// A folder in a folder, and never what a symbolic link says: who may write into a mailbox does not
/// say where others' mail goes.
fn step(folder: &OwnedFd, name: &str, create: bool) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) if create => {}
        Err(Errno::NOENT) => return Err(Failure::Missing),
        opened => return Ok(opened?),
    }
    match mkdirat(folder, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    fsync(folder)?;
    Ok(openat(folder, name, flags, Mode::empty())?)
}

impl Mailbox {
    /// Delivers what `write` writes. When it returns, message and folder are on disk.
    pub(super) fn deliver(
        &self,
        host: &str,
        write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let name = unique(host);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.tmp, &*name, flags | OFlags::NOFOLLOW, Mode::RUSR | Mode::WUSR)?;
        let written = written(File::from(file), write).and_then(|()| self.publish(&name));
        // What has its name in "new" needs none in "tmp"; what has not is nothing.
        let _ = unlinkat(&self.tmp, &*name, AtFlags::empty());
        written
    }

    fn publish(&self, name: &str) -> Result<(), Failure> {
        // Never in the place of another one; where there are no links, names have to do.
        match linkat(&self.tmp, name, &self.new, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                renameat(&self.tmp, name, &self.new, name)?;
            }
            Err(error) => return Err(error.into()),
        }
        fsync(&self.new).map_err(|error| {
            // The client will send it again.
            let _ = unlinkat(&self.new, name, AtFlags::empty());
            error.into()
        })
    }
}

fn written(
    file: File,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut writer = io::BufWriter::with_capacity(BLOCK_OCTETS, file);
    write(&mut writer)?;
    let file = writer.into_inner().map_err(|error| Failure::Disk(error.into_error()))?;
    file.sync_all().map_err(Failure::Disk)
}

/// A name that no other delivery has, as the Maildir convention wants it: the time, what makes it
/// unique on this machine, and the machine.
fn unique(host: &str) -> String {
    static DELIVERIES: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (now.as_secs(), now.subsec_micros());
    let (process, count) = (std::process::id(), DELIVERIES.fetch_add(1, Ordering::Relaxed));
    format!("{seconds}.M{micros}P{process}Q{count}.{host}")
}

const BLOCK_OCTETS: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn folders() -> Vec<String> {
        ["example.org", "alice"].map(str::to_owned).into()
    }

    fn deliver(root: &Path, create: bool, text: &[u8]) -> Result<(), Failure> {
        let mailbox = open(root, &folders(), create)?;
        mailbox.deliver("host", |to| to.write_all(text).map_err(Failure::Disk))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|one| one.expect("an entry").file_name().into_string().expect("text")).collect()
    }

    #[test]
    fn a_message_is_in_new_alone_and_its_owner_s_alone() {
        let root = tempfile::tempdir().expect("a folder");
        deliver(root.path(), true, b"one").expect("delivered");
        deliver(root.path(), false, b"two").expect("delivered");
        let mailbox = root.path().join("example.org/alice");
        let mut all = names(&mailbox);
        all.sort();
        assert_eq!(all, ["cur", "new", "tmp"]);
        assert_eq!(names(&mailbox.join("tmp")), [""; 0]);
        let new = names(&mailbox.join("new"));
        assert_eq!(new.len(), 2);
        assert!(new.iter().all(|name| name.ends_with(".host") && !name.contains('/')), "{new:?}");
        let mode =
            |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&mailbox.join("new").join(&new[0])), 0o600);
        for folder in [&mailbox, &mailbox.join("new"), &root.path().join("example.org")] {
            assert_eq!(mode(folder), 0o700);
        }
    }

    #[test]
    fn a_mailbox_that_is_not_there_is_missing_and_one_without_its_folders_gets_them() {
        let root = tempfile::tempdir().expect("a folder");
        assert!(matches!(deliver(root.path(), false, b"x"), Err(Failure::Missing)));
        assert_eq!(names(root.path()), [""; 0]);
        fs::create_dir_all(root.path().join("example.org/alice")).expect("a folder");
        deliver(root.path(), false, b"x").expect("delivered");
        assert_eq!(names(&root.path().join("example.org/alice/new")).len(), 1);
        let gone = root.path().join("gone");
        assert!(
            matches!(deliver(&gone, true, b"x"), Err(Failure::Disk(_))),
            "the root is not made"
        );
    }

    #[test]
    fn nothing_below_the_root_leads_out_of_it() {
        let root = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("a folder");
        symlink(outside.path(), root.path().join("example.org")).expect("a link");
        assert!(matches!(deliver(root.path(), true, b"x"), Err(Failure::Disk(_))));
        fs::remove_file(root.path().join("example.org")).expect("a link");
        deliver(root.path(), true, b"x").expect("delivered");
        for folder in ["new", "tmp"] {
            let folder = root.path().join("example.org/alice").join(folder);
            fs::rename(&folder, root.path().join("kept")).expect("renamed");
            symlink(outside.path(), &folder).expect("a link");
            assert!(matches!(deliver(root.path(), true, b"x"), Err(Failure::Disk(_))));
            fs::remove_file(&folder).expect("a link");
            fs::rename(root.path().join("kept"), &folder).expect("renamed");
        }
        assert_eq!(names(outside.path()), [""; 0]);
    }

    #[test]
    fn what_fails_leaves_nothing_behind() {
        let root = tempfile::tempdir().expect("a folder");
        let mailbox = open(root.path(), &folders(), true).expect("a mailbox");
        let failed = mailbox.deliver("host", |to| {
            to.write_all(b"half of it").map_err(Failure::Disk)?;
            Err(Failure::Content(io::ErrorKind::UnexpectedEof.into()))
        });
        assert!(matches!(failed, Err(Failure::Content(_))));
        for folder in ["new", "tmp"] {
            assert_eq!(names(&root.path().join("example.org/alice").join(folder)), [""; 0]);
        }
    }
}
