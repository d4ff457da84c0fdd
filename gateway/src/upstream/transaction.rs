//! One mail transaction at a next hop.

use std::sync::Arc;
use std::time::Instant;

use portcullis_smtp::client::{Stage, Step};
use portcullis_smtp::parameter::value_of;
use portcullis_smtp::server::Protocol;
use portcullis_smtp::{Mailbox, Parameter, Reply, ReversePath};
use tracing::warn;

use crate::message::{Outbound, Provenance, Recipient};
use crate::metrics::{Retry, UpstreamMetrics};

use super::content::{self, Framing, Progress};
use super::failure::{Failure, passed_on, unanswered};
use super::parameters::{estimated_size, is_international, with_size};
use super::pool::{Attempts, Lease, Pool};
use super::trail::Trail;

/// One mail transaction at a next hop. Dropped, it closes its connection, and the upstream
/// forgets the transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    pool: Arc<Pool>,
    provenance: Arc<Provenance>,
    lease: Option<Lease>,
    /// What the upstream has accepted on the connection.
    offered: Option<Offered>,
    /// Why there is no point in offering another recipient.
    refusal: Option<Reply>,
    /// Which addresses will not do any more.
    attempts: Attempts,
    /// Connections that were lost already.
    losses: u8,
    progress: Progress,
    begun: Instant,
    /// For records.
    trail: Arc<Trail>,
}

/// A transaction that the upstream has open.
#[derive(Debug, Eq, PartialEq)]
struct Offered {
    reverse_path: ReversePath,
    recipients: Vec<Mailbox>,
}

/// The reply for each recipient, as far as there is one.
type Fates = [Option<Reply>];

impl Transaction {
    pub(super) fn new(pool: Arc<Pool>, provenance: Arc<Provenance>) -> Self {
        let (lease, offered, refusal) = (None, None, None);
        let (progress, begun) = (Progress::Envelope, Instant::now());
        let attempts = Attempts::default();
        let (losses, trail) = (0, Arc::default());
        Self { pool, provenance, lease, offered, refusal, attempts, losses, progress, begun, trail }
    }

    /// Where it gets to, and how long it waits for that.
    pub(super) fn trail(&self) -> &Arc<Trail> {
        &self.trail
    }

    /// Where its delivery is counted.
    pub(super) fn metrics(&self) -> Arc<UpstreamMetrics> {
        self.pool.target.metrics.clone()
    }

    /// Offers a recipient to the upstream.
    ///
    /// # Errors
    ///
    /// The upstream's refusal of this recipient or, the same for each, of the sender; or a 4xx if
    /// the upstream cannot be talked to.
    pub(super) async fn offer(
        &mut self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipient: &Recipient,
    ) -> Result<(), Reply> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let answer = loop {
            match self.ask(sender, parameters, recipient).await {
                Err(failure) if self.may_renew(&failure) => self.renew(&failure),
                answer => break answer,
            }
        };
        match answer {
            Ok(reply) if reply.is_positive() => Ok(()),
            Ok(reply) => Err(passed_on(&reply)),
            Err(failure) => {
                let reply = self.give_up(&failure);
                self.refusal = Some(reply.clone());
                Err(reply)
            }
        }
    }

    /// Delivers the message: one reply for each recipient, in order.
    ///
    /// Where sender or recipients are not those that the upstream has accepted, the transaction is
    /// begun anew, and a recipient may be refused now.
    pub(super) async fn deliver(
        mut self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipients: &[Recipient],
        message: &Outbound,
    ) -> Vec<Reply> {
        let mut fates = vec![None; recipients.len()];
        while let Err(failure) =
            self.attempt(sender, parameters, recipients, message, &mut fates).await
        {
            if self.may_renew(&failure) {
                self.renew(&failure);
                fates.fill(None);
                continue;
            }
            if self.progress == Progress::End {
                self.pool.target.metrics.ambiguous();
                let (id, upstream) = (&self.provenance.id, &self.pool.name);
                warn!(id, %upstream, "all of the message was sent: it may have been delivered");
            }
            let reply = self.give_up(&failure);
            fill(&mut fates, &reply);
            break;
        }
        if let Some(lease) = self.lease.take() {
            self.pool.reset(lease).await;
        }
        // Each has one by now; should one not, the client keeps the mail.
        let missing = || Reply::fixed(451, (4, 3, 0), "no answer for this recipient");
        fates.into_iter().map(|fate| fate.unwrap_or_else(missing)).collect()
    }

    /// Gives the connection back while the client takes its time. What was offered on it is offered
    /// anew when the delivery goes on.
    pub(super) async fn rest(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.offered = None;
            self.pool.reset(lease).await;
        }
    }

    /// Takes the transaction back.
    pub(super) async fn abandon(mut self) {
        if let Some(lease) = self.lease.take() {
            self.pool.reset(lease).await;
        }
    }

    /// Offers one recipient, with MAIL before it if it is the first.
    async fn ask(
        &mut self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipient: &Recipient,
    ) -> Result<Reply, Failure> {
        if self.is_unannounced(sender, parameters, recipient) {
            self.rest().await;
        }
        let (pool, begun) = (self.pool.clone(), self.begun);
        let provenance = self.provenance.clone();
        let limit = pool.target.upstream.command_timeout;
        let (first, mut forwarded) = (self.offered.is_none(), 0);
        let connection = &mut self.lease().await?.connection;
        let promises = pool.promises(connection.session.extensions());
        let rcpt = match promises.rcpt(recipient) {
            Ok(carried) => carried,
            Err(refusal) => return Ok(refusal),
        };
        if first {
            let size = estimated_size(parameters, connection.session.extensions());
            let international = is_international(sender, parameters, std::iter::once(recipient));
            let given = with_size(parameters, size);
            let mail = match promises.mail(sender, &given, international, begun.elapsed()) {
                Ok(carried) => carried,
                Err(refusal) => {
                    self.refusal = Some(refusal.clone());
                    return Ok(refusal);
                }
            };
            forwarded = pool.forward(connection, &provenance);
            connection.session.mail(sender, &mail);
        }
        connection.session.rcpt(&recipient.address, &rcpt);
        if first {
            connection.forwarded(forwarded, limit).await?;
            let reply = connection.answer(Stage::Mail, limit).await?;
            pool.fleet.worked(connection.address());
            if !reply.is_positive() {
                self.refusal = Some(passed_on(&reply));
            }
        }
        let connection = &mut self.lease().await?.connection;
        let reply = connection.answer(Stage::Rcpt, limit).await?;
        let offered = self.offered.get_or_insert_with(|| Offered::nobody(sender));
        if reply.is_positive() {
            offered.recipients.push(recipient.address.clone());
        }
        Ok(reply)
    }

    /// The whole transaction, as far as it is not done. An error leaves recipients without a fate.
    async fn attempt(
        &mut self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipients: &[Recipient],
        message: &Outbound,
        fates: &mut Fates,
    ) -> Result<(), Failure> {
        if recipients.is_empty() {
            return Ok(());
        }
        self.lease().await?;
        if let Some(refusal) = self.unfit(parameters, message).await? {
            fill(fates, &refusal);
            return Ok(());
        }
        if !self.has_offered(sender, recipients) {
            let size = Some(message.octets());
            self.offer_all(sender, &with_size(parameters, size), recipients, fates).await?;
        }
        if fates.iter().all(Option::is_some) {
            return Ok(());
        }
        let limit = self.pool.target.upstream.command_timeout;
        let connection = &mut self.lease().await?.connection;
        if is_binary(parameters) {
            connection.session.chunk(message.octets());
            return self.send(message, Framing::Counted, fates).await;
        }
        connection.session.data();
        let reply = connection.answer(Stage::Data, limit).await?;
        if !reply.is_positive() {
            fill(fates, &passed_on(&reply));
            return Ok(());
        }
        self.send(message, Framing::Dots, fates).await
    }

    /// Sends the content and hears what became of it.
    async fn send(
        &mut self,
        message: &Outbound,
        framing: Framing,
        fates: &mut Fates,
    ) -> Result<(), Failure> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let upstream = &self.pool.target.upstream;
        let connection = &mut lease.connection;
        let step = connection.step(upstream.command_timeout).await?;
        if let Step::Answer(_, reply) = &step {
            // A refusal right behind the 354. Nothing of the content has left.
            fill(fates, &passed_on(reply));
            return Ok(());
        }
        if let Step::Content = step {
            let limit = upstream.command_timeout;
            if content::send(connection, message, framing, limit, &mut self.progress).await? {
                connection.session.content_sent();
            } else {
                // An answer before the end: whatever it says, there is no message.
                self.progress = Progress::Content;
            }
        }
        for fate in fates.iter_mut().filter(|fate| fate.is_none()) {
            let reply = match connection.answer(Stage::Content, upstream.final_timeout).await {
                Err(Failure::Closing(reply)) => reply,
                other => other?,
            };
            *fate = Some(passed_on(&reply));
            if upstream.protocol == Protocol::Smtp {
                fill(fates, &passed_on(&reply));
                break;
            }
        }
        connection.transactions += 1;
        Ok(())
    }

    /// Begins the transaction anew with all recipients at once.
    async fn offer_all(
        &mut self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipients: &[Recipient],
        fates: &mut Fates,
    ) -> Result<(), Failure> {
        self.offered = None;
        let (pool, begun) = (self.pool.clone(), self.begun);
        let provenance = self.provenance.clone();
        let limit = pool.target.upstream.command_timeout;
        let connection = &mut self.lease().await?.connection;
        let promises = pool.promises(connection.session.extensions());
        let international = is_international(sender, parameters, recipients.iter());
        let mail = promises.mail(sender, parameters, international, begun.elapsed());
        let rcpts: Vec<_> = recipients.iter().map(|recipient| promises.rcpt(recipient)).collect();
        let mail = match mail {
            Ok(carried) => carried,
            Err(refusal) => {
                fill(fates, &refusal);
                return Ok(());
            }
        };
        let reset = connection.session.in_transaction();
        if reset {
            connection.session.rset();
        }
        let forwarded = pool.forward(connection, &provenance);
        connection.session.mail(sender, &mail);
        for (recipient, carried) in recipients.iter().zip(&rcpts) {
            if let Ok(carried) = carried {
                connection.session.rcpt(&recipient.address, carried);
            }
        }
        if reset {
            connection.answer(Stage::Rset, limit).await?;
        }
        connection.forwarded(forwarded, limit).await?;
        connection.answer(Stage::Mail, limit).await?;
        pool.fleet.worked(connection.address());
        let mut offered = Offered::nobody(sender);
        for ((recipient, fate), carried) in recipients.iter().zip(fates).zip(rcpts) {
            if let Err(refusal) = carried {
                *fate = Some(refusal);
                continue;
            }
            let reply = connection.answer(Stage::Rcpt, limit).await?;
            if reply.is_positive() {
                offered.recipients.push(recipient.address.clone());
            } else {
                *fate = Some(passed_on(&reply));
            }
        }
        self.offered = Some(offered);
        Ok(())
    }

    /// Why the upstream cannot take this message, whatever the envelope.
    async fn unfit(
        &mut self,
        parameters: &[Parameter],
        message: &Outbound,
    ) -> Result<Option<Reply>, Failure> {
        let Some(lease) = &self.lease else { return Ok(None) };
        let extensions = lease.connection.session.extensions();
        if extensions.size_limit().is_some_and(|limit| message.octets() > limit) {
            let text = format!("message is larger than upstream {} takes", self.pool.name);
            return Ok(Some(Reply::fixed(552, (5, 3, 4), &text)));
        }
        let eight_bit = value_of(parameters, "BODY") == Some("8BITMIME");
        // RFC 6152 section 3: convert it or refuse it. Converting would break signatures.
        if eight_bit && !extensions.permit("BODY") && !content::is_seven_bit(message).await? {
            let text = format!("upstream {} takes no 8-bit content", self.pool.name);
            return Ok(Some(Reply::fixed(554, (5, 6, 3), &text)));
        }
        Ok(self.pool.promises(extensions).header(parameters, message))
    }

    /// Whether a plugin has set an address beyond ASCII in a transaction that was begun without
    /// SMTPUTF8. It is begun anew then.
    fn is_unannounced(
        &self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipient: &Recipient,
    ) -> bool {
        let plain = |offered: &Offered| offered.recipients.iter().all(Mailbox::is_ascii);
        !recipient.address.is_ascii()
            && !is_international(sender, parameters, std::iter::empty())
            && self.offered.as_ref().is_some_and(plain)
    }

    fn has_offered(&self, sender: &ReversePath, recipients: &[Recipient]) -> bool {
        self.offered.as_ref().is_some_and(|offered| {
            offered.reverse_path == *sender
                && offered.recipients.iter().eq(recipients.iter().map(|r| &r.address))
        })
    }

    /// The connection, taken from the pool if there is none yet.
    async fn lease(&mut self) -> Result<&mut Lease, Failure> {
        if let Some(lease) = self.lease.take() {
            return Ok(self.lease.insert(lease));
        }
        // Kept before anything is said over it: a connection that has grown stale is found out by that.
        let asked = Instant::now();
        let taken = self.pool.take(&mut self.attempts).await;
        self.trail.waiting(asked.elapsed());
        let lease = self.lease.insert(taken?);
        self.trail.reached(lease.connection.address());
        // On the heap: whoever waits for a command need not carry it.
        Box::pin(self.pool.introduce(&mut lease.connection, &self.provenance)).await?;
        Ok(lease)
    }

    /// Whether another connection may do better without anybody hearing of it: as long as no message
    /// can have come about; and the same address only once.
    fn may_renew(&self, failure: &Failure) -> bool {
        let Some(lease) = &self.lease else { return false };
        let empty = self.offered.as_ref().is_none_or(|offered| offered.recipients.is_empty());
        let envelope = self.progress == Progress::Envelope;
        let again = self.losses == 0 && envelope && (lease.reused || !empty);
        let elsewhere = || self.pool.has_other(lease.connection.address(), &self.attempts);
        failure.is_loss()
            && self.progress != Progress::End
            && (again || self.losses < LOSSES && elsewhere())
    }

    fn renew(&mut self, failure: &Failure) {
        if let Some(lease) = &self.lease {
            let address = lease.connection.address();
            self.pool.retry(Retry::Lost, address, failure);
            // One that was idle says nothing of the next.
            if !lease.reused {
                self.pool.fleet.failed(address, failure);
                self.attempts.tried.push(address.clone());
            }
        }
        self.drop_connection();
        self.attempts.fresh = true;
        self.losses += 1;
        self.progress = Progress::Envelope;
    }

    /// Ends the connection after a failure that the client hears of, and says what it hears.
    fn give_up(&mut self, failure: &Failure) -> Reply {
        let address = self.lease.as_ref().map(|lease| lease.connection.address());
        if let Some(address) = address {
            self.pool.fleet.failed(address, failure);
        }
        let address = address.or_else(|| self.attempts.tried.last());
        let reply = self.pool.report(failure, address.map(|it| &**it), &self.provenance.id);
        self.drop_connection();
        match self.progress {
            Progress::End => unanswered(&reply),
            Progress::Envelope | Progress::Content => reply,
        }
    }

    fn drop_connection(&mut self) {
        self.lease = None;
        self.offered = None;
    }
}

impl Offered {
    fn nobody(reverse_path: &ReversePath) -> Self {
        Self { reverse_path: reverse_path.clone(), recipients: Vec::new() }
    }
}

/// Gives this reply to all that have none.
fn fill(fates: &mut Fates, reply: &Reply) {
    for fate in fates.iter_mut().filter(|fate| fate.is_none()) {
        *fate = Some(reply.clone());
    }
}

/// Connections that a transaction may lose before its client hears of it, where there are other
/// addresses.
const LOSSES: u8 = 4;

fn is_binary(parameters: &[Parameter]) -> bool {
    value_of(parameters, "BODY") == Some("BINARYMIME")
}
