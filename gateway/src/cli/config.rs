//! `portcullis config`: what a configuration may say, what it amounts to, and what a reload would
//! change.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::MISCONFIGURED;
use super::asking::Elsewhere;
use crate::admin::Client;
use crate::config::{self, Change, Config, Effective, EffectiveEntry, Mistakes};

/// What there is to know of configurations.
#[derive(Debug, Subcommand)]
pub(super) enum Configuration {
    /// Print what a configuration may say as JSON Schema, with which editors complete and check it.
    ///
    /// Editors that know yaml-language-server take it from the first line of the file:
    ///     # yaml-language-server: $schema=portcullis.schema.json
    #[command(verbatim_doc_comment)]
    Schema,
    /// Print every key with its value and where that comes from. Secrets are not shown.
    ///
    /// Behind each value stands its line in the file, or "default", or the key or variable that it comes
    /// from. What is printed is a configuration, but for the secrets.
    Show(Show),
    /// Print what a reload would change.
    ///
    /// These are the differences between a configuration and that of the running gateway, or another file. The
    /// exit code is 0 if nothing would change, 3 if something would, 2 if a configuration has a mistake, and 1 if
    /// no gateway answers.
    Diff(Diff),
}

/// Which configuration, and how.
#[derive(Args, Debug)]
pub(super) struct Show {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// yaml for people, json for programs.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Which configurations.
#[derive(Args, Debug)]
pub(super) struct Diff {
    /// The configuration file as it would be served.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The configuration file to compare it with, instead of the configuration of the gateway that runs.
    #[arg(long, value_name = "OTHER", conflicts_with = "admin")]
    against: Option<PathBuf>,
    #[command(flatten)]
    elsewhere: Elsewhere,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Format {
    /// A configuration with comments.
    #[default]
    Yaml,
    /// One entry a key.
    Json,
}

impl Configuration {
    pub(super) async fn execute(self) -> ExitCode {
        match self {
            Self::Schema => print(&format!("{:#}\n", config::schema())),
            Self::Show(show) => show.execute(),
            Self::Diff(diff) => diff.execute().await,
        }
    }
}

impl Show {
    fn execute(&self) -> ExitCode {
        let effective = match load(&self.config) {
            Ok(config) => config.effective,
            Err(code) => return code,
        };
        print(&match self.format {
            Format::Yaml => with_head(&effective),
            Format::Json => format!("{:#}\n", effective.to_json()),
        })
    }
}

fn with_head(effective: &Effective) -> String {
    let file = effective.file().display();
    format!("# {file}, with what it leaves out. Secrets are not shown.\n{effective}")
}

impl Diff {
    async fn execute(&self) -> ExitCode {
        let wanted = match load(&self.config) {
            Ok(wanted) => wanted,
            Err(code) => return code,
        };
        let before = match &self.against {
            Some(other) => load(other).map(|config| config.effective.entries()),
            None => running(&wanted, &self.elsewhere).await,
        };
        match before {
            Ok(before) => told(&config::changes(&before, &wanted.effective.entries())),
            Err(code) => code,
        }
    }
}

/// What the gateway serves that answers elsewhere, or where this configuration has its admin interface.
async fn running(wanted: &Config, elsewhere: &Elsewhere) -> Result<Vec<EffectiveEntry>, ExitCode> {
    let client = match elsewhere.find().unwrap_or_else(|| Client::of(&wanted.admin)) {
        Ok(client) => client,
        Err(error) => {
            eprintln!("error: {error}");
            eprintln!(
                "  = help: without \"admin\" no gateway can be asked: name a file with --against"
            );
            return Err(ExitCode::FAILURE);
        }
    };
    let why = match client.get("/api/config").await {
        Ok(told) => {
            let told = serde_json::from_str(&told).ok();
            match told.as_ref().and_then(config::effective_entries) {
                Some(entries) => return Ok(entries),
                None => format!("what answers at {client} is no gateway of this version"),
            }
        }
        Err(error) => error.to_string(),
    };
    eprintln!("error: {why}");
    eprintln!("  = help: is it running, and is this its \"admin\"? --against compares with a file");
    Err(ExitCode::FAILURE)
}

fn told(changes: &[Change]) -> ExitCode {
    let told = changes.iter().map(|change| format!("{change}\n")).collect::<String>();
    if changes.iter().any(Change::is_known) {
        print(&told);
        return DIFFERENT.into();
    }
    print(&format!("{told}nothing{} would change\n", if told.is_empty() { "" } else { " else" }))
}

/// Prints what may be long, to somebody who may have read enough.
pub(super) fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn load(file: &Path) -> Result<Config, ExitCode> {
    config::load(file).map_err(|mistakes: Mistakes| {
        eprintln!("{mistakes}");
        MISCONFIGURED.into()
    })
}

/// The exit code where something would change.
const DIFFERENT: u8 = 3;
