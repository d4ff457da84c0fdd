//! What the client is told in the end.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use portcullis_smtp::server::Verdict;
use portcullis_smtp::{EnhancedStatus, Reply};

use super::super::{fold, outcome};
use super::{Fate, Transaction, Unheard};
use crate::message::Envelope;
use crate::metrics::Outcome;

impl Transaction {
    /// Should a recipient have no answer, the client keeps the mail.
    pub(super) fn require_answers(&self, envelope: &Envelope, fates: &mut Vec<Fate>) {
        let refused = fates.iter().any(|fate| !fate.reply.is_positive());
        if refused && !self.answers_each() {
            return;
        }
        let answered: HashSet<_> = fates.iter().map(|fate| fate.index).collect();
        let left = envelope.recipients.iter().filter(|r| !answered.contains(&r.index));
        let missing = Reply::fixed(451, (4, 3, 0), "no answer for this recipient");
        fates.extend(left.map(|recipient| Fate::refused(recipient.index, missing.clone())));
    }

    /// One reply for all, or for LMTP and PRDR one a recipient.
    pub(super) async fn answer(
        mut self: Box<Self>,
        envelope: &Arc<Envelope>,
        fates: Vec<Fate>,
        positive: Outcome,
    ) -> (Verdict, Option<Box<Unheard>>) {
        let answers_each = self.answers_each();
        let folded = fold::worst(fates.iter().map(|fate| &fate.reply))
            .unwrap_or_else(|| Reply::fixed(250, (2, 0, 0), "ok"));
        let taken = fates.iter().any(|fate| fate.reply.is_positive());
        let whole = match taken && !answers_each && !folded.is_positive() {
            true => self.with_the_truth(&folded, &fates),
            false => self.own_words(&folded),
        };
        let ending = match outcome(&whole) {
            Outcome::Accepted if fates.is_empty() => Outcome::Discarded,
            Outcome::Accepted => positive,
            _ if answers_each && taken => Outcome::Mixed,
            refused => refused,
        };
        let each = answers_each.then(|| self.each(&fates));
        let unheard = self.keep_receipts(envelope, fates, &whole, each.as_deref()).await;
        self.end(ending, Some(&whole));
        (each.map_or(Verdict::Reply(whole), Verdict::Each), unheard)
    }

    /// A reply for each recipient that the client named.
    ///
    /// Those that a plugin added have nobody to be told; their failure is everybody's, since
    /// otherwise nobody would try again.
    fn each(&self, fates: &[Fate]) -> Vec<Reply> {
        let named: HashSet<_> = self.slots.iter().map(|slot| slot.index).collect();
        let added = fates.iter().filter(|fate| !named.contains(&fate.index));
        let added = fold::worst(added.map(|fate| &fate.reply));
        let added = added.filter(|reply| !reply.is_positive());
        let ok = Reply::fixed(250, (2, 0, 0), "ok");
        let fates: HashMap<_, _> = fates.iter().map(|fate| (fate.index, &fate.reply)).collect();
        self.slots
            .iter()
            .map(|slot| match (*fates.get(&slot.index).unwrap_or(&&ok), &added) {
                (own, Some(added)) if own.is_positive() => added.clone(),
                (own, _) => self.own_words(own),
            })
            .collect()
    }

    /// The one refusal for all, and behind it how many it is not true of. Who they are would tell
    /// what plugins made of the addresses.
    fn with_the_truth(&self, folded: &Reply, fates: &[Fate]) -> Reply {
        let named: HashSet<_> = self.slots.iter().map(|slot| slot.index).collect();
        let named = fates.iter().filter(|fate| named.contains(&fate.index));
        let (taken, refused): (Vec<_>, Vec<_>) = named.partition(|fate| fate.reply.is_positive());
        if taken.is_empty() || refused.is_empty() {
            return folded.clone();
        }
        let all = taken.len() + refused.len();
        let text = format!("{}\n{} of {all} recipients took it", folded.text(), taken.len());
        Reply::new(folded.code(), folded.status(), &text).unwrap_or_else(|_| folded.clone())
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
