//! `wasi:http/outgoing-handler`, for programs that bring it with them: the same client, grants and
//! bounds.

use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt, Full, Limited};
use hyper::header::HOST;
use hyper::{HeaderMap, Request, Response};
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpHooks};

use super::{
    BODY_OCTETS, HEADER_OCTETS, HttpClient, HttpFailure, HttpRequest, HttpResponse,
    REQUESTS_AT_ONCE,
};
use crate::config::Origin;
use crate::metrics::PluginMetrics;

/// What a copy of a plugin needs of it; made at the first use.
pub(in crate::plugins) struct Outgoing {
    pub(in crate::plugins) context: WasiHttpCtx,
    pub(in crate::plugins) hooks: Hooks,
}

/// What becomes of a request.
pub(in crate::plugins) struct Hooks {
    client: HttpClient,
    origins: Arc<[Origin]>,
    metrics: Arc<PluginMetrics>,
    at_once: Arc<Semaphore>,
    /// A permit for each octet of answers that the plugin has not let go of.
    held: Arc<Semaphore>,
    /// Until when there may be an answer; none while the plugin is configured.
    pub(in crate::plugins) deadline: Option<Instant>,
}

impl Outgoing {
    pub(in crate::plugins) fn new(
        client: HttpClient,
        origins: Arc<[Origin]>,
        metrics: Arc<PluginMetrics>,
    ) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(HEADER_OCTETS);
        let at_once = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
        let held = Arc::new(Semaphore::new(REQUESTS_AT_ONCE * BODY_OCTETS));
        Self { context, hooks: Hooks { client, origins, metrics, at_once, held, deadline: None } }
    }
}

type Ended = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Sent = Result<(Response<WasiBody>, Ended), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Ended,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (client, origins) = (self.client.clone(), Arc::clone(&self.origins));
        let (metrics, at_once) = (Arc::clone(&self.metrics), Arc::clone(&self.at_once));
        let held = Arc::clone(&self.held);
        let deadline = self.deadline.map(|deadline| earlier(deadline, options));
        Box::new(async move {
            let _one = at_once.acquire().await;
            let sent = send(&client, &origins, request, deadline).await;
            let sent = sent.and_then(|answer| keep(answer, held));
            metrics.http_request(sent.as_ref().map_or_else(HttpFailure::label, |_| "ok"));
            let ended: Ended = Box::new(async { Ok(()) });
            sent.map(|response| (response, ended)).map_err(error)
        })
    }

    // What nobody has sent yet lies in the host's memory, and there can be hundreds of bodies.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_OCTETS
    }
}

async fn send(
    client: &HttpClient,
    origins: &[Origin],
    request: Request<WasiBody>,
    deadline: Option<Instant>,
) -> Result<HttpResponse, HttpFailure> {
    let deadline = deadline.ok_or(HttpFailure::Denied)?;
    let (head, body) = request.into_parts();
    // Set by the library; the client sets its own.
    let mut headers: HeaderMap = head.headers;
    headers.remove(HOST);
    // It is checked against the body by the library, and framed anew.
    headers.remove(hyper::header::CONTENT_LENGTH);
    let body = Limited::new(body.map_err(|error| error.to_string()), BODY_OCTETS).boxed_unsync();
    let request = HttpRequest { method: head.method, uri: head.uri, headers, body };
    client.send(origins, request, deadline).await
}

/// The answer, which lies in the host's memory until the plugin has read it or let go of it. As much
/// may lie there as one call of the other interface brings.
fn keep(response: HttpResponse, held: Arc<Semaphore>) -> Result<Response<WasiBody>, HttpFailure> {
    let octets = u32::try_from(response.body.len()).map_err(|_| HttpFailure::TooLarge)?;
    let room = held.try_acquire_many_owned(octets).map_err(|_| HttpFailure::TooLarge)?;
    let body = Full::new(response.body).map_err(move |never| {
        let _held = &room;
        Error::from(never)
    });
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = response.status;
    *answer.headers_mut() = response.headers;
    Ok(answer)
}

fn earlier(deadline: Instant, options: Option<RequestOptions>) -> Instant {
    let wished = options.and_then(|options| options.first_byte_timeout);
    wished.and_then(|time| Instant::now().checked_add(time)).map_or(deadline, |at| at.min(deadline))
}

fn error(failure: HttpFailure) -> Error {
    match failure {
        HttpFailure::Denied => Error::HttpRequestDenied,
        HttpFailure::Malformed(what) => Error::InternalError(Some(format!("malformed: {what}"))),
        HttpFailure::TimedOut => Error::HttpResponseTimeout,
        HttpFailure::TooLarge => Error::HttpResponseBodySize(None),
        HttpFailure::Unavailable(_) => Error::DestinationUnavailable,
    }
}

/// Of a body on its way, in one piece: as much as the other interface reads of a message at once.
const CHUNK_OCTETS: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;

    #[test]
    fn answers_that_nobody_reads_have_a_bound() {
        let held = Arc::new(Semaphore::new(2 * BODY_OCTETS));
        let answer = |octets| {
            let body = vec![0; octets].into();
            let headers = HeaderMap::new();
            keep(HttpResponse { status: StatusCode::OK, headers, body }, Arc::clone(&held))
        };
        let _first = answer(BODY_OCTETS).expect("room");
        let second = answer(BODY_OCTETS).expect("room");
        assert_eq!(answer(1).err(), Some(HttpFailure::TooLarge));
        assert!(answer(0).is_ok());
        drop(second);
        assert!(answer(1).is_ok());
    }
}
