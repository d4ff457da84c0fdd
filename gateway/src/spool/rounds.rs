//! Group commit: who waits for the names of a directory to be on the disk waits together.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use super::disk::Disk;

/// Has the names in one directory put on the disk, for all who want it at one time by one fsync.
#[derive(Debug)]
pub(super) struct Rounds {
    directory: PathBuf,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// For whoever comes now.
    next: Arc<Round>,
    running: bool,
}

/// One fsync; an error is the system's number.
#[derive(Debug, Default)]
struct Round(OnceLock<Result<(), i32>>);

impl Rounds {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, state: Mutex::default(), ended: Condvar::new() }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns when the names that were in the directory before this call are on the disk. Blocks.
    pub(super) fn sync(&self, disk: &Disk) -> io::Result<()> {
        // What a panic left behind is still a round.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let own = state.next.clone();
        loop {
            if let Some(result) = own.0.get() {
                return result.map_err(io::Error::from_raw_os_error);
            }
            if state.running {
                state = self.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.running = true;
            let round = std::mem::take(&mut state.next);
            drop(state);
            let result = disk
                .sync_directory(&self.directory)
                .map_err(|error| error.raw_os_error().unwrap_or(UNKNOWN));
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running = false;
            if result.is_err() {
                // The system tells of a failed write once: those who came meanwhile, and whose
                // names may have been part of it, would be told that all is well.
                let _ = std::mem::take(&mut state.next).0.set(result);
            }
            let _ = round.0.set(result);
            self.ended.notify_all();
        }
    }
}

/// EIO, for an error without a number.
const UNKNOWN: i32 = 5;
