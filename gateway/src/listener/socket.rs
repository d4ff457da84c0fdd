//! The sockets that connections come from.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tracing::debug;

use crate::connection::Transport;
use crate::message::ClientAddress;

/// A socket that listens, not yet in a worker's hands.
#[derive(Debug)]
pub enum Bound {
    /// At an IP address.
    Tcp(std::net::TcpListener),
    /// On this machine.
    Unix(std::os::unix::net::UnixListener),
}

impl Bound {
    /// Hands it to the worker that this runs on.
    pub(super) fn acceptor(self) -> io::Result<Accepting> {
        Ok(match self {
            Self::Tcp(socket) => Accepting::Tcp(TcpListener::from_std(socket)?),
            Self::Unix(socket) => Accepting::Unix(UnixListener::from_std(socket)?),
        })
    }

    /// Another descriptor of the same socket.
    pub(super) fn another(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }

    /// Its IP address, if it has one.
    pub(super) fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }
}

impl TryFrom<OwnedFd> for Bound {
    type Error = io::Error;

    /// Takes what another process has opened.
    fn try_from(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        if !socket.is_listener()? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, UNFIT));
        }
        socket.set_nonblocking(true)?;
        Ok(match socket.domain()? {
            Domain::UNIX => Self::Unix(socket.into()),
            _ => Self::Tcp(socket.into()),
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix = match self {
            Self::Tcp(socket) => {
                return socket.local_addr().map_or(Ok(()), |address| address.fmt(f));
            }
            Self::Unix(socket) => socket.local_addr().ok(),
        };
        match unix.as_ref().and_then(|address| address.as_pathname()) {
            Some(path) => write!(f, "unix:{}", path.display()),
            None => f.write_str("unix"),
        }
    }
}

/// A socket that a worker accepts from.
#[derive(Debug)]
pub(super) enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// The next connection, and whose it is.
    pub(super) async fn accept(&self) -> io::Result<(Transport, ClientAddress)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, client) = socket.accept().await?;
                // Replies are written whole; waiting for more to send would only delay the client.
                if let Err(error) = stream.set_nodelay(true) {
                    debug!(%error, "TCP_NODELAY");
                }
                Ok((stream.into(), client.into()))
            }
            Self::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                Ok((stream.into(), ClientAddress::Unix))
            }
        }
    }
}

/// Binds an IP address so many times; the kernel shares the connections out among the sockets. `ours`
/// says that sockets of this process have the port already.
pub(super) fn bind_ip(address: SocketAddr, count: usize, ours: bool) -> io::Result<Vec<Bound>> {
    let address = match ours {
        true => address,
        // Sockets that share a port would share it with another process of this user, too. That it
        // is free shows with one that does not share.
        false => bind_one(address, Sharing::None)?.local_addr()?,
    };
    (0..count).map(|_| bind_one(address, Sharing::Port).map(Bound::Tcp)).collect()
}

/// Whether other sockets may be bound to the same address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sharing {
    None,
    Port,
}

fn bind_one(address: SocketAddr, sharing: Sharing) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` is every address of the machine, on every system.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Why something that was passed is not served.
pub(super) const UNFIT: &str = "what was passed is not a stream socket that listens";
/// Connections that wait to be accepted; the kernel's own bound is usually 4096.
pub(super) const BACKLOG: i32 = 1024;
