//! The closed sets of label values, and counters that are looked up by position.

use std::marker::PhantomData;
use std::sync::OnceLock;

use portcullis_smtp::server::{Limit, Verb};
use prometheus::core::{MetricVec, MetricVecBuilder};
use prometheus::{Histogram, IntCounter, IntCounterVec};

/// A closed set of values of one label.
pub(super) trait Label: Copy + 'static {
    /// All of them, in the order of their positions.
    const ALL: &'static [Self];

    /// The value.
    fn value(self) -> &'static str;

    /// Where it stands in `ALL`.
    fn position(self) -> usize;
}

macro_rules! labels {
    ($(#[$about:meta])* $name:ident {
        $($(#[$about_one:meta])* $one:ident = $value:literal,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $name { $($(#[$about_one])* $one,)* }

        impl $name {
            /// The value of the label, in metrics and in the log.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$one => $value,)* }
            }
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$one,)*];

            fn value(self) -> &'static str {
                self.label()
            }

            fn position(self) -> usize {
                self as usize
            }
        }
    };
}

pub(super) use labels;

labels! {
    /// How a transaction ended. Each has exactly one.
    Outcome {
        /// The client took it back: RSET, a new EHLO, QUIT.
        Aborted = "aborted",
        /// Delivered, and the client told so.
        Accepted = "accepted",
        /// 4xx: the client keeps the message.
        Deferred = "deferred",
        /// The client was told yes, and nothing was delivered, as a plugin wanted.
        Discarded = "discarded",
        /// The connection broke or timed out.
        Lost = "lost",
        /// LMTP or PRDR: delivered for some recipients, refused for others.
        Mixed = "mixed",
        /// The client was told yes, and the quarantine has it.
        Quarantined = "quarantined",
        /// 5xx.
        Rejected = "rejected",
        /// The client was told yes, and what is not delivered lies on the disk.
        Spooled = "spooled",
    }
}

labels! {
    /// How an attempt to log in ended.
    AuthResult {
        /// Refused: wrong, or a plugin's no.
        Failure = "failure",
        /// The client is who it says to be.
        Success = "success",
        /// Not tried: too many failures at this address.
        Throttled = "throttled",
        /// Nobody could tell.
        Unavailable = "unavailable",
    }
}

labels! {
    /// What a question to the resolver came to.
    DnsResult {
        /// Neither yes nor no.
        Failed = "failed",
        /// The name has no such records.
        NoData = "no-data",
        /// There is no such name.
        NoSuchName = "no-such-name",
        /// Records.
        Records = "records",
        /// Nobody answered in time.
        TimedOut = "timed-out",
    }
}

labels! {
    /// Why a connection was turned away before its session began.
    Refused {
        /// The gateway is shutting down.
        Draining = "draining",
        /// As many connections as the process may have.
        Global = "global",
        /// As many connections as one address may have.
        PerAddress = "per-address",
        /// As many connections as one network may have.
        PerNetwork = "per-network",
        /// As many new connections a second as the process takes.
        Rate = "rate",
        /// As many new connections a second as one address may make.
        RatePerAddress = "rate-per-address",
    }
}

labels! {
    /// How the time ended in which a reply was held back.
    Delayed {
        /// The process is to end, and waits for nobody.
        Draining = "draining",
        /// It did not begin: as many wait as may.
        Full = "full",
        /// As long as it was meant to be.
        Held = "held",
        /// The client left.
        Left = "left",
        /// It did not begin: the client has waited long enough.
        Patience = "patience",
    }
}

labels! {
    /// A limit that is kept around the session. Its label is its name in the configuration.
    Bound {
        /// The client took too long for a command.
        CommandTime = "timeouts.command",
        /// As many new connections a second as the process takes.
        ConnectionRate = "connection_rate",
        /// As many new connections a second as one address may make.
        ConnectionRatePerAddress = "connection_rate_per_address",
        /// As many connections as the process may have.
        Connections = "connections",
        /// As many connections as one address may have.
        ConnectionsPerAddress = "connections_per_address",
        /// As many connections as one network may have.
        ConnectionsPerNetwork = "connections_per_network",
        /// All messages together are too large for the disk.
        ContentDisk = "content_disk",
        /// All messages together are too large for memory, where they cannot go to the disk.
        ContentMemory = "content_memory",
        /// Content came too slowly.
        ContentRate = "content_rate",
        /// The client took too long for a piece of content.
        ContentTime = "timeouts.content",
        /// As many connections as may wait for a reply that is held back.
        DelayedConnections = "delayed_connections",
        /// The client talked before the banner.
        EarlyTalkers = "early_talkers",
        /// As many failed logins as one address may have.
        FailuresPerAddress = "failures_per_address",
        /// A TLS handshake took too long.
        HandshakeTime = "timeouts.handshake",
        /// A proxy took too long to say whose connection it is.
        ProxyTime = "timeouts.proxy_header",
        /// The session lasted too long.
        SessionTime = "timeouts.session",
        /// The client took too long to take what it was told.
        WriteTime = "timeouts.write",
    }
}

impl Refused {
    /// The limit that was reached, if it is one.
    #[must_use]
    pub fn bound(self) -> Option<Bound> {
        match self {
            Self::Draining => None,
            Self::Global => Some(Bound::Connections),
            Self::PerAddress => Some(Bound::ConnectionsPerAddress),
            Self::PerNetwork => Some(Bound::ConnectionsPerNetwork),
            Self::Rate => Some(Bound::ConnectionRate),
            Self::RatePerAddress => Some(Bound::ConnectionRatePerAddress),
        }
    }
}

labels! {
    /// Why a TLS handshake with a client failed.
    HandshakeFailure {
        /// The client said that it goes no further: most likely it does not trust our certificate.
        Alert = "alert",
        /// The client's certificate is missing or was not verified.
        ClientCertificate = "client-certificate",
        /// No version or cipher suite that both know.
        Incompatible = "incompatible",
        /// Something else than TLS came: SMTP in clear text, HTTP.
        NotTls = "not-tls",
        /// Anything else.
        Other = "other",
        /// The client closed the connection.
        PeerLeft = "peer-left",
        /// It took too long.
        Timeout = "timeout",
    }
}

labels! {
    /// What a message's score made of it.
    ScoreAction {
        /// It got a header field.
        AddHeader = "add-header",
        /// 451.
        Defer = "defer",
        /// Below all thresholds.
        Pass = "pass",
        /// It goes to quarantine.
        Quarantine = "quarantine",
        /// 550.
        Reject = "reject",
    }
}

labels! {
    /// What a trusted proxy said of whose connection it is.
    ProxyHeader {
        /// It closed first.
        Closed = "closed",
        /// Something that begins like a header.
        Malformed = "malformed",
        /// Something else.
        Missing = "missing",
        /// A header.
        Ok = "ok",
        /// Not enough in time.
        Timeout = "timeout",
    }
}

labels! {
    /// What an upstream was asked when it replied.
    Stage {
        /// AUTH, and what is said in the exchange.
        Auth = "auth",
        /// Nothing: the banner.
        Banner = "banner",
        /// The final dot.
        Content = "content",
        /// DATA.
        Data = "data",
        /// EHLO, HELO or LHLO.
        Hello = "hello",
        /// MAIL.
        Mail = "mail",
        /// NOOP.
        Noop = "noop",
        /// QUIT.
        Quit = "quit",
        /// RCPT.
        Rcpt = "rcpt",
        /// RSET.
        Rset = "rset",
        /// STARTTLS.
        Starttls = "starttls",
        /// XCLIENT.
        Xclient = "xclient",
        /// XFORWARD.
        Xforward = "xforward",
    }
}

labels! {
    /// How an attempt to connect to an upstream ended.
    Connect {
        /// The connection was refused, reset or closed, or the upstream is unreachable.
        Failed = "failed",
        /// The gateway's login was refused, or could not be done.
        Login = "login",
        /// Ready for MAIL.
        Ok = "ok",
        /// Banner or EHLO was answered with something else than 2xx.
        Refused = "refused",
        /// The name could not be resolved.
        Resolve = "resolve",
        /// No answer in time.
        Timeout = "timeout",
        /// TLS was demanded and did not come about.
        Tls = "tls",
    }
}

labels! {
    /// What became of a transaction that was to become a trace.
    TraceResult {
        /// There was no room for it.
        Dropped = "dropped",
        /// The collector did not take it.
        Failed = "failed",
        /// The collector has it.
        Sent = "sent",
    }
}

labels! {
    /// What came of a look at an address that is down.
    Probe {
        /// Still down.
        Failed = "failed",
        /// It greets and answers.
        Ok = "ok",
    }
}

labels! {
    /// Why a transaction went on over another connection, unheard by the client.
    Retry {
        /// An address could not be talked to.
        Connect = "connect",
        /// The connection was lost before there could be a message.
        Lost = "lost",
    }
}

labels! {
    /// Why a transaction got no connection, without an attempt to connect.
    TurnedAway {
        /// As many connections as there may be.
        Busy = "busy",
        /// All addresses are down.
        Down = "down",
    }
}

impl Label for Verb {
    const ALL: &'static [Self] = &[
        Self::Auth,
        Self::Bdat,
        Self::Data,
        Self::Ehlo,
        Self::Expn,
        Self::Helo,
        Self::Help,
        Self::Lhlo,
        Self::Mail,
        Self::Noop,
        Self::Quit,
        Self::Rcpt,
        Self::Rset,
        Self::Starttls,
        Self::Vrfy,
        Self::Xclient,
        Self::Xforward,
        Self::Unknown,
    ];

    fn value(self) -> &'static str {
        match self {
            Self::Auth => "AUTH",
            Self::Bdat => "BDAT",
            Self::Data => "DATA",
            Self::Ehlo => "EHLO",
            Self::Expn => "EXPN",
            Self::Helo => "HELO",
            Self::Help => "HELP",
            Self::Lhlo => "LHLO",
            Self::Mail => "MAIL",
            Self::Noop => "NOOP",
            Self::Quit => "QUIT",
            Self::Rcpt => "RCPT",
            Self::Rset => "RSET",
            Self::Starttls => "STARTTLS",
            Self::Vrfy => "VRFY",
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
            Self::Unknown => "unknown",
        }
    }

    fn position(self) -> usize {
        self as usize
    }
}

impl Label for Limit {
    const ALL: &'static [Self] = &Self::ALL;

    fn value(self) -> &'static str {
        self.label()
    }

    fn position(self) -> usize {
        self as usize
    }
}

/// One metric for each value of `L`, resolved once.
#[derive(Clone, Debug)]
pub(super) struct Each<L, M> {
    metrics: Vec<M>,
    of: PhantomData<L>,
}

impl<L: Label, M: Clone> Each<L, M> {
    /// Resolves the metrics of `family`, whose labels are `owner`'s and that of `L`.
    pub(super) fn new<B>(family: &MetricVec<B>, owner: &str) -> Self
    where
        B: MetricVecBuilder<M = M>,
    {
        let metrics =
            L::ALL.iter().map(|one| family.with_label_values(&[owner, one.value()])).collect();
        Self { metrics, of: PhantomData }
    }

    /// Resolves the metrics of a family whose only label is that of `L`.
    pub(super) fn alone<B>(family: &MetricVec<B>) -> Self
    where
        B: MetricVecBuilder<M = M>,
    {
        let metrics = L::ALL.iter().map(|one| family.with_label_values(&[one.value()])).collect();
        Self { metrics, of: PhantomData }
    }

    fn get(&self, label: L) -> Option<&M> {
        self.metrics.get(label.position())
    }
}

impl<L: Label> Each<L, IntCounter> {
    /// Counts one.
    pub(super) fn inc(&self, label: L) {
        if let Some(counter) = self.get(label) {
            counter.inc();
        }
    }
}

impl<L: Label> Each<L, Histogram> {
    /// Adds an observation.
    pub(super) fn observe(&self, label: L, value: f64) {
        if let Some(histogram) = self.get(label) {
            histogram.observe(value);
        }
    }
}

/// The lowest reply code that is counted. Nobody in SMTP says 1xx.
const FIRST_CODE: u16 = 200;

/// How many codes are counted: up to 599.
const CODES: usize = 400;

/// A counter for each reply code. Their set is closed but large, so they come up when they are
/// needed.
#[derive(Debug)]
pub(super) struct Codes {
    family: IntCounterVec,
    owner: Vec<String>,
    counters: Box<[OnceLock<IntCounter>]>,
}

impl Codes {
    /// Counters of `family`, whose labels are `owner`'s and the code.
    pub(super) fn new(family: &IntCounterVec, owner: &[&str]) -> Self {
        Self {
            family: family.clone(),
            owner: owner.iter().map(ToString::to_string).collect(),
            counters: (0..CODES).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Shows these codes at zero.
    pub(super) fn initialize(&self, codes: &[u16]) {
        for code in codes {
            let _ = self.counter(*code);
        }
    }

    /// Counts one, if it is a reply code at all.
    pub(super) fn inc(&self, code: u16) {
        if let Some(counter) = self.counter(code) {
            counter.inc();
        }
    }

    fn counter(&self, code: u16) -> Option<&IntCounter> {
        let slot = self.counters.get(usize::from(code.checked_sub(FIRST_CODE)?))?;
        Some(slot.get_or_init(|| {
            let code = code.to_string();
            let mut values: Vec<&str> = self.owner.iter().map(String::as_str).collect();
            values.push(&code);
            self.family.with_label_values(&values)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_stands_where_it_says() {
        fn check<L: Label + PartialEq + std::fmt::Debug>() {
            for (position, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.position(), position, "{label:?}");
            }
        }
        check::<AuthResult>();
        check::<Outcome>();
        check::<Bound>();
        check::<DnsResult>();
        check::<HandshakeFailure>();
        check::<Refused>();
        check::<ScoreAction>();
        check::<Stage>();
        check::<crate::metrics::StoreOperation>();
        check::<crate::metrics::StoreResult>();
        check::<Connect>();
        check::<Probe>();
        check::<Retry>();
        check::<TraceResult>();
        check::<TurnedAway>();
        check::<Verb>();
        check::<Limit>();
    }
}
