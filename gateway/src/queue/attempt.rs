//! One attempt to deliver a message to those of its recipients that one upstream has.

use std::sync::Arc;

use jiff::Timestamp;
use portcullis_smtp::{Parameter, Reply, ReversePath};
use serde::Serialize;
use tracing::{error, info};

use super::agenda::{Moment, Turn};
use super::desk::Opened;
use super::fate::{Fate, proceed};
use super::schedule::{after, carried, chance};
use super::{Office, settlement};
use crate::message::{Outbound, Provenance, Recipient};
use crate::metrics::{Attempt, QueueResult};
use crate::spool::{Entry, SpoolError, State};

/// What is tried.
#[derive(Debug)]
struct Offer {
    provenance: Arc<Provenance>,
    sender: ReversePath,
    parameters: Vec<Parameter>,
    /// Their places in the entry are their indices.
    recipients: Vec<Recipient>,
    attempt: u32,
}

/// What became of one recipient, for the log.
#[derive(Debug, Serialize)]
struct Told<'a> {
    address: &'a str,
    result: &'static str,
    reply: String,
}

impl Office {
    pub(super) async fn attempt(
        self: Arc<Self>,
        turn: Turn,
        worker: usize,
        given: Option<(Entry, Outbound)>,
    ) {
        let opened = self.desk.open(&self.spool, &turn.id, given).await;
        match opened {
            Ok((opened, outbound)) => self.deliver(&turn, worker, &opened, &outbound).await,
            Err(why @ (SpoolError::Torn { .. } | SpoolError::Unknown(_))) => {
                self.forget(&turn.id, &why);
                self.ended(&turn, None, None);
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                error!(queued = %turn.id, %error, cause, "a message cannot be read, tried again later");
                let next = Timestamp::now().as_millisecond() + settlement::TROUBLE_PAUSE;
                self.ended(&turn, Some(next), None);
            }
        }
        self.stir();
    }

    async fn deliver(
        self: &Arc<Self>,
        turn: &Turn,
        worker: usize,
        opened: &Opened,
        outbound: &Outbound,
    ) {
        let offer = match opened.entry().await {
            Some(mut entry) => {
                self.route_anew(&mut entry);
                offer(&entry, &turn.upstream)
            }
            None => return self.ended(turn, None, None),
        };
        let replies = match offer.recipients.is_empty() {
            true => Some(Vec::new()),
            false => self.offer(turn, worker, &offer, outbound).await,
        };
        let Some(mut entry) = opened.entry().await else { return };
        let Some(replies) = replies else {
            return self.wait_for_upstream(turn, &mut entry);
        };
        let (next, reached, changed) = self.apply(turn, &mut entry, &offer, &replies);
        let places = offer.recipients.iter().map(|recipient| recipient.index as usize);
        let delivered = settlement::delivered(&entry, places, &replies);
        self.ended(turn, next, reached);
        self.see_to_all(&entry);
        self.settle(&mut entry, outbound, &delivered, changed).await;
    }

    /// A reply for each; none if there is no such upstream.
    async fn offer(
        &self,
        turn: &Turn,
        worker: usize,
        offer: &Offer,
        outbound: &Outbound,
    ) -> Option<Vec<Reply>> {
        let upstreams = self.workers.get(worker)?.upstreams.load_full();
        let delivery = upstreams.begin(&turn.upstream, &offer.provenance)?;
        let (sender, parameters) = (&offer.sender, &offer.parameters);
        let replies = delivery.deliver(sender, parameters, &offer.recipients, outbound).await;
        let kind = if offer.attempt == 1 { Attempt::First } else { Attempt::Later };
        self.metrics.queue_upstream(&turn.upstream).attempted(kind);
        Some(replies)
    }

    /// The configuration that the message was accepted under had this upstream, this one has not, and
    /// no route takes its recipients: they wait for another configuration.
    fn wait_for_upstream(&self, turn: &Turn, entry: &mut Entry) {
        let later = self.conditions.load().schedule.pause(u32::MAX, chance());
        let later = after(Timestamp::now(), later);
        error!(id = entry.provenance.id, queued = %entry.id, upstream = %turn.upstream, "there is no such upstream any more, and no route: waits");
        for addressee in &mut entry.recipients {
            if let State::Waiting { said, next, .. } = &mut addressee.state
                && *addressee.upstream == *turn.upstream
            {
                let gone = format!("451 4.3.5 there is no upstream {} any more", turn.upstream);
                (*said, *next) = (Some(gone), later);
            }
        }
        self.ended(turn, Some(later.as_millisecond()), None);
        self.see_to_all(entry);
    }

    /// Those whose upstream is not in this configuration go where a new message of theirs would go.
    pub(super) fn route_anew(&self, entry: &mut Entry) {
        if entry.pinned {
            return;
        }
        let conditions = self.conditions.load_full();
        let report = entry.is_report();
        for addressee in &mut entry.recipients {
            let waits = matches!(addressee.state, State::Waiting { .. });
            if !waits || conditions.knows(&addressee.upstream) {
                continue;
            }
            let to = match report {
                true => conditions.report_route(&addressee.address),
                false => conditions.route(&addressee.address),
            };
            if let Some(to) = to.filter(|to| conditions.knows(to)) {
                let from = std::mem::replace(&mut addressee.upstream, to);
                let to = &addressee.upstream;
                info!(target: "delivery", id = entry.provenance.id, queued = %entry.id, from, to, "routed anew");
            }
        }
    }

    /// Sees to it that everybody who waits is on the agenda, wherever another configuration has
    /// routed him.
    pub(super) fn see_to_all(&self, entry: &Entry) {
        let waiting = self.waiting(entry, Timestamp::now());
        self.agenda(|agenda| {
            for (upstream, due) in &waiting.due {
                agenda.route(&waiting.id, upstream, *due);
            }
        });
    }

    /// Writes the replies into the entry. Says when the rest is tried again, whether the upstream was
    /// there, and whether there is something to keep.
    fn apply(
        &self,
        turn: &Turn,
        entry: &mut Entry,
        offer: &Offer,
        replies: &[Reply],
    ) -> (Option<Moment>, Option<bool>, bool) {
        let conditions = self.conditions.load_full();
        let (now, upstream) = (Timestamp::now(), &*turn.upstream);
        let expiry = conditions.schedule.milestones(entry.accepted, &entry.parameters).expiry;
        let some = replies.iter().any(Reply::is_positive);
        let metrics = self.metrics.queue_upstream(upstream);
        let (mut told, mut reached, mut changed) = (Vec::new(), None, false);
        for (recipient, reply) in offer.recipients.iter().zip(replies) {
            let fate = match Fate::of(reply, upstream) {
                // Nobody came before it, so that it is no less crowded the next time.
                Fate::Crowded if !some => Fate::Deferred,
                fate => fate,
            };
            reached = Some(reached == Some(true) || fate != Fate::Unreached);
            let Some(addressee) = entry.recipients.get_mut(recipient.index as usize) else {
                continue;
            };
            let said = reply.to_string();
            let times = (now, expiry, chance());
            let (state, fate) =
                proceed(&addressee.state, &fate, &said, &conditions.schedule, times);
            changed |= is_news(&addressee.state, &state);
            addressee.state = state;
            let result = result(&fate);
            metrics.recipient(result);
            let (address, result) = (recipient.address.as_str(), result.label());
            told.push(Told { address, result, reply: said });
        }
        let waiting = waiting(entry, upstream);
        log(entry, turn, offer.attempt, &told, waiting);
        (waiting.map(Timestamp::as_millisecond), reached, changed)
    }

    fn ended(&self, turn: &Turn, next: Option<Moment>, reached: Option<bool>) {
        let now = Timestamp::now().as_millisecond();
        self.agenda(|agenda| agenda.ended(turn, next, reached, now));
    }
}

fn offer(entry: &Entry, upstream: &str) -> Offer {
    let mut attempt = 1;
    let mut recipients = Vec::new();
    for (index, addressee) in (0..).zip(&entry.recipients) {
        let State::Waiting { attempts, .. } = addressee.state else { continue };
        if addressee.upstream == upstream && !entry.held {
            attempt = attempt.max(attempts.saturating_add(1));
            recipients.push(addressee.recipient(index));
        }
    }
    Offer {
        provenance: Arc::new(entry.provenance.clone()),
        sender: entry.reverse_path.clone(),
        parameters: carried(&entry.parameters, entry.accepted, Timestamp::now()),
        recipients,
        attempt,
    }
}

/// When the first of those who wait for an upstream is to be tried.
fn waiting(entry: &Entry, upstream: &str) -> Option<Timestamp> {
    let next = entry.recipients.iter().filter_map(|addressee| match &addressee.state {
        State::Waiting { next, .. } if addressee.upstream == upstream => Some(*next),
        _ => None,
    });
    next.min()
}

/// Whether something is to be kept: not that an upstream still is not there.
fn is_news(before: &State, now: &State) -> bool {
    match (before, now) {
        (
            State::Waiting { attempts, next, said: Some(_) },
            State::Waiting { attempts: tried, next: due, .. },
        ) => (attempts, next) != (tried, due),
        _ => before != now,
    }
}

fn result(fate: &Fate) -> QueueResult {
    match fate {
        Fate::Crowded | Fate::Deferred => QueueResult::Deferred,
        Fate::Delivered => QueueResult::Delivered,
        Fate::Expired => QueueResult::Expired,
        Fate::Failed => QueueResult::Failed,
        Fate::Unreached => QueueResult::Unreached,
    }
}

/// One record an attempt: whoever asks why a message was not delivered finds it by its id.
fn log(entry: &Entry, turn: &Turn, attempt: u32, told: &[Told<'_>], next: Option<Timestamp>) {
    if told.is_empty() {
        return;
    }
    let recipients = serde_json::to_string(told).unwrap_or_default();
    let next = next.map(|next| next.to_string());
    info!(
        target: "delivery",
        id = entry.provenance.id,
        queued = %entry.id,
        upstream = %turn.upstream,
        attempt,
        recipients,
        next,
        "tried"
    );
}
