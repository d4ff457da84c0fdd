//! What every Prometheus target tells of itself, read from `/proc`.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Counter, Registry};

use super::family::{UNIQUE, gauges, pulled};

/// `USER_HZ`: what `/proc/self/stat` counts in, on every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Says what is running here.
pub(super) fn show_build(registry: &Registry) {
    gauges(
        registry,
        "portcullis_build_info",
        "Always 1: what is running here",
        &BUILD.map(|(label, _)| label),
    )
    .with_label_values(&BUILD.map(|(_, value)| value))
    .set(1);
}

/// From `build.rs`, and from whoever builds a release.
const BUILD: [(&str, &str); 5] = [
    ("version", env!("CARGO_PKG_VERSION")),
    (
        "commit",
        match option_env!("PORTCULLIS_COMMIT") {
            Some(commit) => commit,
            None => "unknown",
        },
    ),
    ("rustc", env!("BUILT_BY_RUSTC")),
    ("wasmtime", env!("BUILT_WITH_WASMTIME")),
    ("rustls", env!("BUILT_WITH_RUSTLS")),
];

/// Registers the `process_` metrics. Where there is no `/proc`, they read 0.
pub(super) fn register(registry: &Registry) {
    let start =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    pulled(
        registry,
        "process_start_time_seconds",
        "When the process started, since the epoch",
        move || start,
    );
    pulled(
        registry,
        "process_resident_memory_bytes",
        "Memory of the process that is in RAM",
        || read("/proc/self/status", resident_bytes),
    );
    pulled(registry, "process_open_fds", "File descriptors that are open", open_descriptors);
    pulled(registry, "process_max_fds", "File descriptors that may be open", || {
        read("/proc/self/limits", descriptor_limit)
    });
}

/// Processor time: a counter, which the library cannot ask for at a scrape.
#[derive(Debug)]
pub(super) struct ProcessorSeconds(Mutex<Counter>);

impl ProcessorSeconds {
    pub(super) fn new(registry: &Registry) -> Self {
        let counter = Counter::new(
            "process_cpu_seconds_total",
            "Processor time of the process, user and system",
        )
        .expect(UNIQUE);
        registry.register(Box::new(counter.clone())).expect(UNIQUE);
        Self(Mutex::new(counter))
    }

    /// Brings the counter up to now. Two scrapes at once must not add the same time twice.
    pub(super) fn update(&self) {
        let counter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = read("/proc/self/stat", processor_seconds);
        counter.inc_by((now - counter.get()).max(0.0));
    }
}

fn read(path: &str, value: impl Fn(&str) -> Option<f64>) -> f64 {
    fs::read_to_string(path).ok().and_then(|text| value(&text)).unwrap_or_default()
}

fn open_descriptors() -> f64 {
    // One of them is the directory that is being read.
    fs::read_dir("/proc/self/fd").map_or(0.0, |entries| entries.count().saturating_sub(1) as f64)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn descriptor_limit(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn processor_seconds(stat: &str) -> Option<f64> {
    // The name of the program, in parentheses, may hold anything, so count from behind it: utime
    // and stime are fields 14 and 15, the state is field 3.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_name_with_a_parenthesis() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 100 1000 10";
        assert_eq!(processor_seconds(stat), Some(3.0));
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        assert!(read("/proc/self/status", resident_bytes) > 100_000.0);
        assert!(read("/proc/self/limits", descriptor_limit) >= 3.0);
        assert!(open_descriptors() >= 3.0);
    }
}
