//! `portcullis plugin lock`: approves the plugins of a configuration as they are on disk now.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::{MISCONFIGURED, chain};
use crate::config::{self, Locked, Mistakes, Place};
use crate::plugins::{Fingerprint, LoadError, LoadFailure};

/// Whose plugins to lock.
#[derive(Args, Debug)]
pub(super) struct Lock {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Lock {
    pub(super) fn execute(self) -> ExitCode {
        let locked = match self.look() {
            Ok(locked) => locked,
            Err(mistakes) => {
                eprintln!("{mistakes}");
                return MISCONFIGURED.into();
            }
        };
        let file = config::lock_file(&self.config);
        // One that cannot be read any more is one that is written anew.
        let before = config::read_lock(&file).ok().flatten().unwrap_or_default();
        if let Err(error) = config::write_lock(&file, &locked) {
            eprintln!("error: cannot write {}: {}", file.display(), chain(&error));
            return ExitCode::FAILURE;
        }
        for one in &locked {
            println!("{}: {} {}", one.name, one.sha256, change(one, &before));
        }
        for gone in before.iter().filter(|old| !locked.iter().any(|new| new.name == old.name)) {
            println!("{}: gone", gone.name);
        }
        println!("{} is written", file.display());
        ExitCode::SUCCESS
    }

    /// What the plugins are. A digest that stands in the configuration itself has to be mended there.
    fn look(&self) -> Result<Vec<Locked>, Mistakes> {
        let config = config::load_unlocked(&self.config)?;
        let (mut mistakes, mut locked) = (Mistakes::default(), Vec::new());
        for plugin in &config.plugins {
            match fingerprint(plugin) {
                Ok(Fingerprint { sha256, octets, contract }) => {
                    let (name, place) = (plugin.name.clone(), Place::default());
                    locked.push(Locked { name, sha256, octets, contract, place });
                }
                Err(failure) => {
                    let (place, help) = (failure.place(plugin).clone(), failure.help(plugin));
                    let error = LoadError { plugin: plugin.name.clone(), failure };
                    mistakes.at(&place, error.to_string(), help.as_deref());
                }
            }
        }
        mistakes.or_fail()?;
        Ok(locked)
    }
}

fn fingerprint(plugin: &config::Plugin) -> Result<Fingerprint, LoadFailure> {
    let found = Fingerprint::of(&plugin.file)?;
    match plugin.pins.iter().find(|pin| pin.sha256 != found.sha256) {
        None => Ok(found),
        Some(pin) => {
            let (octets, pin) = (found.octets, Box::new(pin.clone()));
            Err(LoadFailure::Pinned { found: found.sha256, octets, pin })
        }
    }
}

fn change(one: &Locked, before: &[Locked]) -> &'static str {
    match before.iter().find(|old| old.name == one.name) {
        None => "(new)",
        Some(old) if old.sha256 == one.sha256 => "(as it was)",
        Some(_) => "(changed)",
    }
}
