//! `portcullis plugin`: what is done with plugins outside of a running gateway.

use std::process::ExitCode;

use clap::Subcommand;

use super::lock::Lock;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub(super) enum Plugin {
    /// Approve the plugins of a configuration as they are now: writes the lock file beside it.
    Lock(Lock),
}

impl Plugin {
    pub(super) fn execute(self) -> ExitCode {
        match self {
            Self::Lock(lock) => lock.execute(),
        }
    }
}
