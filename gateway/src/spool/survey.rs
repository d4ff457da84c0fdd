//! A look at the directory, whether or not a gateway uses it. Nothing is changed.

use std::io;
use std::path::{Path, PathBuf};

use super::file::MessageFile;
use super::layout::Layout;
use super::recovery::{id, list};
use super::{Entry, Id, SpoolError, Torn};
use crate::message::Outbound;

/// A look at a spool's directory.
#[derive(Debug)]
pub struct Survey {
    layout: Layout,
}

impl Survey {
    /// Looks at a directory.
    #[must_use]
    pub fn of(directory: &Path) -> Self {
        Self { layout: Layout::of(directory) }
    }

    /// The messages that wait at this moment, as far as their names tell, in order.
    ///
    /// # Errors
    ///
    /// If the directory cannot be read.
    pub fn ids(&self) -> Result<Vec<Id>, SpoolError> {
        let mut ids = Vec::new();
        for shard in list(&self.layout.messages())? {
            // A folder that goes while we look is empty.
            let paths = list(&shard).unwrap_or_default();
            ids.extend(paths.iter().filter_map(|path| id(path)));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// What is known of a message; nothing if it waits no longer.
    ///
    /// # Errors
    ///
    /// If its file is none.
    pub fn entry(&self, id: &Id) -> Result<Option<Entry>, Torn> {
        Ok(self.file(id)?.map(|file| self.layout.with_state(file.entry).0))
    }

    /// The message itself; nothing if it waits no longer.
    ///
    /// # Errors
    ///
    /// If its file is none.
    pub fn message(&self, id: &Id) -> Result<Option<Outbound>, Torn> {
        let message = self.file(id)?.map(MessageFile::message).transpose()?;
        Ok(message.map(|(_, message)| message))
    }

    fn file(&self, id: &Id) -> Result<Option<MessageFile>, Torn> {
        match std::fs::File::open(self.layout.message(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => MessageFile::read(opened?).map(Some),
        }
    }

    /// What was put aside.
    #[must_use]
    pub fn torn(&self) -> Vec<PathBuf> {
        list(&self.layout.torn()).unwrap_or_default()
    }
}
