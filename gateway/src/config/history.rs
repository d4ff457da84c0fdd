//! How much is kept of what went on.

use super::section::Section;

/// How much is kept of what went on, in memory, for those who watch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct History {
    /// The last transactions; 0 is none.
    pub transactions: usize,
    /// Octets of their records.
    pub octets: u64,
}

impl Default for History {
    /// The reasons stand in `config/portcullis.yaml`.
    fn default() -> Self {
        Self { transactions: 1000, octets: 8 << 20 }
    }
}

impl History {
    pub(super) const KEYS: &'static [&'static str] = &["size", "transactions"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let transactions = default.transactions as u64;
        Self {
            transactions: section.count("transactions", 0..=100_000, transactions) as usize,
            octets: section.size("size", 64 << 10..=1 << 30, default.octets),
        }
    }
}
