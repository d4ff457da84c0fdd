//! Where a message came from, for whoever gets it next.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Forwarded, SessionFacts};

/// Where a message came from: what XCLIENT and XFORWARD tell the next hop, and what is kept with a
/// message that waits. All values are as the session had them, and of any length.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Provenance {
    /// The id of the transaction.
    pub id: String,
    /// The client's address; none for a Unix socket, or where a proxy did not say.
    pub address: Option<IpAddr>,
    /// The client's port.
    pub port: Option<u16>,
    /// The client's host name, as a trusted proxy said it.
    pub name: Option<String>,
    /// What it said in HELO or EHLO.
    pub helo: Option<String>,
    /// Whether it said EHLO or LHLO.
    pub esmtp: bool,
    /// Who logged in.
    pub login: Option<String>,
    /// What a trusted proxy said of where the message came from (XFORWARD).
    pub forwarded: Option<Forwarded>,
    /// The listener's name.
    pub listener: String,
}

impl Provenance {
    /// Of a transaction of this session.
    #[must_use]
    pub fn new(session: &SessionFacts, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            address: session.client.ip(),
            port: session.client.port(),
            name: session.client_name.clone(),
            helo: session.helo.clone(),
            esmtp: session.esmtp,
            login: session.user.clone(),
            forwarded: session.forwarded.as_deref().cloned(),
            listener: session.listener.clone(),
        }
    }
}
