//! `POST /api/reload`: for `portcullis reload` on the same machine, and for nobody else.
//!
//! There is no password. What keeps others out: the peer has to be of this machine; a page in a
//! browser of this machine cannot send what is asked for. It always says its `Origin`; to another
//! origin it may not add the header field; and one whose name was made to mean this machine
//! (DNS rebinding) shows that name as `Host`.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, HOST, HeaderValue, ORIGIN};
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};

use super::text;

/// Where reloads are asked for.
pub(super) const PATH: &str = "/api/reload";

/// Which only a program says that means it.
const FIELD: &str = "portcullis-reload";

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

pub(super) async fn respond<B>(
    request: &Request<B>,
    peer: SocketAddr,
    reloading: Option<&Reloading>,
) -> Response<Full<Bytes>> {
    if request.method() != Method::POST {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "POST\n".to_owned());
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    if let Err(reason) = admit(request, peer.ip()) {
        return text(StatusCode::FORBIDDEN, format!("{reason}\n"));
    }
    let answer = match reloading {
        None => None,
        Some(reloading) => reloading.ask().await,
    };
    match answer {
        Some(Ok(told)) => text(StatusCode::OK, told),
        Some(Err(Refusal::Configuration(told))) => text(StatusCode::UNPROCESSABLE_ENTITY, told),
        Some(Err(Refusal::Failed(told))) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, format!("{told}\n"))
        }
        None => text(StatusCode::SERVICE_UNAVAILABLE, "no reload now\n".to_owned()),
    }
}

pub(super) fn admit<B>(request: &Request<B>, peer: IpAddr) -> Result<(), &'static str> {
    let fields = request.headers();
    if !peer.to_canonical().is_loopback() {
        return Err("reloads are for this machine");
    }
    if fields.contains_key(ORIGIN) || fields.contains_key("sec-fetch-site") {
        return Err("reloads are not for pages in browsers");
    }
    let host = fields.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_here(host) {
        return Err("Host has to be an IP address or localhost");
    }
    if !fields.contains_key(FIELD) {
        return Err("portcullis reload --config FILE asks for reloads");
    }
    Ok(())
}

/// Whether this means a machine by itself, without DNS.
fn is_here(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
        || host.parse::<SocketAddr>().is_ok()
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

/// Asks the gateway at this address, which may take as long as plugins take to compile: the status
/// of the answer, and its text.
///
/// # Errors
///
/// If nobody is there, or no answer comes.
pub async fn request_reload(address: SocketAddr) -> io::Result<(u16, String)> {
    post(address, PATH, "").await
}

/// Asks the gateway at this address to do something with messages that wait, as JSON says it: the
/// status of the answer, and its text.
///
/// # Errors
///
/// If nobody is there, or no answer comes.
pub async fn request_spool(address: SocketAddr, order: &str) -> io::Result<(u16, String)> {
    post(address, "/api/spool", order).await
}

async fn post(address: SocketAddr, path: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{FIELD}: yes\r\nContent-Length: {length}\r\n\
         Content-Type: application/json\r\nConnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_OCTETS).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}

/// More than the mistakes of the longest configuration.
const ANSWER_OCTETS: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn request(fields: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::post(PATH);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn only_a_program_of_this_machine_is_admitted() {
        let (host, field) = (("host", "127.0.0.1:9925"), (FIELD, "yes"));
        assert_eq!(admit(&request(&[host, field]), HERE), Ok(()));
        assert_eq!(admit(&request(&[host, field]), "::ffff:127.0.0.1".parse().unwrap()), Ok(()));
        for (fields, peer) in [
            (vec![host, field], "192.0.2.1"),
            (vec![host], "127.0.0.1"),
            (vec![field], "127.0.0.1"),
            (vec![("host", "evil.example:9925"), field], "127.0.0.1"),
            (vec![("host", "127.0.0.1.evil.example"), field], "127.0.0.1"),
            (vec![host, field, ("origin", "http://127.0.0.1:9925")], "127.0.0.1"),
            (vec![host, field, ("origin", "null")], "127.0.0.1"),
            (vec![host, field, ("sec-fetch-site", "none")], "127.0.0.1"),
        ] {
            assert!(admit(&request(&fields), peer.parse().unwrap()).is_err(), "{fields:?} {peer}");
        }
    }

    #[test]
    fn a_host_is_here_if_no_name_server_is_asked_for_it() {
        for host in
            ["localhost", "LOCALHOST:9925", "127.0.0.1", "[::1]:9925", "[::1]", "10.0.0.1:1"]
        {
            assert!(is_here(host), "{host}");
        }
        for host in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80"] {
            assert!(!is_here(host), "{host}");
        }
    }

    #[tokio::test]
    async fn what_came_of_it_is_told() {
        let (reloading, mut requests) = reloading();
        let serving = tokio::spawn(async move {
            let refusal = Refusal::Configuration("error: no\n".into());
            for answer in [Ok("served now\n".into()), Err(refusal)] {
                requests.recv().await.unwrap().answer(answer);
            }
        });
        let request = request(&[("host", "localhost"), (FIELD, "yes")]);
        let peer = SocketAddr::from((HERE, 1));
        for status in [200, 422, 503] {
            let response = respond(&request, peer, Some(&reloading)).await;
            assert_eq!(response.status(), status);
        }
        assert_eq!(respond(&request, peer, None).await.status(), 503);
        serving.await.unwrap();
    }
}
