//! Connections to origins. Some are kept for the next request.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{HttpFailure, HttpRequest, OutgoingBody};
use crate::config::Origin;
use crate::plugins::address::{NoAddress, addresses};
use crate::resolver::Resolver;

/// All of them.
pub(super) struct Connections {
    resolver: Resolver,
    idle: Mutex<HashMap<Place, Vec<Idle>>>,
    /// Made when it is first needed: the system's authorities have to be read.
    tls: OnceCell<TlsConnector>,
}

/// An origin, and where its name may lead: what one plugin may reach another may not.
type Place = (bool, String, u16, bool);

struct Idle {
    connection: Connection,
    since: Instant,
}

/// Closed when it is dropped, whatever the other side still has to say.
pub(super) struct Connection {
    sender: SendRequest<OutgoingBody>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, idle: Mutex::default(), tls: OnceCell::new() }
    }

    /// Sends a request; its answer's body has still to be read, as long as there is the connection. One
    /// that was kept and is closed meanwhile has not taken the request, and another one does.
    pub(super) async fn send(
        &self,
        origin: &Origin,
        request: HttpRequest,
    ) -> Result<(Response<Incoming>, Connection), HttpFailure> {
        let mut request = framed(origin, request)?;
        while let Some(mut connection) = self.take(origin) {
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, connection)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(no_answer(&error.into_error())),
                },
            }
        }
        let mut connection = self.connect(origin).await?;
        let response = connection.sender.send_request(request).await;
        Ok((response.map_err(|error| no_answer(&error))?, connection))
    }

    /// One that was kept.
    fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(&place(origin))?;
        while let Some(Idle { connection, since }) = kept.pop() {
            if connection.sender.is_ready() && since.elapsed() < IDLE_TIME {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer is read to the end, as soon as the request is sent to the end,
    /// too. A server that answers and reads no further would hold it, and what is to be sent, for ever.
    pub(super) fn keep(self: &Arc<Self>, origin: &Origin, mut connection: Connection) {
        let (this, place) = (Arc::clone(self), place(origin));
        tokio::spawn(async move {
            if !matches!(timeout(READY_TIME, connection.sender.ready()).await, Ok(Ok(()))) {
                return;
            }
            let mut idle = this.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let kept = idle.entry(place).or_default();
            kept.retain(|one| one.connection.sender.is_ready() && one.since.elapsed() < IDLE_TIME);
            if kept.len() < IDLE {
                kept.push(Idle { connection, since: Instant::now() });
            }
        });
    }

    async fn connect(&self, origin: &Origin) -> Result<Connection, HttpFailure> {
        let addresses = addresses(&self.resolver, &origin.host, origin.private).await;
        let mut reason = HttpFailure::TimedOut;
        for address in addresses? {
            match TcpStream::connect(SocketAddr::new(address, origin.port)).await {
                Ok(stream) => {
                    // Small requests do not wait for company.
                    let _ = stream.set_nodelay(true);
                    return self.shake_hands(origin, stream).await;
                }
                Err(error) => reason = unavailable(&error),
            }
        }
        Err(reason)
    }

    async fn shake_hands(
        &self,
        origin: &Origin,
        stream: TcpStream,
    ) -> Result<Connection, HttpFailure> {
        if !origin.tls {
            return start(stream).await;
        }
        let connector = self.tls.get_or_try_init(connector).await?;
        let name = ServerName::try_from(origin.host.clone());
        let name = name.map_err(|error| HttpFailure::Malformed(error.to_string()))?;
        let stream = connector.connect(name, stream).await.map_err(|error| unavailable(&error))?;
        start(stream).await
    }
}

/// The request as it goes over the wire.
fn framed(
    origin: &Origin,
    HttpRequest { method, uri, mut headers, body }: HttpRequest,
) -> Result<Request<OutgoingBody>, HttpFailure> {
    let malformed = || HttpFailure::Malformed("the URL".to_owned());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let authority = uri.authority().ok_or_else(malformed)?;
    let port = if origin.tls { 443 } else { 80 };
    let host = if origin.port == port { authority.host() } else { authority.as_str() };
    headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| malformed())?);
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| malformed())?;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Speaks HTTP over a stream. The task ends with the connection.
async fn start(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<Connection, HttpFailure> {
    let mut builder = Builder::new();
    builder.max_headers(super::HEADERS).max_buf_size(super::HEAD_OCTETS);
    let (sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| no_answer(&error))?;
    let task = tokio::spawn(async move {
        // Whoever waits for an answer hears of it.
        let _ = connection.await;
    });
    Ok(Connection { sender, task: task.abort_handle() })
}

/// TLS with the authorities that the system trusts.
async fn connector() -> Result<TlsConnector, HttpFailure> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        // A store of the world's authorities always holds some that cannot be used.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let roots = reading.await.unwrap_or_else(|_| RootCertStore::empty());
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpFailure::Unavailable(error.to_string()))?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn place(origin: &Origin) -> Place {
    (origin.tls, origin.host.clone(), origin.port, origin.private)
}

impl From<NoAddress> for HttpFailure {
    fn from(why: NoAddress) -> Self {
        match why {
            NoAddress::Denied => Self::Denied,
            NoAddress::Unresolved(why) => Self::Unavailable(why),
        }
    }
}

fn unavailable(error: &std::io::Error) -> HttpFailure {
    HttpFailure::Unavailable(error.to_string())
}

fn no_answer(error: &hyper::Error) -> HttpFailure {
    if error.is_parse_too_large() {
        return HttpFailure::TooLarge;
    }
    let what = if error.is_parse() { "the answer is no HTTP" } else { "no answer" };
    HttpFailure::Unavailable(what.to_owned())
}

/// Connections that are kept for one origin: as many as one call uses.
const IDLE: usize = super::REQUESTS_AT_ONCE;

/// Less than servers keep them for.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// For a server to take the rest of a request that it has answered.
const READY_TIME: Duration = Duration::from_secs(1);
