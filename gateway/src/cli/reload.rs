//! `portcullis reload`: asks a running gateway to read its configuration anew.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{MISCONFIGURED, reachable};
use crate::{admin, config};

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct Reload {
    /// Its configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Reload {
    pub(super) async fn execute(self) -> ExitCode {
        let config = match config::load(&self.config) {
            Ok(config) => config,
            Err(mistakes) => {
                eprintln!("{mistakes}");
                return MISCONFIGURED.into();
            }
        };
        let Some(address) = config.admin.address.map(reachable) else {
            eprintln!("error: without \"admin\" only a signal reloads: kill -HUP");
            return ExitCode::FAILURE;
        };
        match admin::request_reload(address).await {
            Ok((200, told)) => {
                print!("{told}");
                ExitCode::SUCCESS
            }
            Ok((422, told)) => {
                eprint!("{told}");
                MISCONFIGURED.into()
            }
            Ok((status, told)) => {
                eprint!("error: the gateway at {address} answers {status}: {told}");
                ExitCode::FAILURE
            }
            Err(error) => {
                eprintln!("error: no gateway answers at {address}: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
