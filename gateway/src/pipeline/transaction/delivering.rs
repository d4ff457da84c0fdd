//! The last judgement of a message, and its delivery.

use std::sync::Arc;

use portcullis_smtp::Reply;
use portcullis_smtp::server::Verdict;

use super::super::{House, out_of_step, outcome, received, signed, verdict};
use super::{Doing, Transaction, Unheard};
use crate::message::{Content, Envelope, HeaderSection, Message, Outbound};
use crate::metrics::Outcome;
use crate::policy::{Case, Cleared, Decision, Memory, Ruling};

impl Transaction {
    /// The last judgement.
    pub(in crate::pipeline) async fn message(
        mut self: Box<Self>,
        memory: &mut Memory,
    ) -> (Verdict, Option<Box<Unheard>>) {
        self.complete = true;
        self.record.enter(Doing::Message);
        if self.case.message.is_none() && !self.is_refused() && !self.is_discarded() {
            self.headers(memory).await;
        }
        self.finish_body().await;
        if let Some(ruling) = self.ruling.clone()
            && !matches!(ruling.decision, Decision::Quarantine(_))
        {
            return (self.finish_undelivered(ruling.decision).await, None);
        }
        let mut copies = std::mem::take(&mut self.copies);
        let cleared = self.house.clone();
        // What was said so far moves with the case that is judged; a copy would be for nobody.
        let calls = std::mem::take(&mut self.case.calls);
        let case = Case { calls, ..self.case.clone() };
        match cleared.chain.clear(case, memory, &mut copies).await {
            Ok((cleared, ruling)) => {
                drop(copies);
                self.case = cleared.get().clone();
                self.show_calls();
                let decision = self.lasting(ruling);
                match decision {
                    Decision::Discard(_) => (self.finish_undelivered(decision).await, None),
                    _ => self.deliver(cleared, matches!(decision, Decision::Quarantine(_))).await,
                }
            }
            Err((case, ruling)) => {
                drop(copies);
                self.case = case;
                self.show_calls();
                self.record.decided(&ruling);
                (self.finish_undelivered(ruling.decision).await, None)
            }
        }
    }

    /// The body is complete. Should the last of it not be kept, the message is refused.
    async fn finish_body(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        match (writer.finish().await, &mut self.case.message) {
            (Ok(body), Some(message)) => {
                if let Some(received) = &mut self.received {
                    received.set_body(body.clone());
                }
                message.set_body(body);
            }
            (Ok(_), None) => {}
            (Err(error), _) => self.not_kept(&error),
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

    async fn deliver(
        mut self: Box<Self>,
        cleared: Cleared<Case>,
        quarantine: bool,
    ) -> (Verdict, Option<Box<Unheard>>) {
        let Some(envelope) = self.case.envelope.clone() else { return (out_of_step(), None) };
        self.record.enter(Doing::Delivery);
        let mut fates = self.refused();
        let groups = self.groups(&envelope, quarantine, &mut fates);
        self.record_refused(&envelope, &fates);
        let outbound = Arc::new(cleared.map(|case| outbound(&self.house, case, &envelope)));
        let groups = self.recall(groups, &envelope, &mut fates).await;
        let spooled = if self.spools() {
            self.spool_all(groups, &envelope, &outbound, &mut fates).await
        } else {
            self.relay(groups, &envelope, &outbound, &mut fates).await;
            self.spool_the_rest(&envelope, &outbound, &mut fates).await
        };
        self.require_answers(&envelope, &mut fates);
        self.release().await;
        let positive = match (quarantine, spooled) {
            (true, _) => Outcome::Quarantined,
            (false, true) => Outcome::Spooled,
            (false, false) => Outcome::Accepted,
        };
        self.answer(&envelope, fates, positive).await
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
