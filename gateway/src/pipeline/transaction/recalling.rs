//! Recipients whose upstream has the message already, since it is sent again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portcullis_smtp::Reply;

use super::super::fold;
use super::super::receipts::{Key, Receipts, Received};
use super::relaying::Group;
use super::{Fate, Transaction};
use crate::config::Duplicates;
use crate::message::{Envelope, HeaderSection, Recipient};

/// Recipients who have the message, as their client was told. Whether it heard that is not known yet.
#[derive(Debug)]
pub(in crate::pipeline) struct Unheard {
    receipts: Arc<Receipts>,
    bounds: Duplicates,
    envelope: Arc<Envelope>,
    received: Received,
    taken: Vec<Fate>,
}

impl Unheard {
    /// The client was gone before it could hear it.
    pub(in crate::pipeline) async fn keep(self) {
        let (receipts, bounds) = (&self.receipts, &self.bounds);
        keep((receipts, bounds), &self.envelope, &self.received, &self.taken).await;
    }
}

impl Transaction {
    /// The header section as the client sent it, should it be needed.
    pub(super) fn note_received(&mut self, header: &Arc<HeaderSection>) {
        if !self.house.duplicates.window.is_zero() {
            self.received = Some(Received::new(header.clone()));
        }
    }

    /// Takes out of the groups who has the message from an earlier attempt.
    pub(super) async fn recall(
        &mut self,
        groups: Vec<Group>,
        envelope: &Envelope,
        fates: &mut Vec<Fate>,
    ) -> Vec<Group> {
        let (receipts, bounds) = (&self.house.receipts, &self.house.duplicates);
        if receipts.count() == 0 {
            return groups;
        }
        let Some(received) = &self.received else { return groups };
        let Some(message_id) = received.message_id() else { return groups };
        let key = |upstream: &str, recipient: &Recipient| {
            Key::new(upstream, &envelope.reverse_path, &recipient.address, &message_id)
        };
        let keys_of = |group: &Group| -> Vec<Key> {
            group.recipients.iter().map(|recipient| key(&group.upstream, recipient)).collect()
        };
        let keys: HashSet<Key> = groups.iter().flat_map(keys_of).collect();
        let keys: Vec<Key> = keys.into_iter().collect();
        if !receipts.may_have(&keys, bounds) {
            return groups;
        }
        let Some(digest) = received.digest().await else { return groups };
        // Who is named twice has it for both.
        let taken = keys.into_iter().filter(|key| receipts.take(key, &digest, bounds));
        let taken: HashSet<Key> = taken.collect();
        let (mut left, mut recalled) = (Vec::new(), Vec::new());
        for Group { upstream, recipients } in groups {
            let (here, rest): (Vec<_>, Vec<_>) =
                recipients.into_iter().partition(|one| taken.contains(&key(&upstream, one)));
            recalled.extend(here.into_iter().map(|one| (upstream.clone(), one)));
            if !rest.is_empty() {
                left.push(Group { upstream, recipients: rest });
            }
        }
        self.settle_recalled(recalled, fates);
        left
    }

    fn settle_recalled(&mut self, recalled: Vec<(String, Recipient)>, fates: &mut Vec<Fate>) {
        let (id, recipients) = (self.id(), recalled.len());
        tracing::info!(target: "session", id, recipients, "sent again, and delivered already");
        self.house.metrics.duplicates_avoided(recipients as u64);
        let reply = Reply::fixed(250, (2, 0, 0), "delivered at an earlier attempt");
        for (upstream, recipient) in recalled {
            self.note(&recipient, Some(&upstream), Some(&reply));
            let (index, upstream, reply) = (recipient.index, Some(upstream), reply.clone());
            fates.push(Fate { index, upstream, reply });
        }
    }

    /// Keeps receipts for those who took it where the client is told to send it again, and hands back
    /// those of whom it is told that.
    pub(super) async fn keep_receipts(
        &mut self,
        envelope: &Arc<Envelope>,
        fates: Vec<Fate>,
        whole: &Reply,
        each: Option<&[Reply]>,
    ) -> Option<Box<Unheard>> {
        let mut received = self.received.take()?;
        let taken =
            fates.into_iter().filter(|fate| fate.reply.is_positive() && fate.upstream.is_some());
        let told: HashMap<u32, &Reply> = match each {
            // With one answer for all there is nothing to look up.
            None => HashMap::new(),
            Some(each) => self.slots.iter().map(|slot| slot.index).zip(each).collect(),
        };
        // Who was added by a plugin is added again if anybody is sent the message again.
        let others = each.and_then(fold::worst).unwrap_or_else(|| whole.clone());
        let told = |fate: &Fate| told.get(&fate.index).map_or(&others, |reply| *reply);
        let taken = taken.filter(|fate| !told(fate).is_permanent());
        let (again, taken): (Vec<_>, Vec<_>) = taken.partition(|fate| told(fate).is_transient());
        if !again.is_empty() {
            let house = &self.house;
            keep((&house.receipts, &house.duplicates), envelope, &received, &again).await;
        }
        if taken.is_empty() {
            return None;
        }
        let lease = self.house.budget.header_lease();
        received.lease = Some(std::mem::replace(&mut self.header_lease, lease));
        let (receipts, bounds) = (self.house.receipts.clone(), self.house.duplicates);
        let envelope = envelope.clone();
        Some(Box::new(Unheard { receipts, bounds, envelope, received, taken }))
    }
}

async fn keep(
    (receipts, bounds): (&Receipts, &Duplicates),
    envelope: &Envelope,
    received: &Received,
    taken: &[Fate],
) {
    let Some(message_id) = received.message_id() else { return };
    let Some(digest) = received.digest().await else { return };
    let addresses = envelope.recipients.iter().map(|one| (one.index, &one.address));
    let addresses: HashMap<_, _> = addresses.collect();
    for fate in taken {
        if let (Some(upstream), Some(address)) = (&fate.upstream, addresses.get(&fate.index)) {
            let key = Key::new(upstream, &envelope.reverse_path, address, &message_id);
            receipts.keep(key, digest, bounds);
        }
    }
}
