//! A next hop that fails at one stage of the conversation in one way, until it is mended.

mod fault;
mod talk;

pub use fault::{Fault, Stage};

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};

use crate::{Certificate, Letter};

/// A next hop that fails when it is told to. Dropped, it takes no more connections.
#[derive(Debug)]
pub struct Faulty {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What does not change about one.
#[derive(Clone, Debug)]
pub struct Character {
    /// Whether it speaks LMTP.
    pub lmtp: bool,
    /// Where it fails.
    pub stage: Stage,
    /// How.
    pub fault: Fault,
    /// What it offers beside PIPELINING and 8BITMIME.
    pub extensions: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    character: Character,
    tls: Option<Arc<ServerConfig>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often it may still fail.
    strikes: usize,
    /// Connections that wait to be mended end when this moves on.
    mended: usize,
    letters: Vec<Letter>,
    /// Connections that were refused or left to wait, until it is mended.
    held: Vec<TcpStream>,
    /// Which listener is the present one; the others end.
    listener: usize,
}

impl Faulty {
    /// One that is well for now.
    ///
    /// # Panics
    /// If loopback has no port.
    #[must_use]
    pub fn new(character: Character, certificate: Option<&Certificate>) -> Self {
        let tls = certificate.map(|certificate| Arc::new(certificate.server_config()));
        let shared =
            Arc::new(Shared { character, tls, state: Mutex::default(), changed: Condvar::new() });
        let address = crate::free_address();
        let this = Self { address, shared };
        this.listen();
        this
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it fails.
    ///
    /// # Panics
    /// If its port cannot be kept.
    pub fn fail(&self) {
        self.fail_times(usize::MAX);
    }

    /// It fails once.
    pub fn fail_once(&self) {
        self.fail_times(1);
    }

    fn fail_times(&self, strikes: usize) {
        self.shared.state().strikes = strikes;
        match (self.shared.character.stage, self.shared.character.fault) {
            (Stage::Connect, Fault::Refused) => self.stop_listening(),
            (Stage::Connect, Fault::Silent) => {
                self.stop_listening();
                self.fill_backlog();
            }
            _ => {}
        }
    }

    /// Whether it has failed as often as it was told to.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.shared.state().strikes == 0
    }

    /// From now on it is well.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        let was_failing = std::mem::take(&mut state.strikes) > 0;
        state.mended += 1;
        state.held.clear();
        drop(state);
        self.shared.changed.notify_all();
        let Character { stage, fault, .. } = self.shared.character;
        if was_failing && stage == Stage::Connect && fault != Fault::Resets {
            self.listen();
        }
    }

    /// What has arrived and was kept.
    #[must_use]
    pub fn letters(&self) -> Vec<Letter> {
        self.shared.state().letters.clone()
    }

    fn listen(&self) {
        let listener = crate::wait_for("its port", || bind(self.address, BACKLOG).ok());
        let listener = TcpListener::from(listener);
        let shared = Arc::clone(&self.shared);
        let number = shared.state().listener;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.state().listener != number {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A gateway that gives up leaves in the middle.
                thread::spawn(move || drop(talk::hold(&shared, stream)));
            }
        });
    }

    /// Wakes the listener, which then sees that its time is over.
    fn stop_listening(&self) {
        self.shared.state().listener += 1;
        crate::wait_for("a port that is free", || {
            TcpStream::connect_timeout(&self.address, KNOCK)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
                .then_some(())
        });
    }

    /// Has the system drop further attempts to connect: nobody answers them, not even with a no.
    fn fill_backlog(&self) {
        let listener = crate::wait_for("its port", || bind(self.address, 0).ok());
        let mut held = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&self.address, KNOCK) {
            held.push(stream);
        }
        let shared = Arc::clone(&self.shared);
        shared.state().held = held;
        let round = shared.round();
        thread::spawn(move || {
            shared.wait_until_mended(round);
            drop(listener);
        });
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.listener += 1;
        state.mended += 1;
        state.held.clear();
        drop(state);
        self.shared.changed.notify_all();
        drop(TcpStream::connect_timeout(&self.address, KNOCK));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it fails now, at this stage.
    fn strikes(&self, stage: Stage) -> bool {
        let mut state = self.state();
        let strikes = stage == self.character.stage && state.strikes > 0;
        if strikes && state.strikes < usize::MAX {
            state.strikes -= 1;
        }
        strikes
    }

    fn round(&self) -> usize {
        self.state().mended
    }

    fn wait_until_mended(&self, round: usize) {
        let state = self.state();
        drop(self.changed.wait_timeout_while(state, LONGEST, |state| state.mended <= round));
    }
}

fn bind(address: SocketAddr, backlog: i32) -> io::Result<Socket> {
    debug_assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket)
}

/// Connections that the system accepts before anybody has asked for them.
const BACKLOG: i32 = 128;

/// How long loopback may take to say yes or no.
const KNOCK: Duration = Duration::from_millis(200);

/// How long a connection is held that nobody mends.
const LONGEST: Duration = Duration::from_secs(180);
