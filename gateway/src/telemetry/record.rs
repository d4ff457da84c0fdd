//! The one record of a transaction: what came, what was decided and by whom, and where it went.
//!
//! Its JSON is `logs.schema.json`: what programs read from the log and from the admin server.

mod people;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tracing::info;

/// Everything that is told about one transaction.
#[derive(Clone, Debug, Serialize)]
pub struct TransactionRecord {
    /// When it ended. Stands first in its JSON, where lines of the log have their time.
    #[serde(serialize_with = "instant")]
    pub time: Timestamp,
    /// When MAIL came.
    #[serde(serialize_with = "instant")]
    pub started: Timestamp,
    /// The transaction's id, also in its reply and its `Received`.
    pub id: String,
    /// The session's id.
    pub session: String,
    /// The listener's name.
    pub listener: String,
    /// As `Received` says it (RFC 3848): `ESMTPS`, `LMTP`.
    pub protocol: &'static str,
    /// Who sent it.
    pub client: ClientRecord,
    /// Where it comes from, as a trusted peer said (XFORWARD).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Box<ForwardedRecord>>,
    /// What the client called itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// What the handshake agreed on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Box<TlsRecord>>,
    /// Who logged in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// By which SASL mechanism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<String>,
    /// The reverse path, as it went on; empty for `<>`.
    pub sender: String,
    /// The parameters of MAIL: `SIZE=1234`.
    pub parameters: Vec<String>,
    /// Who was to get it.
    pub recipients: Vec<RecipientRecord>,
    /// Recipients beyond those.
    #[serde(skip_serializing_if = "is_zero")]
    pub recipients_left_out: u64,
    /// Size of the message as it came.
    pub octets: u64,
    /// One of the outcomes of the metrics.
    pub outcome: &'static str,
    /// The code of the last reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// The last reply of the transaction: code, status and text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// The plugin that decided; none if it was the gateway, an upstream or the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<Decision>,
    /// The points of all symbols together; none if there are no symbols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// What follows from how many points, if anything does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<Box<ThresholdsRecord>>,
    /// What plugins scored, in order.
    pub scores: Vec<ScoreRecord>,
    /// What plugins changed, in order.
    pub edits: Vec<EditRecord>,
    /// What each plugin said, in order: first what was asked before MAIL, of the session.
    pub calls: Vec<CallRecord>,
    /// Calls beyond those.
    #[serde(skip_serializing_if = "is_zero")]
    pub calls_left_out: u64,
    /// What went to upstreams, and how long they took.
    pub deliveries: Vec<DeliveryRecord>,
    /// From MAIL to the outcome.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// The part of it that went into plugins.
    #[serde(rename = "plugins_seconds", serialize_with = "seconds")]
    pub plugins_duration: Duration,
    /// The part of it that was spent waiting for upstreams.
    #[serde(rename = "upstream_seconds", serialize_with = "seconds")]
    pub upstream_duration: Duration,
    /// All of it, by what was going on.
    #[serde(rename = "stage_seconds")]
    pub stages: StagesRecord,
    /// Which configuration it was: 1 is that of the start, and each reload counts.
    pub generation: u64,
}

/// Who sent it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientRecord {
    /// Its IP address; `unix` at a Unix socket, `unknown` where a proxy does not know.
    pub address: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its host name, if a trusted peer said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The peer that speaks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<PeerRecord>,
}

/// Another machine.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PeerRecord {
    /// Its IP address, or `unix`.
    pub address: String,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What a trusted peer said of where its mail comes from.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "named for the attributes of XFORWARD")]
pub struct ForwardedRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What a TLS handshake agreed on. A proxy need not have told each.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TlsRecord {
    /// For example `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// For example `TLS13_AES_256_GCM_SHA384`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The name that the client asked for (SNI).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Whether it ended at the proxy, and not here.
    pub at_proxy: bool,
    /// The client's certificate, if it showed one that was verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateRecord>,
}

/// A client's certificate.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CertificateRecord {
    /// RFC 4514.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// SHA-256, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// One recipient.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RecipientRecord {
    /// The address, as the client gave it; one that a plugin added, as that did.
    pub address: String,
    /// The address as it went on, where plugins changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_to: Option<String>,
    /// The parameters of RCPT.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    /// The upstream's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Who says that it goes there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteRecord>,
    /// The plugin that refused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_by: Option<String>,
    /// What the upstream said, or the gateway for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// Who says where a recipient goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum RouteRecord {
    /// `default_upstream`.
    Default,
    /// The listener's `upstream`.
    Listener,
    /// A plugin.
    Plugin,
    /// The listener's `quarantine`.
    Quarantine,
    /// A route.
    Route {
        /// Counted from 1.
        number: usize,
        /// The line of its map, if it has one.
        #[serde(skip_serializing_if = "Option::is_none")]
        map_line: Option<usize>,
    },
}

/// Which plugin decided, and when.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// Its name in the configuration; `scores` for the listener's thresholds.
    pub plugin: String,
    /// The hook's label.
    pub hook: &'static str,
}

/// From how many points on a listener does what.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "named for the keys of the configuration")]
pub struct ThresholdsRecord {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_header: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defer: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject: Option<f64>,
}

/// The points that a plugin gave for a symbol.
#[derive(Clone, Debug, Serialize)]
pub struct ScoreRecord {
    /// The plugin's name.
    pub plugin: String,
    /// The symbol.
    pub symbol: String,
    /// Its points.
    pub points: f64,
}

/// One change that a plugin made.
#[derive(Clone, Debug, Serialize)]
pub struct EditRecord {
    /// The plugin's name.
    pub plugin: String,
    /// The hook's label.
    pub hook: &'static str,
    /// What was changed, for example `header Subject` or `recipient`.
    pub what: String,
    /// What stood there; none if it was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// What stands there now; none if it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}

/// One call of a plugin, and what it said.
#[derive(Clone, Debug, Serialize)]
pub struct CallRecord {
    /// The hook's label.
    pub hook: &'static str,
    /// The plugin's name.
    pub plugin: Box<str>,
    /// The recipient whom it was about, as the client gave it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Box<str>>,
    /// Its verdict, as in the metrics; `failure` if it gave none.
    pub verdict: &'static str,
    /// The reply that it wants said, its reason for the log, or what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Box<str>>,
    /// Why it failed, as in the metrics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<&'static str>,
    /// When it began, from MAIL on; none before that.
    #[serde(
        rename = "at_seconds",
        skip_serializing_if = "Option::is_none",
        serialize_with = "perhaps_seconds"
    )]
    pub at: Option<Duration>,
    /// How long it took.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Duration,
}

/// What went to one upstream.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryRecord {
    /// The upstream's name.
    pub upstream: String,
    /// Whether it was asked about recipients, or was given the message.
    pub what: Errand,
    /// Which of its addresses it was, if it got as far as that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How many recipients.
    pub recipients: u64,
    /// When it began, from MAIL on.
    #[serde(rename = "at_seconds", serialize_with = "seconds")]
    pub at: Duration,
    /// How long it took.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// The part of it that was spent waiting for a connection.
    #[serde(rename = "connect_seconds", serialize_with = "seconds")]
    pub connecting: Duration,
}

/// What an upstream was asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Errand {
    /// To take the message.
    Message,
    /// Whether it takes recipients, while the client waits for the answer to RCPT.
    Rcpt,
}

/// Where the time of a transaction went. All of it together is the duration.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StagesRecord {
    /// Judging the sender.
    #[serde(serialize_with = "seconds")]
    pub mail: Duration,
    /// Judging recipients, and offering them to upstreams.
    #[serde(serialize_with = "seconds")]
    pub rcpt: Duration,
    /// Judging DATA.
    #[serde(serialize_with = "seconds")]
    pub data: Duration,
    /// While the message came: the client's time, and that of the hook `headers`.
    #[serde(serialize_with = "seconds")]
    pub content: Duration,
    /// Judging the complete message.
    #[serde(serialize_with = "seconds")]
    pub message: Duration,
    /// Handing it on.
    #[serde(serialize_with = "seconds")]
    pub delivery: Duration,
    /// Waiting for the client's commands.
    #[serde(serialize_with = "seconds")]
    pub client: Duration,
}

impl EditRecord {
    /// An edit, with long values cut short.
    #[must_use]
    pub fn new(
        by: (&str, &'static str),
        what: impl Into<String>,
        old: Option<&str>,
        new: Option<&str>,
    ) -> Self {
        Self {
            plugin: by.0.to_owned(),
            hook: by.1,
            what: what.into(),
            old: old.map(shorten),
            new: new.map(shorten),
        }
    }
}

impl TransactionRecord {
    /// Writes the record, as one event of the target `transaction`.
    pub fn emit(self: &Arc<Self>) {
        let record = Carried(self.clone());
        info!(target: "transaction", record = &record as &(dyn std::error::Error + 'static));
    }

    /// Its JSON, one object on one line.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and lists of them serialise")
    }
}

/// A record in a field of an event: errors are the only values that `tracing` hands on with their
/// type.
#[derive(Debug)]
pub(super) struct Carried(pub(super) Arc<TransactionRecord>);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.json())
    }
}

impl std::error::Error for Carried {}

/// RFC 3339, to the millisecond.
fn instant<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// To the microsecond; what is finer is noise.
fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_micros() as f64 / 1e6)
}

fn perhaps_seconds<S: Serializer>(at: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => seconds(at, serializer),
        None => serializer.serialize_none(),
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn shorten(text: &str) -> String {
    if text.len() <= EDIT_OCTETS {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(EDIT_OCTETS);
    format!("{}... ({} octets)", &text[..end], text.len())
}

/// Octets of an old or a new value in the record of an edit: enough to recognise it.
const EDIT_OCTETS: usize = 256;

#[cfg(test)]
pub(super) mod tests;
