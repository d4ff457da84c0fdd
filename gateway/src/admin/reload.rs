//! `POST /api/reload` and `/api/upgrade`: hands the wish on to whoever fulfils it, and tells what came of it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{Answer, Ask, Offer, Status};

/// Requests that wait for the one that is served now.
const WAITING: usize = 4;

/// Why a configuration is not served.
#[derive(Debug)]
pub enum Refusal {
    /// Its mistakes, to be read by people.
    Configuration(String),
    /// Something else, on this machine.
    Failed(String),
}

/// What somebody asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wish {
    /// That the configuration is read anew.
    Reload,
    /// That another process takes the place of this one.
    Upgrade,
}

/// Somebody asks for a reload, or an upgrade.
#[derive(Debug)]
pub struct ReloadRequest {
    /// Which of them.
    pub wish: Wish,
    asker: oneshot::Sender<Result<String, Refusal>>,
}

impl ReloadRequest {
    /// Tells what came of it, to be read by people.
    pub fn answer(self, answer: Result<String, Refusal>) {
        // Who asked may have gone.
        let _ = self.asker.send(answer);
    }
}

/// Hands requests on to whoever reloads.
#[derive(Clone, Debug)]
pub struct Reloading(mpsc::Sender<ReloadRequest>);

/// Where requests go in, and where they come out.
#[must_use]
pub fn reloading() -> (Reloading, mpsc::Receiver<ReloadRequest>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Reloading(sender), receiver)
}

impl Reloading {
    /// What came of it; none if there is no time for it.
    async fn ask(&self, wish: Wish) -> Option<Result<String, Refusal>> {
        let (asker, answer) = oneshot::channel();
        self.0.try_send(ReloadRequest { wish, asker }).ok()?;
        answer.await.ok()
    }
}

pub(super) async fn reload(offer: Arc<Offer>, _: Ask) -> Answer {
    fulfilled(&offer, Wish::Reload).await
}

pub(super) async fn upgrade(offer: Arc<Offer>, _: Ask) -> Answer {
    fulfilled(&offer, Wish::Upgrade).await
}

async fn fulfilled(offer: &Offer, wish: Wish) -> Answer {
    let answer = match &offer.reloading {
        None => None,
        Some(reloading) => reloading.ask(wish).await,
    };
    match answer {
        Some(Ok(told)) => Answer::text(told),
        Some(Err(Refusal::Configuration(told))) => {
            Answer::refusal(Status::UNPROCESSABLE_ENTITY, told.trim_end())
        }
        Some(Err(Refusal::Failed(told))) => Answer::refusal(Status::INTERNAL_SERVER_ERROR, told),
        None => Answer::refusal(Status::SERVICE_UNAVAILABLE, "there is no time for it now"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, offer};
    use super::*;

    #[tokio::test]
    async fn what_came_of_it_is_told() {
        let (reloading, mut requests) = reloading();
        let serving = tokio::spawn(async move {
            let refusal = Refusal::Configuration("error: no\n".into());
            for answer in [Ok("served now\n".into()), Err(refusal)] {
                requests.recv().await.unwrap().answer(answer);
            }
        });
        let offer = Arc::new(Offer { reloading: Some(reloading), ..offer() });
        for status in [200, 422, 503] {
            assert_eq!(reload(offer.clone(), ask("/api/reload")).await.status(), status);
        }
        serving.await.unwrap();
        let nobody = Arc::new(super::super::tests::offer());
        assert_eq!(reload(nobody, ask("/api/reload")).await.status(), 503);
    }
}
