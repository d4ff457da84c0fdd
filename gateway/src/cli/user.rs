//! `portcullis user`: who is in a users file.

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};

use super::{MISCONFIGURED, chain};
use crate::users::{self, Change, EditError, PasswordError, Scheme};

/// What to do with a users file.
#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Add somebody, or give a new password. The password is asked for, or the first line of the
    /// standard input.
    Add {
        /// The users file; it is made if it is not there.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// How the password is kept: argon2id is for PLAIN and LOGIN, scram-sha-256 for these and
        /// SCRAM, cleartext for CRAM-MD5.
        #[arg(long, value_name = "SCHEME", default_value = "argon2id")]
        scheme: SchemeName,
        /// Give somebody who is there a new password.
        #[arg(long)]
        replace: bool,
        /// The user's name, as clients say it.
        name: String,
    },
    /// Say what is wrong with a users file; with a name, also whether a password is right.
    Check {
        /// The users file.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Whose password to ask for and to compare.
        name: Option<String>,
    },
    /// List the users, each with how the password is kept.
    List {
        /// The users file.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Remove somebody.
    Remove {
        /// The users file.
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// The user's name.
        name: String,
    },
}

/// A scheme, on the command line.
#[derive(Clone, Copy, Debug)]
pub(super) struct SchemeName(Scheme);

impl ValueEnum for SchemeName {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Scheme::Argon2id), Self(Scheme::ScramSha256), Self(Scheme::Cleartext)]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
enum UserError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error("the passwords are not the same")]
    Differ,
    #[error("the password cannot be read")]
    Read(#[from] io::Error),
}

impl User {
    pub(super) fn execute(self) -> ExitCode {
        match self {
            Self::Add { file, scheme: SchemeName(scheme), replace, name } => {
                done(&name, add(&file, &name, scheme, replace))
            }
            Self::Check { file, name } => check(&file, name.as_deref()),
            Self::List { file } => list(&file),
            Self::Remove { file, name } => {
                done(&name, users::edit(&file, &name, Change::Remove).map_err(UserError::from))
            }
        }
    }
}

fn add(file: &Path, name: &str, scheme: Scheme, replace: bool) -> Result<(), UserError> {
    // Before a password is typed that nobody will have.
    users::check_name(name).map_err(EditError::from)?;
    let password = ask(&format!("Password of {}: ", name.escape_debug()))?;
    if password.is_empty() {
        return Err(EditError::Password(PasswordError::Empty).into());
    }
    if io::stdin().is_terminal() && ask("Once more: ")? != password {
        return Err(UserError::Differ);
    }
    users::edit(file, name, Change::Put { scheme, password: &password, replace })?;
    if scheme == Scheme::ScramSha256 && !password.is_ascii() {
        eprintln!(
            "note: SCRAM clients prepare passwords that are not ASCII in different ways; if the \
             login fails, an ASCII one will do"
        );
    }
    Ok(())
}

fn done(name: &str, result: Result<(), UserError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(UserError::Edit(EditError::Broken(mistakes))) => {
            eprintln!("{mistakes}");
            MISCONFIGURED.into()
        }
        Err(error) => {
            eprintln!("error: {}: {}", name.escape_debug(), chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path, name: Option<&str>) -> ExitCode {
    let book = match users::read(file) {
        Ok(book) => book,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return MISCONFIGURED.into();
        }
    };
    let warnings = users::warnings(file, &book);
    if !warnings.is_empty() {
        eprintln!("{warnings}");
    }
    let Some(name) = name else {
        println!("{} has no mistakes; users: {}", file.display(), book.len());
        return ExitCode::SUCCESS;
    };
    match ask(&format!("Password of {}: ", name.escape_debug())) {
        Ok(password) if book.authenticate(name, &password) => {
            println!("this is the password of {}", name.escape_debug());
            ExitCode::SUCCESS
        }
        Ok(_) if book.knows(name) => {
            println!("this is not the password of {}", name.escape_debug());
            ExitCode::FAILURE
        }
        Ok(_) => done(name, Err(EditError::Unknown.into())),
        Err(error) => done(name, Err(error.into())),
    }
}

fn list(file: &Path) -> ExitCode {
    match users::read(file) {
        Ok(book) => {
            for (name, scheme) in book.list() {
                println!("{}\t{}", name.escape_debug(), scheme.name());
            }
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            eprintln!("{mistakes}");
            MISCONFIGURED.into()
        }
    }
}

/// A password: typed, without being shown, or the next line of what is piped in.
fn ask(prompt: &str) -> io::Result<String> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return rpassword::prompt_password(prompt);
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
