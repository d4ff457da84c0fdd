//! The `http` interface.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::task::JoinSet;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::Reader;
use crate::config::Origin;
use crate::plugins::bindings::http::{self, HttpError, Request, Response};
use crate::plugins::http::{
    BODY_OCTETS, HttpClient, HttpFailure, HttpRequest, HttpResponse, OutgoingBody, REQUESTS_AT_ONCE,
};
use crate::plugins::state::State;

type Answer = std::result::Result<Response, HttpError>;

impl http::Host for State {
    async fn send(&mut self, requests: Vec<Request>) -> Result<Vec<Answer>> {
        let mut failure = None;
        // Before the grant is looked at: what is frozen does not depend on grants.
        if self.call.is_none() {
            failure = Some(HttpFailure::Denied);
        } else if requests.len() > REQUESTS_AT_ONCE {
            let text = format!("more than {REQUESTS_AT_ONCE} requests at once");
            failure = Some(HttpFailure::Malformed(text));
        }
        if let Some(failure) = failure {
            let refused = |_: &Request| Err(error(&failure));
            return Ok(requests.iter().map(refused).collect());
        }
        let mut answers: Vec<Answer> = requests.iter().map(|_| Err(HttpError::TimedOut)).collect();
        // Dropped with this future if nobody waits for it any more.
        let mut sending = JoinSet::new();
        for (at, mut request) in requests.into_iter().enumerate() {
            let octets = std::mem::take(&mut request.body);
            self.asked(|| shown(&request));
            let sender = self.sender(&request);
            sending.spawn(async move {
                if octets.len() > BODY_OCTETS {
                    return (at, Err(HttpFailure::TooLarge));
                }
                let body = Full::new(Bytes::from(octets)).map_err(|never| match never {});
                (at, sender.send(request, body.boxed_unsync()).await)
            });
        }
        while let Some(done) = sending.join_next().await {
            if let Ok((at, sent)) = done
                && let Some(place) = answers.get_mut(at)
            {
                *place = self.told(sent);
            }
        }
        Ok(answers)
    }

    async fn send_content(
        &mut self,
        request: Request,
        content: Resource<Reader>,
    ) -> Result<Answer> {
        if !request.body.is_empty() {
            let text = "a body beside the content".to_owned();
            return Ok(self.told(Err(HttpFailure::Malformed(text))));
        }
        self.asked(|| shown(&request));
        let sender = self.sender(&request);
        let body = self.table.get_mut(&content)?.take_rest().boxed_unsync();
        let sent = sender.send(request, body).await;
        Ok(self.told(sent))
    }
}

/// For people; what follows the path may be secret.
fn shown(request: &Request) -> String {
    let path = request.url.split(['?', '#']).next().unwrap_or_default();
    format!("http {} {path}", request.method)
}

/// What a request needs beside itself.
struct Sender {
    client: HttpClient,
    origins: Arc<[Origin]>,
    deadline: Instant,
}

impl Sender {
    async fn send(
        self,
        request: Request,
        body: OutgoingBody,
    ) -> std::result::Result<HttpResponse, HttpFailure> {
        let request = HttpRequest::read(&request.method, &request.url, request.headers, body)?;
        self.client.send(&self.origins, request, self.deadline).await
    }
}

impl State {
    fn sender(&self, request: &Request) -> Sender {
        let wished = request.timeout_ms.map(|time| Duration::from_millis(time.into()));
        let wished = wished.and_then(|time| Instant::now().checked_add(time));
        let deadline = self.patience();
        Sender {
            client: self.facts.services.http.clone(),
            origins: Arc::clone(&self.facts.origins),
            deadline: wished.map_or(deadline, |wished| wished.min(deadline)),
        }
    }

    /// What the plugin hears, counted.
    fn told(&self, sent: std::result::Result<HttpResponse, HttpFailure>) -> Answer {
        let metrics = &self.facts.metrics;
        match sent {
            Ok(HttpResponse { status, headers, body }) => {
                metrics.http_request("ok");
                let headers = headers.iter();
                let headers =
                    headers.map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
                Ok(Response {
                    status: status.as_u16(),
                    headers: headers.collect(),
                    body: body.to_vec(),
                })
            }
            Err(failure) => {
                metrics.http_request(failure.label());
                Err(error(&failure))
            }
        }
    }
}

fn error(failure: &HttpFailure) -> HttpError {
    match failure {
        HttpFailure::Denied => HttpError::Denied,
        HttpFailure::Malformed(what) => HttpError::Malformed(what.clone()),
        HttpFailure::TimedOut => HttpError::TimedOut,
        HttpFailure::TooLarge => HttpError::TooLarge,
        HttpFailure::Unavailable(why) => HttpError::Unavailable(why.clone()),
    }
}
