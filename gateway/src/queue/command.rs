//! What an operator tells the queue to do, and what it tells him.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{Office, Queue};
use crate::spool::{Id, SpoolError, State};

/// What is to be done with messages.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Not delivered, and nobody is told.
    Drop,
    /// Kept back until they are released. They do not expire.
    Hold,
    /// No longer kept back.
    Release,
    /// Tried as soon as may be.
    Retry,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Commanded {
    /// How many messages it was done to.
    pub done: usize,
    /// Ids that no message has which waits.
    pub unknown: Vec<String>,
    /// Messages that the disk did not let it be done to, with the reasons.
    #[serde(default)]
    pub failed: Vec<String>,
}

/// What waits for one upstream.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
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
    /// Does it to these messages, or to all.
    pub async fn order(&self, order: Order, ids: Option<Vec<String>>) -> Commanded {
        let office = &self.office;
        let mut commanded = Commanded::default();
        let ids = ids.unwrap_or_else(|| {
            office.agenda(|agenda| agenda.ids()).iter().map(ToString::to_string).collect()
        });
        for text in ids {
            let known = text.parse::<Id>().ok();
            let known = known.filter(|id| office.agenda(|agenda| agenda.knows(id)));
            let Some(id) = known else {
                commanded.unknown.push(text);
                continue;
            };
            match office.follow(order, &id).await {
                Ok(()) => commanded.done += 1,
                Err(SpoolError::Unknown(_)) => commanded.unknown.push(text),
                Err(error) => commanded.failed.push(format!("{id}: {error}")),
            }
        }
        info!(?order, done = commanded.done, "the operator's order");
        office.wake.notify_one();
        commanded
    }

    /// What waits, by upstream.
    #[must_use]
    pub fn summary(&self) -> Vec<UpstreamSummary> {
        let summaries = self.office.agenda(|agenda| agenda.summary());
        let show = |it: super::agenda::Summary| UpstreamSummary {
            upstream: it.upstream.to_string(),
            waiting: it.waiting,
            in_flight: it.in_flight,
            reachable: it.reachable,
        };
        summaries.into_iter().map(show).collect()
    }

    /// How many messages are kept back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.office.agenda(|agenda| agenda.held())
    }
}

impl Office {
    async fn follow(self: &std::sync::Arc<Self>, order: Order, id: &Id) -> Result<(), SpoolError> {
        let now = Timestamp::now().as_millisecond();
        if order == Order::Retry {
            self.agenda(|agenda| agenda.hasten(id, now));
            return Ok(());
        }
        let (opened, outbound) = self.desk.open(&self.spool, id, None).await?;
        let Some(mut entry) = opened.entry().await else {
            return Err(SpoolError::Unknown(id.clone()));
        };
        match order {
            Order::Drop => {
                for addressee in &mut entry.recipients {
                    if matches!(addressee.state, State::Waiting { .. }) {
                        addressee.state = State::Dropped;
                    }
                }
                // What is being tried is removed when that ends.
                self.spool.update(&entry).await?;
                if !self.agenda(|agenda| agenda.is_in_flight(id)) {
                    self.settle(&mut entry, &outbound, &[], false).await;
                }
            }
            Order::Hold | Order::Release => {
                entry.held = order == Order::Hold;
                self.spool.update(&entry).await?;
                self.agenda(|agenda| agenda.hold(id, order == Order::Hold));
                if order == Order::Release {
                    self.route_anew(&mut entry);
                    self.see_to_all(&entry);
                    self.agenda(|agenda| agenda.hasten(id, now));
                }
            }
            Order::Retry => {}
        }
        Ok(())
    }
}
