//! Connections, each with one request: bounded in number, size and time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, warn};

use super::answer::Body;
use super::ask::{self, Ask};
use super::route::{self, Found, Route};
use super::{Answer, Status, guard};
use crate::shutdown::Watcher;

/// Answers until the end begins, and then whoever has asked before. It goes on through a shutdown,
/// because those are the minutes in which `/readyz` has something to say.
pub async fn serve(listener: TcpListener, routes: Vec<Route>, mut end: Watcher) {
    let (routes, permits) = (Arc::new(routes), Arc::new(Semaphore::new(CONNECTIONS)));
    let streams = Arc::new(Semaphore::new(STREAMS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            unreachable!("nobody closes the semaphore");
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.begun() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "admin: cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let (routes, streams) = (routes.clone(), streams.clone());
        connections.spawn(async move {
            let _permit = permit;
            converse(stream, peer, &routes, streams).await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// One request, one response.
async fn converse(stream: TcpStream, peer: SocketAddr, routes: &[Route], streams: Arc<Semaphore>) {
    let pace = &Pace::new(streams);
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(respond(request, peer, routes, pace).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_OCTETS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    while let Some(deadline) = pace.deadline() {
        match timeout_at(deadline, connection.as_mut()).await {
            Err(_) => continue,
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "admin: the connection broke"),
        }
        return;
    }
    debug!("admin: the connection took too long");
}

async fn respond(
    request: Request<Incoming>,
    peer: SocketAddr,
    routes: &[Route],
    pace: &Pace,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let json = ask::wants_json(&head);
    let (Ok(answer) | Err(answer)) = answer(head, body, peer, routes, pace).await;
    let (response, stream) = answer.into_response(json);
    match stream.map(|stream| pace.stream(stream)) {
        Some(Err(refusal)) => refusal.into_response(json).0,
        Some(Ok(())) => response,
        None => {
            pace.turn(Turn::Client);
            response
        }
    }
}

/// Either way it is the answer.
async fn answer(
    head: Parts,
    body: Incoming,
    peer: SocketAddr,
    routes: &[Route],
    pace: &Pace,
) -> Result<Answer, Answer> {
    let route = match route::find(routes, &head.method, head.uri.path()) {
        Found::Route(route) => route,
        Found::Allowed(methods) => {
            let refusal = Answer::refusal(Status::METHOD_NOT_ALLOWED, methods.clone());
            return Err(refusal.with_field("allow", &methods));
        }
        Found::Paths(paths) => {
            return Err(Answer::refusal(Status::NOT_FOUND, format!("there are {paths}")));
        }
    };
    let role = guard::admit(&head, peer, route.access)?;
    let Ok(body) = Limited::new(body, route.body_octets).collect().await else {
        let text = format!("the body is cut off, or has more than {} octets", route.body_octets);
        return Err(Answer::refusal(Status::PAYLOAD_TOO_LARGE, text));
    };
    pace.turn(Turn::Handler);
    let answer = (route.handler)(Ask { head, body: body.to_bytes(), role });
    match route.patience {
        None => Ok(answer.await),
        Some(patience) => timeout(patience, answer)
            .await
            .map_err(|_| Answer::refusal(Status::SERVICE_UNAVAILABLE, "that took too long")),
    }
}

/// How long a connection may still last: who reads or writes slowly does not hold a place for ever,
/// but who waits for us does.
#[derive(Debug)]
struct Pace {
    state: Mutex<(Turn, Instant)>,
    streams: Arc<Semaphore>,
}

/// Who is to do something, for the connection to get on.
#[derive(Debug)]
enum Turn {
    Client,
    Handler,
    /// Until the stream is dropped; then the client, for what it has not read yet.
    Stream(
        Weak<()>,
        #[expect(dead_code, reason = "dropped with the connection")] OwnedSemaphorePermit,
    ),
}

impl Pace {
    fn new(streams: Arc<Semaphore>) -> Self {
        Self { state: Mutex::new((Turn::Client, Instant::now())), streams }
    }

    fn turn(&self, turn: Turn) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (turn, Instant::now());
    }

    fn stream(&self, alive: Weak<()>) -> Result<(), Answer> {
        let Ok(permit) = self.streams.clone().try_acquire_owned() else {
            let text = format!("{STREAMS} others are watching already");
            return Err(Answer::refusal(Status::SERVICE_UNAVAILABLE, text));
        };
        self.turn(Turn::Stream(alive, permit));
        Ok(())
    }

    /// When to look again; none if the client has had its time.
    fn deadline(&self) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (turn, since) = &mut *state;
        match turn {
            Turn::Client if *since + CONNECTION_TIMEOUT <= now => return None,
            Turn::Client => return Some(*since + CONNECTION_TIMEOUT),
            Turn::Stream(alive, _) if alive.strong_count() == 0 => *state = (Turn::Client, now),
            Turn::Handler | Turn::Stream(..) => {}
        }
        Some(now + CONNECTION_TIMEOUT)
    }
}

/// Connections at once: a few Prometheus servers, probes, and some people with browsers.
pub(super) const CONNECTIONS: usize = 64;

/// Of them, those that may be answers without an end; probes find a place however many watch.
const STREAMS: usize = 16;

/// For the request line and the header fields.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// For the client, from its connection to the end of its request, and then for all of the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// After an `accept` that failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Octets of a request line and its header fields.
pub(super) const HEADER_OCTETS: usize = 16 * 1024;
