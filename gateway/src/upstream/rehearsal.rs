//! Delivery that goes nowhere, for who wants to know what would be delivered.
//!
//! A next hop is taken to say yes to everything; whether a mailbox is there is looked at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_smtp::{Mailbox, Parameter, Reply, ReversePath};

use super::maildir::Maildir;
use crate::message::{Outbound, Recipient};

/// What would have been delivered, and what upstreams are to answer.
#[derive(Debug, Default)]
pub struct Rehearsal {
    taken: Mutex<Vec<Taken>>,
    refusals: Vec<Refusal>,
}

/// What one upstream would have got, or the spool for it.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The upstream's name; none where the spool would keep it for whoever it is for.
    pub upstream: Option<String>,
    /// The reverse-path.
    pub sender: ReversePath,
    /// The parameters of MAIL.
    pub parameters: Vec<Parameter>,
    /// Whom it is for.
    pub recipients: Vec<Mailbox>,
    /// The message, from `Received` on.
    pub message: Outbound,
}

/// What an upstream is to answer instead of yes.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The upstream.
    pub upstream: String,
    /// Of whom; none is everybody.
    pub recipient: Option<Mailbox>,
    /// Whether after the message, rather than to RCPT.
    pub late: bool,
    /// What.
    pub reply: Reply,
}

impl Rehearsal {
    /// One in which upstreams say no where these say so.
    #[must_use]
    pub fn with(refusals: Vec<Refusal>) -> Self {
        Self { refusals, taken: Mutex::default() }
    }

    /// Writes down what would have been delivered.
    pub fn take(&self, taken: Taken) {
        self.all().push(taken);
    }

    /// What was written down so far.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.all().clone()
    }

    fn all(&self) -> MutexGuard<'_, Vec<Taken>> {
        // A list that a panic left behind is still a list.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refusal(
        &self,
        upstream: &str,
        recipient: &Mailbox,
        late: bool,
    ) -> Option<&Reply> {
        let fits = |refusal: &&Refusal| {
            let whose = refusal.recipient.as_ref();
            refusal.upstream == upstream
                && refusal.late == late
                && whose.is_none_or(|whose| whose == recipient)
        };
        self.refusals.iter().find(fits).map(|refusal| &refusal.reply)
    }
}

/// What stands for an upstream.
#[derive(Debug)]
pub(super) struct Double {
    pub(super) name: String,
    /// Where its mailboxes are, if that is what it has.
    pub(super) mailboxes: Option<Arc<Maildir>>,
    /// Whether it is a server, which could be asked ahead.
    pub(super) is_server: bool,
    pub(super) rehearsal: Arc<Rehearsal>,
}

impl Double {
    pub(super) async fn offer(
        &self,
        parameters: &[Parameter],
        recipient: &Recipient,
        id: &str,
    ) -> Result<(), Reply> {
        if let Some(refusal) = self.rehearsal.refusal(&self.name, &recipient.address, false) {
            return Err(refusal.clone());
        }
        match &self.mailboxes {
            Some(mailboxes) => mailboxes.rehearse_offer(parameters, recipient, id).await,
            None => Ok(()),
        }
    }

    pub(super) fn deliver(
        &self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipients: &[Recipient],
        message: &Outbound,
    ) -> Vec<Reply> {
        let refusal =
            |recipient: &Recipient| self.rehearsal.refusal(&self.name, &recipient.address, true);
        let takers = recipients.iter().filter(|recipient| refusal(recipient).is_none());
        let takers: Vec<_> = takers.map(|recipient| recipient.address.clone()).collect();
        if !takers.is_empty() {
            self.rehearsal.take(Taken {
                upstream: Some(self.name.clone()),
                sender: sender.clone(),
                parameters: parameters.to_vec(),
                recipients: takers,
                message: message.clone(),
            });
        }
        let ok = Reply::fixed(250, (2, 0, 0), "ok");
        recipients.iter().map(|one| refusal(one).unwrap_or(&ok).clone()).collect()
    }
}
