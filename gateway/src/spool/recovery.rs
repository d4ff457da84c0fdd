//! What the last process left behind.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::file::MessageFile;
use super::{Entry, Id, Spool, SpoolError, Torn};

impl Spool {
    /// Finds all that waits. Contents are not read.
    pub(super) fn recover(&self) -> Result<Vec<Entry>, SpoolError> {
        let unwritten = self.clear_incoming()?;
        let mut entries = Vec::new();
        for shard in list(&self.layout.messages())? {
            match list(&shard) {
                // A folder of a day that is over; if it is not empty, it stays.
                Ok(paths) if paths.is_empty() => drop(fs::remove_dir(&shard)),
                Ok(paths) => {
                    for path in paths {
                        let unusable =
                            |source| SpoolError::Directory { path: path.clone(), source };
                        entries.extend(self.find(&path).map_err(unusable)?);
                    }
                }
                Err(SpoolError::Directory { source, path }) => {
                    let unusable = |source| SpoolError::Directory { path, source };
                    let reason = Torn::Read(source).of_the_file().map_err(unusable)?;
                    self.set_aside(&shard, &reason);
                }
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| (a.accepted, &a.id).cmp(&(b.accepted, &b.id)));
        self.clear_states()?;
        if unwritten > 0 {
            info!(files = unwritten, "removed what was never accepted from the spool");
        }
        Ok(entries)
    }

    /// What was being written was never accepted.
    fn clear_incoming(&self) -> Result<usize, SpoolError> {
        let left = list(&self.layout.incoming())?;
        for path in &left {
            if let Err(cause) = self.disk.unlink(path) {
                warn!(file = %path.display(), %cause, "what was never accepted stays");
            }
        }
        Ok(left.len())
    }

    fn find(&self, path: &Path) -> io::Result<Option<Entry>> {
        match self.look(path) {
            Ok((entry, octets)) => {
                self.ledger.found(&entry, octets);
                self.with_state(entry).map(Some)
            }
            Err(reason) => {
                self.set_aside(path, &reason.of_the_file()?);
                Ok(None)
            }
        }
    }

    fn set_aside(&self, path: &Path, reason: &Torn) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.put_aside(path, &name, reason);
    }

    fn look(&self, path: &Path) -> Result<(Entry, u64), Torn> {
        let id = id(path).ok_or(Torn::Name)?;
        let file = MessageFile::read(self.disk.open(path)?)?;
        if file.entry.id != id || self.layout.message(&id) != path {
            return Err(Torn::Name);
        }
        let octets = file.octets();
        Ok((file.entry, octets))
    }

    /// A message is removed before its state.
    fn clear_states(&self) -> Result<(), SpoolError> {
        for path in list(self.layout.states().directory())? {
            match id(&path) {
                Some(id) if self.ledger.knows(&id) => {}
                Some(_) => {
                    if let Err(cause) = self.disk.unlink(&path) {
                        warn!(file = %path.display(), %cause, "a state without message stays");
                    }
                }
                None => {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    self.put_aside(&path, &format!("{name}.state"), &Torn::Name);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn id(path: &Path) -> Option<Id> {
    path.file_name().and_then(OsStr::to_str)?.parse().ok()
}

/// What lies in a directory, in order.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let listed = || {
        let paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path()));
        let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
        paths.sort_unstable();
        Ok(paths)
    };
    listed().map_err(|source| SpoolError::Directory { path: directory.to_owned(), source })
}
