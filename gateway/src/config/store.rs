//! Stores: what plugins remember longer than a transaction.

use super::mistake::Place;
use super::section::{Entry, Reader, Section};

/// One store.
#[derive(Clone, Debug)]
pub struct Store {
    /// Where it keeps what it is given.
    pub kind: StoreKind,
    /// Whether plugins share its keys; else each has keys of its own.
    pub shared: bool,
    /// Where it stands in the configuration, for errors that come up later.
    pub place: Place,
}

/// Where a store keeps what it is given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StoreKind {
    /// In the process, until it ends.
    Memory {
        /// Bound of keys, values and what keeping them takes.
        octets: u64,
    },
}

impl Store {
    pub(super) const KEYS: &'static [&'static str] = &["kind", "shared", "size"];

    /// A store, if it can be told what it is.
    pub(super) fn read<'a>(reader: &'a Reader<'a>, entry: &Entry<'a>) -> Option<Self> {
        let section = Section::under(reader, "a store", entry, Self::KEYS);
        if section.entry("kind").is_none() {
            section.missing("kind", "memory");
        }
        let kind = section.choice("kind", KINDS);
        let shared = section.choice("shared", super::SWITCH).unwrap_or(false);
        let octets = |default| section.size("size", 64 << 10..=1 << 40, default);
        let kind = match kind? {
            Kind::Memory => StoreKind::Memory { octets: octets(MEMORY_OCTETS) },
        };
        Some(Self { kind, shared, place: reader.place(entry.key.mark) })
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Memory,
}

const KINDS: &[(&str, Kind)] = &[("memory", Kind::Memory)];

/// A greylist of some 250,000 triplets.
const MEMORY_OCTETS: u64 = 64 << 20;
