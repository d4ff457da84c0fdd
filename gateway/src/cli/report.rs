//! What became of scenarios, for people and for build servers.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::printable::printable;
use crate::explain::Explanation;
use crate::workbench::Difference;

/// What became of one scenario.
pub(super) struct Outcome {
    pub(super) name: String,
    /// `file:line:column`.
    pub(super) place: String,
    pub(super) took: Duration,
    pub(super) differences: Vec<Difference>,
    /// It could not even be begun.
    pub(super) error: Option<String>,
    /// The conversation, where there is one to tell of.
    pub(super) story: Option<Box<Explanation>>,
}

/// The scenarios of each file.
pub(super) type Reports = [(String, Vec<Outcome>)];

impl Outcome {
    pub(super) fn passed(&self) -> bool {
        self.differences.is_empty() && self.error.is_none()
    }

    /// One line, and below it what is wrong.
    pub(super) fn told(&self) -> String {
        let verdict = if self.passed() { "ok  " } else { "FAIL" };
        let mut text = format!("  {verdict}  {} ({:.0?})\n", printable(&self.name), self.took);
        for line in self.details() {
            let line = if line.is_empty() { String::new() } else { format!("        {line}") };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// What is wrong, line by line, and then what was said.
    pub(super) fn details(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(error) = &self.error {
            lines.push(error.clone());
        }
        for Difference { place, about, expected, came } in &self.differences {
            lines.push(printable(about));
            lines.push(format!("  expected  {}", printable(expected)));
            lines.push(format!("  came      {}", printable(came)));
            lines.push(format!("  --> {place}"));
        }
        if let (Some(story), false) = (&self.story, self.passed()) {
            lines.push(String::new());
            let told = story.to_string();
            lines.extend(told.lines().map(|line| match line {
                "" => String::new(),
                line => format!("| {line}"),
            }));
            lines.push(String::new());
        }
        lines
    }

    /// For programs.
    fn object(&self) -> Value {
        let difference = |Difference { place, about, expected, came }: &Difference| {
            json!({
                "about": about, "expected": expected, "came": came, "place": place.to_string(),
                "file": place.file, "line": place.line, "column": place.column,
            })
        };
        json!({
            "name": self.name,
            "place": self.place,
            "passed": self.passed(),
            "seconds": self.took.as_secs_f64(),
            "error": self.error,
            "differences": self.differences.iter().map(difference).collect::<Vec<_>>(),
            "explanation": self.story,
        })
    }
}

/// How many there are, and how many of them failed.
pub(super) fn count(reports: &Reports) -> (usize, usize) {
    let all = || reports.iter().flat_map(|(_, outcomes)| outcomes);
    (all().count(), all().filter(|one| !one.passed()).count())
}

/// The last line.
pub(super) fn conclusion(reports: &Reports) -> String {
    match count(reports) {
        (count, 0) => format!("\n{count} passed\n"),
        (count, failed) => format!("\n{failed} of {count} failed\n"),
    }
}

/// All of it as one object.
pub(super) fn object(reports: &Reports) -> Value {
    let (count, failed) = count(reports);
    let files = reports.iter().map(|(file, outcomes)| {
        let scenarios: Vec<_> = outcomes.iter().map(Outcome::object).collect();
        json!({ "file": file, "scenarios": scenarios })
    });
    json!({ "passed": count - failed, "failed": failed, "files": files.collect::<Vec<_>>() })
}

/// The scenario files that were named, and those of the folders that were.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let found = scenario_files(path).map_err(|error| format!("{}: {error}", path.display()))?;
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

/// The scenario files of a folder, in the order of their names.
fn scenario_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
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
