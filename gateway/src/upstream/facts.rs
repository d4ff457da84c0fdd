//! How upstreams do, for those who look after them.

use std::sync::Arc;

use portcullis_smtp::server::Protocol;
use serde::Serialize;

use super::pool::Pool;
use super::{Place, Upstreams};

/// How one upstream does.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct UpstreamFacts {
    /// Its name in the configuration.
    pub name: String,
    /// `smtp`, `lmtp`, `maildir` or `discard`.
    pub protocol: &'static str,
    /// Whether mail can go there, as far as is known.
    pub up: bool,
    /// Connections to it now.
    pub connections: u32,
    /// Of these, those that carry transactions, or are being made for one.
    pub connections_in_use: usize,
    /// Of these, those that wait for their next use.
    pub connections_idle: usize,
    /// How many may be in use at once; none where there are no connections.
    pub connections_limit: Option<usize>,
    /// Where it is.
    pub addresses: Vec<AddressFacts>,
}

/// How one of its addresses does.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct AddressFacts {
    /// An address with its port, or a Unix socket; a name as long as nobody has looked it up.
    pub address: String,
    /// The name by which it was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether it may get mail.
    pub up: bool,
    /// Connections to it now.
    pub connections: u32,
}

impl Upstreams {
    /// How they do, by name; from the shares of all threads together.
    #[must_use]
    pub fn facts(shares: &[Arc<Self>]) -> Vec<UpstreamFacts> {
        let Some(first) = shares.first() else { return Vec::new() };
        let mut facts: Vec<_> = first
            .places
            .iter()
            .map(|(name, place)| match place {
                Place::Discard => without_connections(name, "discard"),
                Place::Maildir(_) => without_connections(name, "maildir"),
                Place::Rehearsed(_) => without_connections(name, "rehearsed"),
                Place::Hop(pool) => {
                    let idle = shares.iter().filter_map(|share| share.pool(name));
                    pool.facts(idle.map(|pool| pool.idle_connections()).sum())
                }
            })
            .collect();
        facts.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        facts
    }
}

impl Pool {
    fn facts(&self, idle: usize) -> UpstreamFacts {
        let fleet = &self.fleet;
        let mut addresses: Vec<_> = fleet
            .roster()
            .seats
            .iter()
            .map(|seat| AddressFacts {
                address: seat.address.endpoint.to_string(),
                host: Some(seat.address.host.clone()).filter(|host| !host.is_empty()),
                up: fleet.is_up(&seat.address),
                connections: seat.address.open(),
            })
            .collect();
        if addresses.is_empty() {
            let members = self.target.upstream.members.iter();
            addresses.extend(members.map(|member| AddressFacts {
                address: member.address.to_string(),
                host: None,
                up: true,
                connections: 0,
            }));
        }
        let limit = self.target.upstream.connections;
        UpstreamFacts {
            name: self.name.clone(),
            protocol: match self.target.upstream.protocol {
                Protocol::Lmtp => "lmtp",
                Protocol::Smtp => "smtp",
            },
            up: fleet.can_take_mail(),
            connections: addresses.iter().map(|address| address.connections).sum(),
            connections_in_use: limit.saturating_sub(self.free_permits()),
            connections_idle: idle,
            connections_limit: Some(limit),
            addresses,
        }
    }
}

fn without_connections(name: &str, protocol: &'static str) -> UpstreamFacts {
    UpstreamFacts {
        name: name.to_owned(),
        protocol,
        up: true,
        connections: 0,
        connections_in_use: 0,
        connections_idle: 0,
        connections_limit: None,
        addresses: Vec::new(),
    }
}
