//! What follows from the states of a message's recipients: reports, and in the end its removal.

use std::sync::Arc;

use jiff::Timestamp;
use portcullis_smtp::{Mailbox, Reply, ReversePath};
use tracing::{error, info, warn};

use super::Office;
use super::agenda::Moment;
use super::fate::expired;
use super::report::{Action, Report, Told, is_wanted};
use crate::message::{Outbound, Provenance};
use crate::metrics::{QueueResult, ReportKind};
use crate::spool::{Addressee, Entry, Id, SpoolError, State};

/// Why a report is not in the spool.
#[derive(Debug, thiserror::Error)]
enum ReportError {
    #[error("the message cannot be read")]
    Content(#[from] std::io::Error),
    #[error("the report cannot be stored: {0}")]
    Spool(#[from] SpoolError),
}

/// What a sender wants to hear of: the place in the entry, and what was said.
pub(super) type Success = (usize, String);

/// Those who have it now, and whose sender wants to hear of it.
pub(super) fn delivered(
    entry: &Entry,
    places: impl Iterator<Item = usize>,
    replies: &[Reply],
) -> Vec<Success> {
    let answered = places.zip(replies).filter(|(_, reply)| reply.is_positive());
    let wanted = answered.filter(|(place, _)| {
        let addressee = entry.recipients.get(*place);
        addressee.is_some_and(|addressee| is_wanted(addressee, ReportKind::Delivered))
    });
    wanted.map(|(place, reply)| (place, reply.to_string())).collect()
}

impl Office {
    /// Reports what is to be reported, then removes the message, or keeps what has become of it.
    pub(super) async fn settle(
        self: &Arc<Self>,
        entry: &mut Entry,
        outbound: &Outbound,
        delivered: &[Success],
        mut changed: bool,
    ) {
        changed |= self.unkept(|unkept| unkept.contains_key(&entry.id));
        self.report_success(entry, outbound, delivered).await;
        match self.report_failures(entry, outbound).await {
            Ok(reported) => changed |= reported,
            Err(error) => {
                warn!(id = entry.provenance.id, queued = %entry.id, %error, "reported later");
                self.trouble(&entry.id);
            }
        }
        if entry.is_done() {
            match self.spool.remove(&entry.id).await {
                Ok(()) => {
                    self.agenda(|agenda| agenda.remove(&entry.id));
                    self.unkept(|unkept| unkept.remove(&entry.id));
                }
                Err(error) => {
                    error!(queued = %entry.id, %error, "a message that is done stays, removed later");
                    changed = true;
                    self.trouble(&entry.id);
                }
            }
        }
        if !changed || entry.is_done() && !self.agenda(|agenda| agenda.knows(&entry.id)) {
            return;
        }
        match self.spool.update(entry).await {
            Ok(()) => drop(self.unkept(|unkept| unkept.remove(&entry.id))),
            Err(error) => {
                error!(id = entry.provenance.id, queued = %entry.id, %error, "what became of a message is not kept: should the gateway end now, it is tried again");
                if let Some(state) = self.desk.keep(&entry.id) {
                    self.unkept(|unkept| unkept.insert(entry.id.clone(), state));
                    self.trouble(&entry.id);
                }
            }
        }
    }

    /// Something that comes to pass without an attempt: the time is over, or the sender is told.
    pub(super) async fn ring(self: &Arc<Self>, id: &Arc<Id>) {
        let now = Timestamp::now();
        let (opened, outbound) = match self.desk.open(&self.spool, id, None).await {
            Ok(opened) => opened,
            Err(why @ (SpoolError::Torn { .. } | SpoolError::Unknown(_))) => {
                return self.forget(id, &why);
            }
            Err(error) => {
                warn!(queued = %id, %error, "a message cannot be read, tried again later");
                return self.trouble(id);
            }
        };
        let Some(mut entry) = opened.entry().await else { return };
        let milestones = {
            let conditions = self.conditions.load();
            conditions.schedule.milestones(entry.accepted, &entry.parameters)
        };
        self.agenda(|agenda| agenda.alarm(id, milestones.expiry.as_millisecond()));
        if entry.held {
            return;
        }
        // The agenda counts milliseconds, and rings up to one too early.
        let is_past = |moment: Timestamp| now.as_millisecond() >= moment.as_millisecond();
        let mut changed = false;
        if is_past(milestones.expiry) && self.agenda(|agenda| agenda.is_in_flight(id)) {
            return self.agenda(|agenda| agenda.alarm(id, now.as_millisecond() + BUSY_PAUSE));
        }
        if is_past(milestones.expiry) {
            self.agenda(|agenda| agenda.alarm(id, now.as_millisecond() + TROUBLE_PAUSE));
            changed = self.expire(&mut entry);
        } else if milestones.notice.is_some_and(is_past) {
            self.report_delay(&entry, &outbound, milestones.expiry).await;
        }
        self.settle(&mut entry, &outbound, &[], changed).await;
    }

    fn expire(&self, entry: &mut Entry) -> bool {
        let mut changed = false;
        for addressee in &mut entry.recipients {
            let State::Waiting { said: last, .. } = &addressee.state else { continue };
            let said = expired(last.as_deref());
            self.metrics.queue_upstream(&addressee.upstream).recipient(QueueResult::Expired);
            info!(target: "delivery", id = entry.provenance.id, queued = %entry.id, upstream = addressee.upstream, recipient = addressee.address.as_str(), said, "given up");
            addressee.state = State::Failed { said, reported: false };
            changed = true;
        }
        changed
    }

    /// Tries again in a while what the disk does not let do now.
    fn trouble(&self, id: &Id) {
        let later = Timestamp::now().as_millisecond() + TROUBLE_PAUSE;
        self.agenda(|agenda| agenda.alarm(id, later));
    }

    /// Whether anything was reported, or needs not be.
    async fn report_failures(
        self: &Arc<Self>,
        entry: &mut Entry,
        outbound: &Outbound,
    ) -> Result<bool, ReportError> {
        let unreported = |addressee: &&Addressee| {
            matches!(addressee.state, State::Failed { reported: false, .. })
        };
        let failed: Vec<&Addressee> = entry.recipients.iter().filter(unreported).collect();
        if failed.is_empty() {
            return Ok(false);
        }
        let told = failed.iter().filter_map(|addressee| match &addressee.state {
            State::Failed { said, .. } => {
                Some(Told { addressee, said, action: Action::Failed, until: None })
            }
            State::Waiting { .. } | State::Delivered | State::Dropped => None,
        });
        match (&entry.reverse_path, self.postmaster(entry)) {
            (ReversePath::Mailbox(sender), _) => {
                let wanted = told.filter(|told| is_wanted(told.addressee, ReportKind::Failed));
                let told: Vec<_> = wanted.collect();
                self.report(sender, entry, outbound, ReportKind::Failed, &told).await?;
            }
            (ReversePath::Null, postmaster) => {
                for told in told {
                    self.counts.unreported();
                    warn!(id = entry.provenance.id, queued = %entry.id, recipient = told.addressee.address.as_str(), said = told.said, "failed, and has no sender to be told");
                }
                if let Some(postmaster) = postmaster {
                    let told: Vec<_> = failed
                        .iter()
                        .map(|addressee| {
                            let said = said(&addressee.state);
                            Told { addressee, said, action: Action::Failed, until: None }
                        })
                        .collect();
                    self.report(&postmaster, entry, outbound, ReportKind::Failed, &told).await?;
                }
            }
        }
        for addressee in &mut entry.recipients {
            if let State::Failed { reported, .. } = &mut addressee.state {
                *reported = true;
            }
        }
        Ok(true)
    }

    /// Who hears of a message without a sender, unless it was to himself.
    fn postmaster(&self, entry: &Entry) -> Option<Mailbox> {
        let postmaster = self.conditions.load().redelivery.postmaster.clone()?;
        let own = entry.recipients.iter().any(|addressee| addressee.address == postmaster);
        (!own).then_some(postmaster)
    }

    async fn report_success(
        self: &Arc<Self>,
        entry: &Entry,
        outbound: &Outbound,
        delivered: &[Success],
    ) {
        let ReversePath::Mailbox(sender) = &entry.reverse_path else { return };
        let conditions = self.conditions.load_full();
        let told = delivered.iter().filter_map(|(place, said)| {
            let addressee = entry.recipients.get(*place)?;
            let action = match conditions.is_last(&addressee.upstream) {
                true => Action::Delivered,
                // RFC 3461 section 5.2.2: who knows reports sends them.
                false if self.keeps_dsn(&addressee.upstream) => return None,
                false => Action::Relayed,
            };
            Some(Told { addressee, said, action, until: None })
        });
        let told: Vec<_> = told.collect();
        let reported = self.report(sender, entry, outbound, ReportKind::Delivered, &told).await;
        if let Err(error) = reported {
            error!(id = entry.provenance.id, queued = %entry.id, %error, "delivered, and the sender cannot be told");
        }
    }

    async fn report_delay(self: &Arc<Self>, entry: &Entry, outbound: &Outbound, expiry: Timestamp) {
        let ReversePath::Mailbox(sender) = &entry.reverse_path else { return };
        let waiting = entry.recipients.iter().filter(|addressee| {
            matches!(addressee.state, State::Waiting { .. })
                && is_wanted(addressee, ReportKind::Delayed)
        });
        let told = waiting.map(|addressee| Told {
            addressee,
            said: said(&addressee.state),
            action: Action::Delayed,
            until: Some(expiry),
        });
        let told: Vec<_> = told.collect();
        let reported = self.report(sender, entry, outbound, ReportKind::Delayed, &told).await;
        if let Err(error) = reported {
            warn!(id = entry.provenance.id, queued = %entry.id, %error, "delayed, and the sender cannot be told");
        }
    }

    /// Stores a report, if anybody is to be told anything, and has it delivered.
    async fn report(
        self: &Arc<Self>,
        to: &Mailbox,
        original: &Entry,
        outbound: &Outbound,
        kind: ReportKind,
        told: &[Told<'_>],
    ) -> Result<(), ReportError> {
        if told.is_empty() {
            return Ok(());
        }
        let conditions = self.conditions.load_full();
        let now = Timestamp::now();
        let report = Report {
            hostname: &conditions.hostname,
            to,
            entry: original,
            original: outbound,
            kind,
            told,
            returned_octets: conditions.redelivery.returned_octets,
            now,
        };
        let (parameters, message) = report.compose()?;
        let upstream = conditions.report_route(to);
        let id = Id::fresh();
        let addressee = Addressee {
            address: to.clone(),
            parameters: Vec::new(),
            upstream: upstream.clone().unwrap_or_default(),
            state: State::new(now),
        };
        let mut entry = Entry {
            provenance: Provenance { id: id.to_string(), esmtp: true, ..Provenance::default() },
            id,
            accepted: now,
            reverse_path: ReversePath::Null,
            parameters,
            octets: 0,
            held: false,
            pinned: false,
            recipients: vec![addressee],
        };
        let stored = self.spool.store(entry.clone(), &message).await?;
        stored.claim();
        self.counts.reported(kind);
        info!(target: "delivery", id = original.provenance.id, queued = %original.id, report = %entry.id, kind = kind.label(), to = to.as_str(), upstream, "reported");
        if upstream.is_none() {
            error!(report = %entry.id, to = to.as_str(), "no route takes the report to this sender: it is held in the spool");
            entry.held = true;
            self.spool.update(&entry).await?;
        }
        let worker = self.next_worker.load(std::sync::atomic::Ordering::Relaxed);
        self.take_in(entry, message, worker % self.workers.len().max(1));
        Ok(())
    }

    /// Whether an upstream writes reports itself.
    fn keeps_dsn(&self, upstream: &str) -> bool {
        self.workers.iter().any(|worker| worker.upstreams.load().keeps_dsn(upstream))
    }
}

fn said(state: &State) -> &str {
    match state {
        State::Failed { said, .. } => said,
        State::Waiting { said, .. } => said.as_deref().unwrap_or("451 4.4.7 not tried yet"),
        State::Delivered | State::Dropped => "",
    }
}

/// When the disk fails, in milliseconds.
pub(super) const TROUBLE_PAUSE: Moment = 60_000;
/// While a message is being tried, it is not given up.
const BUSY_PAUSE: Moment = 250;
