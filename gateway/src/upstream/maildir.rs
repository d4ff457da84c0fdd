//! Delivery into mailboxes on this machine, so that one program is a small mail server.
//!
//! A recipient has its 250 when the message and the folder that names it are on disk. Each has its
//! own answer, as over LMTP.

mod mailbox;
mod name;
mod text;

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Instant;

use portcullis_smtp::parameter::value_of;
use portcullis_smtp::{Mailbox, Parameter, Reply, ReversePath};
use rustix::io::Errno;
use tokio::task::JoinSet;
use tracing::warn;

use self::mailbox::Failure;
use crate::config;
use crate::message::{Outbound, Provenance, Recipient};
use crate::metrics::{Stage, UpstreamMetrics};

/// The mailboxes of one upstream.
#[derive(Debug)]
pub(super) struct Maildir {
    name: String,
    config: config::Maildir,
    /// The domain of a postmaster who has none.
    hostname: String,
    /// This machine, as it stands in the names of files.
    host: String,
    metrics: Arc<UpstreamMetrics>,
    no_reports: Once,
}

/// One message on its way into mailboxes.
#[derive(Debug)]
pub(super) struct Transaction {
    maildir: Arc<Maildir>,
    provenance: Arc<Provenance>,
}

impl Maildir {
    pub(super) fn new(
        name: &str,
        config: &config::Maildir,
        hostname: &str,
        metrics: Arc<UpstreamMetrics>,
    ) -> Self {
        // What names of files cannot hold, as the Maildir convention writes it.
        let host = gethostname::gethostname().to_string_lossy().into_owned();
        Self {
            name: name.to_owned(),
            config: config.clone(),
            hostname: hostname.to_owned(),
            host: host.replace('/', "\\057").replace(':', "\\072"),
            metrics,
            no_reports: Once::new(),
        }
    }

    fn look(&self, recipient: &Mailbox) -> Result<(), Failure> {
        let folders = name::folders(&self.config, recipient, &self.hostname);
        match mailbox::look(&self.config.root, &folders) {
            Err(Failure::Missing) if self.config.create => Ok(()),
            looked => looked,
        }
    }

    /// Whether there is a mailbox; if not, what the client hears.
    async fn look_for(self: &Arc<Self>, recipient: &Mailbox, id: &str) -> Result<(), Reply> {
        let (maildir, address) = (self.clone(), recipient.clone());
        let looked = tokio::task::spawn_blocking(move || maildir.look(&address)).await;
        let looked = looked.unwrap_or_else(|lost| Err(gone(lost)));
        looked.map_err(|failure| self.refusal(&failure, recipient, id))
    }

    /// What an offer of this recipient would come to. Nothing is counted, nothing is written.
    pub(super) async fn rehearse_offer(
        self: &Arc<Self>,
        parameters: &[Parameter],
        recipient: &Recipient,
        id: &str,
    ) -> Result<(), Reply> {
        fits(parameters, recipient)?;
        self.look_for(&recipient.address, id).await
    }

    fn deliver(
        &self,
        sender: &ReversePath,
        recipient: &Mailbox,
        message: &Outbound,
    ) -> Result<(), Failure> {
        let folders = name::folders(&self.config, recipient, &self.hostname);
        let mailbox = mailbox::open(&self.config.root, &folders, self.config.create)?;
        mailbox.deliver(&self.host, |to| text::write(to, sender, recipient, message))
    }

    /// What the client hears of a failure, and the operator.
    fn refusal(&self, failure: &Failure, recipient: &Mailbox, id: &str) -> Reply {
        if !matches!(failure, Failure::Missing) {
            let (upstream, recipient) = (&self.name, recipient.as_str());
            let beneath = self.config.root.display();
            warn!(id, upstream, recipient, %beneath, error = %failure, "not delivered");
        }
        let error = match failure {
            Failure::Content(_) => {
                return Reply::fixed(451, (4, 3, 0), "message content cannot be read");
            }
            Failure::Missing => return Reply::fixed(550, (5, 1, 1), "no such mailbox"),
            Failure::Disk(error) => Errno::from_io_error(error),
        };
        match error {
            Some(Errno::NOSPC | Errno::FBIG) => {
                Reply::fixed(452, (4, 3, 1), "no room for the message, try again later")
            }
            Some(Errno::DQUOT) => Reply::fixed(452, (4, 2, 2), "mailbox is full"),
            _ => Reply::fixed(451, (4, 3, 0), "mailbox cannot be written, try again later"),
        }
    }

    fn said(&self, stage: Stage, reply: &Reply, asked: Instant) {
        self.metrics.reply(stage, reply.code());
        self.metrics.reply_duration(stage, asked.elapsed());
    }
}

impl Transaction {
    pub(super) fn new(maildir: Arc<Maildir>, provenance: Arc<Provenance>) -> Self {
        Self { maildir, provenance }
    }

    /// Where its delivery is counted.
    pub(super) fn metrics(&self) -> Arc<UpstreamMetrics> {
        self.maildir.metrics.clone()
    }

    /// Looks whether the recipient has a mailbox.
    pub(super) async fn offer(
        &mut self,
        parameters: &[Parameter],
        recipient: &Recipient,
    ) -> Result<(), Reply> {
        fits(parameters, recipient)?;
        if value_of(&recipient.parameters, "NOTIFY").is_some() {
            self.maildir.no_reports.call_once(|| {
                let upstream = &self.maildir.name;
                warn!(
                    upstream,
                    "nobody reports deliveries into mailboxes, whatever clients ask for"
                );
            });
        }
        let asked = Instant::now();
        let looked = self.maildir.look_for(&recipient.address, &self.provenance.id).await;
        let ok = Reply::fixed(250, (2, 1, 5), "ok");
        self.maildir.said(Stage::Rcpt, looked.as_ref().err().unwrap_or(&ok), asked);
        looked
    }

    /// Delivers the message: one reply for each recipient, in order.
    pub(super) async fn deliver(
        self,
        sender: &ReversePath,
        parameters: &[Parameter],
        recipients: &[Recipient],
        message: &Outbound,
    ) -> Vec<Reply> {
        if let Some(refusal) = unfit(parameters) {
            return vec![refusal; recipients.len()];
        }
        let lost = Reply::fixed(451, (4, 3, 0), "no answer for this recipient");
        let mut replies = vec![lost; recipients.len()];
        let mut writing = JoinSet::new();
        for (place, recipient) in recipients.iter().enumerate() {
            if let Some(refusal) = unkept(recipient) {
                replies[place] = refusal;
                continue;
            }
            if writing.len() >= AT_ONCE
                && let Some(Ok((place, reply))) = writing.join_next().await
            {
                replies[place] = reply;
            }
            let (maildir, id) = (self.maildir.clone(), self.provenance.id.clone());
            let (sender, address) = (sender.clone(), recipient.address.clone());
            let (message, asked) = (message.clone(), Instant::now());
            writing.spawn_blocking(move || {
                let reply = match maildir.deliver(&sender, &address, &message) {
                    Ok(()) => Reply::fixed(250, (2, 0, 0), "delivered"),
                    Err(failure) => maildir.refusal(&failure, &address, &id),
                };
                maildir.said(Stage::Content, &reply, asked);
                (place, reply)
            });
        }
        while let Some(written) = writing.join_next().await {
            if let Ok((place, reply)) = written {
                replies[place] = reply;
            }
        }
        replies
    }
}

/// The mailbox of a recipient, whether or not it is there.
#[must_use]
pub fn mailbox_folder(maildir: &config::Maildir, recipient: &Mailbox, hostname: &str) -> PathBuf {
    let mut path = maildir.root.clone();
    path.extend(name::folders(maildir, recipient, hostname));
    path
}

fn fits(parameters: &[Parameter], recipient: &Recipient) -> Result<(), Reply> {
    unfit(parameters).or_else(|| unkept(recipient)).map_or(Ok(()), Err)
}

/// Why a message cannot lie in a mailbox as its sender wants it.
fn unfit(parameters: &[Parameter]) -> Option<Reply> {
    if value_of(parameters, "BODY") == Some("BINARYMIME") {
        // Lines end differently here; what is not made of lines would be damaged.
        return Some(Reply::fixed(554, (5, 6, 3), "mailboxes take no binary content"));
    }
    let held = ["HOLDFOR", "HOLDUNTIL"].iter().any(|key| value_of(parameters, key).is_some());
    held.then(|| Reply::fixed(554, (5, 3, 3), "mailboxes cannot hold messages back"))
}

/// RFC 7293 section 3.1: nobody knows since when a mailbox is whose.
fn unkept(recipient: &Recipient) -> Option<Reply> {
    let since = value_of(&recipient.parameters, "RRVS")?;
    (!since.ends_with(";C"))
        .then(|| Reply::fixed(550, (5, 7, 19), "cannot tell since when a mailbox is whose"))
}

/// Work that ended without an answer.
fn gone(lost: tokio::task::JoinError) -> Failure {
    Failure::Disk(std::io::Error::other(lost))
}

/// Recipients of one message that are written at once: enough for the disk to put their fsyncs
/// together, few enough to leave threads to others.
const AT_ONCE: usize = 8;

#[cfg(test)]
mod tests;
