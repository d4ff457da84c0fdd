//! Streams to services that a plugin is granted, and to nobody else.
//!
//! As with HTTP, what is checked is what is connected to: a name is resolved once, its addresses are
//! looked at, and the connection goes to one of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::BufMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::address::{NoAddress, addresses};
use crate::config::{Service, ServicePlace};
use crate::resolver::Resolver;

/// Opens the streams of all plugins. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct StreamClient {
    resolver: Resolver,
    streams: Arc<Semaphore>,
}

/// An open stream. Dropped, it is closed, whatever the other side still has to say.
pub(super) struct Stream {
    socket: Box<dyn Socket>,
    /// Whether something was written in part: what came next would not be what the other side takes it
    /// for.
    cut_short: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Why something could not be done.
#[derive(Debug, PartialEq)]
pub(super) enum StreamFailure {
    Denied,
    TooMany,
    TimedOut,
    Unavailable(String),
}

impl StreamFailure {
    /// The label of a result in metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::TooMany => "too-many",
            Self::TimedOut => "timed-out",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl StreamClient {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, streams: Arc::new(Semaphore::new(STREAMS)) }
    }

    /// Opens one, if its address is among those granted.
    pub(super) async fn open(
        &self,
        granted: &[Service],
        address: &str,
        deadline: Instant,
    ) -> Result<Stream, StreamFailure> {
        let service = granted.iter().find(|service| service.address == address);
        let service = service.ok_or(StreamFailure::Denied)?;
        in_time(deadline, async {
            // The semaphore is never closed.
            let permit = self.streams.clone().acquire_owned().await.ok();
            let socket = self.connect(service).await?;
            Ok(Stream { socket, cut_short: false, _permit: permit })
        })
        .await
    }

    async fn connect(&self, service: &Service) -> Result<Box<dyn Socket>, StreamFailure> {
        let (host, port) = match &service.place {
            ServicePlace::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                return Ok(Box::new(stream.map_err(unavailable)?));
            }
            ServicePlace::Host { host, port } => (host, *port),
        };
        let mut reason = StreamFailure::TimedOut;
        for address in addresses(&self.resolver, host, service.private).await? {
            match TcpStream::connect(SocketAddr::new(address, port)).await {
                Ok(stream) => {
                    // What a plugin writes is a whole word of its protocol.
                    let _ = stream.set_nodelay(true);
                    return Ok(Box::new(stream));
                }
                Err(error) => reason = unavailable(error),
            }
        }
        Err(reason)
    }
}

impl Stream {
    /// Writes all of it.
    pub(super) async fn write(
        &mut self,
        octets: &[u8],
        deadline: Instant,
    ) -> Result<(), StreamFailure> {
        if self.cut_short {
            let text = "something written before was cut short";
            return Err(StreamFailure::Unavailable(text.to_owned()));
        }
        // Until it is known that it was not: whoever gives up waiting does not come back here.
        self.cut_short = true;
        let socket = &mut self.socket;
        let written = async { socket.write_all(octets).await.map_err(unavailable) };
        in_time(deadline, written).await?;
        self.cut_short = false;
        Ok(())
    }

    /// Waits for something, and gives at most so much of it; nothing is the end.
    pub(super) async fn read(
        &mut self,
        max: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, StreamFailure> {
        let mut octets = Vec::with_capacity(max).limit(max);
        let socket = &mut self.socket;
        in_time(deadline, async { socket.read_buf(&mut octets).await.map_err(unavailable) })
            .await?;
        Ok(octets.into_inner())
    }
}

async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, StreamFailure>>,
) -> Result<T, StreamFailure> {
    // Where there is always something to read, nobody would look at the time.
    if Instant::now() >= deadline {
        return Err(StreamFailure::TimedOut);
    }
    timeout_at(deadline.into(), work).await.unwrap_or(Err(StreamFailure::TimedOut))
}

impl From<NoAddress> for StreamFailure {
    fn from(why: NoAddress) -> Self {
        match why {
            NoAddress::Denied => Self::Denied,
            NoAddress::Unresolved(why) => Self::Unavailable(why),
        }
    }
}

fn unavailable(error: io::Error) -> StreamFailure {
    StreamFailure::Unavailable(error.to_string())
}

/// Open at once in one call, as the contract says.
pub(super) const STREAMS_AT_ONCE: usize = 16;

/// Octets of one write, as the contract says.
pub(super) const WRITE_OCTETS: usize = 1 << 20;

/// Open at once in the process, a descriptor each; further ones wait, within their plugin's time.
const STREAMS: usize = 256;
