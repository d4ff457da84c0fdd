//! What follows from the points that plugins have given.

use std::sync::Arc;

use portcullis_smtp::Reply;

use super::{Case, Decision, Hook, Ruling};
use crate::config::{SCORES, Scores};
use crate::message::{Edit, HeaderEdit, Points};
use crate::metrics::{ListenerMetrics, ScoreAction};
use crate::telemetry::ThresholdsRecord;

/// A listener's thresholds.
#[derive(Debug)]
pub struct Scoring {
    /// What was reached first counts: the harshest stands first.
    thresholds: Vec<(Points, ScoreAction)>,
    header: String,
    reject: Reply,
    defer: Reply,
    metrics: Arc<ListenerMetrics>,
}

impl Scoring {
    /// The thresholds of a configuration, which has checked them.
    #[must_use]
    pub fn new(scores: &Scores, metrics: Arc<ListenerMetrics>) -> Self {
        let thresholds = [
            (scores.reject, ScoreAction::Reject),
            (scores.defer, ScoreAction::Defer),
            (scores.quarantine, ScoreAction::Quarantine),
            (scores.add_header, ScoreAction::AddHeader),
        ];
        let thresholds = thresholds
            .into_iter()
            .filter_map(|(threshold, action)| Some((Points::new(threshold?)?, action)))
            .collect();
        let (header, text) = (scores.header.clone(), &*scores.text);
        let (reject, defer) =
            (Reply::fixed(550, (5, 7, 1), text), Reply::fixed(451, (4, 7, 1), text));
        Self { thresholds, header, reject, defer, metrics }
    }

    /// The thresholds, for records.
    pub(super) fn thresholds(&self) -> ThresholdsRecord {
        let mut told = ThresholdsRecord::default();
        for (points, action) in &self.thresholds {
            let threshold = match action {
                ScoreAction::AddHeader => &mut told.add_header,
                ScoreAction::Defer => &mut told.defer,
                ScoreAction::Quarantine => &mut told.quarantine,
                ScoreAction::Reject => &mut told.reject,
                ScoreAction::Pass => continue,
            };
            *threshold = Some(points.get());
        }
        told
    }

    /// Judges a message that no plugin objects to, and marks what goes on.
    pub(super) fn judge(&self, case: &mut Case, ruling: Ruling) -> Ruling {
        let sum = case.envelope.as_ref().map(|envelope| envelope.scores.sum()).unwrap_or_default();
        if let Decision::Quarantine(_) = ruling.decision {
            self.mark(case, sum);
        }
        if ruling.decision != Decision::Pass {
            return ruling;
        }
        let reached = self.thresholds.iter().find(|(threshold, _)| sum >= *threshold);
        let action = reached.map_or(ScoreAction::Pass, |(_, action)| *action);
        self.metrics.scored(action);
        let decision = match action {
            ScoreAction::Reject => Decision::Refuse(self.reject.clone()),
            ScoreAction::Defer => Decision::Refuse(self.defer.clone()),
            ScoreAction::Quarantine => Decision::Quarantine(format!("score {sum}")),
            ScoreAction::AddHeader | ScoreAction::Pass => Decision::Pass,
        };
        if !matches!(decision, Decision::Refuse(_)) {
            self.mark(case, sum);
        }
        match decision {
            Decision::Pass => ruling,
            decision => Ruling { decision, by: Some(SCORES.to_owned()), hook: Hook::Message },
        }
    }

    /// Puts the header field on, if the score reaches its threshold. One that was there before is
    /// somebody else's word.
    fn mark(&self, case: &mut Case, sum: Points) {
        let threshold = self.thresholds.iter().find(|(_, of)| *of == ScoreAction::AddHeader);
        let (Some((threshold, _)), Some(message)) = (threshold, &case.message) else { return };
        let name = || self.header.clone();
        let forged = (0..).take(message.header.count(&self.header));
        let mut edits: Vec<_> =
            forged.map(|nth| Edit::Header(HeaderEdit::Drop { name: name(), nth })).collect();
        if sum >= *threshold {
            let value = self.value(case, sum).into_bytes();
            edits.push(Edit::Header(HeaderEdit::Add { at: Some(0), name: name(), value }));
        }
        case.apply((SCORES, Hook::Message), &edits);
    }

    /// The sum, and what it is made of, folded so that lines stay short (RFC 5322 section 2.1.1).
    fn value(&self, case: &Case, sum: Points) -> String {
        let mut value = sum.to_string();
        let mut column = self.header.len() + 2 + value.len();
        let scores = case.envelope.iter().flat_map(|envelope| envelope.scores.iter());
        for score in scores.take(SYMBOLS) {
            let told = format!("{}={}", score.symbol, score.points);
            if column + 1 + told.len() > LINE {
                value.push_str("\r\n");
                column = 0;
            }
            value.push(' ');
            value.push_str(&told);
            column += 1 + told.len();
        }
        value
    }
}

/// Columns of a line: what RFC 5322 recommends.
const LINE: usize = 78;

/// Symbols in the header field: more than anybody reads.
const SYMBOLS: usize = 100;
