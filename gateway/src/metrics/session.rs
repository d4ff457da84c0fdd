//! What happens in sessions: how long they last, how far they come, and why they end.

use std::time::{Duration, Instant};

use portcullis_smtp::server::Verb;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::family::{NETWORK_SECONDS, SESSION_SECONDS, counters, histograms};
use super::label::{Each, Label, labels};
use super::listener::ListenerMetrics;

labels! {
    /// Why a session ended.
    Cause {
        /// The socket failed: most likely the client reset the connection.
        Broken = "broken",
        /// The shutdown did not wait any longer.
        Cut = "cut",
        /// It was told 421, as the gateway shuts down.
        Draining = "draining",
        /// The client closed the connection without QUIT.
        Left = "left",
        /// The client reached a limit after which nobody is listened to.
        Limit = "limit",
        /// A defect of the gateway's.
        Panic = "panic",
        /// The client said QUIT.
        Quit = "quit",
        /// A plugin, or an upstream's 421, wanted it so.
        Refused = "refused",
        /// The client did not take what it was told.
        SlowReader = "slow-reader",
        /// The client took too long.
        Timeout = "timeout",
        /// There was no TLS handshake.
        Tls = "tls",
    }
}

impl Cause {
    /// Whether the client was lost rather than seen off.
    fn is_loss(self) -> bool {
        !matches!(self, Self::Draining | Self::Limit | Self::Quit | Self::Refused)
    }
}

labels! {
    /// How far a session came: the last command that counts, or what came of it.
    Reached {
        /// AUTH.
        Auth = "auth",
        /// Nothing was said yet.
        Connect = "connect",
        /// DATA or BDAT; the message is not complete.
        Data = "data",
        /// EHLO, HELO or LHLO.
        Helo = "helo",
        /// MAIL.
        Mail = "mail",
        /// A message was complete.
        Message = "message",
        /// RCPT.
        Rcpt = "rcpt",
        /// STARTTLS, or the start of TLS.
        Tls = "tls",
    }
}

labels! {
    /// What clients wait for an answer to.
    Awaited {
        /// AUTH, when all of it was said.
        Auth = "auth",
        /// The banner.
        Connect = "connect",
        /// DATA, or the first BDAT.
        Data = "data",
        /// EHLO, HELO or LHLO.
        Helo = "helo",
        /// MAIL.
        Mail = "mail",
        /// The end of the message.
        Message = "message",
        /// RCPT.
        Rcpt = "rcpt",
    }
}

/// The families of sessions.
#[derive(Debug)]
pub(super) struct SessionFamilies {
    answer_seconds: Each<Awaited, Histogram>,
    closed: IntCounterVec,
    lost: IntCounterVec,
    received: IntCounterVec,
    seconds: HistogramVec,
    sent: IntCounterVec,
}

impl SessionFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name, help, labels: &[&str]| counters(registry, name, help, labels);
        let answer_seconds = histograms(
            registry,
            "portcullis_command_duration_seconds",
            "How long clients waited for the answer to a command, or to the end of a message; with \
             the time of plugins and upstreams",
            &["command"],
            NETWORK_SECONDS,
        );
        Self {
            answer_seconds: Each::alone(&answer_seconds),
            closed: counters(
                "portcullis_sessions_closed_total",
                "Sessions that ended, by why: `broken` the socket failed; `cut` the shutdown did not \
                 wait any longer; `draining` told 421 at the shutdown; `left` closed without QUIT; \
                 `refused` a plugin, or an upstream's 421; `slow-reader` did not take what it was \
                 told; `panic` a defect of the gateway's. connections = sum + open",
                &["listener", "cause"],
            ),
            lost: counters(
                "portcullis_sessions_lost_total",
                "Sessions that ended without QUIT and without the gateway wanting it so, by how far \
                 they had come",
                &["listener", "stage"],
            ),
            received: counters(
                "portcullis_received_bytes_total",
                "Octets that clients sent; under TLS what was in it",
                &["listener"],
            ),
            seconds: histograms(
                registry,
                "portcullis_session_duration_seconds",
                "How long sessions lasted, from the permit to the end",
                &["listener"],
                SESSION_SECONDS,
            ),
            sent: counters(
                "portcullis_sent_bytes_total",
                "Octets that clients were sent; under TLS what is in it",
                &["listener"],
            ),
        }
    }

    pub(super) fn resolve(&self, listener: &str) -> SessionMetrics {
        SessionMetrics {
            answer_seconds: self.answer_seconds.clone(),
            closed: Each::new(&self.closed, listener),
            lost: Each::new(&self.lost, listener),
            received: self.received.with_label_values(&[listener]),
            seconds: self.seconds.with_label_values(&[listener]),
            sent: self.sent.with_label_values(&[listener]),
        }
    }
}

/// The sessions of one listener.
#[derive(Debug)]
pub(super) struct SessionMetrics {
    answer_seconds: Each<Awaited, Histogram>,
    closed: Each<Cause, IntCounter>,
    lost: Each<Reached, IntCounter>,
    received: IntCounter,
    seconds: Histogram,
    sent: IntCounter,
}

/// One session. It is counted when this is dropped, whatever ended it.
#[derive(Debug)]
pub struct Account<'a> {
    metrics: &'a SessionMetrics,
    began: Instant,
    reached: Reached,
    cause: Option<Cause>,
    /// The last command came to a limit.
    limited: bool,
}

impl ListenerMetrics {
    /// A session begins.
    pub fn session(&self) -> Account<'_> {
        let (began, reached) = (Instant::now(), Reached::Connect);
        Account { metrics: &self.session, began, reached, cause: None, limited: false }
    }
}

impl Account<'_> {
    /// A command was read.
    pub fn command(&mut self, verb: Verb) {
        self.limited = false;
        self.reached = match verb {
            Verb::Auth => Reached::Auth,
            Verb::Bdat | Verb::Data => Reached::Data,
            Verb::Ehlo | Verb::Helo | Verb::Lhlo => Reached::Helo,
            Verb::Mail => Reached::Mail,
            Verb::Rcpt => Reached::Rcpt,
            Verb::Starttls => Reached::Tls,
            Verb::Expn
            | Verb::Help
            | Verb::Noop
            | Verb::Quit
            | Verb::Rset
            | Verb::Unknown
            | Verb::Vrfy
            | Verb::Xclient
            | Verb::Xforward => return,
        };
    }

    /// TLS begins without a command.
    pub fn tls(&mut self) {
        self.reached = Reached::Tls;
    }

    /// The client reached a limit.
    pub fn limited(&mut self) {
        self.limited = true;
    }

    /// The client has its answer.
    pub fn answered(&mut self, awaited: Awaited, after: Duration) {
        if awaited == Awaited::Message {
            self.reached = Reached::Message;
        }
        self.metrics.answer_seconds.observe(awaited, after.as_secs_f64());
    }

    /// Octets came.
    pub fn received(&self, octets: usize) {
        self.metrics.received.inc_by(octets as u64);
    }

    /// Octets were sent.
    pub fn sent(&self, octets: usize) {
        self.metrics.sent.inc_by(octets as u64);
    }

    /// Why it ends; the first cause counts.
    pub fn ends(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    /// It ends with a last word: to QUIT, or because of a limit, or as somebody wanted it.
    pub fn closes(&mut self, after_quit: bool) {
        self.ends(match (after_quit, self.limited) {
            (true, _) => Cause::Quit,
            (false, true) => Cause::Limit,
            (false, false) => Cause::Refused,
        });
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let unexpected = if std::thread::panicking() { Cause::Panic } else { Cause::Cut };
        let cause = self.cause.unwrap_or(unexpected);
        self.metrics.closed.inc(cause);
        if cause.is_loss() {
            self.metrics.lost.inc(self.reached);
        }
        self.metrics.seconds.observe(self.began.elapsed().as_secs_f64());
    }
}
