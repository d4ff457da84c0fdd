//! One mail transaction, from MAIL to its one outcome.

use std::sync::Arc;
use std::time::Instant;

use portcullis_smtp::server::{Protocol, Verdict};
use portcullis_smtp::{EnhancedStatus, Mailbox, Parameter, Reply};

use super::record::Notes;
use super::{House, fold, received, signed, verdict};
use crate::message::{
    Content, ContentWriter, Envelope, HeaderSection, Message, Outbound, Recipient,
};
use crate::metrics::Outcome;
use crate::policy::{Case, Cleared, Copies, Decision, Hook, Memory, Ruling};
use crate::upstream::Delivery;

/// One transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    house: Arc<House>,
    case: Case,
    copies: Copies,
    /// A reply is owed to each of these after the message (LMTP), in the order of RCPT.
    slots: Vec<Slot>,
    /// Upstreams that know the sender and some recipients already.
    deliveries: Vec<(String, Delivery)>,
    /// What came before the empty line, as long as that line has not come.
    header: Vec<u8>,
    writer: Option<ContentWriter>,
    /// What was decided before the message was complete: a refusal, `discard` or `quarantine`.
    ruling: Option<Ruling>,
    record: Notes,
    ended: bool,
}

/// A recipient to whom the client was told yes.
#[derive(Clone, Copy, Debug)]
struct Slot {
    index: u32,
    discarded: bool,
}

impl Transaction {
    pub(super) fn new(house: Arc<House>, case: Case) -> Self {
        house.metrics.transaction_started();
        Self {
            house,
            case,
            copies: Copies::default(),
            slots: Vec::new(),
            deliveries: Vec::new(),
            header: Vec::new(),
            writer: None,
            ruling: None,
            record: Notes::new(),
            ended: false,
        }
    }

    pub(super) fn id(&self) -> &str {
        self.case.envelope.as_ref().map_or(&self.case.session.id, |envelope| &envelope.id)
    }

    /// Asks at a hook. `discard` and `quarantine` stay for the rest of the transaction.
    pub(super) async fn ask(&mut self, hook: Hook, memory: &mut Memory) -> Ruling {
        let ruling = self.house.chain.ask(hook, &mut self.case, memory, &mut self.copies).await;
        let lasting = matches!(ruling.decision, Decision::Discard(_) | Decision::Quarantine(_));
        if lasting && hook != Hook::Rcpt {
            self.ruling = Some(ruling.clone());
        }
        if ruling.decision != Decision::Pass {
            self.record.decided(&ruling);
        }
        ruling
    }

    pub(super) async fn rcpt(
        &mut self,
        address: Mailbox,
        parameters: Vec<Parameter>,
        memory: &mut Memory,
    ) -> Verdict {
        let index = self.case.next_index;
        self.case.next_index += 1;
        if self.is_discarded() {
            self.slots.push(Slot { index, discarded: true });
            return Verdict::Accept;
        }
        let judged = Recipient { index, address, parameters, route: None };
        let said = judged.address.to_string();
        self.case.recipient = Some(judged);
        let ruling = self.ask(Hook::Rcpt, memory).await;
        let recipient = self.case.recipient.take();
        match (ruling.decision, recipient) {
            (Decision::Pass | Decision::Quarantine(_), Some(recipient)) => {
                self.offer(recipient, &said).await
            }
            (Decision::Discard(_), _) => {
                self.slots.push(Slot { index, discarded: true });
                Verdict::Accept
            }
            (decision, _) => {
                let verdict = verdict(decision, self.id());
                if let Verdict::Reply(reply) | Verdict::Disconnect(reply) = &verdict {
                    self.record.recipient(&said, None, reply);
                }
                self.end_if_disconnected(&verdict);
                verdict
            }
        }
    }

    /// Offers a recipient to its upstream: that one's refusal is the client's.
    async fn offer(&mut self, recipient: Recipient, said: &str) -> Verdict {
        let offered = match self.upstream_of(&recipient) {
            Ok(upstream) => {
                let offered = self.offer_to(&upstream, &recipient).await;
                offered.map_err(|reply| (Some(upstream), reply))
            }
            Err(reply) => Err((None, reply)),
        };
        match offered {
            Ok(()) => {
                self.slots.push(Slot { index: recipient.index, discarded: false });
                if let Some(envelope) = &mut self.case.envelope {
                    Arc::make_mut(envelope).recipients.push(recipient);
                }
                Verdict::Accept
            }
            Err((upstream, reply)) => {
                self.record.recipient(said, upstream.as_deref(), &reply);
                Verdict::Reply(reply)
            }
        }
    }

    async fn offer_to(&mut self, upstream: &str, recipient: &Recipient) -> Result<(), Reply> {
        let Some(envelope) = self.case.envelope.clone() else { return Err(no_upstream()) };
        let known = self.deliveries.iter().position(|(name, _)| name == upstream);
        let at = match known {
            Some(at) => at,
            None if self.must_keep_to_one_upstream() => {
                let text = "one destination at a time, send this recipient again";
                return Err(signed(&Reply::fixed(452, (4, 5, 3), text), self.id()));
            }
            None => {
                let begun = self.house.upstreams.begin(upstream).ok_or_else(no_upstream)?;
                self.deliveries.push((upstream.to_owned(), begun));
                self.deliveries.len() - 1
            }
        };
        let (delivery, asked) = (&mut self.deliveries[at].1, Instant::now());
        let offered = delivery.offer(&envelope.reverse_path, &envelope.parameters, recipient).await;
        self.record.upstream_time += asked.elapsed();
        if offered.is_err() && !self.slots.iter().any(|slot| !slot.discarded) {
            // It holds no recipient, so that the next one may still go elsewhere.
            let (_, delivery) = self.deliveries.swap_remove(at);
            delivery.abandon().await;
        }
        offered
    }

    /// SMTP has one reply for all recipients, so that two upstreams could not be told apart.
    fn must_keep_to_one_upstream(&self) -> bool {
        self.house.protocol == Protocol::Smtp && !self.deliveries.is_empty()
    }

    fn upstream_of(&self, recipient: &Recipient) -> Result<String, Reply> {
        let house = &self.house;
        let found = house.routes.upstream(recipient, house.upstream.as_deref());
        found.map(str::to_owned).ok_or_else(|| {
            signed(&Reply::fixed(550, (5, 7, 1), "no route to this recipient"), self.id())
        })
    }

    pub(super) async fn data(&mut self, memory: &mut Memory) -> Verdict {
        if self.is_discarded() {
            return Verdict::Accept;
        }
        let ruling = self.ask(Hook::Data, memory).await;
        let verdict = verdict(ruling.decision, self.id());
        self.end_if_disconnected(&verdict);
        verdict
    }

    /// Who is hung up on by a plugin was refused; the end of the connection adds nothing to it.
    fn end_if_disconnected(&mut self, verdict: &Verdict) {
        if let Verdict::Disconnect(reply) = verdict {
            self.end(super::outcome(reply), Some(reply));
        }
    }

    /// Takes content: the header section first, which is judged as soon as it is complete.
    pub(super) async fn content(&mut self, chunk: Vec<u8>, memory: &mut Memory) {
        self.record.octets += chunk.len() as u64;
        if self.is_refused() || self.is_discarded() {
            return;
        }
        if self.case.message.is_some() {
            return self.write(chunk).await;
        }
        let searched = self.header.len();
        self.header.extend_from_slice(&chunk);
        match HeaderSection::find_end(&self.header, searched) {
            Some(end) if end <= self.house.header_octets => {
                let body = self.header.split_off(end);
                self.headers(memory).await;
                if !body.is_empty() && !self.is_refused() {
                    self.write(body).await;
                }
            }
            None if self.header.len() <= self.house.header_octets => {}
            Some(_) | None => {
                self.header = Vec::new();
                self.refuse(Reply::fixed(552, (5, 3, 4), "header section is too large"));
            }
        }
    }

    async fn write(&mut self, chunk: Vec<u8>) {
        let budget = &self.house.budget;
        let writer = self.writer.get_or_insert_with(|| ContentWriter::new(budget.clone()));
        if let Err(error) = writer.write(chunk).await {
            tracing::warn!(id = self.id(), %error, "message content not kept");
            self.writer = None;
            self.refuse(Reply::fixed(452, (4, 3, 1), "no room for the message, try again later"));
        }
    }

    async fn headers(&mut self, memory: &mut Memory) {
        let header = HeaderSection::parse(std::mem::take(&mut self.header));
        let body = Content::from_bytes(Vec::new());
        self.case.message = Some(Message { header: Arc::new(header), body });
        let ruling = self.ask(Hook::Headers, memory).await;
        if matches!(ruling.decision, Decision::Disconnect(_) | Decision::Refuse(_)) {
            self.ruling = Some(ruling);
        }
    }

    /// The last judgement.
    pub(super) async fn message(mut self: Box<Self>, memory: &mut Memory) -> Verdict {
        if self.case.message.is_none() && !self.is_refused() && !self.is_discarded() {
            self.headers(memory).await;
        }
        if let Some(ruling) = self.ruling.clone()
            && !matches!(ruling.decision, Decision::Quarantine(_))
        {
            return self.finish_undelivered(ruling.decision).await;
        }
        if let (Some(message), Some(writer)) = (&mut self.case.message, self.writer.take()) {
            message.body = writer.finish();
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
                self.end(super::outcome(&reply), Some(&reply));
                Verdict::Reply(reply)
            }
            Verdict::Disconnect(reply) => {
                self.end(super::outcome(&reply), Some(&reply));
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
        let Some(envelope) = self.case.envelope.clone() else { return super::out_of_step() };
        let mut replies = self.case.refused.clone();
        let groups = self.groups(&envelope, quarantine, &mut replies);
        let outbound = cleared.map(|case| outbound(&self.house, case, &envelope));
        for (upstream, recipients) in groups {
            let refused = replies.iter().any(|(_, reply)| !reply.is_positive());
            if refused && self.house.protocol == Protocol::Smtp {
                // The one reply will be a refusal: what is not delivered now is not delivered twice.
                break;
            }
            let said = self.deliver_to(&upstream, &envelope, &recipients, &outbound).await;
            for (recipient, reply) in recipients.iter().zip(said) {
                self.record.recipient(recipient.address.as_str(), Some(&upstream), &reply);
                replies.push((recipient.index, reply));
            }
        }
        self.release().await;
        let positive = if quarantine { Outcome::Quarantined } else { Outcome::Accepted };
        self.answer(replies, positive)
    }

    /// The recipients that are left, by upstream. Those without one are answered at once.
    fn groups(
        &self,
        envelope: &Envelope,
        quarantine: bool,
        replies: &mut Vec<(u32, Reply)>,
    ) -> Vec<(String, Vec<Recipient>)> {
        let mut groups: Vec<(String, Vec<Recipient>)> = Vec::new();
        for recipient in &envelope.recipients {
            if replies.iter().any(|(index, _)| *index == recipient.index) {
                continue;
            }
            let upstream = match (&self.house.quarantine, quarantine) {
                (Some(upstream), true) => Ok(upstream.clone()),
                (None, true) => Err(no_upstream()),
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
            None => self.house.upstreams.begin(upstream),
        };
        let Some(delivery) = delivery else { return vec![no_upstream(); recipients.len()] };
        let (sender, parameters) = (&envelope.reverse_path, &envelope.parameters);
        let asked = Instant::now();
        let replies = delivery.deliver(sender, parameters, recipients, outbound.get()).await;
        self.record.upstream_time += asked.elapsed();
        replies
    }

    /// One reply for all, or for LMTP one a recipient.
    fn answer(mut self: Box<Self>, replies: Vec<(u32, Reply)>, positive: Outcome) -> Verdict {
        let lmtp = self.house.protocol == Protocol::Lmtp;
        let folded = fold::worst(replies.iter().map(|(_, reply)| reply.clone()))
            .unwrap_or_else(|| Reply::fixed(250, (2, 0, 0), "ok"));
        let whole = self.own_words(&folded);
        let outcome = match super::outcome(&whole) {
            Outcome::Accepted if replies.is_empty() => Outcome::Discarded,
            Outcome::Accepted => positive,
            _ if lmtp && replies.iter().any(|(_, reply)| reply.is_positive()) => Outcome::Mixed,
            refused => refused,
        };
        let each = lmtp.then(|| self.each(&replies));
        self.end(outcome, Some(&whole));
        each.map_or(Verdict::Reply(whole), Verdict::Each)
    }

    /// A reply for each recipient that the client named.
    ///
    /// Those that a plugin added have nobody to be told; their failure is everybody's, since
    /// otherwise nobody would try again.
    fn each(&self, replies: &[(u32, Reply)]) -> Vec<Reply> {
        let named = |index: u32| self.slots.iter().any(|slot| slot.index == index);
        let added = replies.iter().filter(|(index, _)| !named(*index));
        let added = fold::worst(added.map(|(_, reply)| reply.clone()));
        let added = added.filter(|reply| !reply.is_positive());
        let ok = Reply::fixed(250, (2, 0, 0), "ok");
        let own = |slot: &Slot| {
            let own = replies.iter().find(|(index, _)| *index == slot.index);
            own.map_or_else(|| ok.clone(), |(_, reply)| reply.clone())
        };
        self.slots
            .iter()
            .map(|slot| match (own(slot), &added) {
                (own, Some(added)) if own.is_positive() => added.clone(),
                (own, _) => self.own_words(&own),
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

    /// Ends a transaction whose message will not come, unless it has ended already.
    pub(super) async fn abandon(mut self: Box<Self>, outcome: Outcome) {
        self.release().await;
        self.end(outcome, None);
    }

    async fn release(&mut self) {
        for (_, delivery) in std::mem::take(&mut self.deliveries) {
            delivery.abandon().await;
        }
    }

    /// The one outcome and the one record.
    pub(super) fn end(&mut self, outcome: Outcome, reply: Option<&Reply>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.house.metrics.transaction_ended(outcome);
        if self.record.octets > 0 {
            self.house.metrics.message_octets(self.record.octets);
        }
        self.record.emit(&self.case, outcome, reply);
    }

    fn refuse(&mut self, reply: Reply) {
        let decision = Decision::Refuse(reply);
        self.ruling = Some(Ruling { decision, by: None, hook: Hook::Message });
    }

    fn is_refused(&self) -> bool {
        let decision = self.ruling.as_ref().map(|ruling| &ruling.decision);
        matches!(decision, Some(Decision::Disconnect(_) | Decision::Refuse(_)))
    }

    fn is_discarded(&self) -> bool {
        let decision = self.ruling.as_ref().map(|ruling| &ruling.decision);
        matches!(decision, Some(Decision::Discard(_)))
    }
}

impl Drop for Transaction {
    /// A connection that was cut has an outcome too.
    fn drop(&mut self) {
        self.end(Outcome::Lost, None);
    }
}

fn outbound(house: &House, case: Case, envelope: &Envelope) -> Outbound {
    let field = received::field(&case.session, envelope, house.protocol, &house.hostname);
    let empty = || Message {
        header: Arc::new(HeaderSection::default()),
        body: Content::from_bytes(Vec::new()),
    };
    Outbound { prefix: field.into_bytes(), message: case.message.unwrap_or_else(empty) }
}

fn no_upstream() -> Reply {
    Reply::fixed(451, (4, 3, 5), "no upstream for this recipient, try again later")
}
