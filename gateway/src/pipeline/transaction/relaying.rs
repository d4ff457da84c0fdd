//! The message on its way to several upstreams.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use portcullis_smtp::Reply;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::super::signed;
use super::{Exchange, Fate, Transaction};
use crate::config::Mixed;
use crate::message::{Envelope, Outbound, Recipient};
use crate::policy::Cleared;
use crate::telemetry::Errand;
use crate::upstream::Delivery;

/// Recipients that go to one upstream.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) upstream: String,
    pub(super) recipients: Vec<Recipient>,
}

/// What an upstream said of its recipients, and how it was reached.
type Delivered = (Vec<Reply>, Exchange);

/// A message that may leave, for whoever delivers it.
pub(super) type Outgoing = Arc<Cleared<Outbound>>;

impl Transaction {
    /// The recipients that plugins have refused; the first refusal of each counts.
    pub(super) fn refused(&self) -> Vec<Fate> {
        let mut seen = HashSet::new();
        let first = self.case.refused.iter().filter(|(index, _)| seen.insert(*index));
        first.map(|(index, reply)| Fate::refused(*index, signed(reply, self.id()))).collect()
    }

    pub(super) fn record_refused(&mut self, envelope: &Envelope, fates: &[Fate]) {
        self.record.settled();
        let fates: HashMap<_, _> = fates.iter().map(|fate| (fate.index, &fate.reply)).collect();
        for recipient in &envelope.recipients {
            if let Some(reply) = fates.get(&recipient.index) {
                self.note(recipient, None, Some(reply));
            }
        }
    }

    /// The recipients that are left, by upstream. Those without one are answered at once.
    pub(super) fn groups(
        &self,
        envelope: &Envelope,
        quarantine: bool,
        fates: &mut Vec<Fate>,
    ) -> Vec<Group> {
        let answered: HashSet<_> = fates.iter().map(|fate| fate.index).collect();
        let mut groups: Vec<Group> = Vec::new();
        for recipient in &envelope.recipients {
            if answered.contains(&recipient.index) {
                continue;
            }
            let upstream = match (&self.house.quarantine, quarantine) {
                (Some(upstream), true) => Ok(upstream.clone()),
                (None, true) => Err(self.no_upstream()),
                (_, false) => self.upstream_of(recipient),
            };
            match upstream {
                Ok(upstream) => match groups.iter_mut().find(|group| group.upstream == upstream) {
                    Some(group) => group.recipients.push(recipient.clone()),
                    None => groups.push(Group { upstream, recipients: vec![recipient.clone()] }),
                },
                Err(reply) => fates.push(Fate::refused(recipient.index, reply)),
            }
        }
        groups
    }

    /// Delivers to all groups that the rule lets be delivered to.
    pub(super) async fn relay(
        &mut self,
        groups: Vec<Group>,
        envelope: &Arc<Envelope>,
        outbound: &Outgoing,
        fates: &mut Vec<Fate>,
    ) {
        if self.must_come_again(fates) {
            return self.record_left(&groups);
        }
        let asked = Instant::now();
        if groups.len() > 1 && !self.stops_at_a_refusal() {
            self.relay_at_once(groups, envelope, outbound, fates).await;
        } else {
            self.relay_in_turn(groups, envelope, outbound, fates).await;
        }
        self.record.upstream_time += asked.elapsed();
    }

    /// Where the one reply will be a refusal, what is not delivered now is not delivered twice.
    pub(super) fn stops_at_a_refusal(&self) -> bool {
        !self.answers_each() && self.house.mixed == Mixed::DeferOthers
    }

    async fn relay_in_turn(
        &mut self,
        groups: Vec<Group>,
        envelope: &Arc<Envelope>,
        outbound: &Outgoing,
        fates: &mut Vec<Fate>,
    ) {
        for group in groups {
            if self.stops_at_a_refusal() && fates.iter().any(|fate| !fate.reply.is_positive()) {
                self.record_left(&[group]);
                continue;
            }
            let delivery = self.delivery(&group.upstream);
            let said = match delivery {
                Some(delivery) => {
                    let recipients = &group.recipients;
                    let (said, exchange) = deliver(delivery, envelope, recipients, outbound).await;
                    self.record.exchange(&self.case, &group.upstream, exchange);
                    said
                }
                None => vec![self.no_upstream(); group.recipients.len()],
            };
            self.settle(group, said, fates);
        }
    }

    /// Recipients who get nothing before the client comes again.
    pub(super) fn record_left(&mut self, groups: &[Group]) {
        for Group { upstream, recipients } in groups {
            for recipient in recipients {
                self.note(recipient, Some(upstream), None);
            }
        }
    }

    /// No upstream waits for another one, or changes what another one's recipients are told.
    async fn relay_at_once(
        &mut self,
        groups: Vec<Group>,
        envelope: &Arc<Envelope>,
        outbound: &Outgoing,
        fates: &mut Vec<Fate>,
    ) {
        let mut said: Vec<Option<Vec<Reply>>> = vec![None; groups.len()];
        let mut running = JoinSet::new();
        for (at, group) in groups.iter().enumerate() {
            if running.len() >= AT_ONCE
                && let Some(Ok((done, delivered))) = running.join_next().await
            {
                said[done] = Some(self.delivered(&groups[done], delivered));
            }
            let Some(delivery) = self.delivery(&group.upstream) else {
                said[at] = Some(vec![self.no_upstream(); group.recipients.len()]);
                continue;
            };
            let (envelope, outbound) = (envelope.clone(), outbound.clone());
            let recipients = group.recipients.clone();
            let delivered =
                async move { (at, deliver(delivery, &envelope, &recipients, &outbound).await) };
            running.spawn(delivered.in_current_span());
        }
        while let Some(ended) = running.join_next().await {
            if let Ok((done, delivered)) = ended {
                said[done] = Some(self.delivered(&groups[done], delivered));
            }
        }
        // One that a defect ended has said nothing: its recipients are found to be without an answer.
        for (group, said) in groups.into_iter().zip(said) {
            self.settle(group, said.unwrap_or_default(), fates);
        }
    }

    fn delivered(&mut self, group: &Group, (said, exchange): Delivered) -> Vec<Reply> {
        self.record.exchange(&self.case, &group.upstream, exchange);
        said
    }

    /// The open transaction with an upstream, or a new one.
    fn delivery(&mut self, upstream: &str) -> Option<Delivery> {
        match self.deliveries.iter().position(|(name, _)| name == upstream) {
            Some(at) => Some(self.deliveries.swap_remove(at).1),
            None => self.house.upstreams.begin(upstream, &self.provenance),
        }
    }

    /// What an upstream said of its recipients.
    fn settle(&mut self, group: Group, said: Vec<Reply>, fates: &mut Vec<Fate>) {
        for (recipient, reply) in group.recipients.into_iter().zip(said) {
            let address = recipient.address.as_str();
            self.counts.delivered(&reply);
            self.tell_delivery(address, &group.upstream, &reply);
            self.show_upstream(&group.upstream, address, Some(&reply), None);
            self.note(&recipient, Some(&group.upstream), Some(&reply));
            let upstream = Some(group.upstream.clone());
            fates.push(Fate { index: recipient.index, upstream, reply });
        }
    }
}

async fn deliver(
    delivery: Delivery,
    envelope: &Envelope,
    recipients: &[Recipient],
    outbound: &Outgoing,
) -> Delivered {
    let (sender, parameters) = (&envelope.reverse_path, &envelope.parameters);
    let (began, trail) = (Instant::now(), delivery.trail());
    let trail = trail.map(|trail| (trail.clone(), trail.waited()));
    let said = delivery.deliver(sender, parameters, recipients, outbound.get()).await;
    let (took, recipients) = (began.elapsed(), recipients.len());
    (said, Exchange { what: Errand::Message, began, took, recipients, trail })
}

/// Upstreams that one message is sent to at the same time. More would let one message take the
/// connections of all others.
const AT_ONCE: usize = 8;
