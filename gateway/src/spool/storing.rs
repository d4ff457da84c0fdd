//! How a message and its state come to be on the disk.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use super::layout::Layout;
use super::{Entry, Id, Spool, SpoolError, State, Torn, file};
use crate::message::Outbound;

/// A message that is on the disk, and for which nobody cares yet.
#[derive(Debug)]
pub struct Stored {
    entry: Entry,
    spool: Arc<Spool>,
    claimed: AtomicBool,
}

impl Stored {
    /// What was stored.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.entry.id
    }

    /// From now on the caller sees to it that the message is delivered. Dropped without this, it is
    /// found [adrift](Spool::adrift).
    pub fn claim(&self) {
        self.claimed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        if !self.claimed.load(Ordering::Relaxed) {
            debug!(id = %self.entry.id, "who wanted it stored is gone");
            // Where nobody delivers any more, the next start finds it.
            let _ = self.spool.adrift.send(self.entry.clone());
        }
    }
}

/// What is known of a message's recipients.
#[derive(Debug, Deserialize, Serialize)]
struct Kept<I, S> {
    id: I,
    #[serde(default)]
    held: bool,
    /// One for each recipient.
    states: S,
}

impl Spool {
    /// Writes a message, and has it on the disk. Blocks.
    pub(super) fn keep(
        self: Arc<Self>,
        entry: Entry,
        message: &Outbound,
    ) -> Result<Arc<Stored>, SpoolError> {
        let octets = message.octets() + ENVELOPE_OCTETS;
        let reserved = self.ledger.reserve(&entry.id, octets, entry.is_report())?;
        let octets = self.write(&entry, message)?;
        reserved.fill(&entry, octets);
        let claimed = AtomicBool::new(false);
        Ok(Arc::new(Stored { entry, spool: self, claimed }))
    }

    /// Nothing of it is left if it fails: after an fsync that failed nobody knows what is on the disk.
    fn write(&self, entry: &Entry, message: &Outbound) -> io::Result<u64> {
        let shard = self.layout.shard(&entry.id, &self.disk)?;
        let from = self.layout.incoming().join(entry.id.as_str());
        let to = self.layout.message(&entry.id);
        let new = self.disk.create(&from)?;
        let written = file::write(&self.disk, &new, entry, message)
            .and_then(|octets| self.disk.sync(&new).map(|()| octets));
        let moved = written.and_then(|octets| self.disk.rename(&from, &to).map(|()| octets));
        let octets = moved.inspect_err(|_| self.clear_away(&from))?;
        shard.sync(&self.disk).inspect_err(|_| self.clear_away(&to))?;
        Ok(octets)
    }

    /// What cannot be removed in `incoming/` is at the next start; in `messages/` it would be
    /// delivered then, though the client was told to come again: twice, and not never.
    fn clear_away(&self, path: &Path) {
        if let Err(cause) = self.disk.unlink(path) {
            warn!(file = %path.display(), %cause, "a message that was not accepted stays");
        }
    }

    /// Writes the state of a message, and has it on the disk. Blocks.
    pub(super) fn keep_state(&self, entry: &Entry) -> Result<(), SpoolError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        if !self.ledger.knows(&entry.id) {
            return Err(SpoolError::Unknown(entry.id.clone()));
        }
        let states: Vec<_> = entry.recipients.iter().map(|recipient| &recipient.state).collect();
        let octets = file::encode_state(&Kept { id: &entry.id, held: entry.held, states })?;
        let name = format!("{}.{}", entry.id, COUNT.fetch_add(1, Ordering::Relaxed));
        let from = self.layout.incoming().join(name);
        let new = self.disk.create(&from)?;
        self.disk
            .write(&new, &octets)
            .and_then(|()| self.disk.sync(&new))
            .and_then(|()| self.disk.rename(&from, &self.layout.state(&entry.id)))
            .inspect_err(|_| self.clear_away(&from))?;
        Ok(self.layout.states().sync(&self.disk)?)
    }

    /// The entry with what was kept of its recipients. What is no state is put aside: then they wait
    /// as at the beginning, and some may get the message twice.
    pub(super) fn with_state(&self, entry: Entry) -> io::Result<Entry> {
        let (entry, torn) = self.layout.with_state(entry);
        if let Some(reason) = torn {
            let (reason, name) = (reason.of_the_file()?, format!("{}.state", entry.id));
            self.put_aside(&self.layout.state(&entry.id), &name, &reason);
        }
        Ok(entry)
    }
}

impl Layout {
    /// The entry with what was kept of its recipients, and what is wrong with that.
    pub(super) fn with_state(&self, mut entry: Entry) -> (Entry, Option<Torn>) {
        let read = match std::fs::read(self.state(&entry.id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return (entry, None),
            read => read.map_err(Torn::from),
        };
        let read = read.and_then(|octets| file::decode_state::<Kept<Id, Vec<State>>>(&octets));
        let kept = match read {
            Ok(kept) if kept.id == entry.id && kept.states.len() == entry.recipients.len() => kept,
            Ok(_) => return (entry, Some(Torn::Name)),
            Err(reason) => return (entry, Some(reason)),
        };
        entry.held = kept.held;
        for (recipient, state) in entry.recipients.iter_mut().zip(kept.states) {
            recipient.state = state;
        }
        (entry, None)
    }
}

/// About what a file has beside the content.
const ENVELOPE_OCTETS: u64 = 1024;
