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

mod connection;
mod content;
mod delivery;
mod failure;
mod parameters;
mod pool;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::metrics::Metrics;

use pool::Pool;

pub use delivery::Delivery;

/// All upstreams of one configuration, with their connections.
#[derive(Debug)]
pub struct Upstreams {
    pools: HashMap<String, Arc<Pool>>,
}

impl Upstreams {
    /// Prepares the upstreams of a configuration; connects to none of them yet.
    ///
    /// # Errors
    ///
    /// If the authorities of a verified upstream cannot be read, or its certificate could never
    /// have its name.
    pub fn new(config: &Config, metrics: Arc<Metrics>) -> Result<Self, UpstreamError> {
        Self::after(None, config, metrics)
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
        metrics: Arc<Metrics>,
    ) -> Result<Self, UpstreamError> {
        let known = |name: &String| earlier.and_then(|upstreams| upstreams.pools.get(name));
        let pool = |(name, upstream): (&String, _)| {
            if let Some(pool) = known(name).filter(|pool| pool.fits(upstream, &config.hostname)) {
                return Ok((name.clone(), pool.clone()));
            }
            let metrics = metrics.upstream(name);
            let pool = Pool::new(name, upstream, &config.hostname, metrics)?;
            Ok((name.clone(), Arc::new(pool)))
        };
        let pools = config.upstreams.iter().map(pool).collect::<Result<_, UpstreamError>>()?;
        Ok(Self { pools })
    }

    /// The same upstreams with idle connections of their own, for one of `among` threads. Of the
    /// thread's `earlier` ones those stay that are shares of the same upstreams.
    #[must_use]
    pub fn share(&self, among: usize, earlier: Option<&Self>) -> Self {
        let share = |(name, pool): (&String, &Arc<Pool>)| {
            let known = earlier.and_then(|upstreams| upstreams.pools.get(name));
            let known = known.filter(|share| share.is_share_of(pool));
            (name.clone(), known.cloned().unwrap_or_else(|| pool.share(among).into()))
        };
        Self { pools: self.pools.iter().map(share).collect() }
    }

    /// Begins a transaction at the upstream of this name; none if there is no such upstream.
    ///
    /// Connects to it when the first recipient is offered.
    #[must_use]
    pub fn begin(&self, name: &str) -> Option<Delivery> {
        self.pools.get(name).map(|pool| Delivery::new(pool.clone()))
    }

    /// Says QUIT on all idle connections. Those in use are closed after their transactions.
    pub fn close(&self) {
        for pool in self.pools.values() {
            pool.close();
        }
    }
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
