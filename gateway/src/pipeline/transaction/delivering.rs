//! The last judgement of a message, and its delivery.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use portcullis_smtp::server::Verdict;
use portcullis_smtp::{EnhancedStatus, Reply};

use super::super::{House, fold, out_of_step, outcome, received, signed, verdict};
use super::Transaction;
use crate::message::{Content, Envelope, HeaderSection, Message, Outbound, Recipient};
use crate::metrics::Outcome;
use crate::policy::{Case, Cleared, Decision, Memory, Ruling};

impl Transaction {
    /// The last judgement.
    pub(in crate::pipeline) async fn message(mut self: Box<Self>, memory: &mut Memory) -> Verdict {
        self.complete = true;
        if self.case.message.is_none() && !self.is_refused() && !self.is_discarded() {
            self.headers(memory).await;
        }
        if let Some(ruling) = self.ruling.clone()
            && !matches!(ruling.decision, Decision::Quarantine(_))
        {
            return self.finish_undelivered(ruling.decision).await;
        }
        if let (Some(message), Some(writer)) = (&mut self.case.message, self.writer.take()) {
            message.set_body(writer.finish());
        }
        let mut copies = std::mem::take(&mut self.copies);
        let cleared = self.house.clone();
        match cleared.chain.clear(self.case.clone(), memory, &mut copies).await {
            Ok((cleared, ruling)) => {
                drop(copies);
                self.case = cleared.get().clone();
                let decision = self.lasting(ruling);
                match decision {
                    Decision::Discard(_) => self.finish_undelivered(decision).await,
                    _ => self.deliver(cleared, matches!(decision, Decision::Quarantine(_))).await,
                }
            }
            Err((case, ruling)) => {
                drop(copies);
                self.case = case;
                self.record.decided(&ruling);
                self.finish_undelivered(ruling.decision).await
            }
        }
    }

    /// The ruling of `on-message`, or what an earlier hook left.
    fn lasting(&mut self, ruling: Ruling) -> Decision {
        if ruling.decision != Decision::Pass {
            self.record.decided(&ruling);
            return ruling.decision;
        }
        self.ruling.take().map_or(Decision::Pass, |ruling| ruling.decision)
    }

    async fn finish_undelivered(mut self: Box<Self>, decision: Decision) -> Verdict {
        self.release().await;
        match verdict(decision, self.id()) {
            Verdict::Reply(reply) => {
                self.end(outcome(&reply), Some(&reply));
                Verdict::Reply(reply)
            }
            Verdict::Disconnect(reply) => {
                self.end(outcome(&reply), Some(&reply));
                Verdict::Disconnect(reply)
            }
            Verdict::Accept | Verdict::Each(_) => {
                let reply = signed(&Reply::fixed(250, (2, 0, 0), "ok"), self.id());
                self.end(Outcome::Discarded, Some(&reply));
                Verdict::Reply(reply)
            }
        }
    }

    async fn deliver(mut self: Box<Self>, cleared: Cleared<Case>, quarantine: bool) -> Verdict {
        let Some(envelope) = self.case.envelope.clone() else { return out_of_step() };
        let mut replies = self.refused();
        let groups = self.groups(&envelope, quarantine, &mut replies);
        self.record_refused(&envelope, &replies);
        let outbound = cleared.map(|case| outbound(&self.house, case, &envelope));
        for (upstream, recipients) in groups {
            let refused = replies.iter().any(|(_, reply)| !reply.is_positive());
            if refused && !self.answers_each() {
                // The one reply will be a refusal: what is not delivered now is not delivered twice.
                for recipient in &recipients {
                    self.record.recipient(recipient.address.as_str(), Some(&upstream), None);
                }
                continue;
            }
            let said = self.deliver_to(&upstream, &envelope, &recipients, &outbound).await;
            for (recipient, reply) in recipients.iter().zip(said) {
                self.tell_delivery(recipient.address.as_str(), &upstream, &reply);
                self.record.recipient(recipient.address.as_str(), Some(&upstream), Some(&reply));
                replies.push((recipient.index, reply));
            }
        }
        self.require_answers(&envelope, &mut replies);
        self.release().await;
        let positive = if quarantine { Outcome::Quarantined } else { Outcome::Accepted };
        self.answer(replies, positive)
    }

    /// Should a recipient have no answer, the client keeps the mail.
    fn require_answers(&self, envelope: &Envelope, replies: &mut Vec<(u32, Reply)>) {
        let refused = replies.iter().any(|(_, reply)| !reply.is_positive());
        if refused && !self.answers_each() {
            return;
        }
        let answered: HashSet<_> = replies.iter().map(|(index, _)| *index).collect();
        let left = envelope.recipients.iter().filter(|r| !answered.contains(&r.index));
        let missing = Reply::fixed(451, (4, 3, 0), "no answer for this recipient");
        replies.extend(left.map(|recipient| (recipient.index, missing.clone())));
    }

    /// The recipients that plugins have refused; the first refusal of each counts.
    fn refused(&self) -> Vec<(u32, Reply)> {
        let mut seen = HashSet::new();
        let first = self.case.refused.iter().filter(|(index, _)| seen.insert(*index));
        first.map(|(index, reply)| (*index, signed(reply, self.id()))).collect()
    }

    fn record_refused(&mut self, envelope: &Envelope, replies: &[(u32, Reply)]) {
        self.record.settled();
        let replies: HashMap<_, _> = replies.iter().map(|(index, reply)| (*index, reply)).collect();
        for recipient in &envelope.recipients {
            if let Some(reply) = replies.get(&recipient.index) {
                self.record.recipient(recipient.address.as_str(), None, Some(reply));
            }
        }
    }

    /// The recipients that are left, by upstream. Those without one are answered at once.
    fn groups(
        &self,
        envelope: &Envelope,
        quarantine: bool,
        replies: &mut Vec<(u32, Reply)>,
    ) -> Vec<(String, Vec<Recipient>)> {
        let answered: HashSet<_> = replies.iter().map(|(index, _)| *index).collect();
        let mut groups: Vec<(String, Vec<Recipient>)> = Vec::new();
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
                Ok(upstream) => match groups.iter_mut().find(|(name, _)| *name == upstream) {
                    Some((_, recipients)) => recipients.push(recipient.clone()),
                    None => groups.push((upstream, vec![recipient.clone()])),
                },
                Err(reply) => replies.push((recipient.index, reply)),
            }
        }
        groups
    }

    async fn deliver_to(
        &mut self,
        upstream: &str,
        envelope: &Envelope,
        recipients: &[Recipient],
        outbound: &Cleared<Outbound>,
    ) -> Vec<Reply> {
        let open = self.deliveries.iter().position(|(name, _)| name == upstream);
        let delivery = match open {
            Some(at) => Some(self.deliveries.swap_remove(at).1),
            None => self.house.upstreams.begin(upstream, &self.provenance),
        };
        let Some(delivery) = delivery else { return vec![self.no_upstream(); recipients.len()] };
        let (sender, parameters) = (&envelope.reverse_path, &envelope.parameters);
        let asked = Instant::now();
        let replies = delivery.deliver(sender, parameters, recipients, outbound.get()).await;
        self.record.upstream_time += asked.elapsed();
        replies
    }

    /// One reply for all, or for LMTP and PRDR one a recipient.
    fn answer(mut self: Box<Self>, replies: Vec<(u32, Reply)>, positive: Outcome) -> Verdict {
        let answers_each = self.answers_each();
        let folded = fold::worst(replies.iter().map(|(_, reply)| reply.clone()))
            .unwrap_or_else(|| Reply::fixed(250, (2, 0, 0), "ok"));
        let whole = self.own_words(&folded);
        let fate = match outcome(&whole) {
            Outcome::Accepted if replies.is_empty() => Outcome::Discarded,
            Outcome::Accepted => positive,
            _ if answers_each && replies.iter().any(|(_, reply)| reply.is_positive()) => {
                Outcome::Mixed
            }
            refused => refused,
        };
        let each = answers_each.then(|| self.each(&replies));
        self.end(fate, Some(&whole));
        each.map_or(Verdict::Reply(whole), Verdict::Each)
    }

    /// A reply for each recipient that the client named.
    ///
    /// Those that a plugin added have nobody to be told; their failure is everybody's, since
    /// otherwise nobody would try again.
    fn each(&self, replies: &[(u32, Reply)]) -> Vec<Reply> {
        let named: HashSet<_> = self.slots.iter().map(|slot| slot.index).collect();
        let added = replies.iter().filter(|(index, _)| !named.contains(index));
        let added = fold::worst(added.map(|(_, reply)| reply.clone()));
        let added = added.filter(|reply| !reply.is_positive());
        let ok = Reply::fixed(250, (2, 0, 0), "ok");
        let replies: HashMap<_, _> = replies.iter().map(|(index, reply)| (*index, reply)).collect();
        self.slots
            .iter()
            .map(|slot| match (*replies.get(&slot.index).unwrap_or(&&ok), &added) {
                (own, Some(added)) if own.is_positive() => added.clone(),
                (own, _) => self.own_words(own),
            })
            .collect()
    }

    /// A yes names the id; a refusal by the upstream is the client's to read unchanged.
    fn own_words(&self, reply: &Reply) -> Reply {
        if !reply.is_positive() {
            return reply.clone();
        }
        let status = reply.status().or_else(|| EnhancedStatus::new(2, 0, 0).ok());
        let text = format!("{} [{}]", reply.text(), self.id());
        Reply::new(250, status, &text).unwrap_or_else(|_| reply.clone())
    }
}

fn outbound(house: &House, case: Case, envelope: &Envelope) -> Outbound {
    let field = received::field(&case.session, envelope, house.protocol, &house.hostname);
    let empty = || {
        let body = Content::from_bytes(Vec::new());
        Message::new(Arc::new(HeaderSection::default()), body)
    };
    Outbound { prefix: field.into_bytes(), message: case.message.unwrap_or_else(empty) }
}
