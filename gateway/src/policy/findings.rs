//! What is found out about who sent a message: once a transaction, whoever asks, and about what the
//! client sent, whatever plugins have made of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout_at;

use crate::message::{Edit, Envelope, Finding, Message, Originals};

/// What is found out in one transaction. Nothing is looked for until somebody asks; when the
/// transaction is over, the search is, too.
#[derive(Debug, Default)]
pub struct Findings {
    originals: Mutex<Originals>,
    sender: Search,
    content: Search,
}

impl Findings {
    /// What the client sent, where it is not there any more.
    #[must_use]
    pub fn originals(&self) -> Originals {
        lock(&self.originals).clone()
    }

    /// About the client and the sender.
    #[must_use]
    pub fn sender(&self) -> &Search {
        &self.sender
    }

    /// About the message.
    #[must_use]
    pub fn content(&self) -> &Search {
        &self.content
    }

    /// Keeps what these edits are about to change.
    pub(super) fn keep(
        &self,
        envelope: Option<&Envelope>,
        message: Option<&Message>,
        edits: &[Edit],
    ) {
        let mut originals = lock(&self.originals);
        for edit in edits {
            match edit {
                Edit::SetSender(_) => {
                    if let (None, Some(envelope)) = (&originals.sender, envelope) {
                        originals.sender = Some(envelope.reverse_path.clone());
                    }
                }
                Edit::Header(_) => {
                    if let (None, Some(message)) = (&originals.header, message) {
                        originals.header = Some(message.header.clone());
                    }
                }
                Edit::ReplaceBody(_) | Edit::SpliceBody(_) => {
                    if let (None, Some(message)) = (&originals.body, message) {
                        originals.body = Some(message.body.clone());
                    }
                }
                Edit::AddRecipient(_)
                | Edit::Delay(_)
                | Edit::DropRecipient(_)
                | Edit::RefuseRecipient(..)
                | Edit::Route { .. }
                | Edit::Score(_)
                | Edit::SetRecipient(..) => {}
            }
        }
    }
}

/// One search, which runs at most once.
#[derive(Debug, Default)]
pub struct Search(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    found: Found,
    /// None for one that found everything at once.
    task: Option<AbortHandle>,
}

/// What a search will have found, or has.
#[derive(Clone, Debug)]
pub struct Found(watch::Receiver<Option<Arc<[Finding]>>>);

impl Search {
    /// Begins, unless that was done already. It goes on when who asked gives up waiting, so that
    /// the next one gets what was found meanwhile. What needs to wait for nothing, as where all names
    /// are known, is found right away: a task costs more than such a search.
    pub fn begin<F>(&self, search: impl FnOnce() -> F) -> Found
    where
        F: Future<Output = Vec<Finding>> + Send + 'static,
    {
        let mut running = lock(&self.0);
        if let Some(running) = &*running {
            return running.found.clone();
        }
        let (tell, found) = watch::channel(None);
        let found = Found(found);
        let mut search = Box::pin(search());
        // Whatever it waits for is told the task's waker as soon as there is one.
        let mut nobody = Context::from_waker(Waker::noop());
        let at_once = catch_unwind(AssertUnwindSafe(|| search.as_mut().poll(&mut nobody)));
        let task = match at_once {
            Ok(Poll::Ready(findings)) => {
                tell.send_replace(Some(findings.into()));
                None
            }
            Ok(Poll::Pending) => {
                let task = tokio::spawn(async move {
                    tell.send_replace(Some(search.await.into()));
                });
                Some(task.abort_handle())
            }
            // Told by the hook for panics; who waits for it finds nothing.
            Err(_) => None,
        };
        *running = Some(Running { found: found.clone(), task });
        found
    }
}

impl Found {
    /// Waits for it. None if it is not there by then, or will never be.
    pub async fn wait(mut self, deadline: Instant) -> Option<Arc<[Finding]>> {
        let found = timeout_at(deadline.into(), self.0.wait_for(Option::is_some)).await;
        found.ok()?.ok()?.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What a panic left behind is still what it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::message::Outcome;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[tokio::test]
    async fn a_search_runs_once_whoever_asks() {
        let (search, runs) = (Search::default(), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let runs = runs.clone();
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                vec![Finding::new("spf", Outcome::Pass)]
            }
        };
        for _ in 0..3 {
            let found = search.begin(work).wait(soon()).await.unwrap();
            assert_eq!(found[0].outcome, Outcome::Pass);
        }
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_search_that_panics_finds_nothing() {
        let at_once = Search::default();
        assert!(at_once.begin(|| async { panic!("at a loss") }).wait(soon()).await.is_none());
        let later = Search::default();
        let found = later.begin(|| async {
            tokio::task::yield_now().await;
            panic!("at its wits' end")
        });
        assert!(found.wait(soon()).await.is_none());
    }

    #[tokio::test]
    async fn what_waits_for_nothing_is_there_at_once() {
        let search = Search::default();
        let found = search.begin(|| async { vec![Finding::new("spf", Outcome::Pass)] });
        assert!(found.wait(Instant::now()).await.is_some());
        assert!(lock(&search.0).as_ref().unwrap().task.is_none());
    }

    #[tokio::test]
    async fn who_does_not_wait_long_enough_leaves_the_search_to_others() {
        let (search, (go, gone)) = (Search::default(), tokio::sync::oneshot::channel::<()>());
        let found = search.begin(|| async {
            let _ = gone.await;
            Vec::new()
        });
        assert!(found.clone().wait(Instant::now()).await.is_none());
        go.send(()).unwrap();
        assert!(found.wait(soon()).await.is_some());
    }
}
