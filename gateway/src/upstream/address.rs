//! One address of an upstream, and how it does.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::health::Health;

/// Where to connect to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Endpoint {
    pub(super) fn is_ipv6(&self) -> bool {
        matches!(self, Self::Tcp(SocketAddr::V6(_)))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One address: the same for all threads, and through reloads as long as it is asked for.
#[derive(Debug)]
pub(super) struct Address {
    pub(super) endpoint: Endpoint,
    /// The name by which it was found: its certificate's.
    pub(super) host: String,
    pub(super) health: Health,
    /// Connections that are greeted.
    open: AtomicU32,
    /// Connections in transactions; counted where there is a choice.
    busy: AtomicU32,
}

impl Address {
    pub(super) fn new(endpoint: Endpoint, host: &str) -> Self {
        Self {
            endpoint,
            host: host.to_owned(),
            health: Health::default(),
            open: AtomicU32::new(0),
            busy: AtomicU32::new(0),
        }
    }

    pub(super) fn is(&self, endpoint: &Endpoint, host: &str) -> bool {
        self.endpoint == *endpoint && self.host == host
    }

    /// Whether it serves somebody now.
    pub(super) fn is_serving(&self) -> bool {
        self.open() > 0
    }

    /// Connections that are greeted.
    pub(super) fn open(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }
}

/// A connection that is greeted, counted.
#[derive(Debug)]
pub(super) struct Open(pub(super) Arc<Address>);

impl Open {
    pub(super) fn new(address: Arc<Address>) -> Self {
        address.open.fetch_add(1, Ordering::Relaxed);
        Self(address)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A transaction at an address, counted.
#[derive(Debug)]
pub(super) struct Busy(Arc<Address>);

impl Busy {
    pub(super) fn new(address: Arc<Address>) -> Self {
        address.busy.fetch_add(1, Ordering::Relaxed);
        Self(address)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
