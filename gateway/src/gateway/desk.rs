//! Where operators ask.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;

use tokio::task::JoinSet;

use crate::admin::{self, Route};
use crate::config;
use crate::listener::{Bound, Handed, Passed, Role};
use crate::shutdown::Shutdown;

/// The admin address, and who answers there.
#[derive(Debug)]
pub(super) struct Desk {
    /// As the configuration has it.
    address: Option<SocketAddr>,
    socket: Option<TcpListener>,
    /// The end of what answers now.
    end: Shutdown,
    is_answering: bool,
    /// What answers, and what has still to be answered at an address that is left.
    answering: JoinSet<()>,
}

/// What is to be listened at.
#[derive(Debug)]
pub(super) enum OpenedDesk {
    AsItIs,
    Anew { address: Option<SocketAddr>, socket: Option<TcpListener> },
}

impl Desk {
    /// One where nobody answers yet.
    pub(super) fn new(opened: OpenedDesk, end: Shutdown) -> Self {
        let (address, socket) = match opened {
            OpenedDesk::AsItIs => (None, None),
            OpenedDesk::Anew { address, socket } => (address, socket),
        };
        Self { address, socket, end, is_answering: false, answering: JoinSet::new() }
    }

    /// Binds the address of a configuration, or takes what was passed; nothing if it is the one that an
    /// earlier desk has.
    pub(super) fn open(
        earlier: Option<&Self>,
        config: &config::Admin,
        passed: &mut Passed,
    ) -> io::Result<OpenedDesk> {
        let address = config.address;
        if earlier.is_some_and(|earlier| earlier.address == address) {
            return Ok(OpenedDesk::AsItIs);
        }
        let Some(at) = address else { return Ok(OpenedDesk::Anew { address, socket: None }) };
        let inherited = passed.inherit_admin(&at.to_string()).into_iter().find_map(|socket| {
            let Bound::Tcp(socket) = socket else { return None };
            Some(socket)
        });
        let socket = inherited.map_or_else(|| TcpListener::bind(at), Ok)?;
        socket.set_nonblocking(true)?;
        Ok(OpenedDesk::Anew { address, socket: Some(socket) })
    }

    /// Where it is.
    pub(super) fn at(&self) -> Option<io::Result<SocketAddr>> {
        self.socket.as_ref().map(TcpListener::local_addr)
    }

    /// Answers with what is offered from now on, at what was opened. Whoever asked before gets the answer.
    ///
    /// # Errors
    ///
    /// If there are too many descriptors, or the event queue does not take the socket.
    pub(super) fn answer(
        &mut self,
        opened: OpenedDesk,
        routes: Vec<Route>,
        end: Shutdown,
    ) -> io::Result<()> {
        match opened {
            OpenedDesk::Anew { address, socket } => {
                (self.address, self.socket) = (address, socket);
            }
            OpenedDesk::AsItIs if self.is_answering => return Ok(()),
            OpenedDesk::AsItIs => {}
        }
        self.is_answering = true;
        self.end.begin();
        self.end = end;
        while self.answering.try_join_next().is_some() {}
        let Some(socket) = &self.socket else { return Ok(()) };
        let socket = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
        let watcher = self.end.watcher();
        self.answering.spawn(admin::serve(socket, routes, watcher));
        Ok(())
    }

    /// The socket, to be handed to another process.
    pub(super) fn handed(&self) -> impl Iterator<Item = Handed<'_>> {
        let address = self.address.map(|address| address.to_string()).unwrap_or_default();
        let role = Role::Admin { address };
        self.socket.iter().map(move |socket| (role.clone(), socket.as_fd()))
    }

    /// Leaves what comes to somebody else.
    pub(super) fn close(&mut self) {
        self.end.begin();
        self.socket = None;
    }

    /// Waits until all have their answers, if it is closed.
    pub(super) async fn closed(&mut self) {
        while self.answering.join_next().await.is_some() {}
    }
}
