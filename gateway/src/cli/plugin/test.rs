//! `portcullis plugin test`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;

use crate::cli::report::{self, Outcome, Reports};
use crate::cli::{MISCONFIGURED, junit};
use crate::config;
use crate::workbench::{Scenario, Suite, WorkbenchError};

/// Scenario files are YAML, and plugin-sdk/scenarios.md tells what is in them. The plugin runs in
/// the gateway's own engine; nothing listens, and DNS and stores hold what the scenario says.
///
/// Exit code: 0 all scenarios passed, 1 some did not, 2 a scenario file or a plugin cannot be used.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  portcullis plugin test scenarios.yaml
  portcullis plugin test .                      all scenarios*.yaml and *.scenarios.yaml of a folder
  portcullis plugin test . --only listed        those whose name has \"listed\" in it
  portcullis plugin test . --junit report.xml   for the build server")]
pub(in crate::cli) struct Test {
    /// Scenario files, or folders that have some.
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Test this plugin instead of the one that the files name.
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Only scenarios whose name has this in it.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Make a snapshot of large plugins, too, as the gateway does: one for each settings, and each
    /// takes as long as compiling. Else their copies are configured one by one.
    #[arg(long)]
    snapshots: bool,
    /// Also write a report as JUnit has it.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Test {
    pub(super) async fn execute(self) -> ExitCode {
        let files = match report::files(&self.paths) {
            Ok(files) => files,
            Err(error) => {
                eprintln!("error: {error}");
                return MISCONFIGURED.into();
            }
        };
        let mut suites = Vec::new();
        let mut fit = true;
        for file in files {
            match Suite::read(&file, self.plugin.as_deref()) {
                Ok(suite) => suites.push(suite),
                Err(mistakes) => {
                    eprintln!("{mistakes}");
                    fit = false;
                }
            }
        }
        if !fit {
            return MISCONFIGURED.into();
        }
        let mut reports = Vec::new();
        for suite in suites {
            let outcomes = self.play(&suite).await;
            reports.push((suite.file.display().to_string(), outcomes));
        }
        self.conclude(&reports)
    }

    async fn play(&self, suite: &Suite) -> Vec<Outcome> {
        super::print(&format!("{}\n", suite.file.display()));
        let only = self.only.as_deref().unwrap_or_default();
        let mut outcomes = Vec::new();
        for scenario in suite.scenarios.iter().filter(|one| one.name.contains(only)) {
            let outcome = self.play_one(scenario).await;
            super::print(&outcome.told());
            outcomes.push(outcome);
        }
        outcomes
    }

    async fn play_one(&self, scenario: &Scenario) -> Outcome {
        let started = Instant::now();
        let outcome = |differences, error| Outcome {
            name: scenario.name.clone(),
            place: scenario.place.to_string(),
            took: started.elapsed(),
            differences,
            error,
            story: None,
        };
        match scenario.play(&config::cache_directory(), self.snapshots).await {
            Ok(differences) => outcome(differences, None),
            Err(WorkbenchError::Load(error)) => {
                outcome(Vec::new(), Some(error.failure.to_string()))
            }
            Err(error) => outcome(Vec::new(), Some(error.to_string())),
        }
    }

    fn conclude(&self, reports: &Reports) -> ExitCode {
        let (count, failed) = report::count(reports);
        super::print(&report::conclusion(reports));
        let write = |path: &Path| {
            junit::write("portcullis plugin test", reports, std::fs::File::create(path)?)
        };
        if let Some(path) = &self.junit
            && let Err(error) = write(path)
        {
            eprintln!("error: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        if count == 0 {
            eprintln!("error: there is no such scenario");
            return MISCONFIGURED.into();
        }
        if reports.iter().flat_map(|(_, outcomes)| outcomes).any(|one| one.error.is_some()) {
            return MISCONFIGURED.into();
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
