//! `portcullis config`: what a configuration may say, what it amounts to, and what a reload would
//! change.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::MISCONFIGURED;
use crate::config::{self, Change, Effective, Mistakes};

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
    /// Print what a reload would change: the differences between a configuration and that of the running
    /// gateway, or another file. The exit code is 0 if nothing would change, and 3 if something would.
    Diff(Diff),
}

/// Which configuration, and how.
#[derive(Args, Debug)]
pub(super) struct Show {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// yaml for people, json for machines.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Which configurations.
#[derive(Args, Debug)]
pub(super) struct Diff {
    /// The configuration file as it would be served.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The configuration file to compare it with.
    #[arg(long, value_name = "OTHER")]
    against: PathBuf,
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
    pub(super) fn execute(self) -> ExitCode {
        match self {
            Self::Schema => print(&format!("{:#}\n", config::schema())),
            Self::Show(show) => show.execute(),
            Self::Diff(diff) => diff.execute(),
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
    fn execute(&self) -> ExitCode {
        match (load(&self.against), load(&self.config)) {
            (Ok(before), Ok(after)) => {
                let (before, after) = (before.effective.entries(), after.effective.entries());
                told(&config::changes(&before, &after))
            }
            (Err(code), _) | (_, Err(code)) => code,
        }
    }
}

fn told(changes: &[Change]) -> ExitCode {
    if changes.is_empty() {
        return print("nothing would change\n");
    }
    print(&changes.iter().map(|change| format!("{change}\n")).collect::<String>());
    DIFFERENT.into()
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

fn load(file: &Path) -> Result<config::Config, ExitCode> {
    config::load(file).map_err(|mistakes: Mistakes| {
        eprintln!("{mistakes}");
        MISCONFIGURED.into()
    })
}

/// The exit code where something would change.
const DIFFERENT: u8 = 3;
