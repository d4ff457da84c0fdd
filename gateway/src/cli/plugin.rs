//! `portcullis plugin`: what is done with plugins outside of a running gateway, most of it by those
//! who write them.

mod junit;
mod test;

use std::process::ExitCode;

use clap::Subcommand;

use super::lock::Lock;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Approve the plugins of a configuration as they are now: writes the lock file beside it.
    Lock(Lock),
    /// Play scenario files and compare what came with what they expect.
    Test(test::Test),
}

impl Plugin {
    /// Does what was asked: 0, 1 (it went wrong) or 2 (what was given is wrong).
    pub(super) async fn execute(self) -> ExitCode {
        match self {
            Self::Lock(lock) => lock.execute(),
            Self::Test(test) => test.execute().await,
        }
    }
}
