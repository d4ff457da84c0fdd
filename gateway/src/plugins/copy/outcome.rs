//! The hook `outcome`: what has happened, told to a plugin in batches and behind everybody's back.

use std::collections::VecDeque;
use std::fmt;
use std::mem::take;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{timeout, timeout_at};
use tracing::warn;
use wasmtime::component::{ComponentType, Lower};

use super::{Function, Loaded, Running, failure, not_exported, too_long};
use crate::metrics::PluginMetrics;
use crate::policy::{Event, Hook, HookFailure, outcome_call};

/// An event as the contract has it.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Outcome {
    session: String,
    transaction: Option<String>,
    listener: String,
    #[component(name = "client-address")]
    client_address: String,
    stage: String,
    sender: Option<String>,
    recipient: Option<String>,
    by: Option<String>,
    code: u16,
    text: String,
    time: u64,
}

impl From<&Event> for Outcome {
    fn from(event: &Event) -> Self {
        Self {
            session: event.session.clone(),
            transaction: event.transaction.clone(),
            listener: event.listener.clone(),
            client_address: event.client_address.clone(),
            stage: event.stage.label().to_owned(),
            sender: event.sender.clone(),
            recipient: event.recipient.clone(),
            by: event.by.clone(),
            code: event.code,
            text: event.text.clone(),
            time: event.time,
        }
    }
}

/// Where one plugin's events wait. Who drops it has no more to tell.
pub(super) struct Inbox(Arc<Queue>);

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inbox").field(&self.0.waiting().events.len()).finish()
    }
}

struct Queue {
    waiting: Mutex<Waiting>,
    /// There is something to do.
    came: Notify,
    /// There is nothing left to do.
    done: Notify,
    metrics: Arc<PluginMetrics>,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Arc<Event>>,
    /// A batch is with the plugin.
    busy: bool,
    /// Somebody waits for the end, or there are no more to come.
    hurry: bool,
    over: bool,
}

impl Inbox {
    /// An inbox, and somebody who empties it.
    pub(super) fn of(loaded: Arc<Loaded>) -> Self {
        let metrics = loaded.facts.metrics.clone();
        let (came, done) = (Notify::new(), Notify::new());
        let queue = Arc::new(Queue { waiting: Mutex::default(), came, done, metrics });
        tokio::spawn(deliver(loaded, queue.clone()));
        Self(queue)
    }

    /// Takes an event; the oldest goes if there are too many.
    pub(super) fn put(&self, event: Arc<Event>) {
        let mut waiting = self.0.waiting();
        if waiting.events.len() >= EVENTS {
            waiting.events.pop_front();
            self.0.metrics.outcomes("dropped", 1);
        }
        waiting.events.push_back(event);
        let count = waiting.events.len();
        drop(waiting);
        if count == 1 || count == BATCH {
            self.0.came.notify_one();
        }
    }

    /// Waits until the plugin has heard everything.
    pub(super) async fn emptied(&self) {
        loop {
            let done = self.0.done.notified();
            {
                let mut waiting = self.0.waiting();
                if waiting.events.is_empty() && !waiting.busy {
                    return;
                }
                waiting.hurry = true;
            }
            self.0.came.notify_one();
            done.await;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        (waiting.hurry, waiting.over) = (true, true);
        drop(waiting);
        self.0.came.notify_one();
    }
}

impl Queue {
    /// The next batch: a full one, or what has come in a moment. None at the end.
    async fn batch(&self) -> Option<Vec<Arc<Event>>> {
        loop {
            let some = {
                let mut waiting = self.waiting();
                let count = waiting.events.len();
                if count >= BATCH || waiting.hurry && count > 0 {
                    return Some(waiting.batch());
                }
                if waiting.over {
                    return None;
                }
                waiting.hurry = false;
                count > 0
            };
            if !some {
                self.came.notified().await;
            } else if timeout(PATIENCE, self.came.notified()).await.is_err() {
                return Some(self.waiting().batch());
            }
        }
    }

    fn settled(&self) {
        self.waiting().busy = false;
        self.done.notify_waiters();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A queue that a panic left behind is still a queue.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn batch(&mut self) -> Vec<Arc<Event>> {
        self.busy = true;
        if self.events.len() <= BATCH {
            return take(&mut self.events).into();
        }
        self.events.drain(..BATCH).collect()
    }
}

/// Tells a plugin what there is to tell. What it makes of it is its own affair: a failure is told and
/// counted, and these events are gone.
async fn deliver(loaded: Arc<Loaded>, queue: Arc<Queue>) {
    let (plugin, hook) = (&*loaded.facts.name, Hook::Outcome.label());
    while let Some(batch) = queue.batch().await {
        let begun = queue.metrics.call(hook);
        let heard = loaded.tell(&batch).await;
        let (result, fate) =
            if heard.is_ok() { ("next", "delivered") } else { ("failure", "failed") };
        begun.ended(result);
        queue.metrics.outcomes(fate, batch.len() as u64);
        if let Err(failure) = heard {
            let reason = failure.reason.label();
            queue.metrics.hook_failed(hook, reason);
            let (events, detail) = (batch.len(), failure.detail.escape_debug());
            warn!(plugin, hook, reason, events, "plugin failed: {detail}");
        }
        queue.settled();
    }
}

impl Loaded {
    /// Calls the hook `outcome` of a fresh copy.
    async fn tell(&self, events: &[Arc<Event>]) -> Result<(), HookFailure> {
        let deadline = Instant::now() + self.time_limit;
        let mut running = self.make(deadline).await?;
        let events = events.iter().map(|event| Outcome::from(&**event)).collect();
        running.hear(self, events, deadline).await
    }
}

impl Running {
    async fn hear(
        &mut self,
        loaded: &Loaded,
        events: Vec<Outcome>,
        deadline: Instant,
    ) -> Result<(), HookFailure> {
        let Some(index) = &loaded.hooks[Hook::Outcome as usize] else {
            return Err(not_exported(Hook::Outcome));
        };
        self.begin(outcome_call(), deadline);
        let heard = async {
            let function = Function::find(Hook::Outcome, &mut self.store, self.instance, index)?;
            match function {
                Function::Outcome(function) => {
                    function.call_async(&mut self.store, (events,)).await
                }
                _ => Err(wasmtime::Error::msg("outcome is another hook")),
            }
        };
        let heard = timeout_at(deadline.into(), heard).await;
        let state = self.store.data_mut();
        state.flush_log();
        match heard {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failure(&error, state, loaded.time_limit)),
            Err(_) => Err(too_long(loaded.time_limit)),
        }
    }
}

/// Events in one call, as the contract says.
const BATCH: usize = 1_000;

/// How long an event waits for company.
const PATIENCE: Duration = Duration::from_millis(200);

/// Events that wait for one plugin: some megabytes, and ten full batches of a plugin that is slower
/// than the mail.
const EVENTS: usize = 10_000;
