//! `portcullis plugin bench`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::inspect::size;
use super::setup;
use crate::cli::MISCONFIGURED;
use crate::config::{self, Isolation};
use crate::policy::Hook;
use crate::workbench::{Given, Mail, Setup, Workbench, WorkbenchError};

/// The same mail again and again, in the gateway's own engine, by one thread: the processor's time,
/// and that of whatever the plugin waits for. Take a release build, and a machine that has nothing
/// else to do.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  portcullis plugin bench closed.wasm --settings '{\"domains\": []}'
  portcullis plugin bench filter.wasm --eml large.eml --grant rewrite-headers --seconds 10")]
pub(in crate::cli) struct Bench {
    #[command(flatten)]
    given: setup::Given,
    /// How long each isolation mode is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
}

impl Bench {
    pub(super) async fn execute(self) -> ExitCode {
        let mut setup = match self.given.setup() {
            Ok(setup) => setup,
            Err(error) => {
                eprintln!("{error}");
                return MISCONFIGURED.into();
            }
        };
        supply(&mut setup.given);
        let time = Duration::from_secs(self.seconds);
        super::print("isolation    hook      calls   median      p99\n");
        for isolation in MODES {
            setup.plugin.isolation = isolation;
            match measure(&setup, time).await {
                Ok(measured) => super::print(&measured.table(isolation)),
                Err(error) => {
                    eprintln!("error: {error}");
                    return MISCONFIGURED.into();
                }
            }
        }
        ExitCode::SUCCESS
    }
}

/// A mail that reaches all hooks, where none is given.
fn supply(given: &mut Given) {
    given.mail.get_or_insert_with(Mail::default);
    given.message.get_or_insert_with(|| {
        let line = "The quick brown fox jumps over the lazy dog.\r\n";
        let header = "From: sender@example.com\r\nTo: recipient@example.org\r\nSubject: bench\r\n";
        format!("{header}\r\n{}", line.repeat(100)).into_bytes()
    });
}

/// What was measured in one mode.
struct Measured {
    /// Each call's time.
    hooks: BTreeMap<Hook, Vec<Duration>>,
    /// Each mail's time in the plugin.
    mails: Vec<Duration>,
    /// Of one copy after a mail.
    memory: usize,
}

async fn measure(setup: &Setup, time: Duration) -> Result<Measured, WorkbenchError> {
    let Setup { plugin, upstreams, given, world } = setup;
    let cache = config::cache_directory();
    let workbench = Workbench::new(plugin, upstreams.clone(), world, &cache, true).await?;
    // The first mails pay for what the others find done.
    for _ in 0..WARM_UP {
        workbench.time(given).await;
    }
    let mut measured = Measured { hooks: BTreeMap::new(), mails: Vec::new(), memory: 0 };
    let started = Instant::now();
    while started.elapsed() < time && measured.mails.len() < MOST {
        let calls = workbench.time(given).await;
        measured.mails.push(calls.iter().map(|call| call.took).sum());
        for call in calls {
            measured.hooks.entry(call.hook).or_default().push(call.took);
            measured.memory = measured.memory.max(call.memory);
        }
    }
    Ok(measured)
}

impl Measured {
    fn table(mut self, isolation: Isolation) -> String {
        let mut text = String::new();
        let mut name = isolation_name(isolation);
        for (hook, times) in &mut self.hooks {
            let (median, p99) = quantiles(times);
            let calls = times.len();
            let _ = writeln!(
                text,
                "{name:<12} {:<9} {calls:>5} {median:>8.1?} {p99:>8.1?}",
                hook.label()
            );
            name = "";
        }
        let (median, p99) = quantiles(&mut self.mails);
        let mails = self.mails.len();
        let _ = writeln!(text, "{name:<12} {:<9} {mails:>5} {median:>8.1?} {p99:>8.1?}", "a mail");
        let memory = size(self.memory as u64);
        let _ = writeln!(text, "{:<12} {:<9} {memory:>23}", "", "a copy");
        text
    }
}

/// The median, and what one of a hundred is above.
fn quantiles(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    let at = |hundredths: usize| {
        let last = times.len().saturating_sub(1);
        times.get((times.len() * hundredths / 100).min(last)).copied().unwrap_or_default()
    };
    (at(50), at(99))
}

fn isolation_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Call => "call",
        Isolation::Pooled => "pooled",
        Isolation::Transaction => "transaction",
    }
}

const MODES: [Isolation; 3] = [Isolation::Transaction, Isolation::Pooled, Isolation::Call];

/// Mails before those that count.
const WARM_UP: u32 = 3;

/// Mails of one mode: enough for any quantile, and what is kept of each has an end.
const MOST: usize = 200_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_what_there_is() {
        let mut times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(quantiles(&mut times), (Duration::from_millis(101), Duration::from_millis(199)));
        assert_eq!(quantiles(&mut []), (Duration::ZERO, Duration::ZERO));
        assert_eq!(quantiles(&mut [Duration::from_secs(1)]).1, Duration::from_secs(1));
    }
}
