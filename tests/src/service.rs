//! A service that speaks what a test wants it to, over TCP or a Unix socket.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A running service. Its threads end with the test.
#[derive(Debug)]
pub struct Service {
    /// As a plugin is granted it: `127.0.0.1:port` or `unix:/path`.
    pub address: String,
    connections: Arc<AtomicUsize>,
}

/// One connection, as the service sees it.
pub trait Peer: Read + Write {}

impl<T: Read + Write> Peer for T {}

impl Service {
    /// One on loopback. `speak` has a connection at a time; what it returns ends that one.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn tcp(
        speak: impl Fn(&mut dyn Peer) -> io::Result<()> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
        let address = listener.local_addr().expect("a listener has an address");
        Self::with(address.to_string(), move || listener.accept().map(|(stream, _)| stream), speak)
    }

    /// One at a socket of this machine.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn unix(
        path: &Path,
        speak: impl Fn(&mut dyn Peer) -> io::Result<()> + Clone + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).expect("a new path can be listened at");
        let address = format!("unix:{}", path.display());
        Self::with(address, move || listener.accept().map(|(stream, _)| stream), speak)
    }

    fn with<S: Peer + Send + 'static>(
        address: String,
        accept: impl Fn() -> io::Result<S> + Send + 'static,
        speak: impl Fn(&mut dyn Peer) -> io::Result<()> + Clone + Send + Sync + 'static,
    ) -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let known = connections.clone();
        thread::spawn(move || {
            while let Ok(mut stream) = accept() {
                known.fetch_add(1, Ordering::Relaxed);
                let speak = speak.clone();
                // Whoever gives up ends the connection, which is no error here.
                thread::spawn(move || speak(&mut stream));
            }
        });
        Self { address, connections }
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Where it is in the network.
    ///
    /// # Panics
    /// If it is at a Unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.parse::<SocketAddr>().expect("an address with a port").port()
    }
}
