//! Messages that come again although they were delivered.

use std::time::Duration;

use super::section::Section;

/// How long it is known that a recipient has a message which its client will send again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Duplicates {
    /// For how long; zero is not at all.
    pub window: Duration,
    /// Recipients that are known so.
    pub entries: usize,
}

impl Default for Duplicates {
    /// The reasons stand in `config/portcullis.yaml`.
    fn default() -> Self {
        Self { window: Duration::from_hours(2), entries: 10_000 }
    }
}

impl Duplicates {
    pub(super) const KEYS: &'static [&'static str] = &["entries", "window"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            window: section.duration(
                "window",
                Duration::ZERO..=Duration::from_hours(24),
                default.window,
            ),
            entries: section.count("entries", 1..=10_000_000, default.entries as u64) as usize,
        }
    }
}
