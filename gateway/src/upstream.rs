//! Delivery over SMTP and LMTP: one transaction of a client is one transaction at an upstream.
//!
//! ```text
//!   begin --> offer (each RCPT) --> deliver --> a reply for each recipient
//!                   '-------------> abandon
//! ```
//!
//! Nothing is kept here: what the upstream has not taken, the client still has. So whatever goes
//! wrong on this side of the upstream's answer is a 4xx, and no message is ever sent twice by
//! itself once its final dot may have left.

mod address;
mod balance;
mod connection;
mod content;
mod delivery;
mod directory;
mod facts;
mod failure;
mod fleet;
mod health;
mod introduction;
mod login;
mod maildir;
mod parameters;
mod pool;
mod rehearsal;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod trail;
mod transaction;
mod verification;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Hop, Upstream};
use crate::message::Provenance;
use crate::metrics::Metrics;
use crate::resolver::Resolver;

use directory::Directory;
use maildir::Maildir;
use pool::Pool;
use rehearsal::Double;
use transaction::Transaction;

pub use delivery::Delivery;
pub use facts::{AddressFacts, UpstreamFacts};
pub use failure::is_unreachable;
pub use maildir::mailbox_folder;
pub use rehearsal::{Refusal, Rehearsal, Taken};
pub use trail::Trail;

/// All upstreams of one configuration, with their connections.
#[derive(Debug)]
pub struct Upstreams {
    places: HashMap<String, Place>,
}

/// Where mail goes.
#[derive(Clone, Debug)]
enum Place {
    Discard,
    Hop(Arc<Pool>),
    Maildir(Arc<Maildir>),
    Rehearsed(Arc<Double>),
}

impl Place {
    fn pool(&self) -> Option<&Arc<Pool>> {
        match self {
            Self::Discard | Self::Maildir(_) | Self::Rehearsed(_) => None,
            Self::Hop(pool) => Some(pool),
        }
    }
}

impl Upstreams {
    /// Prepares the upstreams of a configuration; connects to none of them yet.
    ///
    /// # Errors
    ///
    /// If the authorities of a verified upstream cannot be read, or its certificate could never
    /// have its name.
    pub fn new(
        config: &Config,
        resolver: &Resolver,
        metrics: Arc<Metrics>,
    ) -> Result<Self, UpstreamError> {
        Self::after(None, config, resolver, metrics)
    }

    /// The same after a reload. Upstreams that have not changed stay, with the bound of their
    /// connections.
    ///
    /// # Errors
    ///
    /// As [`Upstreams::new`].
    pub fn after(
        earlier: Option<&Self>,
        config: &Config,
        resolver: &Resolver,
        metrics: Arc<Metrics>,
    ) -> Result<Self, UpstreamError> {
        let place = |(name, upstream): (&String, &Upstream)| {
            let place = match upstream {
                Upstream::Discard => Place::Discard,
                Upstream::Maildir(maildir) => {
                    let metrics = metrics.upstream(name);
                    Place::Maildir(Maildir::new(name, maildir, &config.hostname, metrics).into())
                }
                Upstream::Hop(hop) => {
                    let known = earlier.and_then(|upstreams| upstreams.pool(name));
                    let directory = Directory::new(resolver, &config.hostname);
                    Place::Hop(pool(name, hop, directory, known, &metrics)?)
                }
            };
            Ok((name.clone(), place))
        };
        let places = config.upstreams.iter().map(place).collect::<Result<_, UpstreamError>>()?;
        Ok(Self { places })
    }

    fn pools(&self) -> impl Iterator<Item = (&str, &Arc<Pool>)> {
        self.places.iter().filter_map(|(name, place)| Some((&**name, place.pool()?)))
    }

    fn pool(&self, name: &str) -> Option<&Arc<Pool>> {
        self.places.get(name).and_then(Place::pool)
    }

    /// The same upstreams with idle connections of their own, for one of `among` threads. Of the
    /// thread's `earlier` ones those stay that are shares of the same upstreams.
    #[must_use]
    pub fn share(&self, among: usize, earlier: Option<&Self>) -> Self {
        let share = |(name, place): (&String, &Place)| {
            let place = match place {
                Place::Discard => Place::Discard,
                Place::Maildir(maildir) => Place::Maildir(maildir.clone()),
                Place::Rehearsed(double) => Place::Rehearsed(double.clone()),
                Place::Hop(pool) => {
                    let known = earlier.and_then(|upstreams| upstreams.pool(name));
                    let known = known.filter(|share| share.is_share_of(pool));
                    Place::Hop(known.cloned().unwrap_or_else(|| pool.share(among).into()))
                }
            };
            (name.clone(), place)
        };
        for (name, pool) in earlier.into_iter().flat_map(Self::pools) {
            if self.pool(name).is_none() {
                pool.fleet.end();
            }
        }
        Self { places: self.places.iter().map(share).collect() }
    }

    /// The same upstreams in a rehearsal: nobody is connected to, nothing is written, and what would
    /// be delivered is written down there.
    #[must_use]
    pub fn rehearsed(&self, rehearsal: &Arc<Rehearsal>) -> Self {
        let double = |(name, place): (&String, &Place)| {
            let mailboxes = match place {
                Place::Maildir(maildir) => Some(maildir.clone()),
                Place::Discard | Place::Hop(_) | Place::Rehearsed(_) => None,
            };
            let is_server = matches!(place, Place::Hop(_));
            let (name, rehearsal) = (name.clone(), rehearsal.clone());
            let double = Double { name: name.clone(), mailboxes, is_server, rehearsal };
            (name, Place::Rehearsed(Arc::new(double)))
        };
        Self { places: self.places.iter().map(double).collect() }
    }

    /// Begins a transaction at the upstream of this name; none if there is no such upstream.
    ///
    /// Connects to it when the first recipient is offered.
    #[must_use]
    pub fn begin(&self, name: &str, provenance: &Arc<Provenance>) -> Option<Delivery> {
        Some(match self.places.get(name)? {
            Place::Discard => Delivery::discard(),
            Place::Maildir(maildir) => {
                Delivery::to_maildir(maildir::Transaction::new(maildir.clone(), provenance.clone()))
            }
            Place::Hop(pool) => {
                Delivery::to_hop(Transaction::new(pool.clone(), provenance.clone()))
            }
            Place::Rehearsed(double) => Delivery::rehearsed(double.clone(), provenance.clone()),
        })
    }

    /// Whether an upstream sends the reports itself that a sender asks for (NOTIFY), as far as is known: it was
    /// asked to, and offers that.
    #[must_use]
    pub fn keeps_dsn(&self, name: &str) -> bool {
        self.pool(name).is_some_and(|pool| pool.keeps_dsn())
    }

    /// Says QUIT on all idle connections. Those in use are closed after their transactions.
    pub fn close(&self) {
        self.places.values().filter_map(Place::pool).for_each(|pool| pool.close());
    }
}

/// The connections of a next hop; the `known` ones where nothing has changed.
fn pool(
    name: &str,
    hop: &Hop,
    directory: Directory,
    known: Option<&Arc<Pool>>,
    metrics: &Metrics,
) -> Result<Arc<Pool>, UpstreamError> {
    if let Some(pool) = known.filter(|pool| pool.fits(hop, &directory)) {
        return Ok(pool.clone());
    }
    let earlier = known.map(|pool| &**pool);
    let pool = Pool::new(name, hop, directory, earlier, metrics.upstream(name))?;
    Ok(Arc::new(pool))
}

/// Why an upstream cannot be used as it is configured. The operator's fault.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The PEM file of the authorities.
    #[error("authorities of upstream \"{upstream}\" cannot be read from {}: {reason}", file.display())]
    Authority {
        /// The name in the configuration.
        upstream: String,
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// The PEM files of the gateway's own certificate.
    #[error("certificate for upstream \"{upstream}\" cannot be read from {}: {reason}", file.display())]
    Identity {
        /// The name in the configuration.
        upstream: String,
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Those that the system trusts.
    #[error(
        "upstream \"{upstream}\" needs the system's authorities, which cannot be read: {reason}"
    )]
    SystemAuthorities {
        /// The name in the configuration.
        upstream: String,
        /// Why.
        reason: String,
    },
    /// The authorities that vouch for pinned keys.
    #[error("authorities of upstream \"{upstream}\" cannot be used: {reason}")]
    Verifier {
        /// The name in the configuration.
        upstream: String,
        /// Why.
        reason: String,
    },
    /// A name that cannot stand in a certificate.
    #[error("host of upstream \"{upstream}\" is no name that a certificate could have")]
    Host {
        /// The name in the configuration.
        upstream: String,
    },
    /// TLS itself.
    #[error("TLS of upstream \"{upstream}\"")]
    Tls {
        /// The name in the configuration.
        upstream: String,
        /// Why.
        source: rustls::Error,
    },
}
