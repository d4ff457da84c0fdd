//! Connections, each with one request: bounded in number, size and time.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::answer::Body;
use super::ask::{self, Ask};
use super::guard::{Caller, Guard};
use super::route::{self, Found, Role, Route};
use super::{Answer, Status};
use crate::message::ClientAddress;
use crate::shutdown::Watcher;

/// Who may ask, and how TLS is spoken; one configuration's.
#[derive(Debug)]
pub struct Terms {
    /// Who may ask for what.
    pub guard: Guard,
    /// For IP addresses; none is clear text.
    pub tls: Option<Arc<ServerConfig>>,
}

/// One address, bound.
#[derive(Debug)]
pub struct Door {
    socket: Socket,
    is_for_scrapers: bool,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A connection.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

impl Door {
    /// At an IP address.
    #[must_use]
    pub fn tcp(socket: TcpListener) -> Self {
        Self { socket: Socket::Tcp(socket), is_for_scrapers: false }
    }

    /// At a Unix socket; who may connect may ask for everything.
    #[must_use]
    pub fn unix(socket: UnixListener) -> Self {
        Self { socket: Socket::Unix(socket), is_for_scrapers: false }
    }

    /// For metrics and health alone, to everyone.
    #[must_use]
    pub fn for_scrapers(self) -> Self {
        Self { is_for_scrapers: true, ..self }
    }

    /// The IP address, if it has one.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(socket) => socket.local_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    async fn accept(&self) -> io::Result<(Box<dyn Transport>, ClientAddress)> {
        Ok(match &self.socket {
            Socket::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                (Box::new(stream), peer.into())
            }
            Socket::Unix(socket) => (Box::new(socket.accept().await?.0), ClientAddress::Unix),
        })
    }

    /// Answers until the end begins, and then whoever has asked before.
    pub async fn serve(self, terms: Arc<Terms>, mut routes: Vec<Route>, mut end: Watcher) {
        if self.is_for_scrapers {
            routes.retain(|route| route.is_for_scrapers);
        }
        let (routes, permits) = (Arc::new(routes), Arc::new(Semaphore::new(CONNECTIONS)));
        let streams = Arc::new(Semaphore::new(STREAMS));
        let mut connections = JoinSet::new();
        loop {
            let Ok(permit) = permits.clone().acquire_owned().await else {
                unreachable!("nobody closes the semaphore");
            };
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                () = end.begun() => break,
            };
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "admin: cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let caller = Caller { address, names: Vec::new(), is_scraper: self.is_for_scrapers };
            let (terms, routes) = (terms.clone(), routes.clone());
            let pace = Pace::new(streams.clone());
            connections.spawn(async move {
                let _permit = permit;
                if let Some((stream, caller)) = greet(stream, caller, &terms).await {
                    converse(stream, &caller, &terms.guard, &routes, &pace).await;
                }
            });
        }
        drop(self);
        while connections.join_next().await.is_some() {}
    }
}

/// TLS, where it is spoken; none if it fails.
async fn greet(
    stream: Box<dyn Transport>,
    caller: Caller,
    terms: &Terms,
) -> Option<(Box<dyn Transport>, Caller)> {
    let Some(tls) = terms.tls.clone().filter(|_| caller.address != ClientAddress::Unix) else {
        return Some((stream, caller));
    };
    match timeout(HEADER_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => {
            let names = crate::tls::client_names(stream.get_ref().1);
            Some((Box::new(stream), Caller { names, ..caller }))
        }
        failed => {
            terms.guard.handshake_failed();
            let error = failed.ok().and_then(Result::err);
            debug!(client = %caller.address, ?error, "admin: no TLS");
            None
        }
    }
}

/// One request, one response.
async fn converse(
    stream: Box<dyn Transport>,
    caller: &Caller,
    guard: &Guard,
    routes: &[Route],
    pace: &Pace,
) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(respond(request, caller, guard, routes, pace).await)
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
    caller: &Caller,
    guard: &Guard,
    routes: &[Route],
    pace: &Pace,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let json = ask::wants_json(&head);
    let (Ok(answer) | Err(answer)) = answer(head, body, caller, guard, routes, pace).await;
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
    caller: &Caller,
    guard: &Guard,
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
    let role = guard.admit(&head, caller, route.access).await?;
    let Ok(body) = Limited::new(body, route.body_octets).collect().await else {
        let text = format!("the body is cut off, or has more than {} octets", route.body_octets);
        return Err(Answer::refusal(Status::PAYLOAD_TOO_LARGE, text));
    };
    if role == Some(Role::Writer) && head.method == Method::POST {
        info!(client = %caller.address, path = route.path, "an order at the admin interface");
    }
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
