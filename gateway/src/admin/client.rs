//! Asks the admin interface of a running gateway, for the command line.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::guard::FIELD;
use crate::config::{Admin, AdminToken, ListenerAddress, TokenSecret};
use crate::tls::{self, Believed, TlsError};

/// Where a gateway is asked, and as whom.
#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    token: Option<TokenSecret>,
}

#[derive(Clone, Debug)]
enum Place {
    /// A host and a port.
    Tcp(String),
    Unix(PathBuf),
}

/// Why there is no answer, or another one than wanted.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody is there, or the connection breaks.
    #[error("no gateway answers at {place}: {cause}")]
    Silent {
        /// Where it was asked.
        place: String,
        /// What the system said.
        cause: io::Error,
    },
    /// It does not do what it was asked.
    #[error("the gateway at {place} answers {status}: {}", .text.trim_end())]
    Refused {
        /// Where it was asked.
        place: String,
        /// The status of HTTP.
        status: u16,
        /// What it says.
        text: String,
    },
    /// It is not known where to ask.
    #[error("{0}")]
    Nowhere(String),
    /// TLS cannot be spoken so.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl From<AskError> for String {
    /// For whoever only passes it on.
    fn from(error: AskError) -> Self {
        error.to_string()
    }
}

impl Client {
    /// The gateway of a configuration: at its Unix socket if it has one, else at its first address, with
    /// the token of it that may do most.
    ///
    /// # Errors
    ///
    /// If it has no admin interface, or its certificate cannot be read.
    pub fn of(admin: &Admin) -> Result<Self, AskError> {
        let is_unix = |at: &&ListenerAddress| matches!(at, ListenerAddress::Unix(_));
        let mut all = admin.addresses.iter().map(|address| &address.at);
        let at = all.clone().find(is_unix).or_else(|| all.next());
        let token = admin.tokens.iter().max_by_key(|token| token.role);
        let token = token.map(|AdminToken { secret, .. }| secret.clone());
        match at {
            Some(ListenerAddress::Unix(socket)) => {
                Ok(Self { place: Place::Unix(socket.path.clone()), tls: None, token: None })
            }
            Some(ListenerAddress::Ip(address)) => {
                let address = reachable(*address);
                let tls = match &admin.tls {
                    None => None,
                    Some(tls) => {
                        let config =
                            tls::client_config(Believed::Same(&tls.certificate.certificate))?;
                        Some((config, ServerName::from(address.ip())))
                    }
                };
                Ok(Self { place: Place::Tcp(address.to_string()), tls, token })
            }
            Some(ListenerAddress::Systemd(_)) | None => Err(AskError::Nowhere(
                "the configuration has no \"admin\" address to ask at".into(),
            )),
        }
    }

    /// A gateway anywhere: `unix:PATH`, `HOST:PORT` or `http://HOST:PORT` in clear text, or
    /// `https://HOST:PORT` with a certificate that the system believes, or that this authority made.
    ///
    /// # Errors
    ///
    /// If that is no address, or who is to be believed cannot be found out.
    pub fn at(
        address: &str,
        token: Option<TokenSecret>,
        authority: Option<&Path>,
    ) -> Result<Self, AskError> {
        if let Some(path) = address.strip_prefix("unix:") {
            return Ok(Self { place: Place::Unix(path.into()), tls: None, token });
        }
        let https = address.strip_prefix("https://");
        let bare = https.or_else(|| address.strip_prefix("http://")).unwrap_or(address);
        let bare = bare.trim_end_matches('/');
        let bare = match bare.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => bare.to_owned(),
            _ if https.is_some() => format!("{bare}:443"),
            _ => {
                let text = format!(
                    "\"{address}\" is no address such as 127.0.0.1:9925, unix:PATH or https://NAME"
                );
                return Err(AskError::Nowhere(text));
            }
        };
        let host = bare.rsplit_once(':').map_or(&*bare, |(host, _)| host);
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = match https {
            None => None,
            Some(_) => {
                let nameless = |_| AskError::Nowhere(format!("\"{host}\" is no host name"));
                let name = ServerName::try_from(host.clone()).map_err(nameless)?;
                let believed = authority.map_or(Believed::System, Believed::Authority);
                Some((tls::client_config(believed)?, name))
            }
        };
        Ok(Self { place: Place::Tcp(bare), tls, token })
    }

    /// What is at a path, as a whole.
    ///
    /// # Errors
    ///
    /// Any answer that is not 200.
    pub async fn get(&self, path: &str) -> Result<String, AskError> {
        let response = self.ask(Method::GET, path, Bytes::new()).await?;
        self.read(response).await
    }

    /// The status at a path, and what comes with it, whatever it is.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub async fn look(&self, path: &str) -> Result<(u16, String), AskError> {
        match self.get(path).await {
            Ok(text) => Ok((200, text)),
            Err(AskError::Refused { status, text, .. }) => Ok((status, text)),
            Err(error) => Err(error),
        }
    }

    /// Gives an order, as JSON says it; what came of it. That may take as long as plugins take to compile.
    ///
    /// # Errors
    ///
    /// Any answer that is not 200.
    pub async fn post(&self, path: &str, order: &str) -> Result<String, AskError> {
        let response =
            self.ask(Method::POST, path, Bytes::copy_from_slice(order.as_bytes())).await?;
        self.read(response).await
    }

    /// What comes at a path line by line, without an end.
    ///
    /// # Errors
    ///
    /// Any answer that is not 200.
    pub async fn follow(&self, path: &str) -> Result<Followed, AskError> {
        let response = self.ask(Method::GET, path, Bytes::new()).await?;
        if response.status() != 200 {
            return Err(self
                .read(response)
                .await
                .err()
                .unwrap_or_else(|| self.silent(io::ErrorKind::InvalidData)));
        }
        let (client, body) = (self.clone(), response.into_body());
        Ok(Followed { client, body, octets: BytesMut::new() })
    }

    async fn read(&self, response: Response<Incoming>) -> Result<String, AskError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_OCTETS).collect().await;
        let body = body.map_err(|error| self.silent(io::Error::other(error)))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        match status.as_u16() {
            200 => Ok(text),
            status => Err(AskError::Refused { place: self.to_string(), status, text }),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, AskError> {
        let host = match &self.place {
            Place::Tcp(address) => address,
            Place::Unix(_) => "localhost",
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        request = request.header(FIELD, "1").header(CONNECTION, "close");
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.reveal()));
        }
        let request = request.body(Full::new(body));
        let request = request.map_err(|error| self.silent(io::Error::other(error)))?;
        let connected = timeout(CONNECT_TIMEOUT, self.connect()).await;
        let late = |_| self.silent(io::ErrorKind::TimedOut);
        let stream = connected.map_err(late)?.map_err(|error| self.silent(error))?;
        let broken = |error: hyper::Error| self.silent(io::Error::other(error));
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the answer, or with us.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }

    async fn connect(&self) -> io::Result<Box<dyn Transport>> {
        let stream = match &self.place {
            Place::Tcp(address) => TcpStream::connect(address).await?,
            Place::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
        };
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                Ok(Box::new(connector.connect(name.clone(), stream).await?))
            }
        }
    }

    fn silent(&self, cause: impl Into<io::Error>) -> AskError {
        AskError::Silent { place: self.to_string(), cause: cause.into() }
    }
}

impl fmt::Display for Client {
    /// Where it asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(address) if self.tls.is_some() => write!(f, "https://{address}"),
            Place::Tcp(address) => f.write_str(address),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An answer that goes on.
#[derive(Debug)]
pub struct Followed {
    client: Client,
    body: Incoming,
    octets: BytesMut,
}

impl Followed {
    /// The next line, without its end; none when the answer ends.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or a line does not end.
    pub async fn next(&mut self) -> Result<Option<String>, AskError> {
        loop {
            if let Some(end) = self.octets.iter().position(|octet| *octet == b'\n') {
                let line = self.octets.split_to(end);
                self.octets.advance(1);
                let line = String::from_utf8_lossy(&line);
                return Ok(Some(line.trim_end_matches('\r').to_owned()));
            }
            if self.octets.len() > ANSWER_OCTETS {
                return Err(self.client.silent(io::ErrorKind::InvalidData));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => return Err(self.client.silent(io::Error::other(error))),
                Some(Ok(frame)) => {
                    self.octets.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                }
            }
        }
    }
}

/// A connection.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Where to reach who listens everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let here = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(here, address.port())
}

/// More than what is kept of what went on.
const ANSWER_OCTETS: usize = 256 << 20;

/// For the connection, with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
