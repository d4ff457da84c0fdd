//! Pumps octets between one socket and one [`Session`].
//!
//! All waiting happens here; all SMTP happens there. An idle connection holds no buffer: what is
//! read lies on the stack until the session has taken it.

mod delay;
mod following;
mod greeting;
mod introduction;
mod patience;
mod transport;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use portcullis_smtp::Reply;
use portcullis_smtp::sasl::{ChannelBindings, Mechanism};
use portcullis_smtp::server::{
    Channel, Event, NONCE_OCTETS, Question, Session, Settings, Step, Verdict,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::{EarlyTalkers, SessionTimeouts, Trust};
use crate::live::{Presence, Stage, What};
use crate::metrics::{Account, Awaited, Bound, Cause, ListenerMetrics};
use crate::policy::{CLOSED, Policy};
use crate::shutdown::Watcher;
use crate::tls;

use patience::{Deadline, Patience, farewell};

pub use delay::Delays;
pub use introduction::{IntroductionError, introduction};
pub use transport::Transport;

/// What all connections of one listener share.
#[derive(Clone)]
pub struct Terms {
    /// How the sessions speak.
    pub settings: Arc<Settings>,
    /// How long they may take.
    pub timeouts: SessionTimeouts,
    /// Octets a second at which content must come, after a time of grace.
    pub content_rate: u64,
    /// How long the banner is held back.
    pub greeting_delay: Duration,
    /// What becomes of clients that talk meanwhile.
    pub early_talkers: EarlyTalkers,
    /// How many may wait for a reply that is held back.
    pub delays: Arc<Delays>,
    /// Which peers may speak for others.
    pub trust: Trust,
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
    /// The peer closed without QUIT, or before it could hear the answer to it.
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

impl ConnectionError {
    fn cause(&self) -> Cause {
        match self {
            Self::Handshake(error) if error.kind() == io::ErrorKind::Interrupted => Cause::Draining,
            Self::Handshake(_) => Cause::Tls,
            Self::Io(_) => Cause::Broken,
            Self::WriteTimeout => Cause::SlowReader,
        }
    }
}

/// Holds the whole conversation. What the peer may do is the channel's to say; of TLS it knows
/// nothing yet. What goes on is shown by the presence.
///
/// # Errors
///
/// If the socket or the handshake fails, or the peer does not read what it is told.
pub async fn serve<P: Policy>(
    transport: Transport,
    terms: &Terms,
    channel: Channel,
    policy: &mut P,
    presence: &Presence,
    shutdown: &mut Watcher,
) -> Result<Ending, ConnectionError> {
    presence.step(|| What::Connect);
    let mut account = terms.metrics.session();
    let mut socket = Socket::Plain(transport);
    if terms.implicit_tls {
        presence.works_at(Stage::Tls);
        account.tls();
        let shaken = socket.handshake(terms, policy, shutdown).await;
        socket = shaken.inspect_err(|error| account.ends(error.cause()))?;
    }
    let bindings = socket.bindings(&terms.settings);
    let channel = Channel { tls: channel.tls || terms.implicit_tls, bindings, ..channel };
    let mut session = Session::new(terms.settings.clone(), channel);
    session.transcribe(presence.is_followed());
    let (socket, account_of) = (&mut socket, &mut account);
    let talk = converse(socket, &mut session, terms, policy, presence, shutdown, account_of);
    let ending = talk.await;
    account.ends(match &ending {
        Ok(_) => Cause::Left,
        Err(error) => error.cause(),
    });
    following::tell_end(&mut session, presence, reason(&ending));
    policy.lost(reason(&ending)).await;
    ending
}

/// Why a conversation ended, for those who keep a record of it.
fn reason(ending: &Result<Ending, ConnectionError>) -> &'static str {
    match ending {
        Ok(Ending::Closed) => CLOSED,
        Ok(Ending::PeerLeft) => "the client left",
        Err(ConnectionError::Handshake(_)) => "the TLS handshake failed",
        Err(ConnectionError::Io(_)) => "the connection broke",
        Err(ConnectionError::WriteTimeout) => "the client reads too slowly",
    }
}

async fn converse<P: Policy>(
    socket: &mut Socket,
    session: &mut Session,
    terms: &Terms,
    policy: &mut P,
    presence: &Presence,
    shutdown: &mut Watcher,
    account: &mut Account<'_>,
) -> Result<Ending, ConnectionError> {
    let mut patience = Patience::new();
    if !greeting::hold_back(socket, session, terms, shutdown).await? {
        return Ok(Ending::PeerLeft);
    }
    loop {
        match session.poll() {
            Step::Ask(Question::Mail { .. }) if patience.is_over(terms) => {
                time_is_up(session, terms, Bound::SessionTime, account);
            }
            Step::Ask(question) => {
                patience.asks(&question);
                following::tell_question(session, presence, &question);
                let (verdict, delay) = ask(question, socket, session, policy, account).await;
                if !delay.is_zero() {
                    socket.flush(session, terms, presence, account).await?;
                    let (delay, stage) = (patience.held_back(delay), presence.stage());
                    presence.works_at(Stage::Delay);
                    if !delay::hold(delay, socket, session, terms, policy, shutdown).await? {
                        return Ok(Ending::PeerLeft);
                    }
                    presence.works_at(stage);
                }
                session.decide(verdict);
                patience.asked();
            }
            Step::Content(chunk) => {
                patience.content_began();
                presence.content(chunk.len());
                policy.content(chunk).await;
            }
            Step::Aborted => policy.aborted().await,
            Step::Disproved { mechanism, user } => policy.disproved(mechanism, user).await,
            Step::Nonce => draw_nonce(session),
            Step::Verifier { mechanism, user } => {
                let known = policy.verifier(mechanism, user).await;
                session.verifier(known);
                patience.asked();
            }
            Step::Refused(reply) => {
                presence.content_ended();
                policy.refused(reply).await;
            }
            Step::Read => {
                following::tell_wait(session, presence);
                let answered = socket.flush(session, terms, presence, account).await?.is_some();
                patience.wait(session, answered);
                if shutdown.has_begun() && !session.in_transaction() {
                    session.end(&Reply::fixed(421, (4, 3, 2), "shutting down, try again later"));
                    account.ends(Cause::Draining);
                    continue;
                }
                match read(socket, session, terms, policy, &patience, shutdown).await? {
                    Ok(Some(0)) => return Ok(Ending::PeerLeft),
                    Ok(Some(octets)) => {
                        patience.received(octets);
                        account.received(octets);
                        presence.heard(octets);
                    }
                    Ok(None) => {}
                    Err(bound) => time_is_up(session, terms, bound, account),
                }
            }
            Step::StartTls => {
                socket.flush(session, terms, presence, account).await?;
                secure(socket, session, terms, policy, presence, shutdown).await?;
                patience.restart();
            }
            Step::Close => return part(socket, session, terms, presence, account).await,
        }
    }
}

/// Goes on under TLS.
async fn secure<P: Policy>(
    socket: &mut Socket,
    session: &mut Session,
    terms: &Terms,
    policy: &mut P,
    presence: &Presence,
    shutdown: &mut Watcher,
) -> Result<(), ConnectionError> {
    presence.works_at(Stage::Tls);
    let plain = std::mem::replace(socket, Socket::Gone);
    *socket = plain.handshake(terms, policy, shutdown).await?;
    session.tls_established(socket.bindings(&terms.settings));
    Ok(())
}

/// Says the last words.
async fn part(
    socket: &mut Socket,
    session: &mut Session,
    terms: &Terms,
    presence: &Presence,
    account: &mut Account<'_>,
) -> Result<Ending, ConnectionError> {
    let left = socket.has_ended().await;
    presence.works_at(Stage::Closing);
    let last = socket.flush(session, terms, presence, account).await?;
    account.closes(last == Some(GOODBYE));
    socket.close(terms.timeouts.write, last != Some(GOODBYE)).await;
    Ok(if left { Ending::PeerLeft } else { Ending::Closed })
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

/// Has a question answered, and measures how long the client waits for it; how long the answer is to be
/// held back.
async fn ask<P: Policy>(
    question: Question,
    socket: &mut Socket,
    session: &mut Session,
    policy: &mut P,
    account: &mut Account<'_>,
) -> (Verdict, Duration) {
    let (awaited, asked) = (awaited(&question), Instant::now());
    policy.behaved(session.conduct());
    let verdict = policy.judge(question).await;
    if let Some(awaited) = awaited {
        account.answered(awaited, asked.elapsed());
        if awaited == Awaited::Connect {
            socket.take_early(session).await;
        }
    }
    (verdict, policy.delay())
}

/// What is measured of a question: how long a client waits for the answer.
fn awaited(question: &Question) -> Option<Awaited> {
    Some(match question {
        Question::Auth(_) => Awaited::Auth,
        Question::Connect => Awaited::Connect,
        Question::Data => Awaited::Data,
        Question::Hello { .. } => Awaited::Helo,
        Question::Mail { .. } => Awaited::Mail,
        Question::Message => Awaited::Message,
        Question::Rcpt { .. } => Awaited::Rcpt,
        Question::Xclient(_) | Question::Xforward(_) => return None,
    })
}

/// Reads once; `None` if the shutdown came instead of octets. Or the deadline came that this was.
async fn read<P: Policy>(
    socket: &mut Socket,
    session: &mut Session,
    terms: &Terms,
    policy: &mut P,
    patience: &Patience,
    shutdown: &mut Watcher,
) -> Result<Result<Option<usize>, Bound>, ConnectionError> {
    let Deadline { at: deadline, bound } = patience.deadline(session, terms);
    let interruptible = !shutdown.has_begun();
    let received = async {
        match timeout_at(patience.idle(terms), socket.receive(session)).await {
            Ok(read) => return read,
            Err(_) => policy.idle().await,
        }
        socket.receive(session).await
    };
    let received = timeout_at(deadline, received);
    tokio::select! {
        read = received => match read {
            Ok(count) => Ok(Ok(Some(count?))),
            Err(_) => Ok(Err(bound)),
        },
        () = shutdown.begun(), if interruptible => Ok(Ok(None)),
    }
}

fn time_is_up(session: &mut Session, terms: &Terms, bound: Bound, account: &mut Account<'_>) {
    terms.metrics.bound_reached(bound);
    account.ends(Cause::Timeout);
    session.end(&farewell(bound));
}

/// A moment after the shutdown has begun: a handshake that comes to its end by then is worth a 421,
/// and the client does not take TLS for broken.
async fn last_moment(shutdown: &mut Watcher) {
    shutdown.begun().await;
    tokio::time::sleep(LINGER_TIME).await;
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
        shutdown: &mut Watcher,
    ) -> Result<Self, ConnectionError> {
        let (Self::Plain(plain), Some(acceptor)) = (self, &terms.acceptor) else {
            return Err(ConnectionError::Handshake(io::ErrorKind::Unsupported.into()));
        };
        let began = Instant::now();
        let shaken = tokio::select! {
            shaken = timeout(terms.timeouts.handshake, acceptor.accept(plain)) => shaken,
            () = last_moment(shutdown) => {
                return Err(ConnectionError::Handshake(io::ErrorKind::Interrupted.into()));
            }
        };
        let shaken = shaken.unwrap_or_else(|_| {
            terms.metrics.bound_reached(Bound::HandshakeTime);
            Err(io::ErrorKind::TimedOut.into())
        });
        let failure = shaken.as_ref().map(drop).map_err(tls::failure);
        terms.metrics.tls_handshake(failure, began.elapsed());
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
        self.receive_at_most(READ_OCTETS, session).await
    }

    /// The same, but no more than this.
    async fn receive_at_most(&mut self, most: usize, session: &mut Session) -> io::Result<usize> {
        poll_fn(|context| {
            let mut octets = [MaybeUninit::uninit(); READ_OCTETS];
            let mut buffer = ReadBuf::uninit(&mut octets[..most.min(READ_OCTETS)]);
            self.poll_read(context, &mut buffer).map_ok(|()| {
                session.receive(buffer.filled());
                buffer.filled().len()
            })
        })
        .await
    }

    /// Hands over what has come before the banner, without waiting for it. An end shows at the next read.
    async fn take_early(&mut self, session: &mut Session) {
        poll_fn(|context| {
            let _ = pin!(self.receive(session)).poll(context);
            Poll::Ready(())
        })
        .await;
    }

    /// Whether the peer has closed already, without waiting for the answer to what it sent last.
    async fn has_ended(&mut self) -> bool {
        poll_fn(|context| {
            let mut octets = [0; 1];
            let mut buffer = ReadBuf::new(&mut octets);
            Poll::Ready(match self.poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) => buffer.filled().is_empty(),
                Poll::Ready(Err(_)) => true,
                Poll::Pending => false,
            })
        })
        .await
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Gone => Poll::Ready(Ok(())),
            Self::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }

    /// Writes what the session has to say; the code of the last reply.
    async fn flush(
        &mut self,
        session: &mut Session,
        terms: &Terms,
        presence: &Presence,
        account: &mut Account<'_>,
    ) -> Result<Option<u16>, ConnectionError> {
        following::tell_lines(session, presence);
        let mut last = None;
        for event in session.take_events() {
            match event {
                Event::Command(verb) => {
                    terms.metrics.command(verb);
                    account.command(verb);
                }
                Event::Limited(limit) => {
                    terms.metrics.limited(limit);
                    account.limited();
                }
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
        let Ok(written) = timeout(terms.timeouts.write, written).await else {
            terms.metrics.bound_reached(Bound::WriteTime);
            return Err(ConnectionError::WriteTimeout);
        };
        written?;
        presence.said(output.len());
        account.sent(output.len());
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
/// How long a client that was hung up on may go on sending, and a handshake may outlive the service.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// And how much.
const LINGER_OCTETS: usize = 256 * 1024;
/// One read. This lies on the stack.
const READ_OCTETS: usize = 64 * 1024;

#[cfg(test)]
mod tests;
