//! `portcullis healthcheck`: whether a running gateway is ready, for those who start containers.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::time::timeout;

use super::asking::{Gateway, fail};

/// Which gateway, and what is asked.
#[derive(Args, Debug)]
pub(super) struct Healthcheck {
    #[command(flatten)]
    gateway: Gateway,
    /// Ask whether it lives (/livez) instead of whether it is ready (/readyz): for those who kill it if
    /// it does not.
    #[arg(long)]
    live: bool,
}

impl Healthcheck {
    pub(super) async fn execute(self) -> ExitCode {
        let client = match self.gateway.find() {
            Ok(client) => client,
            Err(code) => return code,
        };
        let path = if self.live { "/livez" } else { "/readyz" };
        match timeout(PATIENCE, client.look(path)).await {
            Ok(Ok((200, told))) => {
                print!("{told}");
                ExitCode::SUCCESS
            }
            Ok(Ok((_, told))) => {
                print!("{told}");
                ExitCode::FAILURE
            }
            Ok(Err(error)) => fail(&error),
            Err(_) => {
                eprintln!("error: the gateway at {client} does not answer");
                ExitCode::FAILURE
            }
        }
    }
}

/// Shorter than what Docker waits by default.
const PATIENCE: Duration = Duration::from_secs(10);
