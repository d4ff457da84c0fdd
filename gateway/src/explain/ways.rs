//! Where all recipients go: those whom the client names, and those whom plugins add.

use portcullis_smtp::{Mailbox, ReversePath};

use super::conversation::Step;
use super::{Decision, Destination, Ending, Inquiry, Stage, Way};
use crate::message::Recipient;
use crate::metrics::Outcome;
use crate::routing::Routes;

impl Stage<'_> {
    pub(super) fn ways(&self, inquiry: &Inquiry, steps: &[Step], ending: &Ending) -> Vec<Way> {
        let ended = self.notes.ending();
        let envelope = ended.as_ref().and_then(|ended| ended.envelope.as_deref());
        let survey = Survey {
            stage: self,
            routes: &self.site.house().routes.load_full(),
            inquiry,
            sender: envelope.map_or(&inquiry.sender, |envelope| &envelope.reverse_path),
        };
        let mut left: Vec<_> =
            envelope.map(|envelope| envelope.recipients.clone()).unwrap_or_default();
        let origins = self.notes.origins();
        let mut rcpts = steps.iter().filter(|step| step.stage == "rcpt");
        let mut ways = Vec::new();
        for said in &inquiry.recipients {
            let is_this = |one: &Recipient| {
                origins.get(&one.index).is_some_and(|origin| origin == said.as_str())
            };
            ways.push(match rcpts.next() {
                None => survey.way(&unasked(said)),
                Some(step) if !step.is_positive() => survey.refused(said, step),
                Some(_) => match left.iter().position(is_this) {
                    Some(at) => {
                        let recipient = left.remove(at);
                        survey.taken(&recipient, said)
                    }
                    None => survey.dropped(said),
                },
            });
        }
        let added = left.iter().map(|one| Way { added: true, asked: true, ..survey.way(one) });
        ways.extend(added.collect::<Vec<_>>());
        self.settle(&mut ways, ending);
        ways
    }

    /// What was said of them in the end.
    fn settle(&self, ways: &mut [Way], ending: &Ending) {
        let Some(ended) = self.notes.ending() else { return };
        let quarantined = ending.outcome == Outcome::Quarantined.label();
        let discarded = ending.outcome == Outcome::Discarded.label();
        let mut recorded = ended.record.recipients;
        for way in ways.iter_mut().filter(|way| way.reply.is_none()) {
            let own = recorded
                .iter()
                .position(|one| one.changed_to.as_ref().unwrap_or(&one.address) == &way.recipient);
            way.reply = own.and_then(|at| recorded.remove(at).reply);
            way.refused = way.reply.as_deref().is_some_and(|reply| !reply.starts_with('2'));
            if discarded {
                way.upstream = None;
            }
            if let (Some(name), true) = (&self.listener.quarantine, quarantined) {
                way.decision = Decision::Quarantine;
                way.upstream = Destination::of(self.config, name, None);
            }
        }
    }
}

/// What ways are found by.
struct Survey<'a> {
    stage: &'a Stage<'a>,
    routes: &'a Routes,
    inquiry: &'a Inquiry,
    sender: &'a ReversePath,
}

impl Survey<'_> {
    fn way(&self, recipient: &Recipient) -> Way {
        Way::of(self.stage, self.routes, self.inquiry, self.sender, recipient)
    }

    fn refused(&self, said: &Mailbox, step: &Step) -> Way {
        let recipient = step.judged.clone().unwrap_or_else(|| unasked(said));
        let reply = step.replies.last().map(ToString::to_string);
        let way = Way { reply, refused: true, ..self.taken(&recipient, said) };
        match step.calls.last().filter(|call| call.decided()) {
            None => way,
            Some(call) => {
                let decision = Decision::Refused { plugin: call.plugin.clone() };
                Way { decision, upstream: None, ..way }
            }
        }
    }

    fn taken(&self, recipient: &Recipient, said: &Mailbox) -> Way {
        let other = (recipient.address != *said).then(|| said.to_string());
        Way { said: other, asked: true, ..self.way(recipient) }
    }

    /// The client heard yes, and a plugin took it out.
    fn dropped(&self, said: &Mailbox) -> Way {
        let decision = Decision::Dropped;
        Way { decision, upstream: None, asked: true, ..self.way(&unasked(said)) }
    }
}

/// A recipient of whom no plugin knows.
fn unasked(address: &Mailbox) -> Recipient {
    Recipient { index: 0, address: address.clone(), parameters: Vec::new(), route: None }
}
