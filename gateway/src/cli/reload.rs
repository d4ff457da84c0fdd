//! `portcullis reload` and `portcullis upgrade`: ask a running gateway to read its configuration anew, or to
//! have another process take its place.

use std::process::ExitCode;

use clap::Args;

use super::MISCONFIGURED;
use super::asking::{Gateway, fail};
use crate::admin::AskError;

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct Reload {
    #[command(flatten)]
    gateway: Gateway,
}

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct Upgrade {
    #[command(flatten)]
    gateway: Gateway,
}

impl Reload {
    pub(super) async fn execute(self) -> ExitCode {
        order(&self.gateway, "/api/reload").await
    }
}

impl Upgrade {
    pub(super) async fn execute(self) -> ExitCode {
        order(&self.gateway, "/api/upgrade").await
    }
}

/// Passes on what the gateway says.
async fn order(gateway: &Gateway, path: &str) -> ExitCode {
    let client = match gateway.find() {
        Ok(client) => client,
        Err(code) => return code,
    };
    match client.post(path, "").await {
        Ok(told) => {
            print!("{told}");
            ExitCode::SUCCESS
        }
        Err(AskError::Refused { status: 422, text, .. }) => {
            eprint!("{text}");
            MISCONFIGURED.into()
        }
        Err(error) => fail(&error),
    }
}
