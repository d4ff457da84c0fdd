//! `portcullis plugin test`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use super::junit;
use crate::cli::MISCONFIGURED;
use crate::config;
use crate::workbench::{Difference, Scenario, Suite, WorkbenchError};

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

/// What became of one scenario.
pub(super) struct Outcome {
    pub(super) name: String,
    /// `file:line:column`.
    pub(super) place: String,
    pub(super) took: Duration,
    pub(super) differences: Vec<Difference>,
    /// It could not even be begun.
    pub(super) error: Option<String>,
}

impl Outcome {
    fn passed(&self) -> bool {
        self.differences.is_empty() && self.error.is_none()
    }
}

impl Test {
    pub(super) async fn execute(self) -> ExitCode {
        let files = match self.files() {
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

    /// The scenario files that were named, and those of the folders that were.
    fn files(&self) -> Result<Vec<PathBuf>, String> {
        let mut files = Vec::new();
        for path in &self.paths {
            if !path.is_dir() {
                files.push(path.clone());
                continue;
            }
            let found =
                scenario_files(path).map_err(|error| format!("{}: {error}", path.display()))?;
            if found.is_empty() {
                return Err(format!(
                    "there are no scenarios in {}: they are called scenarios.yaml, \
                     or anything that begins or ends so",
                    path.display()
                ));
            }
            files.extend(found);
        }
        Ok(files)
    }

    async fn play(&self, suite: &Suite) -> Vec<Outcome> {
        super::print(&format!("{}\n", suite.file.display()));
        let only = self.only.as_deref().unwrap_or_default();
        let mut outcomes = Vec::new();
        for scenario in suite.scenarios.iter().filter(|one| one.name.contains(only)) {
            let outcome = self.play_one(scenario).await;
            tell(&outcome);
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
        };
        match scenario.play(&config::cache_directory(), self.snapshots).await {
            Ok(differences) => outcome(differences, None),
            Err(WorkbenchError::Load(error)) => {
                outcome(Vec::new(), Some(error.failure.to_string()))
            }
            Err(error) => outcome(Vec::new(), Some(error.to_string())),
        }
    }

    fn conclude(&self, reports: &[(String, Vec<Outcome>)]) -> ExitCode {
        let all = || reports.iter().flat_map(|(_, outcomes)| outcomes);
        let (count, failed) = (all().count(), all().filter(|one| !one.passed()).count());
        super::print(&match failed {
            0 => format!("\n{count} passed\n"),
            failed => format!("\n{failed} of {count} failed\n"),
        });
        if let Some(path) = &self.junit
            && let Err(error) = junit::write(path, reports)
        {
            eprintln!("error: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
        if count == 0 {
            eprintln!("error: there is no such scenario");
            return MISCONFIGURED.into();
        }
        if all().any(|one| one.error.is_some()) {
            return MISCONFIGURED.into();
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn tell(outcome: &Outcome) {
    let verdict = if outcome.passed() { "ok  " } else { "FAIL" };
    let mut text = format!("  {verdict}  {} ({:.0?})\n", outcome.name, outcome.took);
    for line in details(outcome) {
        text.push_str(&format!("        {line}\n"));
    }
    super::print(&text);
}

/// What is wrong, line by line.
pub(super) fn details(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(error) = &outcome.error {
        lines.push(error.clone());
    }
    for Difference { place, about, expected, came } in &outcome.differences {
        lines.push(about.clone());
        lines.push(format!("  expected  {expected}"));
        lines.push(format!("  came      {came}"));
        lines.push(format!("  --> {place}"));
    }
    lines
}

/// The scenario files of a folder, in the order of their names.
fn scenario_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let is_scenarios = name.is_some_and(|name| {
            let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"));
            stem.is_some_and(|stem| stem.starts_with("scenarios") || stem.ends_with("scenarios"))
        });
        if is_scenarios && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
