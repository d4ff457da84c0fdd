//! What a transaction's record needs and nobody else remembers.

mod facts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use portcullis_smtp::Reply;

use crate::message::{Score, Scores};
use crate::metrics::Outcome;
use crate::policy::{Case, Ruling};
use crate::telemetry::{
    ClientRecord, Decision, DeliveryRecord, Errand, RecipientRecord, ScoreRecord, StagesRecord,
    TransactionRecord,
};
use crate::upstream::Trail;

use super::{House, received};

pub(super) use facts::words;

/// Gathered from MAIL on.
#[derive(Debug)]
pub(super) struct Notes {
    started: Timestamp,
    /// Octets of the message as it came.
    pub(super) octets: u64,
    /// Time spent waiting for upstreams.
    pub(super) upstream_time: Duration,
    /// The addresses of accepted recipients as the client gave them, by their index, in order.
    named: Vec<(u32, String)>,
    recipients: Vec<RecipientRecord>,
    recipients_left_out: u64,
    deliveries: Vec<DeliveryRecord>,
    /// Whether the recipients of the envelope have their answers.
    settled: bool,
    decided_by: Option<Decision>,
    stage: Doing,
    since: Instant,
    stages: StagesRecord,
}

/// What is going on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doing {
    Client,
    Content,
    Data,
    Delivery,
    Mail,
    Message,
    Rcpt,
}

/// One exchange with an upstream.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) what: Errand,
    pub(super) began: Instant,
    pub(super) took: Duration,
    pub(super) recipients: usize,
    /// Where it got to, and what had been waited before.
    pub(super) trail: Option<(Arc<Trail>, Duration)>,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self {
            started: Timestamp::now(),
            octets: 0,
            upstream_time: Duration::ZERO,
            named: Vec::new(),
            recipients: Vec::new(),
            recipients_left_out: 0,
            deliveries: Vec::new(),
            settled: false,
            decided_by: None,
            stage: Doing::Mail,
            since: Instant::now(),
            stages: StagesRecord::default(),
        }
    }

    /// Something else goes on from now on.
    pub(super) fn enter(&mut self, stage: Doing) {
        if stage == self.stage {
            return;
        }
        let now = Instant::now();
        let spent = match self.stage {
            Doing::Client => &mut self.stages.client,
            Doing::Content => &mut self.stages.content,
            Doing::Data => &mut self.stages.data,
            Doing::Delivery => &mut self.stages.delivery,
            Doing::Mail => &mut self.stages.mail,
            Doing::Message => &mut self.stages.message,
            Doing::Rcpt => &mut self.stages.rcpt,
        };
        *spent += now - self.since;
        (self.stage, self.since) = (stage, now);
    }

    /// A recipient was accepted; its address as the client gave it.
    pub(super) fn named(&mut self, index: u32, said: String) {
        self.named.push((index, said));
    }

    /// The address that the client gave; none of a recipient that a plugin added.
    pub(super) fn name_of(&self, index: u32) -> Option<&str> {
        let at = self.named.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        Some(&self.named[at].1)
    }

    /// What became of a recipient. A client that has a thousand refused fills no log with them.
    pub(super) fn recipient(&mut self, recipient: RecipientRecord) {
        if self.recipients.len() < RECIPIENTS {
            self.recipients.push(recipient);
        } else {
            self.recipients_left_out += 1;
        }
    }

    /// What an upstream was asked for. About recipients it is asked one by one: that is told as one.
    pub(super) fn exchange(&mut self, case: &Case, upstream: &str, exchange: Exchange) {
        let Exchange { what, began, took, recipients, trail } = exchange;
        let recipients = recipients as u64;
        let (address, connecting) = match trail {
            Some((trail, before)) => (trail.address(), trail.waited().saturating_sub(before)),
            None => (None, Duration::ZERO),
        };
        let same = |known: &&mut DeliveryRecord| {
            what == Errand::Rcpt && known.what == what && known.upstream == upstream
        };
        if let Some(known) = self.deliveries.iter_mut().find(same) {
            known.recipients += recipients;
            known.duration += took;
            known.connecting += connecting;
            known.address = address.or_else(|| known.address.take());
        } else if self.deliveries.len() < DELIVERIES {
            let at = began.saturating_duration_since(case.began);
            let (upstream, duration) = (upstream.to_owned(), took);
            self.deliveries.push(DeliveryRecord {
                upstream,
                what,
                address,
                recipients,
                at,
                duration,
                connecting,
            });
        }
    }

    /// The recipients of the envelope get their answers now.
    pub(super) fn settled(&mut self) {
        self.settled = true;
    }

    /// Whether they have.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
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

    /// The one record, when all is over.
    pub(super) fn record(
        &mut self,
        house: &House,
        case: &mut Case,
        outcome: Outcome,
        reply: Option<&Reply>,
    ) -> TransactionRecord {
        let over = match self.stage {
            Doing::Client => Doing::Mail,
            _ => Doing::Client,
        };
        self.enter(over);
        let (session, envelope) = (&case.session, case.envelope.as_deref());
        let scores = envelope.map(|envelope| &envelope.scores).filter(|scores| !scores.is_empty());
        TransactionRecord {
            time: Timestamp::now(),
            started: self.started,
            id: envelope.map_or_else(|| session.id.clone(), |envelope| envelope.id.clone()),
            session: session.id.clone(),
            listener: session.listener.clone(),
            protocol: received::with(session, house.protocol),
            client: ClientRecord::from(&**session),
            forwarded: session.forwarded.as_deref().map(|said| Box::new(said.into())),
            helo: session.helo.clone(),
            tls: session.tls.as_ref().map(|tls| Box::new(tls.into())),
            user: session.user.clone(),
            mechanism: session.mechanism.clone(),
            sender: envelope.map(|of| of.reverse_path.to_string()).unwrap_or_default(),
            parameters: envelope.map(|of| words(&of.parameters)).unwrap_or_default(),
            recipients: std::mem::take(&mut self.recipients),
            recipients_left_out: self.recipients_left_out,
            octets: self.octets,
            outcome: outcome.label(),
            code: reply.map(Reply::code),
            reply: reply.map(ToString::to_string),
            decided_by: self.decided_by.take(),
            score: scores.map(|scores| scores.sum().get()),
            thresholds: house.chain.thresholds().map(Box::new),
            scores: scores.map(scored).unwrap_or_default(),
            calls: case.calls.take(),
            calls_left_out: case.calls.left_out(),
            deliveries: std::mem::take(&mut self.deliveries),
            duration: case.began.elapsed(),
            plugins_duration: case.plugins_time,
            upstream_duration: self.upstream_time,
            stages: self.stages,
            generation: house.in_use.generation(),
            edits: std::mem::take(&mut case.edits),
        }
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

/// Recipients in one record; what is beyond is in the metrics alone.
const RECIPIENTS: usize = 200;

/// Symbols in one record; the sum counts all of them.
const SYMBOLS: usize = 200;

/// Exchanges with upstreams in one record.
const DELIVERIES: usize = 100;
