//! `portcullis reload` and `portcullis upgrade`: ask a running gateway to read its configuration anew, or to
//! have another process take its place.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
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

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct Upgrade {
    /// Its configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Reload {
    pub(super) async fn execute(self) -> ExitCode {
        match address(&self.config, "reloads: kill -HUP") {
            Ok(address) => told(address, admin::request_reload(address).await),
            Err(code) => code,
        }
    }
}

impl Upgrade {
    pub(super) async fn execute(self) -> ExitCode {
        match address(&self.config, "upgrades: kill -USR2") {
            Ok(address) => told(address, admin::request_upgrade(address).await),
            Err(code) => code,
        }
    }
}

/// Where the gateway of this configuration answers; or why nobody is asked, and the exit code for that.
fn address(file: &Path, signal: &str) -> Result<SocketAddr, ExitCode> {
    let config = config::load(file).map_err(|mistakes| {
        eprintln!("{mistakes}");
        ExitCode::from(MISCONFIGURED)
    })?;
    config.admin.address.map(reachable).ok_or_else(|| {
        eprintln!("error: without \"admin\" only a signal {signal}");
        ExitCode::FAILURE
    })
}

/// Passes on what the gateway says.
fn told(address: SocketAddr, answer: io::Result<(u16, String)>) -> ExitCode {
    match answer {
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
