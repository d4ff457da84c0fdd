//! What repeated failures of a plugin mean.

use std::time::Duration;

use super::plugin::{FAILURES, OnFailure};
use super::section::Section;

/// When a plugin that keeps failing at a hook is not called there any more, and for how long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Breaker {
    /// Failures within the window; 0 is never.
    pub failures: u64,
    /// How long a failure counts.
    pub window: Duration,
    /// Networks of clients that the failures come from.
    pub networks: usize,
    /// How long it is not called.
    pub open: Duration,
}

/// When a message that keeps killing a plugin is not shown to it any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Poison {
    /// Failures at the same message; 0 is never.
    pub failures: u64,
    /// After the last failure: how long it is remembered.
    pub window: Duration,
    /// What is said to it then; none is as to any other failure.
    pub on_failure: Option<OnFailure>,
}

impl Breaker {
    pub(super) const KEYS: &'static [&'static str] = &["failures", "networks", "open", "window"];

    pub(super) fn read(plugin: &Section<'_>, on_failure: OnFailure) -> Self {
        let default = Self::default_for(on_failure);
        let section = plugin.section("breaker", Self::KEYS);
        let failures = section.count("failures", 0..=1_000_000, default.failures);
        if on_failure == OnFailure::Accept && failures > 0 {
            let text =
                "everybody's mail passes unfiltered while the breaker of this plugin is open";
            let help = "leave \"failures\" at 0, or take \"on_failure: tempfail\"";
            section.reader.warn(section.mark_of("failures"), text, Some(help));
        }
        Self {
            failures,
            window: section.duration("window", SHORTEST..=LONGEST, default.window),
            networks: section.count("networks", 1..=1_000, default.networks as u64) as usize,
            open: section.duration("open", SHORTEST..=LONGEST, default.open),
        }
    }

    /// Where a failure lets mail pass, it takes a decision to let pass everybody's.
    #[must_use]
    pub fn default_for(on_failure: OnFailure) -> Self {
        Self {
            failures: if on_failure == OnFailure::Accept { 0 } else { 10 },
            window: Duration::from_mins(1),
            networks: 3,
            open: Duration::from_secs(30),
        }
    }
}

impl Poison {
    pub(super) const KEYS: &'static [&'static str] = &["failures", "on_failure", "window"];

    pub(super) fn read(plugin: &Section<'_>) -> Self {
        let default = Self::default();
        let section = plugin.section("poison", Self::KEYS);
        Self {
            failures: section.count("failures", 0..=1_000, default.failures),
            window: section.duration("window", SHORTEST..=LONGEST, default.window),
            on_failure: section.choice("on_failure", FAILURES),
        }
    }
}

impl Default for Poison {
    fn default() -> Self {
        Self { failures: 3, window: Duration::from_hours(1), on_failure: None }
    }
}

const SHORTEST: Duration = Duration::from_millis(1);

const LONGEST: Duration = Duration::from_hours(24);
