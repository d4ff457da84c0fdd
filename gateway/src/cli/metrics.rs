//! `portcullis metrics`: what there is to be watched, without a gateway that runs.

use std::process::ExitCode;

use clap::Args;

use crate::metrics;

/// What to show.
#[derive(Args, Debug)]
pub(super) struct Metrics {}

impl Metrics {
    pub(super) fn execute(self) -> ExitCode {
        let Self {} = self;
        print!("{}", metrics::page(ALERTS, RECORDING));
        ExitCode::SUCCESS
    }
}

const ALERTS: &str = include_str!("../../../config/prometheus/alerts.yaml");
const RECORDING: &str = include_str!("../../../config/prometheus/recording.yaml");
