//! Somebody who looks on while plugins are asked, and changes nothing by it.

use std::fmt;
use std::time::Duration;

use super::{Answer, Case, Hook, HookFailure, Ruling};
use crate::config::OnFailure;
use crate::message::Points;
use crate::telemetry::TransactionRecord;

/// Somebody who looks on while plugins are asked.
pub trait Witness: fmt::Debug + Send + Sync {
    /// A plugin was asked.
    fn asked(&self, asked: Asked<'_>);

    /// The points that plugins gave were looked at.
    fn scored(&self, scored: Scored<'_>);

    /// A transaction has ended.
    fn ended(&self, record: &TransactionRecord, case: &Case);
}

/// A plugin that was asked.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Its name.
    pub plugin: &'a str,
    /// At which hook.
    pub hook: Hook,
    /// What it was asked about.
    pub before: &'a Case,
    /// The same with what it changed.
    pub after: &'a Case,
    /// What it said.
    pub result: Result<&'a Answer, &'a HookFailure>,
    /// What its failure means.
    pub on_failure: Option<OnFailure>,
    /// How long it took; nothing where it was not called.
    pub took: Duration,
}

/// What follows from points.
#[derive(Debug)]
pub struct Scored<'a> {
    /// All of them together.
    pub sum: Points,
    /// The message before.
    pub before: &'a Case,
    /// And with what marks its score.
    pub after: &'a Case,
    /// What was decided, if the score did.
    pub ruling: &'a Ruling,
}
