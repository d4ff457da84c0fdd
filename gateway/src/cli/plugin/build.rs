//! `portcullis plugin build`.

mod rust;
mod zig;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;

use super::inspect;
use super::language::Language;
use crate::cli::MISCONFIGURED;

/// What the project is written in is told by its files: Cargo.toml, go.mod, package.json,
/// pyproject.toml or a Makefile. NAME.wasm is put beside them.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  portcullis plugin build
  portcullis plugin build filters/spam-trap")]
pub(in crate::cli) struct Build {
    /// The project.
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

/// Why nothing was built.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    #[error(
        "there is no project in {0}: it has no Cargo.toml, go.mod, package.json, pyproject.toml or \
         Makefile; \"portcullis plugin new\" begins one"
    )]
    NoProject(PathBuf),
    /// What the tool said is on the terminal.
    #[error("{command} failed")]
    Failed { command: String },
    /// Not even a tool.
    #[error("{tool} is not there: {help}")]
    Missing { tool: &'static str, help: &'static str },
    #[error("{0}")]
    Other(String),
}

impl Build {
    pub(super) async fn execute(self) -> ExitCode {
        let built = tokio::task::spawn_blocking(move || build(&self.folder)).await;
        match built.unwrap_or_else(|error| Err(BuildError::Other(error.to_string()))) {
            Ok(file) => inspect::tell(&file).await,
            Err(error @ (BuildError::NoProject(_) | BuildError::Missing { .. })) => {
                eprintln!("error: {error}");
                MISCONFIGURED.into()
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Builds a project; the plugin's file.
fn build(folder: &Path) -> Result<PathBuf, BuildError> {
    let language = Language::of(folder).ok_or_else(|| BuildError::NoProject(folder.into()))?;
    let (tool, help, arguments): (_, _, &[&str]) = match language {
        Language::Rust => return rust::build(folder),
        Language::C => ("make", MAKE, &[]),
        Language::Go => ("go", GO, &["tool", "portcullis-build"]),
        Language::Js => ("node", NODE, &["sdk/build.mjs"]),
        Language::Python => ("python3", PYTHON, &["-m", "portcullis.build"]),
    };
    if !is_there(tool) {
        return Err(BuildError::Missing { tool, help });
    }
    let mut command = Command::new(tool);
    command.args(arguments).current_dir(folder);
    if language == Language::C {
        zig::provide(&mut command)?;
    }
    run(&mut command)?;
    newest(folder)
}

/// Runs a tool, which talks to the terminal itself.
fn run(command: &mut Command) -> Result<(), BuildError> {
    let shown = std::iter::once(command.get_program()).chain(command.get_args());
    let shown: Vec<_> = shown.map(|word| word.to_string_lossy().into_owned()).collect();
    let shown = shown.join(" ");
    eprintln!("$ {shown}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(BuildError::Failed { command: shown }),
        Err(error) => Err(BuildError::Other(format!("{shown}: {error}"))),
    }
}

/// Whether a tool is on the path.
fn is_there(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

/// The plugin that was built last.
fn newest(folder: &Path) -> Result<PathBuf, BuildError> {
    let told = |error: std::io::Error| BuildError::Other(format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.extension().is_some_and(|extension| extension == "wasm") {
            let modified = path.metadata().and_then(|facts| facts.modified()).map_err(told)?;
            found.push((modified, path));
        }
    }
    let newest = found.into_iter().max().map(|(_, path)| path);
    newest.ok_or_else(|| BuildError::Other("the tools made no .wasm file".to_owned()))
}

const GO: &str = "install Go 1.24 or later: https://go.dev/dl, or \"apt-get install golang\"";
const MAKE: &str = "apt-get install make";
const NODE: &str =
    "install Node.js 20 or later: https://nodejs.org, or \"apt-get install nodejs npm\"";
const PYTHON: &str = "install Python 3.11 or later: https://www.python.org, or \
                      \"apt-get install python3 python3-venv\"";
