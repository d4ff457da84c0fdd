//! Call-ahead: whether a next hop would take mail for somebody, asked by a transaction that ends before
//! DATA, and how the upstreams are, for plugins that choose among them.

use std::sync::Arc;
use std::time::Duration;

use portcullis_smtp::client::Stage;
use portcullis_smtp::{Mailbox, Reply};
use tokio::time::timeout_at;

use super::failure::{Failure, passed_on};
use super::parameters::is_international;
use super::pool::{Attempts, Lease, Pool};
use super::rehearsal::Double;
use super::{Place, Upstreams};
use crate::message::Recipient;
use crate::metrics::Retry;
use crate::policy::{BoxFuture, CallAhead, Destinations, Unverified};

impl Destinations for Upstreams {
    fn verify<'a>(
        &'a self,
        upstream: &'a str,
        asked: &'a CallAhead,
    ) -> BoxFuture<'a, Result<Vec<Reply>, Unverified>> {
        Box::pin(async move {
            match self.places.get(upstream) {
                Some(Place::Hop(pool)) => {
                    // Dropped then, and its connection with it: what it still says is no answer.
                    let said = timeout_at(asked.deadline.into(), pool.verify(asked)).await;
                    said.unwrap_or(Err(Unverified::TimedOut))
                }
                Some(Place::Rehearsed(double)) if double.is_server => Ok(double.verify(asked)),
                Some(Place::Discard | Place::Maildir(_) | Place::Rehearsed(_)) | None => {
                    Err(Unverified::Unsupported)
                }
            }
        })
    }

    fn state(&self, upstream: &str) -> Option<Vec<(&'static str, u64)>> {
        Some(match self.places.get(upstream)? {
            Place::Hop(pool) => pool.state(),
            Place::Discard | Place::Maildir(_) | Place::Rehearsed(_) => vec![("available", 1)],
        })
    }
}

impl Double {
    /// As it would answer RCPT.
    fn verify(&self, asked: &CallAhead) -> Vec<Reply> {
        let ok = Reply::fixed(250, (2, 1, 5), "ok");
        let refusal = |recipient| self.rehearsal.refusal(&self.name, recipient, false);
        asked.recipients.iter().map(|one| refusal(one).unwrap_or(&ok).clone()).collect()
    }
}

impl Pool {
    fn state(&self) -> Vec<(&'static str, u64)> {
        let seats = &self.fleet.roster().seats;
        let connections = seats.iter().map(|seat| u64::from(seat.address.open())).sum();
        let limit = self.target.upstream.connections;
        vec![
            ("available", self.fleet.can_take_mail().into()),
            ("connections", connections),
            ("busy", limit.saturating_sub(self.free_permits()) as u64),
            ("waiting", self.waiting() as u64),
            ("limit", limit as u64),
        ]
    }

    /// Asks for all recipients in one transaction, over a connection that mail uses, too. One that has
    /// grown stale is done without once.
    async fn verify(self: &Arc<Self>, asked: &CallAhead) -> Result<Vec<Reply>, Unverified> {
        let mut attempts = Attempts::default();
        loop {
            let wait = self.target.upstream.busy_timeout.min(WAIT);
            let lease = self.take_within(&mut attempts, wait).await;
            let mut lease = lease.map_err(|failure| self.unavailable(&failure))?;
            match self.ask_ahead(&mut lease, asked).await {
                Ok(said) => {
                    self.put(lease);
                    return said;
                }
                Err(failure) if failure.is_loss() && lease.reused && !attempts.fresh => {
                    self.retry(Retry::Lost, lease.connection.address(), &failure);
                    attempts.fresh = true;
                }
                Err(failure) => {
                    let address = lease.connection.address();
                    self.fleet.failed(address, &failure);
                    self.report(&failure, Some(&**address), &asked.provenance.id);
                    return Err(self.unavailable(&failure));
                }
            }
        }
    }

    /// MAIL, a RCPT each, RSET: all at once, where it can take that.
    async fn ask_ahead(
        &self,
        lease: &mut Lease,
        asked: &CallAhead,
    ) -> Result<Result<Vec<Reply>, Unverified>, Failure> {
        let limit = self.target.upstream.command_timeout;
        let connection = &mut lease.connection;
        self.introduce(connection, &asked.provenance).await?;
        let recipients: Vec<_> = (0..).zip(&asked.recipients).map(recipient).collect();
        let promises = self.promises(connection.session.extensions());
        let rcpts: Vec<_> = recipients.iter().map(|one| promises.rcpt(one)).collect();
        let international = is_international(&asked.sender, &[], recipients.iter());
        let mail = match promises.mail(&asked.sender, &[], international, Duration::ZERO) {
            Ok(mail) => mail,
            Err(refusal) => return Ok(Err(self.takes_no_sender(&refusal))),
        };
        let forwarded = self.forward(connection, &asked.provenance);
        connection.session.mail(&asked.sender, &mail);
        for (one, carried) in recipients.iter().zip(&rcpts) {
            if let Ok(carried) = carried {
                connection.session.rcpt(&one.address, carried);
            }
        }
        connection.session.rset();
        connection.forwarded(forwarded, limit).await?;
        let sender = connection.answer(Stage::Mail, limit).await?;
        self.fleet.worked(connection.address());
        let mut said = Vec::with_capacity(rcpts.len());
        for carried in rcpts {
            said.push(match carried {
                Ok(_) => passed_on(&connection.answer(Stage::Rcpt, limit).await?),
                Err(refusal) => refusal,
            });
        }
        connection.answer(Stage::Rset, limit).await?;
        connection.transactions += 1;
        Ok(if sender.is_positive() { Ok(said) } else { Err(self.takes_no_sender(&sender)) })
    }

    fn takes_no_sender(&self, said: &Reply) -> Unverified {
        Unverified::Unavailable(format!("upstream {} does not take the sender: {said}", self.name))
    }

    fn unavailable(&self, failure: &Failure) -> Unverified {
        match failure {
            Failure::Timeout => Unverified::TimedOut,
            failure => Unverified::Unavailable(failure.reply(&self.name).text()),
        }
    }
}

fn recipient((index, address): (u32, &Mailbox)) -> Recipient {
    Recipient { index, address: address.clone(), parameters: Vec::new(), route: None }
}

/// For a connection to become free: who only asks gives way to mail.
const WAIT: Duration = Duration::from_millis(250);
