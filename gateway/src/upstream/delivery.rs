//! One message on its way to one upstream, whatever that is.

use std::sync::Arc;
use std::time::Instant;

use portcullis_smtp::{Parameter, Reply, ReversePath};

use super::maildir;
use super::rehearsal::Double;
use super::trail::Trail;
use super::transaction::Transaction;
use crate::message::{Outbound, Provenance, Recipient};

/// One message on its way to one upstream. Dropped, it is taken back.
#[derive(Debug)]
pub struct Delivery {
    way: Way,
}

#[derive(Debug)]
enum Way {
    Discard,
    Hop(Box<Transaction>),
    Maildir(Box<maildir::Transaction>),
    Rehearsed(Arc<Double>, Arc<Provenance>),
}

impl Delivery {
    pub(super) fn discard() -> Self {
        Self { way: Way::Discard }
    }

    pub(super) fn to_hop(transaction: Transaction) -> Self {
        Self { way: Way::Hop(Box::new(transaction)) }
    }

    pub(super) fn to_maildir(transaction: maildir::Transaction) -> Self {
        Self { way: Way::Maildir(Box::new(transaction)) }
    }

    /// Where it gets to in a network, for records.
    #[must_use]
    pub fn trail(&self) -> Option<Arc<Trail>> {
        match &self.way {
            Way::Discard | Way::Maildir(_) | Way::Rehearsed(..) => None,
            Way::Hop(transaction) => Some(transaction.trail().clone()),
        }
    }

    pub(super) fn rehearsed(double: Arc<Double>, provenance: Arc<Provenance>) -> Self {
        Self { way: Way::Rehearsed(double, provenance) }
    }

    /// Offers a recipient to the upstream.
    ///
    /// # Errors
    ///
    /// The upstream's refusal of this recipient or, the same for each, of the sender; or a 4xx if
    /// the upstream cannot be talked to.
    pub async fn offer(
        &mut self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipient: &Recipient,
    ) -> Result<(), Reply> {
        match &mut self.way {
            Way::Discard => Ok(()),
            Way::Hop(transaction) => transaction.offer(sender, parameters, recipient).await,
            // What waits for the disk weighs on no idle connection.
            Way::Maildir(transaction) => Box::pin(transaction.offer(parameters, recipient)).await,
            Way::Rehearsed(double, provenance) => {
                Box::pin(double.offer(parameters, recipient, &provenance.id)).await
            }
        }
    }

    /// Delivers the message: one reply for each recipient, in order.
    ///
    /// Where sender or recipients are not those that the upstream has accepted, the transaction is
    /// begun anew, and a recipient may be refused now.
    pub async fn deliver(
        self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipients: &[Recipient],
        message: &Outbound,
    ) -> Vec<Reply> {
        match self.way {
            Way::Discard => vec![Reply::fixed(250, (2, 0, 0), "discarded"); recipients.len()],
            Way::Hop(transaction) => {
                let (metrics, began) = (transaction.metrics(), Instant::now());
                let said = transaction.deliver(sender, parameters, recipients, message).await;
                metrics.delivered(began.elapsed());
                said
            }
            Way::Maildir(transaction) => {
                let (metrics, began) = (transaction.metrics(), Instant::now());
                let delivered = transaction.deliver(sender, parameters, recipients, message);
                let said = Box::pin(delivered).await;
                metrics.delivered(began.elapsed());
                said
            }
            Way::Rehearsed(double, _) => double.deliver(sender, parameters, recipients, message),
        }
    }

    /// Gives the connection back while the client takes its time. What was offered on it is offered
    /// anew when the delivery goes on.
    pub async fn rest(&mut self) {
        match &mut self.way {
            Way::Discard | Way::Maildir(_) | Way::Rehearsed(..) => {}
            Way::Hop(transaction) => transaction.rest().await,
        }
    }

    /// Takes the transaction back.
    pub async fn abandon(self) {
        match self.way {
            Way::Discard | Way::Maildir(_) | Way::Rehearsed(..) => {}
            Way::Hop(transaction) => transaction.abandon().await,
        }
    }
}
