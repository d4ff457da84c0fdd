//! One mail transaction, from MAIL to its one outcome.

mod answering;
mod counting;
mod delivering;
mod following;
mod recalling;
mod recording;
mod relaying;
mod spooling;
mod telling;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use portcullis_smtp::server::{Protocol, Verdict};
use portcullis_smtp::{Mailbox, Parameter, Reply, parameter};

use super::receipts::Received;
use super::record::{Doing, Exchange, Notes};
use super::{House, signed, verdict};
use crate::config::Mixed;
use crate::live::Presence;
use crate::message::{
    Content, ContentError, ContentWriter, Envelope, HeaderSection, Lease, Message, Provenance,
    Recipient, SessionFacts,
};
use crate::metrics::{Bound, Outcome, RefusedBy};
use crate::policy::{Case, Copies, Decision, Hook, Memory, Ruling};
use crate::queue::Keeping;
use crate::routing::Routes;
use crate::telemetry::{Errand, Masks};
use crate::upstream::Delivery;

use counting::Counts;
use recording::Named;

pub(super) use recalling::Unheard;

/// One transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    house: Arc<House>,
    /// As they were when it began; maps may change meanwhile.
    routes: Arc<Routes>,
    case: Case,
    /// What others see of the session.
    presence: Arc<Presence>,
    /// Calls of plugins that those who follow it were told of.
    calls_shown: usize,
    provenance: Arc<Provenance>,
    copies: Copies,
    /// A reply may be owed to each of these after the message (LMTP, PRDR), in the order of RCPT.
    slots: Vec<Slot>,
    /// Upstreams that know the sender and some recipients already.
    deliveries: Vec<(String, Delivery)>,
    /// What came before the empty line, as long as that line has not come.
    header: Vec<u8>,
    /// The header section's share of the memory for content.
    header_lease: Lease,
    writer: Option<ContentWriter>,
    /// The message as it came, should it come again.
    received: Option<Received>,
    /// What was decided before the message was complete: a refusal, `discard` or `quarantine`.
    ruling: Option<Ruling>,
    /// The refusal that leaves the client with nothing to do here: of DATA, or of a recipient as
    /// long as there is no other. If nothing follows, it is how the transaction ended.
    refusal: Option<Reply>,
    /// Recipients that plugins added at a DATA that was refused.
    added_in_vain: Vec<u32>,
    record: Notes,
    counts: Counts,
    /// Whether the final dot has come.
    complete: bool,
    ended: bool,
}

/// A recipient to whom the client was told yes.
#[derive(Clone, Copy, Debug)]
struct Slot {
    index: u32,
    discarded: bool,
}

/// What became of a recipient in the end.
#[derive(Clone, Debug)]
struct Fate {
    index: u32,
    /// Who said so; none is the gateway itself, or a plugin.
    upstream: Option<String>,
    reply: Reply,
}

impl Fate {
    fn refused(index: u32, reply: Reply) -> Self {
        Self { index, upstream: None, reply }
    }
}

impl Transaction {
    pub(super) fn new(house: Arc<House>, case: Case, presence: Arc<Presence>) -> Self {
        house.metrics.transaction_started();
        let header_lease = house.budget.header_lease();
        let id = case.envelope.as_ref().map_or(&case.session.id, |envelope| &envelope.id);
        if let Some(envelope) = &case.envelope {
            presence.begin(id, &envelope.reverse_path.to_string());
        }
        Self {
            routes: house.routes.load_full(),
            house,
            provenance: Arc::new(Provenance::new(&case.session, id)),
            calls_shown: 0,
            case,
            presence,
            copies: Copies::default(),
            slots: Vec::new(),
            deliveries: Vec::new(),
            header: Vec::new(),
            header_lease,
            writer: None,
            received: None,
            ruling: None,
            refusal: None,
            added_in_vain: Vec::new(),
            record: Notes::new(),
            counts: Counts::new(),
            complete: false,
            ended: false,
        }
    }

    pub(super) fn id(&self) -> &str {
        self.case.envelope.as_ref().map_or(&self.case.session.id, |envelope| &envelope.id)
    }

    /// Something else goes on in it now.
    pub(super) fn enter(&mut self, doing: Doing) {
        self.record.enter(doing);
    }

    pub(super) fn envelope(&self) -> Option<&Envelope> {
        self.case.envelope.as_deref()
    }

    /// Asks at a hook. `discard` and `quarantine` stay for the rest of the transaction.
    pub(super) async fn ask(&mut self, hook: Hook, memory: &mut Memory) -> Ruling {
        let ruling = self.house.chain.ask(hook, &mut self.case, memory, &mut self.copies).await;
        self.show_calls();
        let lasting = matches!(ruling.decision, Decision::Discard(_) | Decision::Quarantine(_));
        if lasting && hook != Hook::Rcpt {
            self.ruling = Some(ruling.clone());
        }
        let of_one = hook == Hook::Rcpt && self.has_recipients();
        if ruling.decision != Decision::Pass && !of_one {
            self.record.decided(&ruling);
        }
        ruling
    }

    /// Whether there is anybody who would get the message.
    fn has_recipients(&self) -> bool {
        self.slots.iter().any(|slot| !slot.discarded)
    }

    pub(super) async fn rcpt(
        &mut self,
        address: Mailbox,
        parameters: Vec<Parameter>,
        memory: &mut Memory,
    ) -> Verdict {
        let index = self.case.next_index;
        self.case.next_index = index.saturating_add(1);
        let said = address.to_string();
        let named = Named { address: &said, parameters: &parameters.clone() };
        if self.is_discarded() {
            return self.discard(index, named);
        }
        self.case.recipient = Some(Recipient { index, address, parameters, route: None });
        self.case.recipient_dropped = false;
        let ruling = self.ask(Hook::Rcpt, memory).await;
        let recipient = self.case.recipient.take();
        let by = ruling.by;
        match (ruling.decision, recipient) {
            (Decision::Pass | Decision::Quarantine(_), Some(recipient))
                if !self.case.recipient_dropped =>
            {
                self.offer(recipient, named).await
            }
            (Decision::Discard(_) | Decision::Pass | Decision::Quarantine(_), _) => {
                self.discard(index, named)
            }
            (decision, _) => {
                let verdict = verdict(decision, self.id());
                if let Verdict::Reply(reply) | Verdict::Disconnect(reply) = &verdict {
                    self.count_refused_recipient(RefusedBy::Plugin, reply);
                    self.tell_rcpt(&said, by.as_deref(), Some(reply));
                    self.refuse_recipient(named, None, by.as_deref(), reply);
                }
                self.end_if_disconnected(&verdict);
                verdict
            }
        }
    }

    /// The client is told yes, and nobody gets anything.
    fn discard(&mut self, index: u32, named: Named<'_>) -> Verdict {
        self.count_recipient();
        self.tell_rcpt(named.address, None, None);
        self.slots.push(Slot { index, discarded: true });
        self.presence.recipient(named.address);
        self.refusal = None;
        self.note_at_rcpt(named, None, None, None);
        Verdict::Accept
    }

    fn refuse_recipient(
        &mut self,
        named: Named<'_>,
        upstream: Option<&str>,
        plugin: Option<&str>,
        reply: &Reply,
    ) {
        self.note_at_rcpt(named, upstream, plugin, Some(reply));
        if self.slots.is_empty() {
            self.refusal = Some(reply.clone());
        }
    }

    /// Offers a recipient to its upstream: that one's refusal is the client's. What goes to the spool
    /// has a route, and nobody is asked.
    async fn offer(&mut self, recipient: Recipient, named: Named<'_>) -> Verdict {
        let said = named.address;
        let offered = match self.upstream_of(&recipient) {
            Ok(upstream) if self.spools() => Ok(upstream),
            Ok(upstream) => match self.offer_to(&upstream, &recipient).await {
                Ok(()) => Ok(upstream),
                Err((by, reply)) => Err((Some(upstream), by, reply)),
            },
            Err(reply) => Err((None, RefusedBy::Gateway, reply)),
        };
        match offered {
            Ok(upstream) => {
                self.count_recipient();
                self.tell_rcpt(said, Some(&upstream), None);
                self.slots.push(Slot { index: recipient.index, discarded: false });
                self.presence.recipient(named.address);
                self.record.named(recipient.index, said.to_owned());
                self.refusal = None;
                self.record.undecided();
                if let Some(envelope) = &mut self.case.envelope {
                    Arc::make_mut(envelope).recipients.push(recipient);
                }
                Verdict::Accept
            }
            Err((upstream, by, reply)) => {
                self.count_refused_recipient(by, &reply);
                if self.slots.is_empty() {
                    self.record.undecided();
                }
                self.tell_rcpt(said, upstream.as_deref(), Some(&reply));
                self.refuse_recipient(named, upstream.as_deref(), None, &reply);
                Verdict::Reply(reply)
            }
        }
    }

    async fn offer_to(
        &mut self,
        upstream: &str,
        recipient: &Recipient,
    ) -> Result<(), (RefusedBy, Reply)> {
        let by_us = |reply| (RefusedBy::Gateway, reply);
        let Some(envelope) = self.case.envelope.clone() else {
            return Err(by_us(self.no_upstream()));
        };
        let known = self.deliveries.iter().position(|(name, _)| name == upstream);
        let at = match known {
            Some(at) => at,
            None if self.must_keep_to_one_upstream() => {
                let text = "one destination at a time, send this recipient again";
                return Err(by_us(signed(&Reply::fixed(452, (4, 5, 3), text), self.id())));
            }
            None => {
                let begun = self.house.upstreams.begin(upstream, &self.provenance);
                let begun = begun.ok_or_else(|| by_us(self.no_upstream()))?;
                self.deliveries.push((upstream.to_owned(), begun));
                self.deliveries.len() - 1
            }
        };
        let (delivery, began) = (&mut self.deliveries[at].1, Instant::now());
        let trail = delivery.trail().map(|trail| (trail.clone(), trail.waited()));
        let offered = delivery.offer(&envelope.reverse_path, &envelope.parameters, recipient).await;
        let took = began.elapsed();
        self.record.upstream_time += took;
        let exchange = Exchange { what: Errand::Rcpt, began, took, recipients: 1, trail };
        self.record.exchange(&self.case, upstream, exchange);
        let said = offered.as_ref().err();
        self.show_upstream(upstream, recipient.address.as_str(), said, Some(took));
        if offered.is_err() && !self.has_recipients() {
            // It holds no recipient, so that the next one may still go elsewhere.
            let (_, delivery) = self.deliveries.swap_remove(at);
            delivery.abandon().await;
        }
        offered.map_err(|reply| (RefusedBy::Upstream, reply))
    }

    /// One reply for all recipients could not tell two upstreams apart.
    fn must_keep_to_one_upstream(&self) -> bool {
        let one = self.house.mixed == Mixed::DeferOthers && !self.answers_each();
        one && !self.deliveries.is_empty()
    }

    /// Whether each recipient has its own answer after the message: in LMTP, and in SMTP where the
    /// client asked for it.
    fn answers_each(&self) -> bool {
        let prdr = |envelope: &Envelope| parameter::has(&envelope.parameters, "PRDR");
        self.house.protocol == Protocol::Lmtp || self.case.envelope.as_deref().is_some_and(prdr)
    }

    fn upstream_of(&self, recipient: &Recipient) -> Result<String, Reply> {
        self.way_of(recipient).map(|way| way.upstream.to_owned()).ok_or_else(|| {
            signed(&Reply::fixed(550, (5, 7, 1), "no route to this recipient"), self.id())
        })
    }

    pub(super) async fn data(&mut self, memory: &mut Memory) -> Verdict {
        if self.is_discarded() {
            return Verdict::Accept;
        }
        if let Err(reply) = self.room(0) {
            self.refusal = Some(reply.clone());
            return Verdict::Reply(reply);
        }
        let first = self.case.next_index;
        let ruling = self.ask(Hook::Data, memory).await;
        self.forget_added_again(first);
        let verdict = verdict(ruling.decision, self.id());
        if let Verdict::Reply(reply) | Verdict::Disconnect(reply) = &verdict {
            self.count_answer(reply);
            self.tell_message(reply);
        }
        if let Verdict::Reply(reply) = &verdict {
            self.refusal = Some(reply.clone());
            let recipients = self.case.envelope.iter().flat_map(|of| &of.recipients);
            let added = recipients.map(|one| one.index).filter(|index| *index >= first);
            self.added_in_vain.extend(added);
        }
        self.end_if_disconnected(&verdict);
        verdict
    }

    /// When a client says DATA again that was refused, plugins add their recipients again, from this
    /// index on: once is enough.
    fn forget_added_again(&mut self, first: u32) {
        let Some(envelope) = &mut self.case.envelope else { return };
        let added = envelope.recipients.iter().filter(|one| one.index >= first);
        let added: HashSet<_> = added.map(|one| one.address.clone()).collect();
        if !added.is_empty() && !self.added_in_vain.is_empty() {
            let in_vain = &self.added_in_vain;
            Arc::make_mut(envelope)
                .recipients
                .retain(|one| !in_vain.contains(&one.index) || !added.contains(&one.address));
        }
    }

    /// Who is hung up on by a plugin was refused; the end of the connection adds nothing to it.
    fn end_if_disconnected(&mut self, verdict: &Verdict) {
        if let Verdict::Disconnect(reply) = verdict {
            self.end(super::outcome(reply), Some(reply));
        }
    }

    /// Takes content: the header section first, which is judged as soon as it is complete.
    pub(super) async fn content(&mut self, chunk: Vec<u8>, memory: &mut Memory) {
        self.record.enter(Doing::Content);
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
                // Not the room that the body took beside it.
                self.header.shrink_to_fit();
                self.headers(memory).await;
                if !body.is_empty() && !self.is_refused() && !self.is_discarded() {
                    self.write(body).await;
                }
            }
            None if self.header.len() <= self.house.header_octets => {
                if !self.header_lease.resize(self.header.len() as u64) {
                    self.no_room(Bound::ContentMemory);
                }
            }
            Some(_) | None => {
                self.refuse(Reply::fixed(552, (5, 3, 4), "header section is too large"));
            }
        }
    }

    async fn write(&mut self, chunk: Vec<u8>) {
        let budget = &self.house.budget;
        let writer = self.writer.get_or_insert_with(|| ContentWriter::patient(budget.clone()));
        if let Err(error) = writer.write(chunk).await {
            self.not_kept(&error);
        }
    }

    fn not_kept(&mut self, error: &ContentError) {
        tracing::warn!(id = self.id(), %error, "message content not kept");
        self.no_room(Bound::ContentDisk);
    }

    fn no_room(&mut self, bound: Bound) {
        self.house.metrics.bound_reached(bound);
        self.refuse(no_room());
    }

    /// The refusal of a message of at least so many octets, if there is no room for it now.
    pub(super) fn room(&self, octets: u64) -> Result<(), Reply> {
        let full = |spool: &Keeping| !spool.has_room(octets);
        if self.spools() && self.house.spool.as_ref().is_some_and(full) {
            return Err(signed(&no_room(), self.id()));
        }
        if self.house.budget.has_room(octets) {
            return Ok(());
        }
        self.house.metrics.bound_reached(Bound::ContentDisk);
        Err(signed(&no_room(), self.id()))
    }

    async fn headers(&mut self, memory: &mut Memory) {
        let header = HeaderSection::parse(std::mem::take(&mut self.header));
        if !self.header_lease.resize(header.memory_octets()) {
            return self.no_room(Bound::ContentMemory);
        }
        let (header, body) = (Arc::new(header), Content::from_bytes(Vec::new()));
        self.note_received(&header);
        self.case.message = Some(Message::new(header, body));
        let ruling = self.ask(Hook::Headers, memory).await;
        if matches!(ruling.decision, Decision::Disconnect(_) | Decision::Refuse(_)) {
            self.ruling = Some(ruling);
        }
    }

    /// Gives the upstreams' connections back while the client takes its time: clients that open
    /// transactions and wait must not hold what all others need.
    pub(super) async fn rest(&mut self) {
        for (_, delivery) in &mut self.deliveries {
            delivery.rest().await;
        }
    }

    /// What is known of the session has changed.
    pub(super) fn learn(&mut self, session: &Arc<SessionFacts>) {
        self.case.session = session.clone();
    }

    /// No plugin is to wait with the client: who is asked next gets a fresh copy.
    pub(super) fn forget_copies(&mut self) {
        self.copies = Copies::default();
    }

    /// Ends a transaction whose message will not come, unless it has ended already.
    pub(super) async fn abandon(mut self: Box<Self>, outcome: Outcome) {
        self.release().await;
        self.leave(outcome);
    }

    fn leave(&mut self, outcome: Outcome) {
        match self.refusal.take() {
            Some(reply) => self.end(super::outcome(&reply), Some(&reply)),
            None => self.end(outcome, None),
        }
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
        self.count_end();
        if self.complete
            && let Some(reply) = reply
        {
            self.count_answer(reply);
            self.tell_message(reply);
        }
        self.note_waiting();
        let record = self.record.record(&self.house, &mut self.case, outcome, reply);
        if let Some(witness) = self.house.chain.witness() {
            witness.ended(&record, &self.case);
        }
        let record = Arc::new(Masks::current().record(record));
        record.emit();
        if let Some(traces) = &self.house.traces {
            traces.tell(&record);
        }
        self.presence.end(&record);
    }

    /// The gateway itself refuses the message; what there is of it is of no use any more.
    fn refuse(&mut self, reply: Reply) {
        (self.header, self.writer, self.case.message) = (Vec::new(), None, None);
        self.received = None;
        let _ = self.header_lease.resize(0);
        self.record.undecided();
        let decision = Decision::Refuse(reply);
        self.ruling = Some(Ruling { decision, by: None, hook: Hook::Message });
    }

    fn no_upstream(&self) -> Reply {
        let text = "no upstream for this recipient, try again later";
        signed(&Reply::fixed(451, (4, 3, 5), text), self.id())
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

fn no_room() -> Reply {
    Reply::fixed(452, (4, 3, 1), "no room for the message, try again later")
}

#[cfg(test)]
impl Transaction {
    pub(super) fn recorded_edits(&self) -> usize {
        self.case.edits.len()
    }
}

impl Drop for Transaction {
    /// A connection that was cut has an outcome too.
    fn drop(&mut self) {
        self.leave(Outcome::Lost);
    }
}
