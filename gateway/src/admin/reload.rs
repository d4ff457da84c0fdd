//! `POST /api/reload`: hands the wish on to whoever reloads, and tells what came of it.

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

/// Somebody asks for a reload.
#[derive(Debug)]
pub struct ReloadRequest(oneshot::Sender<Result<String, Refusal>>);

impl ReloadRequest {
    /// Tells what came of it, to be read by people.
    pub fn answer(self, answer: Result<String, Refusal>) {
        // Who asked may have gone.
        let _ = self.0.send(answer);
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
    async fn ask(&self) -> Option<Result<String, Refusal>> {
        let (sender, answer) = oneshot::channel();
        self.0.try_send(ReloadRequest(sender)).ok()?;
        answer.await.ok()
    }
}

pub(super) async fn reload(offer: Arc<Offer>, _: Ask) -> Answer {
    let answer = match &offer.reloading {
        None => None,
        Some(reloading) => reloading.ask().await,
    };
    match answer {
        Some(Ok(told)) => Answer::text(told),
        Some(Err(Refusal::Configuration(told))) => {
            Answer::refusal(Status::UNPROCESSABLE_ENTITY, told.trim_end())
        }
        Some(Err(Refusal::Failed(told))) => Answer::refusal(Status::INTERNAL_SERVER_ERROR, told),
        None => Answer::refusal(Status::SERVICE_UNAVAILABLE, "no reload now"),
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
