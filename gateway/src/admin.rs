//! What an operator's machines ask over HTTP: metrics, and whether the gateway lives and is ready.

mod reload;
mod spool;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::metrics::{self, Metrics};
use crate::queue::Queue;

pub use reload::{Refusal, ReloadRequest, Reloading, reloading, request_reload, request_spool};

/// Connections at once: a few Prometheus servers, probes, and someone with a browser.
const CONNECTIONS: usize = 32;

/// For the request line and the header fields.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// For one connection as a whole, so that who reads slowly does not hold a place for ever.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// After an `accept` that failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Octets of a request line and its header fields.
const HEADER_OCTETS: usize = 16 * 1024;

/// Why the gateway is not ready; ready is who has no reason. Clones are the same readiness.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeSet<String>>>);

impl Readiness {
    /// Ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Not ready, for this reason, until it is cleared.
    pub fn hold(&self, reason: &str) {
        self.reasons_locked(|reasons| reasons.insert(reason.to_owned()));
    }

    /// This reason no longer stands.
    pub fn clear(&self, reason: &str) {
        self.reasons_locked(|reasons| reasons.remove(reason));
    }

    /// All reasons that stand.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        self.reasons_locked(|reasons| reasons.iter().cloned().collect())
    }

    fn reasons_locked<T>(&self, change: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
        // A set that a panic left behind is still a set.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers until the future is dropped. It goes on through a shutdown, because those are the
/// minutes in which `/readyz` has something to say.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    reloading: Option<Reloading>,
    queue: Option<Arc<Queue>>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            unreachable!("nobody closes the semaphore");
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "admin: cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (metrics, readiness) = (Arc::clone(&metrics), readiness.clone());
        let (reloading, queue) = (reloading.clone(), queue.clone());
        connections.spawn(async move {
            let _permit = permit;
            let offer = Offer { metrics: &metrics, readiness: &readiness, queue: queue.as_deref() };
            converse(stream, peer, &offer, reloading.as_ref()).await;
        });
    }
}

/// What is there to be asked for.
struct Offer<'a> {
    metrics: &'a Metrics,
    readiness: &'a Readiness,
    queue: Option<&'a Queue>,
}

/// One request, one response.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    offer: &Offer<'_>,
    reloading: Option<&Reloading>,
) {
    // Whoever waits for a reload waits for plugins to be compiled, or for many messages.
    let waits = &AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| async move {
        let path = request.uri().path();
        if ![reload::PATH, spool::PATH].contains(&path) {
            return Ok::<_, Infallible>(respond(&request, offer));
        }
        waits.store(true, Ordering::Relaxed);
        let response = match path == reload::PATH {
            true => reload::respond(&request, peer, reloading).await,
            false => spool::respond(request, peer, offer.queue).await,
        };
        waits.store(false, Ordering::Relaxed);
        Ok(response)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_OCTETS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    loop {
        match timeout(CONNECTION_TIMEOUT, connection.as_mut()).await {
            Err(_) if waits.load(Ordering::Relaxed) => continue,
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "admin: the connection broke"),
            Err(_) => debug!("admin: the connection took too long"),
        }
        return;
    }
}

fn respond(request: &Request<Incoming>, offer: &Offer<'_>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !["/livez", "/metrics", "/readyz"].contains(&path) {
        return text(
            StatusCode::NOT_FOUND,
            "there are /metrics, /livez, /readyz and /api/spool; portcullis reload asks at /api/reload\n"
                .to_owned(),
        );
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match path {
        "/metrics" => {
            let mut response = text(StatusCode::OK, offer.metrics.render());
            let format = HeaderValue::from_static(metrics::CONTENT_TYPE);
            response.headers_mut().insert(CONTENT_TYPE, format);
            response
        }
        "/readyz" => ready(offer),
        // That there is an answer is the answer.
        _ => text(StatusCode::OK, "live\n".to_owned()),
    }
}

/// A plugin that is not called for now is a warning: its `on_failure` says what its listeners do, and
/// a node that is taken out helps nobody, least of all the other listeners, for the next one has the
/// same plugins. So is an upstream that is down: the next node has the same upstreams. A spool that takes
/// nothing is a reason: the next node has another disk.
fn ready(offer: &Offer<'_>) -> Response<Full<Bytes>> {
    let mut reasons = offer.readiness.reasons();
    reasons.extend(offer.queue.and_then(Queue::trouble));
    let (status, mut body) = if reasons.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        let body = reasons.iter().map(|reason| format!("not ready: {reason}\n")).collect();
        (StatusCode::SERVICE_UNAVAILABLE, body)
    };
    for plugin in offer.metrics.broken_plugins() {
        body += &format!("warning: plugin {plugin} keeps failing and is not called for now\n");
    }
    for upstream in offer.metrics.upstreams_down() {
        body += &format!("warning: upstream {upstream} is down: no address takes mail\n");
    }
    for warning in offer.queue.map(Queue::warnings).unwrap_or_default() {
        body += &format!("warning: {warning}\n");
    }
    text(status, body)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;

    struct Scene {
        address: SocketAddr,
        metrics: Arc<Metrics>,
        readiness: Readiness,
        server: JoinHandle<()>,
    }

    impl Scene {
        async fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let listeners = (0..100).map(|number| format!("listener-{number}")).collect();
            let names = metrics::Names { listeners, ..metrics::Names::default() };
            let metrics = Arc::new(Metrics::new(&names));
            let readiness = Readiness::new();
            let server =
                tokio::spawn(serve(listener, metrics.clone(), readiness.clone(), None, None));
            Self { address, metrics, readiness, server }
        }

        async fn ask(&self, request_line: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let request = format!("{request_line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut response = String::new();
            stream.read_to_string(&mut response).await.unwrap();
            response
        }
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            self.server.abort();
        }
    }

    #[tokio::test]
    async fn metrics_come_in_their_format() {
        let response = Scene::new().await.ask("GET /metrics").await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(response.contains(metrics::CONTENT_TYPE), "{response}");
        assert!(response.contains("\nportcullis_build_info{version="), "{response}");
        assert!(response.len() > 10 * HEADER_OCTETS, "only {} octets", response.len());
        assert!(response.contains("\nprocess_start_time_seconds "), "the end is missing");
    }

    #[tokio::test]
    async fn who_has_a_reason_is_not_ready() {
        let scene = Scene::new().await;
        scene.readiness.hold("starting");
        scene.readiness.hold("draining");
        scene.readiness.clear("starting");
        let response = scene.ask("GET /readyz").await;
        assert!(response.starts_with("HTTP/1.1 503 "), "{response}");
        assert!(response.ends_with("\r\n\r\nnot ready: draining\n"), "{response}");
        scene.readiness.clear("draining");
        assert!(scene.ask("GET /readyz").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn a_plugin_that_is_not_called_is_named_and_the_gateway_is_ready_all_the_same() {
        let scene = Scene::new().await;
        let plugin = scene.metrics.plugin("filter");
        plugin.breaker_opened();
        let response = scene.ask("GET /readyz").await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(response.contains("\r\n\r\nready\nwarning: plugin filter keeps"), "{response}");
        plugin.breaker_closed();
        assert!(scene.ask("GET /readyz").await.ends_with("\r\n\r\nready\n"));
    }

    #[tokio::test]
    async fn an_upstream_that_is_down_is_named_and_the_gateway_is_ready_all_the_same() {
        let scene = Scene::new().await;
        let upstream = scene.metrics.upstream("store");
        upstream.set_up(false);
        let response = scene.ask("GET /readyz").await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(response.contains("ready\nwarning: upstream store is down"), "{response}");
        upstream.set_up(true);
        assert!(scene.ask("GET /readyz").await.ends_with("\r\n\r\nready\n"));
    }

    #[tokio::test]
    async fn head_has_the_header_alone() {
        let response = Scene::new().await.ask("HEAD /livez").await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        assert!(response.ends_with("\r\n\r\n"), "{response}");
    }

    #[tokio::test]
    async fn other_paths_and_methods_are_refused() {
        let scene = Scene::new().await;
        assert!(scene.ask("GET /").await.starts_with("HTTP/1.1 404 "));
        let response = scene.ask("POST /metrics").await;
        assert!(response.starts_with("HTTP/1.1 405 "), "{response}");
        assert!(response.contains("allow: GET, HEAD\r\n"), "{response}");
    }

    #[tokio::test]
    async fn those_who_connect_and_say_nothing_leave_places_for_others() {
        let scene = Scene::new().await;
        let mut silent = Vec::new();
        for _ in 1..CONNECTIONS {
            silent.push(TcpStream::connect(scene.address).await.unwrap());
        }
        assert!(scene.ask("GET /livez").await.ends_with("live\n"));
    }
}
