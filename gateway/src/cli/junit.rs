//! Reports of scenarios as JUnit has them.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::report::{Outcome, Reports};

/// Writes what became of the scenarios of each file.
pub(super) fn write(command: &str, reports: &Reports, to: impl Write) -> io::Result<()> {
    let mut report = Report::new(command);
    for (file, outcomes) in reports {
        let mut suite = TestSuite::new(file.as_str());
        suite.add_test_cases(outcomes.iter().map(|outcome| {
            let mut case = TestCase::new(outcome.name.as_str(), status(outcome));
            case.set_classname(file.as_str()).set_time(outcome.took);
            case
        }));
        report.add_test_suite(suite);
    }
    report.serialize(to).map_err(io::Error::other)
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
    let place = format!("{}\n{}", outcome.place, outcome.details().join("\n"));
    status.set_message(message).set_description(place);
    status
}
