//! What is asked of the file system, one call each, so that each can fail in a test as a disk does.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::metrics::{SpoolMetrics, SpoolStep};

/// The file system, and a count of what it could not do.
#[derive(Debug)]
pub(super) struct Disk {
    metrics: Arc<SpoolMetrics>,
    #[cfg(test)]
    pub(super) faults: tests::Faults,
}

impl Disk {
    pub(super) fn new(metrics: Arc<SpoolMetrics>) -> Self {
        Self {
            metrics,
            #[cfg(test)]
            faults: tests::Faults::default(),
        }
    }

    /// A file that was not there before, for its owner only.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        self.attempt(SpoolStep::Create, || options.open(path))
    }

    /// Appends.
    pub(super) fn write(&self, mut file: &File, octets: &[u8]) -> io::Result<()> {
        self.attempt(SpoolStep::Write, || file.write_all(octets))
    }

    /// Writes over what stands at the beginning.
    pub(super) fn write_at_start(&self, file: &File, octets: &[u8]) -> io::Result<()> {
        self.attempt(SpoolStep::Write, || file.write_all_at(octets, 0))
    }

    /// Returns when what was written is on the disk.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        self.timed(SpoolStep::Sync, || file.sync_all())
    }

    /// Returns when the names in a directory are on the disk.
    pub(super) fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.timed(SpoolStep::SyncDirectory, || File::open(directory)?.sync_all())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.attempt(SpoolStep::Rename, || fs::rename(from, to))
    }

    /// A file that is not there is as good as removed.
    pub(super) fn unlink(&self, path: &Path) -> io::Result<()> {
        self.attempt(SpoolStep::Unlink, || match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        })
    }

    /// A directory for its owner only. Whether it is new.
    pub(super) fn make_directory(&self, path: &Path) -> io::Result<bool> {
        self.attempt(SpoolStep::Create, || match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// A file that is there, for reading.
    pub(super) fn open(&self, path: &Path) -> io::Result<File> {
        self.attempt(SpoolStep::Read, || File::open(path))
    }

    /// Counts a failure that was met elsewhere.
    pub(super) fn failed(&self, step: SpoolStep) {
        self.metrics.failed(step);
    }

    fn timed(&self, step: SpoolStep, call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let began = Instant::now();
        let result = self.attempt(step, call);
        self.metrics.synced(began.elapsed());
        result
    }

    fn attempt<T>(&self, step: SpoolStep, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        #[cfg(test)]
        let result = self.faults.strike(step).and_then(|()| call());
        #[cfg(not(test))]
        let result = call();
        // A file that is not there is no failure of the disk.
        if result.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            self.metrics.failed(step);
        }
        result
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What is to fail.
    #[derive(Debug, Default)]
    pub(in crate::spool) struct Faults(Mutex<Vec<(SpoolStep, usize, i32)>>);

    impl Faults {
        /// The call of this kind after so many others fails with this error, and all after it.
        pub(in crate::spool) fn set(&self, step: SpoolStep, after: usize, error: i32) {
            self.0.lock().expect("nobody panics").push((step, after, error));
        }

        pub(in crate::spool) fn clear(&self) {
            self.0.lock().expect("nobody panics").clear();
        }

        pub(super) fn strike(&self, step: SpoolStep) -> io::Result<()> {
            let mut faults = self.0.lock().expect("nobody panics");
            for (kind, after, error) in faults.iter_mut().filter(|(kind, ..)| *kind == step) {
                debug_assert_eq!(*kind, step);
                match after.checked_sub(1) {
                    Some(left) => *after = left,
                    None => return Err(io::Error::from_raw_os_error(*error)),
                }
            }
            Ok(())
        }
    }
}
