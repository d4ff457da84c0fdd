//! What an operator tells the queue to do, and what it tells him.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use tracing::info;

use super::{Office, Queue};
use crate::spool::{Action, Id, Obeyed, Order, SpoolError};

/// What waits, as a whole.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// Messages that are kept back.
    pub held: usize,
    /// What waits for each upstream.
    pub upstreams: Vec<UpstreamSummary>,
}

/// What waits for one upstream.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct UpstreamSummary {
    /// Its name in the configuration.
    pub upstream: String,
    /// Messages that wait.
    pub waiting: usize,
    /// Those that are being tried now.
    pub in_flight: usize,
    /// Whether it can be reached, as far as is known.
    pub reachable: bool,
}

impl Queue {
    /// Does what an operator wants.
    pub async fn obey(&self, order: Order) -> Obeyed {
        let office = &self.office;
        let mut obeyed = Obeyed::default();
        let ids = match order.all {
            true => office.agenda(|agenda| agenda.ids()),
            false => order.ids.into_iter().map(Arc::new).collect(),
        };
        for id in ids {
            if !office.agenda(|agenda| agenda.knows(&id)) {
                obeyed.unknown.push(Id::clone(&id));
                continue;
            }
            match office.follow(order.action, &id).await {
                Ok(()) => obeyed.done += 1,
                Err(SpoolError::Unknown(id)) => obeyed.unknown.push(id),
                Err(error) => obeyed.failed.push(format!("{id}: {error}")),
            }
        }
        info!(action = ?order.action, done = obeyed.done, "an operator's order");
        office.wake.notify_one();
        obeyed
    }

    /// What waits.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let (summaries, held) = self.office.agenda(|agenda| (agenda.summary(), agenda.held()));
        let show = |it: super::agenda::Summary| UpstreamSummary {
            upstream: it.upstream.to_string(),
            waiting: it.waiting,
            in_flight: it.in_flight,
            reachable: it.reachable,
        };
        Summary { held, upstreams: summaries.into_iter().map(show).collect() }
    }

    /// Why no mail can be accepted for the spool now, if there is a reason.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.office.spool.trouble()
    }

    /// What an operator should look at, though mail is accepted.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let Summary { held, upstreams } = self.summary();
        let unreachable = upstreams.iter().filter(|it| !it.reachable && it.waiting > 0);
        let mut warnings: Vec<_> = unreachable
            .map(|it| {
                format!("{} messages wait for upstream {}, not reached", it.waiting, it.upstream)
            })
            .collect();
        if held > 0 {
            warnings.push(format!("{held} messages are held in the spool"));
        }
        warnings
    }
}

impl Office {
    async fn follow(self: &Arc<Self>, action: Action, id: &Arc<Id>) -> Result<(), SpoolError> {
        let now = Timestamp::now();
        if action == Action::Retry {
            self.agenda(|agenda| agenda.hasten(id, now.as_millisecond()));
            return Ok(());
        }
        let (opened, outbound) = self.desk.open(&self.spool, id, None).await?;
        let Some(mut entry) = opened.entry().await else {
            return Err(SpoolError::Unknown(Id::clone(id)));
        };
        action.apply(&mut entry, now);
        self.spool.update(&entry).await?;
        match action {
            // What is being tried is removed when that ends.
            Action::Drop if self.agenda(|agenda| agenda.is_in_flight(id)) => {}
            Action::Drop => self.settle(&mut entry, &outbound, &[], false).await,
            Action::Hold => self.agenda(|agenda| agenda.hold(id, true)),
            Action::Release | Action::Retry => {
                self.agenda(|agenda| agenda.hold(id, false));
                self.route_anew(&mut entry);
                self.see_to_all(&entry);
                self.agenda(|agenda| agenda.hasten(id, now.as_millisecond()));
            }
        }
        Ok(())
    }
}
