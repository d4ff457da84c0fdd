//! Pumps octets between one socket and one [`Session`].
//!
//! All waiting happens here; all SMTP happens there. An idle connection holds no buffer: what is
//! read lies on the stack until the session has taken it.

mod transport;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_smtp::Reply;
use portcullis_smtp::sasl::{ChannelBindings, Mechanism};
use portcullis_smtp::server::{Awaiting, Channel, Event, NONCE_OCTETS, Session, Settings, Step};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::SessionTimeouts;
use crate::metrics::ListenerMetrics;
use crate::policy::Policy;
use crate::shutdown::Watcher;
use crate::tls;

pub use transport::Transport;

/// What all connections of one listener share.
#[derive(Clone)]
pub struct Terms {
    /// How the sessions speak.
    pub settings: Arc<Settings>,
    /// How long they may take.
    pub timeouts: SessionTimeouts,
    /// After which silence within a transaction policy is told of it.
    pub pause: Duration,
    /// For STARTTLS or implicit TLS.
    pub acceptor: Option<TlsAcceptor>,
    /// Whether TLS starts with the first octet.
    pub implicit_tls: bool,
    /// Where commands and replies are counted.
    pub metrics: Arc<ListenerMetrics>,
}

impl std::fmt::Debug for Terms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terms").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// With a last reply: QUIT, or the gateway's own decision.
    Closed,
    /// The peer closed without QUIT.
    PeerLeft,
}

/// Why a conversation ended without a goodbye.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The TLS handshake failed; the peer's fault or a matter of versions and certificates.
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
    /// The socket failed.
    #[error("socket failed")]
    Io(#[from] io::Error),
    /// The peer takes nothing: it does not read.
    #[error("peer reads too slowly")]
    WriteTimeout,
}

/// Holds the whole conversation.
///
/// # Errors
///
/// If the socket or the handshake fails, or the peer does not read what it is told.
pub async fn serve<P: Policy>(
    transport: Transport,
    terms: &Terms,
    policy: &mut P,
    shutdown: &mut Watcher,
) -> Result<Ending, ConnectionError> {
    let mut socket = Socket::Plain(transport);
    if terms.implicit_tls {
        socket = socket.handshake(terms, policy).await?;
    }
    let bindings = socket.bindings(&terms.settings);
    let channel = Channel { tls: terms.implicit_tls, bindings, ..Channel::default() };
    let mut session = Session::new(terms.settings.clone(), channel);
    let ending = converse(&mut socket, &mut session, terms, policy, shutdown).await;
    policy.lost().await;
    ending
}

async fn converse<P: Policy>(
    socket: &mut Socket,
    session: &mut Session,
    terms: &Terms,
    policy: &mut P,
    shutdown: &mut Watcher,
) -> Result<Ending, ConnectionError> {
    // Since when the client is waited for. A command that comes octet by octet is late like one
    // that does not come; content may take as long as it goes on coming.
    let mut since = Instant::now();
    // Since when policy has not been asked.
    let mut asked = since;
    loop {
        match session.poll() {
            Step::Ask(question) => {
                let verdict = policy.judge(question).await;
                session.decide(verdict);
                asked = Instant::now();
            }
            Step::Content(chunk) => policy.content(chunk).await,
            Step::Aborted => policy.aborted().await,
            Step::Disproved { mechanism, user } => policy.disproved(mechanism, user).await,
            Step::Nonce => draw_nonce(session),
            Step::Verifier { mechanism, user } => {
                let known = policy.verifier(mechanism, user).await;
                session.verifier(known);
                asked = Instant::now();
            }
            Step::Refused(reply) => policy.refused(reply).await,
            Step::Read => {
                let answered = socket.flush(session, terms).await?.is_some();
                if answered || session.awaiting() == Awaiting::Content {
                    since = Instant::now();
                }
                if shutdown.has_begun() && !session.in_transaction() {
                    session.end(&Reply::fixed(421, (4, 3, 2), "shutting down, try again later"));
                    continue;
                }
                let patience = Patience { since, idle: asked + terms.pause };
                if read(socket, session, terms, policy, patience, shutdown).await? == Some(0) {
                    return Ok(Ending::PeerLeft);
                }
            }
            Step::StartTls => {
                socket.flush(session, terms).await?;
                let plain = std::mem::replace(socket, Socket::Gone);
                *socket = plain.handshake(terms, policy).await?;
                session.tls_established(socket.bindings(&terms.settings));
                since = Instant::now();
            }
            Step::Close => {
                let last = socket.flush(session, terms).await?;
                socket.close(terms.timeouts.write, last != Some(GOODBYE)).await;
                return Ok(Ending::Closed);
            }
        }
    }
}

/// Gives the session octets that nobody can foresee; without them it cannot go on.
fn draw_nonce(session: &mut Session) {
    let mut octets = [0; NONCE_OCTETS];
    match getrandom::fill(&mut octets) {
        Ok(()) => session.nonce(octets),
        Err(error) => {
            tracing::error!(%error, "no random octets");
            session.end(&Reply::fixed(421, (4, 3, 0), "cannot go on, try again later"));
        }
    }
}

/// Reads once; `None` if something else than octets came: a deadline, or the shutdown.
async fn read<P: Policy>(
    socket: &mut Socket,
    session: &mut Session,
    terms: &Terms,
    policy: &mut P,
    patience: Patience,
    shutdown: &mut Watcher,
) -> Result<Option<usize>, ConnectionError> {
    let deadline = patience.since
        + match session.awaiting() {
            Awaiting::Command => terms.timeouts.command,
            Awaiting::Content => terms.timeouts.content,
        };
    let interruptible = !shutdown.has_begun();
    let received = async {
        if session.in_transaction() {
            match timeout_at(patience.idle, socket.receive(session)).await {
                Ok(read) => return read,
                Err(_) => policy.idle().await,
            }
        }
        socket.receive(session).await
    };
    let received = timeout_at(deadline, received);
    tokio::select! {
        read = received => match read {
            Ok(count) => Ok(Some(count?)),
            Err(_) => {
                session.end(&Reply::fixed(421, (4, 4, 2), "timeout, closing connection"));
                Ok(None)
            }
        },
        () = shutdown.begun(), if interruptible => Ok(None),
    }
}

/// How long a client is waited for.
#[derive(Clone, Copy)]
struct Patience {
    /// Since when it owes what the session awaits.
    since: Instant,
    /// From when on policy is told that the client takes its time.
    idle: Instant,
}

/// One client's socket.
enum Socket {
    /// Between the two others, during a handshake.
    Gone,
    Plain(Transport),
    Tls(Box<TlsStream<Transport>>),
}

impl Socket {
    async fn handshake<P: Policy>(
        self,
        terms: &Terms,
        policy: &mut P,
    ) -> Result<Self, ConnectionError> {
        let (Self::Plain(plain), Some(acceptor)) = (self, &terms.acceptor) else {
            return Err(ConnectionError::Handshake(io::ErrorKind::Unsupported.into()));
        };
        let shaken = timeout(terms.timeouts.handshake, acceptor.accept(plain)).await;
        let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        terms.metrics.tls_handshake(shaken.as_ref().map(drop).map_err(tls::failure));
        let stream = shaken.map_err(ConnectionError::Handshake)?;
        policy.tls_established(tls::facts(stream.get_ref().1));
        Ok(Self::Tls(Box::new(stream)))
    }

    /// What SASL can be bound to, if that matters here.
    fn bindings(&self, settings: &Settings) -> Option<Box<ChannelBindings>> {
        match self {
            _ if !settings.auth.mechanisms.contains(&Mechanism::ScramSha256Plus) => None,
            Self::Gone | Self::Plain(_) => None,
            Self::Tls(stream) => tls::bindings(stream.get_ref().1).map(Box::new),
        }
    }

    /// Reads what has come and hands it to the session. The count of octets; 0 is the end.
    async fn receive(&mut self, session: &mut Session) -> io::Result<usize> {
        poll_fn(|context| {
            let mut octets = [0; READ_OCTETS];
            let mut buffer = ReadBuf::new(&mut octets);
            let read = match self {
                Self::Gone => return io::Result::Ok(0).into(),
                Self::Plain(stream) => Pin::new(stream).poll_read(context, &mut buffer),
                Self::Tls(stream) => Pin::new(stream).poll_read(context, &mut buffer),
            };
            read.map_ok(|()| {
                session.receive(buffer.filled());
                buffer.filled().len()
            })
        })
        .await
    }

    /// Writes what the session has to say; the code of the last reply.
    async fn flush(
        &mut self,
        session: &mut Session,
        terms: &Terms,
    ) -> Result<Option<u16>, ConnectionError> {
        let mut last = None;
        for event in session.take_events() {
            match event {
                Event::Command(verb) => terms.metrics.command(verb),
                Event::Limited(limit) => terms.metrics.limited(limit),
                Event::Reply(code) => {
                    terms.metrics.reply(code);
                    last = Some(code);
                }
            }
        }
        let output = session.take_output();
        if output.is_empty() {
            return Ok(last);
        }
        let written = async {
            match self {
                Self::Gone => Ok(()),
                Self::Plain(stream) => stream.write_all(&output).await,
                Self::Tls(stream) => {
                    stream.write_all(&output).await?;
                    stream.flush().await
                }
            }
        };
        timeout(terms.timeouts.write, written)
            .await
            .map_err(|_| ConnectionError::WriteTimeout)??;
        Ok(last)
    }

    /// Says goodbye to TLS and TCP; a peer that is gone already is no error any more.
    ///
    /// A socket that is closed with unread input is reset, and the last reply may be lost with it.
    /// After a QUIT there is none; otherwise what still comes is read for a moment.
    async fn close(&mut self, patience: Duration, linger: bool) {
        let closed = async {
            match self {
                Self::Gone => return Ok(()),
                Self::Plain(_) if !linger => return Ok(()),
                Self::Plain(stream) => stream.shutdown().await?,
                Self::Tls(stream) => stream.shutdown().await?,
            }
            let stream = match self {
                Self::Plain(stream) => stream,
                Self::Tls(stream) => stream.get_mut().0,
                Self::Gone => return Ok(()),
            };
            let mut octets = vec![0; if linger { READ_OCTETS } else { 0 }];
            let mut left = if linger { LINGER_OCTETS } else { 0 };
            while left > 0 {
                match stream.read(&mut octets).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            io::Result::Ok(())
        };
        let patience = if linger { patience.min(LINGER_TIME) } else { patience };
        if let Ok(Err(error)) = timeout(patience, closed).await {
            tracing::debug!(%error, "closing failed");
        }
    }
}

/// The reply to QUIT.
const GOODBYE: u16 = 221;
/// How long a client that was hung up on may go on sending.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// And how much.
const LINGER_OCTETS: usize = 256 * 1024;
/// One read. Larger ones do not make a message faster, and this lies on the stack.
const READ_OCTETS: usize = 16 * 1024;

#[cfg(test)]
mod tests;
