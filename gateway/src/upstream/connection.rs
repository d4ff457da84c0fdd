//! Pumps octets between one upstream and one [`Session`].
//!
//! All waiting happens here; all SMTP happens there.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use portcullis_smtp::Reply;
use portcullis_smtp::client::{Session, Settings, Stage, StartTls, Step};
use portcullis_smtp::xclient::Xclient;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::config::Hop;
use crate::metrics::{self, UpstreamMetrics};

use super::address::{Address, Endpoint, Open};
use super::failure::Failure;
use super::login;
use super::stream::Stream;
use super::tls::{self, Tls};

/// One connection to an upstream, greeted and ready, or in a transaction.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: Session,
    stream: Stream,
    input: Box<[u8]>,
    opened: Instant,
    /// Transactions that were carried out over it.
    pub(super) transactions: u32,
    /// Who the upstream takes the client for, if it was told.
    pub(super) introduced: Option<Box<Xclient>>,
    counted: Counted,
    at: Open,
}

/// How to connect to one upstream.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) upstream: Hop,
    pub(super) hostname: String,
    pub(super) tls: Option<Tls>,
    pub(super) metrics: Arc<UpstreamMetrics>,
}

/// How long to wait for an address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For the connection.
    pub(super) dial: Duration,
    /// For the banner after it.
    pub(super) banner: Duration,
    /// For everything up to the first transaction, if that has a bound of its own.
    pub(super) whole: Option<Duration>,
}

impl Target {
    /// Connects, does TLS as configured, and greets.
    pub(super) async fn connect(
        &self,
        address: &Arc<Address>,
        patience: Patience,
    ) -> Result<Connection, Failure> {
        let began = Instant::now();
        let connection = match patience.whole {
            Some(whole) => timeout(whole, self.connect_any_way(address, patience))
                .await
                .unwrap_or(Err(Failure::Timeout)),
            None => self.connect_any_way(address, patience).await,
        };
        let result = match &connection {
            Ok(_) => metrics::Connect::Ok,
            Err(failure) => failure.connect_result(),
        };
        self.metrics.connect(result, began.elapsed());
        connection
    }

    /// Whether an address greets and answers.
    pub(super) async fn probe(
        &self,
        address: &Arc<Address>,
        patience: Patience,
    ) -> Result<(), Failure> {
        let mut connection = self.connect_any_way(address, patience).await?;
        connection.session.noop();
        connection.answer(Stage::Noop, patience.banner).await?;
        connection.quit();
        Ok(())
    }

    async fn connect_any_way(
        &self,
        address: &Arc<Address>,
        patience: Patience,
    ) -> Result<Connection, Failure> {
        let starttls = self.tls.as_ref().map_or(StartTls::Never, |tls| tls.starttls);
        match self.greet(address, starttls, patience).await {
            // RFC 7435: where TLS is a bonus, its failure must not be worse than its absence.
            Err(Failure::Tls(_)) if self.tls.as_ref().is_some_and(Tls::is_optional) => {
                self.greet(address, StartTls::Never, patience).await
            }
            other => other,
        }
    }

    async fn greet(
        &self,
        address: &Arc<Address>,
        starttls: StartTls,
        patience: Patience,
    ) -> Result<Connection, Failure> {
        let stream = timeout(patience.dial, self.dial(address, patience)).await;
        let stream = stream.map_err(|_| Failure::Timeout)??;
        let settings = Settings {
            starttls,
            login: login::login(&self.upstream)?,
            private: self.keeps_secrets(&stream),
            bindings: stream.bindings(),
            ..Settings::new(self.upstream.protocol, &self.hostname)
        };
        let mut connection = Connection {
            session: Session::new(settings),
            stream,
            input: vec![0; INPUT_OCTETS].into(),
            opened: Instant::now(),
            transactions: 0,
            introduced: None,
            counted: Counted::new(self.metrics.clone()),
            at: Open::new(address.clone()),
        };
        let mut limit = patience.banner;
        loop {
            match connection.step(limit).await? {
                Step::Answer(..) => limit = self.upstream.command_timeout,
                Step::Ready => return Ok(connection),
                Step::StartTls => {
                    connection.stream =
                        self.handshake(connection.stream, address, patience).await?;
                    let bindings = connection.stream.bindings();
                    connection.session.tls_established(bindings);
                }
                _ => return Err(closed()),
            }
        }
    }

    /// Whether a password may be said. Where TLS is asked for and absent, somebody may have taken the
    /// offer away, on this machine, too.
    fn keeps_secrets(&self, stream: &Stream) -> bool {
        stream.is_private() && (self.tls.is_none() || matches!(stream, Stream::Tls(_)))
    }

    async fn dial(&self, address: &Address, patience: Patience) -> Result<Stream, Failure> {
        let stream = match &address.endpoint {
            Endpoint::Tcp(address) => TcpStream::connect(address).await,
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(Failure::Connect)?;
                return Ok(Stream::Unix(stream));
            }
        };
        let stream = stream.map_err(Failure::Connect)?;
        // Without it the last segment of a message waits for the delayed ACK of the one before.
        stream.set_nodelay(true).map_err(Failure::Connect)?;
        match &self.tls {
            Some(tls) if tls.starttls == StartTls::Never => {
                self.handshake(Stream::Tcp(stream), address, patience).await
            }
            _ => Ok(Stream::Tcp(stream)),
        }
    }

    async fn handshake(
        &self,
        stream: Stream,
        address: &Address,
        patience: Patience,
    ) -> Result<Stream, Failure> {
        let (Some(tls), Stream::Tcp(stream)) = (&self.tls, stream) else { return Err(closed()) };
        let handshake = tls.connector.connect(tls.server_name(&address.host)?, stream);
        let stream = timeout(patience.banner, handshake).await;
        let stream = stream.map_err(|_| Failure::Timeout)?;
        let stream = stream.map_err(|error| Failure::Tls(tls::in_words(error)))?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

impl Connection {
    /// The answer to what was queued for `stage`. A 421 is a failure: the upstream has gone.
    pub(super) async fn answer(&mut self, stage: Stage, limit: Duration) -> Result<Reply, Failure> {
        match self.step(limit).await? {
            Step::Answer(answered, reply) if answered == stage => match reply.code() {
                421 => Err(Failure::Closing(reply)),
                _ => Ok(reply),
            },
            _ => Err(closed()),
        }
    }

    /// Writes what the session has to say and reads until it has something else to ask for.
    pub(super) async fn step(&mut self, limit: Duration) -> Result<Step, Failure> {
        let started = Instant::now();
        // If that is the end, the next read or write finds it, too.
        let _ = self.hear();
        let step = match self.session.poll() {
            Step::Read => timeout(limit, self.exchange()).await.map_err(|_| Failure::Timeout)??,
            step => step,
        };
        match step {
            Step::Failed(error) => Err(error.into()),
            Step::Answer(stage, reply) => {
                let label = label(stage);
                self.counted.metrics.reply(label, reply.code());
                self.counted.metrics.reply_duration(label, started.elapsed());
                Ok(Step::Answer(stage, reply))
            }
            step => Ok(step),
        }
    }

    /// Writes content; stops when the upstream says something, which is all there is left to hear.
    /// Says whether all was written.
    pub(super) async fn send_content(
        &mut self,
        octets: &[u8],
        limit: Duration,
    ) -> Result<bool, Failure> {
        let mut rest = octets;
        while !rest.is_empty() {
            let written = timeout(limit, self.write_some(rest)).await;
            match written.map_err(|_| Failure::Timeout)? {
                Ok(count) => rest = &rest[count..],
                // It may have said why before it went.
                Err(error) => match timeout(LAST_WORDS, self.read()).await {
                    Ok(Ok(())) => {}
                    _ => return Err(Failure::Lost(error)),
                },
            }
            if self.session.has_input() {
                return Ok(false);
            }
        }
        let flushed = timeout(limit, self.stream.flush()).await;
        flushed.map_err(|_| Failure::Timeout)?.map_err(Failure::Lost)?;
        Ok(true)
    }

    /// Where it leads.
    pub(super) fn address(&self) -> &Arc<Address> {
        &self.at.0
    }

    /// Whether an idle connection is silent and open, as far as the socket can tell.
    pub(super) fn is_alive(&mut self, upstream: &Hop) -> bool {
        self.is_reusable(upstream) && self.hear().is_pending()
    }

    /// Takes what has come already, before something else is said: it is no answer to that.
    fn hear(&mut self) -> Poll<io::Result<()>> {
        let mut input = ReadBuf::new(&mut self.input);
        let mut context = Context::from_waker(Waker::noop());
        let heard = Pin::new(&mut self.stream).poll_read(&mut context, &mut input);
        self.session.receive(input.filled());
        heard
    }

    /// Whether another transaction may follow.
    pub(super) fn is_reusable(&self, upstream: &Hop) -> bool {
        self.session.is_open()
            && !self.session.in_transaction()
            && !self.session.has_input()
            && self.transactions < upstream.uses
            && self.opened.elapsed() < upstream.age
    }

    /// Says QUIT, as far as that can be done without waiting, and closes.
    pub(super) fn quit(mut self) {
        let mut context = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut self.stream).poll_write(&mut context, b"QUIT\r\n");
        let _ = Pin::new(&mut self.stream).poll_flush(&mut context);
    }

    async fn exchange(&mut self) -> Result<Step, Failure> {
        loop {
            let output = self.session.take_output();
            let mut rest = &output[..];
            while !rest.is_empty() {
                let written = self.write_some(rest).await.map_err(Failure::Lost)?;
                rest = &rest[written..];
            }
            if !output.is_empty() {
                self.stream.flush().await.map_err(Failure::Lost)?;
            }
            match self.session.poll() {
                Step::Read => self.read().await.map_err(Failure::Lost)?,
                step => return Ok(step),
            }
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.session.receive(&self.input[..count]);
                Ok(())
            }
        }
    }

    /// Reads where the upstream speaks first, and writes what goes into the socket where it does not:
    /// what it says before it has heard all is no answer to that, and it may have stopped reading
    /// until its own replies are read.
    async fn write_some(&mut self, octets: &[u8]) -> io::Result<usize> {
        let Self { session, stream, input, .. } = self;
        poll_fn(|context| {
            let mut input = ReadBuf::new(input);
            match Pin::new(&mut *stream).poll_read(context, &mut input) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if input.filled().is_empty() => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Poll::Ready(Ok(())) => {
                    session.receive(input.filled());
                    return Poll::Ready(Ok(0));
                }
            }
            match Pin::new(&mut *stream).poll_write(context, octets) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                other => other,
            }
        })
        .await
    }
}

/// Keeps the gauge of open connections right, however a connection ends.
#[derive(Debug)]
struct Counted {
    metrics: Arc<UpstreamMetrics>,
}

impl Counted {
    fn new(metrics: Arc<UpstreamMetrics>) -> Self {
        metrics.connection_opened();
        Self { metrics }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.metrics.connection_closed();
    }
}

fn label(stage: Stage) -> metrics::Stage {
    match stage {
        Stage::Banner => metrics::Stage::Banner,
        Stage::Hello => metrics::Stage::Hello,
        Stage::StartTls => metrics::Stage::Starttls,
        Stage::Auth => metrics::Stage::Auth,
        Stage::Xclient => metrics::Stage::Xclient,
        Stage::Xforward => metrics::Stage::Xforward,
        Stage::Mail => metrics::Stage::Mail,
        Stage::Rcpt => metrics::Stage::Rcpt,
        Stage::Data => metrics::Stage::Data,
        Stage::Content => metrics::Stage::Content,
        Stage::Rset => metrics::Stage::Rset,
        Stage::Noop => metrics::Stage::Noop,
        Stage::Quit => metrics::Stage::Quit,
    }
}

/// The conversation has ended where it should not.
pub(super) fn closed() -> Failure {
    Failure::Lost(io::ErrorKind::UnexpectedEof.into())
}

/// For replies: the longest are answers to EHLO. Idle connections keep it.
const INPUT_OCTETS: usize = 2048;

/// For what an upstream said before it closed in the middle of the content: that has arrived.
const LAST_WORDS: Duration = Duration::from_millis(500);
