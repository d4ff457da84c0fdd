//! What travels through the gateway: who speaks, the envelope, the message, and edits to them.
//!
//! Everything here is a value. Nothing waits, asks or decides.

mod client;
mod content;
mod edit;
mod header;

use std::sync::Arc;

use portcullis_smtp::{Mailbox, Parameter, ReversePath};

pub use client::ClientAddress;
pub use content::{Budget, Content, ContentError, ContentWriter, Lease};
pub use edit::{Edit, HeaderEdit};
pub use header::{Field, HeaderError, HeaderSection};

/// One client's connection, as far as it is known now.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// Unique; in logs, replies and `Received`.
    pub id: String,
    /// The listener's name in the configuration.
    pub listener: String,
    /// The client.
    pub client: ClientAddress,
    /// The argument of EHLO, HELO or LHLO.
    pub helo: Option<String>,
    /// Whether the client said EHLO or LHLO.
    pub esmtp: bool,
    /// What the handshake agreed on, if the connection is under TLS.
    pub tls: Option<TlsFacts>,
}

impl SessionFacts {
    /// A client that has said nothing yet.
    #[must_use]
    pub fn new(id: String, listener: &str, client: ClientAddress) -> Self {
        let listener = listener.to_owned();
        Self { id, listener, client, helo: None, esmtp: false, tls: None }
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
    /// Octets of the whole message as it will be sent, without dot-stuffing.
    #[must_use]
    pub fn octets(&self) -> u64 {
        self.header.octets() + self.body.octets()
    }
}
