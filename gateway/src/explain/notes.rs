//! What is seen and written down while a conversation goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::call::Call;
use crate::config::SCORES;
use crate::message::{Envelope, Points, Recipient};
use crate::policy::{Asked, Case, Hook, Scored, Witness};
use crate::telemetry::{Kept, TransactionRecord};

/// What is seen of one conversation. Clones are the same notes.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    seen: Arc<Mutex<Seen>>,
    /// What is logged meanwhile.
    pub(super) log: Kept,
}

#[derive(Debug, Default)]
struct Seen {
    /// Since they were last taken.
    calls: Vec<Call>,
    /// What recipients were called when they were first seen, by their index.
    origins: HashMap<u32, String>,
    /// The recipient that was judged last, with what plugins made of it.
    judged: Option<Recipient>,
    sum: Option<Points>,
    ending: Option<Ending>,
}

/// How a transaction ended.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) record: TransactionRecord,
    /// The envelope, with all that was changed.
    pub(super) envelope: Option<Arc<Envelope>>,
}

impl Notes {
    /// The calls since this was asked last.
    pub(super) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.seen().calls)
    }

    /// The recipient that was judged since this was asked last.
    pub(super) fn take_judged(&self) -> Option<Recipient> {
        self.seen().judged.take()
    }

    pub(super) fn origins(&self) -> HashMap<u32, String> {
        self.seen().origins.clone()
    }

    pub(super) fn sum(&self) -> Option<Points> {
        self.seen().sum
    }

    pub(super) fn ending(&self) -> Option<Ending> {
        self.seen().ending.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Notes that a panic left behind are still notes.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn see(&mut self, case: &Case) {
        let known = case.envelope.iter().flat_map(|envelope| &envelope.recipients);
        for recipient in known.chain(&case.recipient) {
            let said = || recipient.address.to_string();
            self.origins.entry(recipient.index).or_insert_with(said);
        }
    }
}

impl Witness for Notes {
    fn asked(&self, asked: Asked<'_>) {
        let call = Call::of(&asked, self.log.take());
        let mut seen = self.seen();
        seen.see(asked.before);
        if asked.hook == Hook::Rcpt {
            seen.judged.clone_from(&asked.after.recipient);
        }
        seen.calls.push(call);
    }

    fn scored(&self, scored: Scored<'_>) {
        let mut seen = self.seen();
        seen.sum = Some(scored.sum);
        if scored.ruling.by.as_deref() == Some(SCORES) || Call::changed(scored.before, scored.after)
        {
            seen.calls.push(Call::of_scores(&scored));
        }
    }

    fn ended(&self, record: &TransactionRecord, case: &Case) {
        let mut seen = self.seen();
        seen.see(case);
        seen.ending = Some(Ending { record: record.clone(), envelope: case.envelope.clone() });
    }
}
