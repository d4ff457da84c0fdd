//! What can go wrong with the spool, and what a client hears of it.

use std::io;
use std::path::PathBuf;

use portcullis_smtp::Reply;

use super::{Id, Torn};

/// Why the spool did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Its directory cannot be used.
    #[error("the spool's directory {} cannot be used", path.display())]
    Directory {
        /// It, or what of it cannot be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk, for one message.
    #[error("the spool's disk failed")]
    Disk(#[from] io::Error),
    /// A bound of the configuration, by its key.
    #[error("the spool is full: \"{0}\" is reached")]
    Full(&'static str),
    /// Another process takes the place of this one, and has the directory already.
    #[error("the spool is another process's by now")]
    LetGo,
    /// Another gateway has the directory.
    #[error("the spool {} is used by another gateway{}", directory.display(), process(*holder))]
    Locked {
        /// The directory.
        directory: PathBuf,
        /// The other gateway's process, as far as it can be told.
        holder: Option<u32>,
    },
    /// A message of this name waits already.
    #[error("a message {0} waits already")]
    Taken(Id),
    /// The file of a message is not what was written; it was put aside.
    #[error("the message {id} was put aside: {reason}")]
    Torn {
        /// Which message.
        id: Id,
        /// Why.
        reason: Torn,
    },
    /// No such message waits.
    #[error("no message {0} waits")]
    Unknown(Id),
}

fn process(holder: Option<u32>) -> String {
    holder.map_or_else(String::new, |id| format!(", the process {id}"))
}

impl SpoolError {
    /// What a client hears whose message was not stored. It keeps the message.
    #[must_use]
    pub fn reply(&self) -> Reply {
        if matches!(self, Self::Full(_)) || self.is_full_disk() {
            return Reply::fixed(452, (4, 3, 1), "no room for more mail, try again later");
        }
        Reply::fixed(451, (4, 3, 0), "the message cannot be stored, try again later")
    }

    fn is_full_disk(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let (Self::Disk(source) | Self::Directory { source, .. }) = self else { return false };
        matches!(source.kind(), FileTooLarge | QuotaExceeded | StorageFull)
    }
}
