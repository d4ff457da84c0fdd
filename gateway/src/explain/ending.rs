//! How it ends: what the client hears, who decided, what upstreams get.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::conversation::Step;
use super::inquiry::Inquiry;
use super::notes::Notes;
use super::{difference, notes};
use crate::config::Listener;
use crate::message::{Content, Points};
use crate::metrics::Outcome;
use crate::upstream::Taken;

/// How it ends.
#[derive(Clone, Debug, Serialize)]
pub struct Ending {
    /// One of the outcomes of the log; `undecided` where there was no message to decide about.
    pub outcome: &'static str,
    /// The last word of it.
    pub reply: Option<String>,
    /// The plugin that decided, if it was one.
    pub decided_by: Option<String>,
    /// The hook at which it did.
    pub hook: Option<&'static str>,
}

/// What plugins think of a message.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// All points together.
    pub sum: f64,
    /// What they are made of.
    pub symbols: Vec<Symbol>,
    /// What follows at which sum, from the mildest to the harshest.
    pub thresholds: Vec<Threshold>,
}

/// The points of one symbol.
#[derive(Clone, Debug, Serialize)]
pub struct Symbol {
    /// The plugin that gave them.
    pub plugin: String,
    /// What for.
    pub symbol: String,
    /// How many.
    pub points: f64,
}

/// What follows at a sum of points.
#[derive(Clone, Debug, Serialize)]
pub struct Threshold {
    /// What follows, as the configuration calls it.
    pub action: &'static str,
    /// The sum.
    pub points: f64,
    /// Whether it is reached.
    pub reached: bool,
}

/// What one upstream gets.
#[derive(Clone, Debug, Serialize)]
pub struct Delivered {
    /// The upstream; none where the spool keeps it.
    pub upstream: Option<String>,
    /// The reverse-path.
    pub sender: String,
    /// Whom it is for.
    pub recipients: Vec<String>,
    /// Octets of the message, with what the gateway puts above it.
    pub octets: u64,
    /// The header section, with what the gateway puts above it.
    pub header: String,
    /// The body, up to 64 KiB of it.
    pub body: String,
    /// The SHA-256 of what is below the gateway's own `Received`.
    pub sha256: String,
}

impl Ending {
    pub(super) fn of(notes: &Notes, inquiry: &Inquiry, steps: &[Step]) -> Self {
        match notes.ending() {
            Some(notes::Ending { record, .. })
                if inquiry.message.is_none() && record.outcome == Outcome::Aborted.label() =>
            {
                Self { outcome: UNDECIDED, reply: None, decided_by: None, hook: None }
            }
            Some(notes::Ending { record, .. }) => {
                let (decided_by, hook) =
                    record.decided_by.map(|decided| (decided.plugin, decided.hook)).unzip();
                Self { outcome: record.outcome, reply: record.reply, decided_by, hook }
            }
            None => Self::before_mail(steps),
        }
    }

    /// No transaction has begun.
    fn before_mail(steps: &[Step]) -> Self {
        let last = steps.last();
        let said = last.and_then(|step| step.replies.last());
        let outcome = match said.map(|said| said.code) {
            None => Outcome::Lost,
            Some(..500) => Outcome::Deferred,
            Some(_) => Outcome::Rejected,
        };
        let call = last.and_then(|step| step.calls.last()).filter(|call| call.decided());
        Self {
            outcome: outcome.label(),
            reply: said.map(ToString::to_string),
            decided_by: call.map(|call| call.plugin.clone()),
            hook: call.map(|call| call.hook),
        }
    }

    pub(super) fn is_yes(&self) -> bool {
        let yes = [
            Outcome::Accepted.label(),
            Outcome::Discarded.label(),
            Outcome::Quarantined.label(),
            Outcome::Spooled.label(),
            UNDECIDED,
        ];
        yes.contains(&self.outcome)
    }
}

impl Score {
    pub(super) fn of(notes: &Notes, listener: &Listener) -> Option<Self> {
        let record = notes.ending()?.record;
        let sum = notes.sum().map(Points::get).or(record.score)?;
        let symbols = record.scores.into_iter().map(|score| Symbol {
            plugin: score.plugin,
            symbol: score.symbol,
            points: score.points,
        });
        let thresholds = listener.scores.iter().flat_map(|scores| scores.thresholds());
        let threshold = |(action, points)| Threshold { action, points, reached: sum >= points };
        Some(Self {
            sum,
            symbols: symbols.collect(),
            thresholds: thresholds.map(threshold).collect(),
        })
    }
}

impl Delivered {
    pub(super) fn of(taken: &Taken) -> Self {
        let (above, message) = (&taken.message.prefix, &taken.message.message);
        let mut header = above.clone();
        header.extend_from_slice(message.header.fields_as_bytes());
        header.truncate(HEADER_OCTETS);
        Self {
            upstream: taken.upstream.clone(),
            sender: taken.sender.to_string(),
            recipients: taken.recipients.iter().map(ToString::to_string).collect(),
            octets: taken.message.octets(),
            header: difference::printable(&header),
            body: difference::printable(&difference::octets(&message.body)),
            sha256: digest(message.header.as_bytes(), &message.body),
        }
    }
}

fn digest(header: &[u8], body: &Content) -> String {
    let mut hash = Sha256::new();
    hash.update(header);
    let (mut octets, mut at) = (vec![0; CHUNK_OCTETS], 0);
    while let Ok(count @ 1..) = body.read_at(at, &mut octets) {
        hash.update(&octets[..count]);
        at += count as u64;
    }
    hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// How it ends where there was no message to decide about.
pub const UNDECIDED: &str = "undecided";

/// Octets of a header section that are shown.
const HEADER_OCTETS: usize = 64 << 10;

/// Octets that are read at once.
const CHUNK_OCTETS: usize = 64 << 10;
