//! When an address of an upstream counts as down.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::section::Section;
use crate::config::tree::Value;

/// What is remembered of an address that fails.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamHealth {
    /// Failures in a row after which an address is down; none: nothing is remembered.
    pub failures: Option<u32>,
    /// How long it is left alone at first.
    pub cool_down: Duration,
    /// How long it is left alone after many failures.
    pub longest_cool_down: Duration,
    /// How often an address that is down is looked at; none: mail finds out.
    pub probe: Option<Duration>,
}

impl Default for UpstreamHealth {
    /// The reasons stand in `config/portcullis.yaml`.
    fn default() -> Self {
        Self {
            failures: Some(3),
            cool_down: Duration::from_secs(1),
            longest_cool_down: Duration::from_mins(1),
            probe: Some(Duration::from_secs(1)),
        }
    }
}

impl UpstreamHealth {
    pub(super) const KEYS: &'static [&'static str] =
        &["cool_down", "failures", "longest_cool_down", "probe"];

    pub(super) fn read(upstream: &Section<'_>) -> Self {
        let section = upstream.section("health", Self::KEYS);
        let default = Self::default();
        let failures = default.failures.unwrap_or(1).into();
        let failures = unless_never(&section, "failures", || {
            section.count("failures", 1..=1000, failures) as u32
        });
        let probe = default.probe.unwrap_or(MOMENT);
        let probe = unless_never(&section, "probe", || section.duration("probe", TIMES, probe));
        let cool_down = section.duration("cool_down", TIMES, default.cool_down);
        let longest = default.longest_cool_down.max(cool_down);
        let longest_cool_down = section.duration("longest_cool_down", TIMES, longest);
        if longest_cool_down < cool_down {
            let text = "the longest cool-down is shorter than the first";
            let mark = section.mark_of("longest_cool_down");
            section.reader.error(mark, text, Some("\"cool_down\" doubles up to it"));
        }
        Self { failures, cool_down, longest_cool_down, probe }
    }
}

fn unless_never<T>(section: &Section<'_>, key: &str, read: impl FnOnce() -> T) -> Option<T> {
    section.or_word(key, "never");
    let never = section.entry(key).is_some_and(
        |entry| matches!(&entry.node.value, Value::Scalar { text, .. } if text == "never"),
    );
    (!never).then(read)
}

const MOMENT: Duration = Duration::from_millis(100);
const TIMES: RangeInclusive<Duration> = MOMENT..=Duration::from_hours(1);
