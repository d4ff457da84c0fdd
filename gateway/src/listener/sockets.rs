//! The sockets of one address, whoever accepts from them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::file::{self, SocketFile};
use super::passed::Passed;
use super::socket::{self, Bound};
use crate::config::ListenerAddress;

/// The sockets of one address. They listen from the beginning to the end of this, whether somebody
/// accepts or not: meanwhile connections wait.
#[derive(Debug)]
pub struct Sockets {
    /// As the configuration has it.
    address: ListenerAddress,
    sockets: Vec<Bound>,
    /// Whether the kernel shares connections out among them, so that each needs only one who accepts.
    shares: bool,
    /// Removed when nobody listens any more.
    file: Option<SocketFile>,
}

impl Sockets {
    /// Binds the address of a listener for so many workers, or takes what was passed for it. What is
    /// held already, and is ours, does not make an IP address one that is in use.
    ///
    /// # Errors
    ///
    /// If it is in use, not this machine's, not allowed, or not passed.
    pub fn open<'a>(
        listener: &str,
        address: &ListenerAddress,
        workers: usize,
        passed: &mut Passed,
        held: impl IntoIterator<Item = &'a Self>,
    ) -> io::Result<Self> {
        let inherited = passed.inherit(listener, address);
        let (sockets, file) = match address {
            ListenerAddress::Systemd(name) => (passed.take(name)?, None),
            ListenerAddress::Unix(at) if !inherited.is_empty() => {
                file::admit(at)?;
                (inherited, Some(SocketFile::of_another(&at.path)?))
            }
            ListenerAddress::Ip(_) if !inherited.is_empty() => (inherited, None),
            ListenerAddress::Ip(ip) => {
                let ours = held.into_iter().any(|held| held.overlaps(*ip)) || passed.overlaps(*ip);
                (socket::bind_ip(*ip, workers, ours)?, None)
            }
            ListenerAddress::Unix(at) => {
                let (socket, file) = file::bind(at)?;
                (vec![socket], Some(file))
            }
        };
        Ok(Self { address: address.clone(), sockets, shares: address.ip().is_some(), file })
    }

    /// The address, as the configuration has it.
    #[must_use]
    pub fn at(&self) -> &ListenerAddress {
        &self.address
    }

    /// Whether this is where an address of the configuration leads. A Unix socket may have another mode
    /// there.
    #[must_use]
    pub fn are_at(&self, address: &ListenerAddress) -> bool {
        match (&self.address, address) {
            (ListenerAddress::Unix(own), ListenerAddress::Unix(other)) => own.path == other.path,
            (own, other) => own == other,
        }
    }

    /// Whether the port was left to the system, so that the address does not tell these from others.
    #[must_use]
    pub fn are_anywhere(&self) -> bool {
        self.address.port() == Some(0)
    }

    /// Whether nobody listens there when this process has ended.
    #[must_use]
    pub fn are_ours(&self) -> bool {
        !matches!(self.address, ListenerAddress::Systemd(_))
    }

    /// Where they listen; the port is the real one also where 0 was asked for. None without an IP
    /// address.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        self.sockets.iter().find_map(Bound::ip)
    }

    /// Everywhere they listen, to be read by people.
    pub fn places(&self) -> impl Iterator<Item = String> {
        let count = if self.shares { 1 } else { self.sockets.len() };
        self.sockets.iter().take(count).map(ToString::to_string)
    }

    /// The sockets, to be handed to another process.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|socket| match socket {
            Bound::Tcp(socket) => socket.as_fd(),
            Bound::Unix(socket) => socket.as_fd(),
        })
    }

    /// From now on the file of a Unix socket is somebody else's to remove.
    pub fn hand_over(&self) {
        if let Some(file) = &self.file {
            file.keep();
        }
    }

    /// From now on the file of a Unix socket that was handed over is ours to remove. Before, whoever handed
    /// it over may go on with it.
    pub fn take_over(&self) {
        if let Some(file) = &self.file {
            file.take();
        }
    }

    /// Makes the file of a Unix socket what the configuration says now.
    ///
    /// # Errors
    ///
    /// If the system does not allow it.
    pub fn admit(&self, address: &ListenerAddress) -> io::Result<()> {
        match address {
            ListenerAddress::Unix(at) => file::admit(at),
            ListenerAddress::Ip(_) | ListenerAddress::Systemd(_) => Ok(()),
        }
    }

    /// What each of so many workers is to accept from: each socket has somebody, whoever opened how
    /// many.
    ///
    /// # Errors
    ///
    /// If there are too many descriptors.
    pub fn among(&self, workers: usize) -> io::Result<Vec<Vec<Bound>>> {
        let count = self.sockets.len().max(1);
        let accepts = |worker: usize, number: usize| match self.shares {
            true => number % workers == worker || worker % count == number,
            false => true,
        };
        let of = |worker: usize| {
            let all = self.sockets.iter().enumerate();
            let own = all.filter(move |(number, _)| accepts(worker, *number));
            own.map(|(_, socket)| socket.another()).collect()
        };
        (0..workers).map(of).collect()
    }

    fn overlaps(&self, other: SocketAddr) -> bool {
        // Those of systemd do not share their port.
        self.shares && self.sockets.iter().any(|socket| overlaps(socket, other))
    }
}

/// Whether connections to one of them could come to the other.
pub(super) fn overlaps(socket: &Bound, other: SocketAddr) -> bool {
    let covers =
        |ip: SocketAddr, other: SocketAddr| ip.ip().is_unspecified() || ip.ip() == other.ip();
    socket
        .ip()
        .is_some_and(|own| own.port() == other.port() && (covers(own, other) || covers(other, own)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn open(address: &str, workers: usize, held: &[&Sockets]) -> io::Result<Sockets> {
        let address = ListenerAddress::Ip(address.parse().unwrap());
        Sockets::open("mx", &address, workers, &mut Passed::default(), held.iter().copied())
    }

    #[test]
    fn each_socket_has_a_worker_and_each_worker_a_socket() {
        for (count, workers) in [(1, 1), (1, 3), (2, 3), (3, 3), (3, 2), (5, 2), (4, 1)] {
            let sockets = open("127.0.0.1:0", count, &[]).unwrap();
            let shared = sockets.among(workers).unwrap();
            assert_eq!(shared.len(), workers);
            assert!(shared.iter().all(|own| !own.is_empty()), "{count} among {workers}");
            let given: usize = shared.iter().map(Vec::len).sum();
            assert_eq!(given, count.max(workers), "{count} among {workers}");
        }
    }

    #[test]
    fn our_own_sockets_do_not_keep_an_address_from_us() {
        let own = open("127.0.0.1:0", 2, &[]).unwrap();
        let everywhere = format!("0.0.0.0:{}", own.ip().unwrap().port());
        assert_eq!(open(&everywhere, 2, &[]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let wider = open(&everywhere, 2, &[&own]).unwrap();
        drop(own);
        TcpStream::connect(("127.0.0.2", wider.ip().unwrap().port())).unwrap();
    }
}
