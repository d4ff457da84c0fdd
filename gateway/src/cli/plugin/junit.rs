//! Reports of scenarios for other programs to read.

use std::fs::File;
use std::io;
use std::path::Path;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::test::{Outcome, details};

/// Writes what became of the scenarios of each file.
pub(super) fn write(path: &Path, reports: &[(String, Vec<Outcome>)]) -> io::Result<()> {
    let mut report = Report::new("portcullis plugin test");
    for (file, outcomes) in reports {
        let mut suite = TestSuite::new(file.as_str());
        suite.add_test_cases(outcomes.iter().map(|outcome| {
            let mut case = TestCase::new(outcome.name.as_str(), status(outcome));
            case.set_classname(file.as_str()).set_time(outcome.took);
            case
        }));
        report.add_test_suite(suite);
    }
    report.serialize(File::create(path)?).map_err(io::Error::other)
}

fn status(outcome: &Outcome) -> TestCaseStatus {
    let (kind, message) = match (&outcome.error, outcome.differences.first()) {
        (Some(error), _) => (NonSuccessKind::Error, error.clone()),
        (None, Some(first)) => (
            NonSuccessKind::Failure,
            format!("{}: expected {}, came {}", first.about, first.expected, first.came),
        ),
        (None, None) => return TestCaseStatus::success(),
    };
    let mut status = TestCaseStatus::non_success(kind);
    let place = format!("{}\n{}", outcome.place, details(outcome).join("\n"));
    status.set_message(message).set_description(place);
    status
}
