//! The messages that are being worked on now. Whoever works on one works on the same state of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{MappedMutexGuard, Mutex as Turnstile, MutexGuard};

use crate::message::Outbound;
use crate::spool::{Entry, Id, Spool, SpoolError};

type Sheet = Arc<Turnstile<Option<Entry>>>;

/// The messages that are being worked on.
#[derive(Debug, Default)]
pub(super) struct Desk(Mutex<HashMap<Id, Sheet>>);

/// One of them. Put away when the last one drops it.
#[derive(Debug)]
pub(super) struct Opened {
    desk: Arc<Desk>,
    id: Id,
    /// Always there until the drop.
    sheet: Option<Sheet>,
}

impl Desk {
    /// Takes a message out: its state, for as long as the guard is held by nobody else, and its content.
    pub(super) async fn open(
        self: &Arc<Self>,
        spool: &Arc<Spool>,
        id: &Id,
        given: Option<(Entry, Outbound)>,
    ) -> Result<(Opened, Outbound), SpoolError> {
        let sheet = self.sheets(|sheets| sheets.entry(id.clone()).or_default().clone());
        let opened = Opened { desk: self.clone(), id: id.clone(), sheet: Some(sheet.clone()) };
        let mut state = sheet.lock().await;
        let (entry, outbound) = match given {
            Some(given) => given,
            None => spool.read(id).await?,
        };
        state.get_or_insert(entry);
        drop(state);
        drop(sheet);
        Ok((opened, outbound))
    }

    /// The state of a message that somebody works on, for as long as this is kept.
    pub(super) fn keep(self: &Arc<Self>, id: &Id) -> Option<Opened> {
        let sheet = self.sheets(|sheets| sheets.get(id).cloned())?;
        Some(Opened { desk: self.clone(), id: id.clone(), sheet: Some(sheet) })
    }

    fn sheets<T>(&self, work: impl FnOnce(&mut HashMap<Id, Sheet>) -> T) -> T {
        // A map that a panic left behind is still a map.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Opened {
    /// The state of the message, which others wait for meanwhile.
    pub(super) async fn entry(&self) -> Option<MappedMutexGuard<'_, Entry>> {
        let state = self.sheet.as_ref()?.lock().await;
        MutexGuard::try_map(state, Option::as_mut).ok()
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let own = self.sheet.take();
        self.desk.sheets(|sheets| {
            drop(own);
            // Nobody but the map has it any more.
            if sheets.get(&self.id).is_some_and(|sheet| Arc::strong_count(sheet) == 1) {
                sheets.remove(&self.id);
            }
        });
    }
}
