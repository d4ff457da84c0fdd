//! What operators and their machines ask over HTTP: metrics, health, what goes on, and what is to be
//! done.
//!
//! ```text
//! server   addresses and their connections, bounded; one request each
//! guard    who may ask: tokens, certificates, this machine; never a page of another site
//! route    the table: path, method, role, bounds, handler
//! ask      the request, as a handler sees it
//! page     the live page for browsers, whole in the binary
//! answer   text, JSON, anything whole, or a stream
//! client   the other side, for the command line
//! ```
//!
//! A new path is a row in [`routes`] and an `async fn(Arc<Offer>, Ask) -> Answer`. What lives above this
//! floor brings its own [`Route`]s.

mod answer;
mod ask;
mod client;
mod guard;
mod health;
mod live;
mod overview;
mod page;
mod reload;
mod route;
mod server;
mod spool;

use std::future::Future;
use std::sync::Arc;

use crate::live::Live;
use crate::metrics::{self, Metrics};
use crate::queue::Queue;
use crate::worker::Pulse;

pub use answer::{Answer, Gone, Stream};
pub use ask::Ask;
pub use client::{AskError, Client, Followed};
pub use guard::Guard;
pub use health::{Checks, Note, Readiness, STARTING};
pub use hyper::StatusCode as Status;
pub use overview::{Listening, Overview, Serving};
pub use reload::{Refusal, ReloadRequest, Reloading, Wish, reloading};
pub use route::{Role, Route};
pub use server::{Door, Terms};

/// What is there to be asked for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What Prometheus asks for.
    pub metrics: Arc<Metrics>,
    /// Whether mail should come here.
    pub readiness: Readiness,
    /// What else should be looked at.
    pub checks: Checks,
    /// Whether the workers still work.
    pub pulse: Pulse,
    /// What waits, if anything may.
    pub queue: Option<Arc<Queue>>,
    /// What goes on now and what went on last.
    pub live: Arc<Live>,
    /// The gateway as a whole.
    pub overview: Arc<Overview>,
    /// Where reloads are asked for, if there can be any.
    pub reloading: Option<Reloading>,
}

/// What is answered, by everything that this floor and those below it have.
#[must_use]
pub fn routes(offer: &Arc<Offer>) -> Vec<Route> {
    let mut routes = vec![
        offer.get("/livez", health::live).for_probes(),
        offer.get("/readyz", health::ready).for_probes(),
        offer.get("/startupz", health::started).for_probes(),
        offer.get("/metrics", scrape).for_scrapers(),
        offer.get("/api/config", overview::configuration),
        offer.get("/api/events", live::events),
        offer.post("/api/reload", reload::reload).unhurried(),
        offer.get("/api/sessions", live::sessions),
        offer.post("/api/upgrade", reload::upgrade).unhurried(),
        offer.get("/api/spool", spool::summary),
        offer.post("/api/spool", spool::obey).with_body(spool::ORDER_OCTETS).unhurried(),
        offer.get("/api/status", overview::status),
        offer.get("/api/transactions", live::transactions),
        offer.get("/api/transactions/*", live::transaction),
    ];
    routes.extend(page::routes());
    routes
}

impl Offer {
    /// GET and HEAD, for readers.
    fn get<F>(self: &Arc<Self>, path: &'static str, handler: fn(Arc<Self>, Ask) -> F) -> Route
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let offer = self.clone();
        Route::get(path, move |ask| handler(offer.clone(), ask))
    }

    /// POST, for writers.
    fn post<F>(self: &Arc<Self>, path: &'static str, handler: fn(Arc<Self>, Ask) -> F) -> Route
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let offer = self.clone();
        Route::post(path, move |ask| handler(offer.clone(), ask))
    }
}

async fn scrape(offer: Arc<Offer>, _: Ask) -> Answer {
    Answer::of(metrics::CONTENT_TYPE, offer.metrics.render())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;
    use hyper::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    use super::server::{CONNECTIONS, HEADER_OCTETS};
    use super::*;
    use crate::shutdown::Shutdown;

    /// Of a gateway that has nothing.
    pub(super) fn offer() -> Offer {
        let listeners = (0..100).map(|number| format!("listener-{number}")).collect();
        let names = metrics::Names { listeners, ..metrics::Names::default() };
        let metrics = Arc::new(Metrics::new(&names));
        let (live, overview) = (Arc::default(), Arc::default());
        Offer {
            metrics,
            readiness: Readiness::new(),
            checks: Checks::default(),
            pulse: Pulse::default(),
            queue: None,
            live,
            overview,
            reloading: None,
        }
    }

    pub(super) fn ask(uri: &str) -> Ask {
        let head = Request::get(uri).body(()).unwrap().into_parts().0;
        Ask { head, body: Bytes::new(), role: Some(Role::Reader) }
    }

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
            let offer = Arc::new(offer());
            let (metrics, readiness) = (offer.metrics.clone(), offer.readiness.clone());
            let guard = Guard::open(offer.metrics.admin());
            let (terms, end) = (Arc::new(Terms { guard, tls: None }), Shutdown::new().watcher());
            let server = tokio::spawn(Door::tcp(listener).serve(terms, routes(&offer), end));
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
        assert!(response.contains("\nportcullis_build_info{commit="), "{response}");
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
        assert!(scene.ask("GET /nowhere").await.starts_with("HTTP/1.1 404 "));
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
