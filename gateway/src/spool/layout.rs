//! What lies where in the spool's directory.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::Disk;
use super::rounds::Rounds;
use super::{Id, SpoolError};

/// The spool's directory.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    /// The folders of messages that are known to be on the disk.
    shards: Mutex<HashMap<String, Arc<Rounds>>>,
    states: Rounds,
}

impl Layout {
    /// For looking at it only.
    pub(super) fn of(root: &Path) -> Self {
        let states = Rounds::new(root.join(STATES));
        Self { root: root.to_owned(), shards: Mutex::default(), states }
    }

    /// Makes what is missing, and locks it.
    pub(super) fn make(root: &Path, disk: &Disk) -> Result<(Self, File), SpoolError> {
        let unusable = |path: &Path| {
            let path = path.to_owned();
            move |source| SpoolError::Directory { path, source }
        };
        let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let made: Vec<_> = root.ancestors().take_while(missing).collect();
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(unusable(root))?;
        let lock = lock(root)?;
        let layout = Self::of(root);
        for folder in [INCOMING, MESSAGES, STATES, TORN] {
            let path = root.join(folder);
            disk.make_directory(&path).map_err(unusable(&path))?;
        }
        disk.sync_directory(root).map_err(unusable(root))?;
        for parent in made.into_iter().filter_map(Path::parent) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            disk.sync_directory(parent).map_err(unusable(parent))?;
        }
        Ok((layout, lock))
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.root.join(INCOMING)
    }

    pub(super) fn messages(&self) -> PathBuf {
        self.root.join(MESSAGES)
    }

    pub(super) fn message(&self, id: &Id) -> PathBuf {
        let mut path = self.messages();
        path.extend([id.shard(), id.as_str()]);
        path
    }

    pub(super) fn states(&self) -> &Rounds {
        &self.states
    }

    pub(super) fn state(&self, id: &Id) -> PathBuf {
        self.states.directory().join(id.as_str())
    }

    /// The folder of a message, which is there and on the disk.
    pub(super) fn shard(&self, id: &Id, disk: &Disk) -> io::Result<Arc<Rounds>> {
        // A map that a panic left behind is still a map.
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shard) = shards.get(id.shard()) {
            return Ok(shard.clone());
        }
        let messages = self.messages();
        let path = messages.join(id.shard());
        disk.make_directory(&path)?;
        disk.sync_directory(&messages)?;
        let shard = Arc::new(Rounds::new(path));
        shards.insert(id.shard().to_owned(), shard.clone());
        Ok(shard)
    }

    pub(super) fn torn(&self) -> PathBuf {
        self.root.join(TORN)
    }

    /// A name in `torn/` that nothing has.
    pub(super) fn aside(&self, name: &str) -> io::Result<PathBuf> {
        let torn = self.torn();
        for n in 0..u32::MAX {
            let path = match n {
                0 => torn.join(name),
                n => torn.join(format!("{name}.{n}")),
            };
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Locks the directory for as long as the file is open.
fn lock(root: &Path) -> Result<File, SpoolError> {
    let path = root.join(LOCK);
    let unusable = |source| SpoolError::Directory { path: path.clone(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Whose it is helps, but it is locked even if that cannot be told.
            let _ = (&file).take(32).read_to_string(&mut text);
            let (directory, holder) = (root.to_owned(), text.trim().parse().ok());
            return Err(SpoolError::Locked { directory, holder });
        }
        Err(fs::TryLockError::Error(source)) => return Err(unusable(source)),
    }
    // For people, and the error above; a full disk is no reason not to start.
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

const INCOMING: &str = "incoming";
const LOCK: &str = "lock";
const MESSAGES: &str = "messages";
const STATES: &str = "states";
const TORN: &str = "torn";
