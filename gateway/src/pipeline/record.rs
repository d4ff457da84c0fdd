//! What a transaction's record needs and nobody else remembers.

use std::time::{Duration, Instant};

use portcullis_smtp::Reply;

use crate::message::{Recipient, Score, Scores};
use crate::metrics::Outcome;
use crate::policy::{Case, Ruling};
use crate::telemetry::{Decision, RecipientRecord, ScoreRecord, TransactionRecord};

/// Gathered from MAIL on.
#[derive(Debug)]
pub(super) struct Notes {
    started: Instant,
    /// Octets of the message as it came.
    pub(super) octets: u64,
    /// Time spent waiting for upstreams.
    pub(super) upstream_time: Duration,
    recipients: Vec<RecipientRecord>,
    /// Whether the recipients of the envelope have their answers.
    settled: bool,
    decided_by: Option<Decision>,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            octets: 0,
            upstream_time: Duration::ZERO,
            recipients: Vec::new(),
            settled: false,
            decided_by: None,
        }
    }

    /// What became of a recipient; no reply where it got none of its own. A client that has a
    /// thousand refused fills no log with them.
    pub(super) fn recipient(
        &mut self,
        address: &str,
        upstream: Option<&str>,
        reply: Option<&Reply>,
    ) {
        if self.recipients.len() < RECIPIENTS {
            self.recipients.push(RecipientRecord {
                address: address.to_owned(),
                upstream: upstream.map(str::to_owned),
                reply: reply.map(ToString::to_string),
            });
        }
    }

    /// The recipients of the envelope get their answers now.
    pub(super) fn settled(&mut self) {
        self.settled = true;
    }

    /// A plugin decided. The last one that did is the one to ask.
    pub(super) fn decided(&mut self, ruling: &Ruling) {
        let hook = ruling.hook.label();
        self.decided_by = ruling.by.clone().map(|plugin| Decision { plugin, hook });
    }

    /// The plugin that decided, if it was one.
    pub(super) fn decider(&self) -> Option<&str> {
        self.decided_by.as_ref().map(|decision| decision.plugin.as_str())
    }

    /// What follows is not a plugin's decision.
    pub(super) fn undecided(&mut self) {
        self.decided_by = None;
    }

    /// Writes the one record.
    pub(super) fn emit(&mut self, case: &Case, outcome: Outcome, reply: Option<&Reply>) {
        let (session, envelope) = (&case.session, case.envelope.as_deref());
        let mut recipients = std::mem::take(&mut self.recipients);
        if let (Some(envelope), false) = (envelope, self.settled) {
            let room = RECIPIENTS - recipients.len();
            recipients.extend(envelope.recipients.iter().take(room).map(waiting));
        }
        let tls = session.tls.as_ref().map(|tls| tls.words().collect::<Vec<_>>().join(" "));
        let certificate = session.tls.as_ref().and_then(|tls| {
            let (subject, digest) =
                (tls.client_subject.as_ref()?, tls.client_fingerprint.as_ref()?);
            Some(format!("{subject} sha256:{digest}"))
        });
        let scores = envelope.map(|envelope| &envelope.scores).filter(|scores| !scores.is_empty());
        let sender = envelope.map(|envelope| envelope.reverse_path.to_string());
        TransactionRecord {
            id: envelope.map_or_else(|| session.id.clone(), |envelope| envelope.id.clone()),
            session: session.id.clone(),
            listener: session.listener.clone(),
            client: session.client.to_string(),
            client_name: session.client_name.clone(),
            via: session.via.map(|via| via.to_string()),
            forwarded: session.forwarded.as_ref().and_then(|said| serde_json::to_string(said).ok()),
            helo: session.helo.clone(),
            user: session.user.clone(),
            tls,
            certificate,
            sender: sender.unwrap_or_default(),
            recipients,
            octets: self.octets,
            outcome: outcome.label(),
            reply: reply.map(ToString::to_string),
            decided_by: self.decided_by.take(),
            score: scores.map(|scores| scores.sum().get()),
            scores: scores.map(scored).unwrap_or_default(),
            edits: case.edits.clone(),
            duration: self.started.elapsed(),
            plugins_duration: case.plugins_time,
            upstream_duration: self.upstream_time,
        }
        .emit();
    }
}

fn scored(scores: &Scores) -> Vec<ScoreRecord> {
    let told = |score: &Score| ScoreRecord {
        plugin: score.plugin.clone(),
        symbol: score.symbol.clone(),
        points: score.points.get(),
    };
    scores.iter().take(SYMBOLS).map(told).collect()
}

/// A recipient that was accepted and got no answer after that.
fn waiting(recipient: &Recipient) -> RecipientRecord {
    RecipientRecord {
        address: recipient.address.to_string(),
        upstream: recipient.route.clone(),
        reply: None,
    }
}

/// Recipients in one record; what is beyond is in the metrics alone.
const RECIPIENTS: usize = 200;

/// Symbols in one record; the sum counts all of them.
const SYMBOLS: usize = 200;
