//! What the end-to-end tests are made of: the gateway as it is built, a client, an upstream that
//! keeps what it got, and real peers.
//!
//! All of it blocks: a test is a client, and each peer is a thread or a process of its own.
//! A test that cannot do its work panics; so does everything here.

pub mod certificate;
pub mod client;
pub mod corpus;
pub mod dns;
pub mod faulty;
pub mod gateway;
pub mod log;
pub mod metrics;
pub mod peers;
pub mod process;
pub mod seed;
pub mod service;
pub mod sink;
pub mod web;

pub use certificate::Certificate;
pub use client::{Client, Reply};
pub use dns::{Dns, Fault, Zone};
pub use faulty::Faulty;
pub use gateway::{Gateway, Running};
pub use log::{Log, Record};
pub use metrics::Metrics;
pub use process::Process;
pub use seed::Seed;
pub use service::Service;
pub use sink::{Letter, Sink};
pub use web::Web;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for something that happens at once on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let crate_root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crate_root.parent().expect("the crate lies in the repository").to_owned()
}

/// An address on loopback where nobody listens at the moment, and which no other test is given.
///
/// Its port is below those that the system picks for connections, so that none takes it before
/// somebody listens there.
///
/// # Panics
/// If loopback has no free port.
#[must_use]
pub fn free_address() -> SocketAddr {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(64);
    for _ in 0..PORTS.len() {
        let offset = start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % PORTS.len() as u32;
        let port = u16::try_from(u32::from(PORTS.start) + offset).expect("within the range");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("loopback has no free port");
}

/// Above the fixed ports of the conformance cases, below those of outgoing connections.
const PORTS: Range<u16> = 13_000..32_000;

/// Looks again and again until there is something to see.
///
/// # Panics
/// If there is nothing after [`PATIENCE`].
#[track_caller]
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_up_to(PATIENCE, what, look)
}

/// The same with more patience.
///
/// # Panics
/// If there is nothing after so long a time.
#[track_caller]
pub fn wait_up_to<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
