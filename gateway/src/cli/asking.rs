//! Which gateway a command asks, through its admin interface.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use zeroize::Zeroizing;

use super::{MISCONFIGURED, chain};
use crate::admin::{AskError, Client};
use crate::config::{self, TokenSecret};

/// Which gateway.
#[derive(Args, Debug)]
pub(super) struct Gateway {
    /// The configuration file of the gateway, whose "admin" says where it is asked.
    #[arg(long, value_name = "FILE", required_unless_present = "admin")]
    config: Option<PathBuf>,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

/// A gateway that is not asked where a configuration says.
#[derive(Args, Debug)]
pub(super) struct Elsewhere {
    /// Where the gateway is asked, in place of what the configuration says: 127.0.0.1:9925, unix:PATH or
    /// https://NAME:PORT.
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<String>,
    /// A file with the token for --admin, and nothing else in it.
    #[arg(long, value_name = "FILE", requires = "admin")]
    token_file: Option<PathBuf>,
    /// The authority of the certificate at --admin, as PEM, if this system does not trust it anyway.
    #[arg(long, value_name = "FILE", requires = "admin")]
    authority: Option<PathBuf>,
}

impl Gateway {
    /// Who asks it; the exit code if nobody knows how.
    pub(super) fn find(&self) -> Result<Client, ExitCode> {
        if let Some(client) = self.elsewhere.find() {
            return client.map_err(|error| fail(&error));
        }
        let file = self.config.clone().unwrap_or_default();
        let admin = config::admin_of(&file).map_err(|mistakes| {
            eprintln!("{mistakes}");
            ExitCode::from(MISCONFIGURED)
        })?;
        Client::of(&admin).map_err(|error| fail(&error))
    }
}

impl Elsewhere {
    /// Who asks it, if one is named.
    pub(super) fn find(&self) -> Option<Result<Client, AskError>> {
        let address = self.admin.as_ref()?;
        let token = self.token();
        Some(token.and_then(|token| Client::at(address, token, self.authority.as_deref())))
    }

    fn token(&self) -> Result<Option<TokenSecret>, AskError> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let nowhere = |error: String| AskError::Nowhere(format!("{}: {error}", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| nowhere(error.to_string()))?;
        let text = Zeroizing::new(text);
        let line = text.lines().next().unwrap_or_default();
        let token = TokenSecret::new(Zeroizing::new(line.to_owned()));
        token.map(Some).map_err(|help| nowhere(format!("this is no token: {help}")))
    }
}

/// Says why not.
pub(super) fn fail(error: &AskError) -> ExitCode {
    eprintln!("error: {}", chain(error));
    ExitCode::FAILURE
}
