//! Where transactions put what is accepted before it is delivered.

use std::sync::Arc;
use std::time::Duration;

use super::Spooling;
use crate::message::Outbound;
use crate::spool::{Entry, Id, Spool, SpoolError};
use crate::upstream::{Rehearsal, Taken};

/// Where transactions put what is accepted before it is delivered.
#[derive(Clone, Debug)]
pub enum Keeping {
    /// On the disk, and from there it is delivered.
    Spooled(Spooling),
    /// Nowhere; it is written down in the rehearsal.
    Rehearsed {
        /// Where.
        rehearsal: Arc<Rehearsal>,
        /// What would be stored in, if it is open: whether there is room.
        spool: Option<Arc<Spool>>,
    },
}

impl Keeping {
    /// Whether another message of so many octets may come.
    #[must_use]
    pub fn has_room(&self, octets: u64) -> bool {
        match self {
            Self::Spooled(Spooling { spool, .. }) => spool.has_room(octets),
            Self::Rehearsed { spool, .. } => {
                spool.as_ref().is_none_or(|spool| spool.would_have_room(octets))
            }
        }
    }

    /// How long what was not taken waits for its first other attempt.
    #[must_use]
    pub fn first_pause(&self) -> Duration {
        match self {
            Self::Spooled(Spooling { queue, .. }) => queue.first_pause(),
            Self::Rehearsed { .. } => Duration::ZERO,
        }
    }

    /// Stores a message, on the disk when this returns its name, and sees to it that it is delivered.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub async fn store(&self, entry: Entry, outbound: &Outbound) -> Result<Id, SpoolError> {
        match self {
            Self::Spooled(Spooling { spool, queue }) => {
                let stored = spool.store(entry, outbound).await?;
                let id = stored.id().clone();
                queue.enqueue(&stored, outbound.clone());
                Ok(id)
            }
            Self::Rehearsed { rehearsal, .. } => {
                let recipients = entry.recipients.into_iter();
                rehearsal.take(Taken {
                    upstream: None,
                    sender: entry.reverse_path,
                    parameters: entry.parameters,
                    recipients: recipients.map(|recipient| recipient.address).collect(),
                    message: outbound.clone(),
                });
                Ok(entry.id)
            }
        }
    }
}
