//! `portcullis test`: scenarios for a whole configuration.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::report::{self, Outcome, Reports};
use super::{MISCONFIGURED, junit, unfit};
use crate::gateway::{self, Rehearsals};
use crate::scenarios::{Scenario, Suite};

/// Which scenarios are played, and how that is told.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  portcullis test --config portcullis.yaml scenarios.yaml
  portcullis test --config portcullis.yaml .    all scenarios*.yaml and *scenarios.yaml of a folder
  portcullis test --config portcullis.yaml scenarios.yaml --filter relay
  portcullis test --config portcullis.yaml scenarios.yaml --format junit > report.xml")]
pub(super) struct Test {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Scenario files, or folders that have some.
    #[arg(required = true, value_name = "DIR|FILE")]
    paths: Vec<PathBuf>,
    /// Only scenarios whose name has this in it.
    #[arg(
        long,
        value_name = "TEXT",
        visible_alias = "only",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    /// text for people, json for programs, junit for build servers.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Form {
    Text,
    Json,
    Junit,
}

impl Test {
    pub(super) async fn execute(self) -> ExitCode {
        let files = match report::files(&self.paths) {
            Ok(files) => files,
            Err(error) => return wrong(&error),
        };
        let rehearsals = match gateway::check(&self.config).await {
            Ok(parts) => parts.rehearsals(),
            Err(error) => return unfit(&error, None),
        };
        let mut suites = Vec::new();
        let mut fit = true;
        for file in files {
            match Suite::read(&file, rehearsals.config()) {
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
        for suite in &suites {
            reports.push((suite.file.display().to_string(), self.play(&rehearsals, suite).await));
        }
        self.conclude(&reports)
    }

    async fn play(&self, rehearsals: &Rehearsals, suite: &Suite) -> Vec<Outcome> {
        self.tell(&format!("{}\n", suite.file.display()));
        let wanted = |scenario: &&Scenario| scenario.name.contains(&self.filter);
        let mut outcomes = Vec::new();
        for scenario in suite.scenarios.iter().filter(wanted) {
            let outcome = play(rehearsals, scenario).await;
            self.tell(&outcome.told());
            outcomes.push(outcome);
        }
        outcomes
    }

    fn conclude(&self, reports: &Reports) -> ExitCode {
        let (count, failed) = report::count(reports);
        if count == 0 {
            return wrong("there is no such scenario");
        }
        self.tell(&report::conclusion(reports));
        let mut stdout = std::io::stdout().lock();
        let written = match self.format {
            Form::Text => Ok(()),
            Form::Json => writeln!(stdout, "{:#}", report::object(reports)),
            Form::Junit => junit::write("portcullis test", reports, &mut stdout),
        };
        if let Err(error) = written {
            eprintln!("error: the report cannot be written: {error}");
            return ExitCode::FAILURE;
        }
        if reports.iter().flat_map(|(_, outcomes)| outcomes).any(|one| one.error.is_some()) {
            return MISCONFIGURED.into();
        }
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// As it happens. Whoever does not read to the end wants no more.
    fn tell(&self, text: &str) {
        if self.format == Form::Text {
            let _ = std::io::stdout().write_all(text.as_bytes());
        }
    }
}

async fn play(rehearsals: &Rehearsals, scenario: &Scenario) -> Outcome {
    let begun = Instant::now();
    let explained = rehearsals.explain(&scenario.inquiry).await;
    let took = begun.elapsed();
    let (differences, error, story) = match explained {
        Ok(explanation) => {
            (scenario.expected.differences(&explanation), None, Some(Box::new(explanation)))
        }
        Err(error) => (Vec::new(), Some(error.to_string()), None),
    };
    let (name, place) = (scenario.name.clone(), scenario.place.to_string());
    Outcome { name, place, took, differences, error, story }
}

fn wrong(error: &str) -> ExitCode {
    eprintln!("error: {error}");
    MISCONFIGURED.into()
}
