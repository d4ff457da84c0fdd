//! What would become of a message, and who would say so: a dry run through the code that serves.
//!
//! ```text
//! Inquiry ──► Client ──(a pipe)──► connection ──► session ──► Pipeline ──► plugins
//!               │                                                │  Notes look on
//!             Steps                                              └──► Rehearsal instead of upstreams
//!               └───────────────► Explanation ◄──────────────────┘
//! ```
//!
//! What is read is real: plugins, maps, stores, names of DNS, what plugins fetch by HTTP. What is
//! written is not: nothing is delivered, stored or counted.

mod call;
mod conversation;
mod difference;
mod ending;
mod inquiry;
mod notes;
mod text;
mod together;
mod way;
mod ways;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_smtp::server::{Channel, Protocol};
use serde::Serialize;
use tracing::instrument::WithSubscriber;

use crate::config::{Config, DeliveryMode, Grant, Listener};
use crate::connection::{self, Terms};
use crate::message::{ClientAddress, SessionFacts, TlsFacts};
use crate::pipeline::{Pipeline, Site};
use crate::shutdown::Shutdown;
use crate::telemetry::TransactionRecord;
use crate::upstream::Rehearsal;
use conversation::Client;

pub use call::{Call, Line};
pub use conversation::{Said, Step};
pub use ending::{Delivered, Ending, Score, Symbol, Threshold, UNDECIDED};
pub use inquiry::{HELO, Inquiry, Unsayable, helo, mailbox, reverse_path};
pub use notes::Notes;
pub use together::Together;
pub use way::{Decision, Destination, Way};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The listener's name.
    pub listener: String,
    /// What it speaks.
    pub protocol: &'static str,
    /// Who sends the message; empty is the null reverse-path.
    pub sender: String,
    /// Where the client is.
    pub client: Option<IpAddr>,
    /// What it calls itself.
    pub helo: String,
    /// Who has logged in.
    pub user: Option<String>,
    /// Whether the connection is under TLS.
    pub tls: bool,
    /// Whether upstreams are asked while the client waits, or later: relay or spool.
    pub delivery: &'static str,
    /// How it ends.
    pub ending: Ending,
    /// The conversation, with each plugin that was asked.
    pub steps: Vec<Step>,
    /// What plugins think of it.
    pub score: Option<Score>,
    /// What becomes of each recipient.
    pub recipients: Vec<Way>,
    /// What upstreams get.
    pub delivered: Vec<Delivered>,
    /// What becomes of recipients of several upstreams in one transaction.
    pub together: Option<Together>,
    /// Plugins of the listener that were not asked about a message, and may decide otherwise.
    pub plugins: Vec<MayChange>,
    /// Where the listener sends what a plugin wants in quarantine.
    pub quarantine: Option<Destination>,
    /// The record that the log would have; none where no transaction began.
    pub record: Option<TransactionRecord>,
    /// How long it took.
    pub seconds: f64,
}

/// A plugin that may decide otherwise.
#[derive(Debug, Serialize)]
pub struct MayChange {
    /// Its name.
    pub name: String,
    /// The grants that let it.
    pub grants: Vec<&'static str>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The listener.
    #[error("there is no listener \"{}\"; there is {there}", wanted.escape_debug())]
    UnknownListener {
        /// Its name.
        wanted: String,
        /// The names of those that are there.
        there: String,
    },
}

/// What a dry run takes place on: what serves, with nothing behind it.
#[derive(Debug)]
pub struct Stage<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The listener.
    pub listener: &'a Listener,
    /// Its house, in which the notes look on, and deliveries go to the rehearsal.
    pub site: Arc<Site>,
    /// How sessions speak there.
    pub terms: Terms,
    /// What would have been delivered.
    pub rehearsal: Arc<Rehearsal>,
    /// What is seen.
    pub notes: Notes,
}

impl Stage<'_> {
    /// Holds a conversation, and tells what came of it.
    pub async fn play(&self, inquiry: &Inquiry) -> Explanation {
        let begun = Instant::now();
        let dispatch = self.notes.log.dispatch();
        let steps = Box::pin(self.converse(inquiry)).with_subscriber(dispatch).await;
        self.explain(inquiry, steps, begun.elapsed())
    }

    async fn converse(&self, inquiry: &Inquiry) -> Vec<Step> {
        let (near, far) = tokio::io::duplex(PIPE_OCTETS);
        let client = Client::new(far, &self.notes, self.listener.protocol);
        let channel = Channel {
            tls: inquiry.tls,
            authenticated: inquiry.user.is_some(),
            ..Channel::default()
        };
        let mut pipeline = Pipeline::new(self.site.clone(), self.session(inquiry));
        // Nobody ends it.
        let shutdown = Shutdown::new();
        let mut watcher = shutdown.watcher();
        let presence = pipeline.presence().clone();
        let (terms, pipeline) = (&self.terms, &mut pipeline);
        let serving =
            connection::serve(near.into(), terms, channel, pipeline, &presence, &mut watcher);
        let (steps, _) = tokio::join!(client.talk(inquiry), serving);
        steps
    }

    /// The session as hooks see it from its beginning, as with a proxy that says so (XCLIENT).
    fn session(&self, inquiry: &Inquiry) -> SessionFacts {
        let port = |ip| SocketAddr::new(ip, PORT).into();
        let client = inquiry.client.map_or(ClientAddress::Unknown, port);
        SessionFacts {
            user: inquiry.user.clone(),
            mechanism: inquiry.user.as_ref().map(|_| "PLAIN".to_owned()),
            tls: inquiry.tls.then(|| TlsFacts {
                version: "TLSv1.3".to_owned(),
                cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
                ..TlsFacts::default()
            }),
            ..SessionFacts::new(ID.to_owned(), &self.listener.name, client)
        }
    }

    fn explain(&self, inquiry: &Inquiry, steps: Vec<Step>, took: Duration) -> Explanation {
        let Self { config, listener, notes, .. } = self;
        let ending = Ending::of(notes, inquiry, &steps);
        let recipients = self.ways(inquiry, &steps, &ending);
        let content = steps.iter().any(|step| step.stage == "message");
        Explanation {
            listener: listener.name.clone(),
            protocol: protocol(listener.protocol),
            sender: inquiry.sender.to_string(),
            client: inquiry.client,
            helo: inquiry.helo.clone(),
            user: inquiry.user.clone(),
            tls: inquiry.tls,
            delivery: match listener.delivery {
                DeliveryMode::Relay => "relay",
                DeliveryMode::Spool => "spool",
            },
            score: Score::of(notes, listener),
            together: Together::of(listener, &recipients),
            recipients,
            delivered: self.rehearsal.taken().iter().map(Delivered::of).collect(),
            plugins: if content { Vec::new() } else { may_change(config, listener) },
            quarantine: listener
                .quarantine
                .as_ref()
                .and_then(|name| Destination::of(config, name, None)),
            record: notes.ending().map(|ended| ended.record),
            steps,
            ending,
            seconds: took.as_micros() as f64 / 1e6,
        }
    }
}

impl Explanation {
    /// Whether the client hears yes of everything, as far as it got.
    #[must_use]
    pub fn is_yes(&self) -> bool {
        self.ending.is_yes() && !self.recipients.iter().any(|way| way.refused)
    }
}

fn may_change(config: &Config, listener: &Listener) -> Vec<MayChange> {
    const GRANTS: &[(Grant, &str)] =
        &[(Grant::Route, "route"), (Grant::RewriteEnvelope, "rewrite-envelope")];
    let asked = config.plugins.iter().filter(|plugin| listener.plugins.contains(&plugin.name));
    let may = asked.filter_map(|plugin| {
        let granted = GRANTS.iter().filter(|(grant, _)| plugin.grants.contains(grant));
        let grants: Vec<_> = granted.map(|(_, word)| *word).collect();
        (!grants.is_empty()).then(|| MayChange { name: plugin.name.clone(), grants })
    });
    may.collect()
}

/// A protocol as the configuration calls it.
fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Lmtp => "lmtp",
        Protocol::Smtp => "smtp",
    }
}

/// What stands for the session's id in replies and `Received`.
const ID: &str = "explain";

/// The client's port; nothing is decided by it.
const PORT: u16 = 4025;

/// Octets on their way between client and session.
const PIPE_OCTETS: usize = 64 << 10;
