//! What waits on the disk for an upstream, and is answered for by the gateway.

use jiff::{SignedDuration, Timestamp};
use portcullis_smtp::Reply;
use tracing::warn;

use super::super::signed;
use super::relaying::{Group, Outgoing};
use super::{Fate, Transaction};
use crate::config::{DeliveryMode, Mixed};
use crate::message::{Envelope, Provenance, Recipient};
use crate::spool::{Addressee, Entry, Id, State};

impl Transaction {
    /// Whether messages are accepted before an upstream was asked.
    pub(super) fn spools(&self) -> bool {
        self.house.delivery == DeliveryMode::Spool
    }

    /// Whether one reply for all is a yes as long as the spool can answer for the others.
    fn spools_the_rest(&self) -> bool {
        self.house.mixed == Mixed::Spool && !self.answers_each()
    }

    /// Whether somebody was refused whom a plugin wants to see again. That is nothing for the spool, so
    /// that the client has to come again for all.
    pub(super) fn must_come_again(&self, fates: &[Fate]) -> bool {
        let deferred = |fate: &Fate| fate.reply.is_transient() && fate.upstream.is_none();
        self.spools_the_rest() && fates.iter().any(deferred)
    }

    /// Stores the message for all groups, as one. Whether it is there.
    pub(super) async fn spool_all(
        &mut self,
        groups: Vec<Group>,
        envelope: &Envelope,
        outbound: &Outgoing,
        fates: &mut Vec<Fate>,
    ) -> bool {
        if groups.is_empty() || self.leaves_all(&groups, fates) {
            return false;
        }
        let accepted = Timestamp::now();
        let state = State::new(accepted);
        let mut recipients: Vec<Addressee> = Vec::new();
        for Group { upstream, recipients: all } in &groups {
            recipients.extend(all.iter().map(|one| addressee(one, upstream, state.clone())));
        }
        if self.spools_the_rest() {
            recipients.extend(self.failed(envelope, fates));
        }
        let stored = self.store(recipients, envelope, outbound, accepted).await;
        let reply = stored.as_ref().map_or_else(Reply::clone, queued);
        if stored.is_ok() && self.spools_the_rest() {
            fates.iter_mut().for_each(|fate| fate.reply = reply.clone());
        }
        for Group { upstream, recipients } in groups {
            for recipient in recipients {
                self.note(&recipient, Some(&upstream), Some(&reply));
                let (upstream, reply) = (Some(upstream.clone()), reply.clone());
                fates.push(Fate { index: recipient.index, upstream, reply });
            }
        }
        stored.is_ok()
    }

    /// Stores what some upstreams took for those that did not, if one reply has to do for all: it is a
    /// yes then. Whether it is there.
    pub(super) async fn spool_the_rest(
        &mut self,
        envelope: &Envelope,
        outbound: &Outgoing,
        fates: &mut Vec<Fate>,
    ) -> bool {
        let taken = fates.iter().any(|fate| fate.reply.is_positive());
        let left = fates.iter().any(|fate| !fate.reply.is_positive());
        if !(self.spools_the_rest() && taken && left) || self.must_come_again(fates) {
            return false;
        }
        let Some(spool) = self.house.spool.clone() else { return false };
        let accepted = Timestamp::now();
        let pause = SignedDuration::try_from(spool.first_pause()).unwrap_or_default();
        let next = accepted.checked_add(pause).unwrap_or(accepted);
        let waiting = fates.iter().filter(|fate| fate.reply.is_transient());
        let waiting = waiting.filter_map(|fate| {
            let said = Some(fate.reply.to_string());
            let state = State::Waiting { attempts: 1, next, said };
            let recipient = envelope.recipients.iter().find(|one| one.index == fate.index)?;
            Some(addressee(recipient, fate.upstream.as_deref()?, state))
        });
        let recipients: Vec<_> = waiting.chain(self.failed(envelope, fates)).collect();
        let stored = self.store(recipients, envelope, outbound, accepted).await;
        let reply = stored.as_ref().map_or_else(Reply::clone, queued);
        let (mut rest, taken): (Vec<_>, Vec<_>) =
            fates.drain(..).partition(|fate| !fate.reply.is_positive());
        rest.iter_mut().for_each(|fate| fate.reply = reply.clone());
        // The first of what is equally bad is what the client is told.
        fates.extend(rest.into_iter().chain(taken));
        stored.is_ok()
    }

    /// Whether the one reply will be a refusal, and nobody is to get anything before the next attempt.
    fn leaves_all(&mut self, groups: &[Group], fates: &[Fate]) -> bool {
        let refused = fates.iter().any(|fate| !fate.reply.is_positive());
        let leaves = self.must_come_again(fates) || self.stops_at_a_refusal() && refused;
        if leaves {
            self.record_left(groups);
        }
        leaves
    }

    /// Those who were refused for good; the queue tells the sender.
    fn failed(&self, envelope: &Envelope, fates: &[Fate]) -> Vec<Addressee> {
        let refused = fates.iter().filter(|fate| fate.reply.is_permanent());
        let failed = refused.filter_map(|fate| {
            let recipient = envelope.recipients.iter().find(|one| one.index == fate.index)?;
            let upstream = match &fate.upstream {
                Some(upstream) => upstream.clone(),
                None => self.upstream_of(recipient).unwrap_or_default(),
            };
            let state = State::Failed { said: fate.reply.to_string(), reported: false };
            Some(addressee(recipient, &upstream, state))
        });
        failed.collect()
    }

    /// Whether a plugin has said where it goes. Should that be gone one day, it is not for the routes to
    /// hand out what was put into quarantine.
    fn is_pinned(&self, recipients: &[Addressee], envelope: &Envelope) -> bool {
        let quarantine = self.house.quarantine.as_ref();
        recipients.iter().any(|one| Some(&one.upstream) == quarantine)
            || envelope.recipients.iter().any(|one| one.route.is_some())
    }

    /// On the disk when this returns a name, whatever happens to the machine.
    async fn store(
        &mut self,
        recipients: Vec<Addressee>,
        envelope: &Envelope,
        outbound: &Outgoing,
        accepted: Timestamp,
    ) -> Result<Id, Reply> {
        let Some(spool) = self.house.spool.clone() else {
            return Err(signed(&Reply::fixed(451, (4, 3, 0), "there is no spool"), self.id()));
        };
        let entry = Entry {
            id: Id::fresh(),
            accepted,
            provenance: Provenance::clone(&self.provenance),
            reverse_path: envelope.reverse_path.clone(),
            parameters: envelope.parameters.clone(),
            octets: 0,
            held: false,
            pinned: self.is_pinned(&recipients, envelope),
            recipients,
        };
        match spool.store(entry, outbound.get()).await {
            Ok(id) => Ok(id),
            Err(error) => {
                warn!(id = self.id(), %error, "message not stored");
                Err(signed(&error.reply(), self.id()))
            }
        }
    }
}

fn addressee(recipient: &Recipient, upstream: &str, state: State) -> Addressee {
    let (address, parameters) = (recipient.address.clone(), recipient.parameters.clone());
    Addressee { address, parameters, upstream: upstream.to_owned(), state }
}

fn queued(id: &Id) -> Reply {
    Reply::fixed(250, (2, 0, 0), &format!("queued as {id}"))
}
