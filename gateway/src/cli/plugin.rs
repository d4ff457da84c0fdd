//! `portcullis plugin`: what is done with plugins outside of a running gateway, most of it by those
//! who write them.

mod bench;
mod build;
mod inspect;
mod language;
mod new;
mod run;
mod setup;
mod test;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Subcommand;

use super::lock::Lock;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Approve the plugins of a configuration as they are now: writes the lock file beside it.
    Lock(Lock),
    /// Measure what a mail costs: time for each hook, memory for each copy, in each isolation mode.
    Bench(bench::Bench),
    /// Build the plugin in a folder with its language's own tools, and look at what came of it.
    Build(build::Build),
    /// Tell what a plugin's file is: its hooks, the grants that it needs, and whether it can be
    /// loaded.
    Inspect(inspect::Inspect),
    /// Begin a plugin: a project that can be built, tested and run at once.
    New(new::New),
    /// Show a plugin a mail, and tell what it said, changed, logged and asked.
    Run(run::Run),
    /// Play scenario files and compare what came with what they expect.
    Test(test::Test),
}

impl Plugin {
    /// Does what was asked: 0, 1 (it went wrong) or 2 (what was given is wrong).
    pub(super) async fn execute(self) -> ExitCode {
        match self {
            Self::Lock(lock) => lock.execute(),
            Self::Bench(bench) => bench.execute().await,
            Self::Build(build) => build.execute().await,
            Self::Inspect(inspect) => inspect.execute().await,
            Self::New(new) => new.execute(),
            Self::Run(run) => run.execute().await,
            Self::Test(test) => test.execute().await,
        }
    }
}

/// Prints what was asked for. Whoever does not read to the end wants no more.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
