//! What travels through the gateway: who speaks, the envelope, the message, and edits to them.
//!
//! Everything here is a value. Nothing waits, asks or decides.

mod budget;
mod client;
mod content;
mod edit;
mod finding;
mod header;
mod parts;
mod provenance;
mod score;
mod segments;
mod splice;

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_smtp::server::Conduct;
use portcullis_smtp::{Mailbox, Parameter, ReversePath};
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

pub use budget::{Budget, BudgetBounds, Lease};
pub use client::ClientAddress;
pub use content::{Content, ContentError, ContentWriter};
pub use edit::{Edit, HeaderEdit};
pub use finding::{Finding, Originals, Outcome};
pub use header::{Field, HeaderError, HeaderSection};
pub use parts::{Part, Parts};
pub use provenance::Provenance;
pub use score::{Points, Score, ScoreError, Scores};
pub use splice::Splice;

/// One client's connection, as far as it is known now.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// Unique; in logs, replies and `Received`.
    pub id: String,
    /// The listener's name in the configuration.
    pub listener: String,
    /// The client.
    pub client: ClientAddress,
    /// The peer that speaks for the client, if it is not the client itself (PROXY protocol, XCLIENT).
    pub via: Option<ClientAddress>,
    /// The argument of EHLO, HELO or LHLO.
    pub helo: Option<String>,
    /// Whether the client said EHLO or LHLO.
    pub esmtp: bool,
    /// What it has done so far against the manners of the protocol.
    pub conduct: Conduct,
    /// What the handshake agreed on, if the connection is under TLS.
    pub tls: Option<TlsFacts>,
    /// The identity that AUTH established. At most 255 octets, no control characters.
    pub user: Option<String>,
    /// The SASL mechanism by which it did.
    pub mechanism: Option<String>,
    /// The client's host name, as a trusted proxy said it (XCLIENT NAME).
    pub client_name: Option<String>,
    /// What a trusted proxy said about the client that its mail came from (XFORWARD).
    pub forwarded: Option<Box<Forwarded>>,
}

impl SessionFacts {
    /// A client that has said nothing yet.
    #[must_use]
    pub fn new(id: String, listener: &str, client: ClientAddress) -> Self {
        let listener = listener.to_owned();
        Self {
            id,
            listener,
            client,
            via: None,
            helo: None,
            esmtp: false,
            conduct: Conduct::default(),
            tls: None,
            user: None,
            mechanism: None,
            client_name: None,
            forwarded: None,
        }
    }
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsFacts {
    /// For example `TLSv1.3`.
    pub version: String,
    /// For example `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// The name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// The subject of the client's certificate, if it showed one and that was verified.
    pub client_subject: Option<String>,
    /// The SHA-256 fingerprint of that certificate, in hexadecimal.
    pub client_fingerprint: Option<String>,
    /// Whether it ended at a proxy, which tells of it, and not here.
    pub at_proxy: bool,
}

impl TlsFacts {
    /// All of it as words to be read by people: version, cipher suite, where it ended. A proxy need
    /// not have told each.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let place: &[&str] = if self.at_proxy { &["at", "the", "proxy"] } else { &[] };
        let known = [&*self.version, &*self.cipher].into_iter().filter(|word| !word.is_empty());
        known.chain(place.iter().copied())
    }
}

/// What XFORWARD says of the client that a proxy got its mail from. It is for logs and plugins;
/// nothing is decided by it. Values are printable.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Forwarded {
    /// The client's host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The protocol that it spoke: SMTP, ESMTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What it said in HELO or EHLO.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// The id of its mail at the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether the mail is from the proxy's own network or from elsewhere: LOCAL, REMOTE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The envelope of one transaction.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// The session's id, a dot, and the transaction's number in it.
    pub id: String,
    /// Where delivery failures go.
    pub reverse_path: ReversePath,
    /// The parameters of MAIL.
    pub parameters: Vec<Parameter>,
    /// The recipients that were accepted.
    pub recipients: Vec<Recipient>,
    /// What plugins think of it, in points.
    pub scores: Scores,
}

/// One recipient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recipient {
    /// Stays the same for the whole transaction.
    pub index: u32,
    /// Where the message goes.
    pub address: Mailbox,
    /// The parameters of RCPT.
    pub parameters: Vec<Parameter>,
    /// The upstream that a plugin named; none is left to the configuration's routes.
    pub route: Option<String>,
}

/// A message as a plugin sees it and as it will be delivered.
#[derive(Clone, Debug)]
pub struct Message {
    /// Everything before the empty line.
    pub header: Arc<HeaderSection>,
    /// Everything after it. Empty as long as only the header section has arrived.
    pub body: Content,
    /// Its parts, once somebody has asked for them; shared by all copies of the message.
    mime: Arc<OnceCell<Parts>>,
}

/// A message on its way out: what the gateway puts above it, and the message.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// Whole header fields with their CRLF: `Received`.
    pub prefix: Vec<u8>,
    /// The rest.
    pub message: Message,
}

impl Outbound {
    /// Octets that will be sent, without dot-stuffing.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.prefix.len() as u64 + self.message.octets()
    }
}

impl Message {
    /// A header section and a body.
    #[must_use]
    pub fn new(header: Arc<HeaderSection>, body: Content) -> Self {
        Self { header, body, mime: Arc::default() }
    }

    /// The message with another body.
    pub fn set_body(&mut self, body: Content) {
        self.body = body;
        self.mime = Arc::default();
    }

    /// Its MIME parts: found when they are first asked for. Room for them and for what is decoded
    /// comes from the budget.
    ///
    /// # Errors
    ///
    /// If there is no such room, or the body cannot be read.
    pub async fn parts(&self, budget: &Arc<Budget>) -> Result<&Parts, ContentError> {
        self.mime.get_or_try_init(|| Parts::of(&self.header, &self.body, budget)).await
    }

    /// Octets of the whole message as it will be sent, without dot-stuffing.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.header.octets() + self.body.octets()
    }
}
