//! The last transactions.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::weight;
use crate::config;
use crate::telemetry::TransactionRecord;

/// A ring of records, bounded in number and octets.
#[derive(Debug)]
pub(super) struct History(Mutex<Ring>);

#[derive(Debug)]
struct Ring {
    bounds: config::History,
    octets: u64,
    records: VecDeque<Arc<TransactionRecord>>,
}

impl History {
    pub(super) fn new(bounds: config::History) -> Self {
        Self(Mutex::new(Ring { bounds, octets: 0, records: VecDeque::new() }))
    }

    pub(super) fn keep(&self, bounds: config::History) {
        let mut ring = self.ring();
        ring.bounds = bounds;
        let gone = ring.shrink();
        drop(ring);
        drop(gone);
    }

    pub(super) fn push(&self, record: &Arc<TransactionRecord>) {
        let octets = weight::octets(record);
        let mut ring = self.ring();
        if ring.bounds.transactions == 0 {
            return;
        }
        ring.octets += octets;
        ring.records.push_back(record.clone());
        let gone = ring.shrink();
        // What is freed is freed when nobody waits for the lock.
        drop(ring);
        drop(gone);
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vec<Arc<TransactionRecord>> {
        self.ring().records.iter().cloned().collect()
    }

    pub(super) fn kept(&self) -> (usize, u64) {
        let ring = self.ring();
        (ring.records.len(), ring.octets)
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A ring that a panic left behind is still a ring.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    /// Gives up the oldest as long as there is too much.
    fn shrink(&mut self) -> Vec<Arc<TransactionRecord>> {
        let mut gone = Vec::new();
        while self.records.len() > self.bounds.transactions || self.octets > self.bounds.octets {
            let Some(oldest) = self.records.pop_front() else { break };
            self.octets -= weight::octets(&oldest);
            gone.push(oldest);
        }
        gone
    }
}
