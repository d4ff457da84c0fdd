//! HTTP to origins that a plugin is granted, and to nobody else.
//!
//! What is checked is what is connected to: a name is resolved once, its addresses are looked at, and
//! the connection goes to one of them. Redirects are answers like any other, and no proxy is asked for.

mod connection;
mod hooks;

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Body;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode, Uri};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::config::Origin;
use crate::resolver::Resolver;
use connection::Connections;

pub(super) use hooks::Outgoing;

/// The client of all plugins. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct HttpClient {
    connections: Arc<Connections>,
    requests: Arc<Semaphore>,
}

/// A body on its way.
pub(super) type OutgoingBody = UnsyncBoxBody<Bytes, BodyError>;

type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What is to be sent, checked but for the origin.
pub(super) struct HttpRequest {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: OutgoingBody,
}

/// What came back.
pub(super) struct HttpResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, PartialEq)]
pub(super) enum HttpFailure {
    Denied,
    Malformed(String),
    TimedOut,
    TooLarge,
    Unavailable(String),
}

impl HttpFailure {
    /// The label of a result in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Malformed(_) => "malformed",
            Self::TimedOut => "timed-out",
            Self::TooLarge => "too-large",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl HttpClient {
    pub(super) fn new(resolver: Resolver) -> Self {
        let connections = Arc::new(Connections::new(resolver));
        Self { connections, requests: Arc::new(Semaphore::new(REQUESTS)) }
    }

    /// Sends one request, if its origin is among those granted.
    pub(super) async fn send(
        &self,
        origins: &[Origin],
        request: HttpRequest,
        deadline: Instant,
    ) -> Result<HttpResponse, HttpFailure> {
        let origin = granted(origins, &request.uri)?;
        check(&request.method, &request.headers)?;
        let work = async {
            let _permit = self.requests.acquire().await;
            let (response, connection) = self.connections.send(origin, request).await?;
            let response = read(response).await?;
            self.connections.keep(origin, connection);
            Ok(response)
        };
        timeout_at(deadline.into(), work).await.unwrap_or(Err(HttpFailure::TimedOut))
    }
}

impl HttpRequest {
    /// From what a plugin says.
    pub(super) fn read(
        method: &str,
        url: &str,
        headers: Vec<(String, Vec<u8>)>,
        body: OutgoingBody,
    ) -> Result<Self, HttpFailure> {
        let malformed = |what: &str| HttpFailure::Malformed(what.to_owned());
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| malformed("the method"))?;
        if url.len() > URL_OCTETS {
            return Err(HttpFailure::TooLarge);
        }
        let uri: Uri = url.parse().map_err(|_| malformed("the URL"))?;
        if headers.len() > HEADERS {
            return Err(HttpFailure::TooLarge);
        }
        let octets = headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if octets > HEADER_OCTETS {
            return Err(HttpFailure::TooLarge);
        }
        let mut map = HeaderMap::with_capacity(headers.len());
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_bytes(&value);
            let (Ok(name), Ok(value)) = (name, value) else { return Err(malformed("a header")) };
            map.append(name, value);
        }
        Ok(Self { method, uri, headers: map, body })
    }
}

/// The origin of a URL, if it is granted.
fn granted<'a>(origins: &'a [Origin], uri: &Uri) -> Result<&'a Origin, HttpFailure> {
    let malformed = |what: &str| HttpFailure::Malformed(what.to_owned());
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(malformed("the URL is neither http:// nor https://")),
    };
    let authority = uri.authority().ok_or_else(|| malformed("the URL has no host"))?;
    if authority.as_str().contains('@') {
        return Err(malformed("a user in the URL"));
    }
    let host = authority.host().to_ascii_lowercase();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(bare) => bare.parse::<std::net::Ipv6Addr>().ok().map(|address| address.to_string()),
        None => Some(host),
    };
    let host = host.ok_or_else(|| malformed("the host"))?;
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if authority.as_str().ends_with(':') => return Err(malformed("the port")),
        None if tls => 443,
        None => 80,
    };
    let same = |origin: &&Origin| origin.tls == tls && origin.host == host && origin.port == port;
    origins.iter().find(same).ok_or(HttpFailure::Denied)
}

/// What frames a request is ours to say: two servers may never disagree about it.
fn check(method: &Method, headers: &HeaderMap) -> Result<(), HttpFailure> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(HttpFailure::Malformed("the method".to_owned()));
    }
    match OURS.iter().find(|name| headers.contains_key(**name)) {
        Some(name) => Err(HttpFailure::Malformed(format!("the header {name} is the gateway's"))),
        None => Ok(()),
    }
}

/// Reads a response to its end.
async fn read(
    response: hyper::Response<hyper::body::Incoming>,
) -> Result<HttpResponse, HttpFailure> {
    let (head, body) = response.into_parts();
    let octets = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    if octets.sum::<usize>() > HEAD_OCTETS {
        return Err(HttpFailure::TooLarge);
    }
    if body.size_hint().lower() > BODY_OCTETS as u64 {
        return Err(HttpFailure::TooLarge);
    }
    let mut body = Limited::new(body, BODY_OCTETS);
    let mut octets = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => octets.extend_from_slice(&data),
            // Trailers are nobody's.
            Ok(Err(_)) => {}
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(HttpFailure::TooLarge);
            }
            Err(_) => return Err(HttpFailure::Unavailable("the answer broke off".to_owned())),
        }
    }
    Ok(HttpResponse { status: head.status, headers: head.headers, body: octets.freeze() })
}

/// Headers that say how a request is framed, to whom it goes, or what becomes of the connection.
pub(super) const OURS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Of a request or a response, as the contract says.
pub(super) const BODY_OCTETS: usize = 1 << 20;

/// Requests at once in one call, as the contract says.
pub(super) const REQUESTS_AT_ONCE: usize = 16;

/// Requests at once in the process; further ones wait, within their plugin's time. Each may hold
/// twice a body's octets.
const REQUESTS: usize = 256;

/// What servers take at most.
const URL_OCTETS: usize = 8 << 10;
const HEADERS: usize = 100;
const HEADER_OCTETS: usize = 32 << 10;

/// Of a response's headers.
const HEAD_OCTETS: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn origins() -> Vec<Origin> {
        [("filter.example.org", true, 443), ("::1", false, 8080)]
            .map(|(host, tls, port)| Origin { tls, host: host.into(), port, private: false })
            .into()
    }

    fn told(url: &str) -> Result<String, HttpFailure> {
        granted(&origins(), &url.parse().unwrap()).map(ToString::to_string)
    }

    #[test]
    fn only_granted_origins_are_reached() {
        for url in [
            "https://filter.example.org/",
            "https://Filter.Example.ORG:443/x?y",
            "http://[::1]:8080/",
            "http://[0:0::1]:8080/",
        ] {
            assert!(told(url).is_ok(), "{url}");
        }
        for url in [
            "http://filter.example.org/",
            "https://filter.example.org:8443/",
            "https://filter.example.org./",
            "https://evil.filter.example.org/",
            "https://filter.example.org.evil.example/",
            "http://[::1]/",
            "http://127.0.0.1:8080/",
        ] {
            assert_eq!(told(url), Err(HttpFailure::Denied), "{url}");
        }
        for url in ["/x", "filter.example.org", "ftp://filter.example.org/"] {
            assert!(matches!(told(url), Err(HttpFailure::Malformed(_))), "{url}");
        }
        let user = told("https://filter.example.org@evil.example/");
        assert!(matches!(user, Err(HttpFailure::Malformed(_))));
    }

    #[test]
    fn what_frames_a_request_is_not_the_plugins() {
        for name in OURS {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("x"));
            let said = check(&Method::GET, &headers);
            assert!(matches!(said, Err(HttpFailure::Malformed(_))), "{name}");
        }
        assert!(check(&Method::CONNECT, &HeaderMap::new()).is_err());
        assert!(check(&Method::POST, &HeaderMap::new()).is_ok());
    }

    /// A body without end.
    struct Endless(#[expect(dead_code, reason = "it is dropped with the body")] Arc<()>);

    impl Body for Endless {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 4096])))))
        }
    }

    #[tokio::test]
    async fn what_a_server_does_not_take_is_not_kept_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = address.ip().to_string();
        let origins = [Origin { tls: false, host, port: address.port(), private: true }];
        let (alive, body) = {
            let token = Arc::new(());
            (Arc::downgrade(&token), Endless(token).boxed_unsync())
        };
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno";
            stream.write_all(answer).await.unwrap();
            stream
        });
        let metrics = crate::metrics::Metrics::new(&crate::metrics::Names::default());
        let client = HttpClient::new(Resolver::fixed(Default::default(), metrics.dns()));
        let url = format!("http://{address}/");
        let request = HttpRequest::read("POST", &url, Vec::new(), body).unwrap();
        let deadline = Instant::now() + std::time::Duration::from_secs(20);
        let answer = client.send(&origins, request, deadline).await.unwrap();
        assert_eq!(&answer.body[..], b"no");
        let _open = server.await.unwrap();
        while alive.upgrade().is_some() {
            assert!(Instant::now() < deadline, "the body is held");
            tokio::task::yield_now().await;
        }
    }
}
