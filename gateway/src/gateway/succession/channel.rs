//! What two processes say to each other of which one takes the place of the other.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use crate::listener::{Handed, Role};

/// One of the two ends.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

/// What is said.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "say")]
pub(super) enum Message {
    /// Sockets come along, one for each role.
    Sockets {
        roles: Vec<Role>,
        /// Whether more of them follow.
        more: bool,
    },
    /// The new process is ready to serve.
    Prepared,
    /// It may: whatever only one process can have is free.
    Begin,
    /// It does.
    Serving,
    /// The old process is nothing any more but its last transactions.
    Reign,
    /// The new process cannot serve.
    Failed { text: String },
}

impl Channel {
    /// Both ends: one for this process, one for the other.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (own, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(own), other))
    }

    /// The end that came as standard input.
    pub(super) fn on_standard_input() -> io::Result<Self> {
        io::stdin().as_fd().try_clone_to_owned().map(Self)
    }

    /// The same end, for another thread.
    pub(super) fn another(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, &[])
    }

    /// Hands sockets over, as many at a time as the system takes.
    pub(super) fn send_sockets(&self, handed: &[Handed<'_>]) -> io::Result<()> {
        let mut rest = handed;
        loop {
            let (now, later) = rest.split_at(rest.len().min(AT_ONCE));
            let roles = now.iter().map(|(role, _)| role.clone()).collect();
            let descriptors: Vec<_> = now.iter().map(|(_, descriptor)| *descriptor).collect();
            self.send_with(&Message::Sockets { roles, more: !later.is_empty() }, &descriptors)?;
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }

    fn send_with(&self, message: &Message, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        let octets = serde_json::to_vec(message)?;
        let mut space = space();
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() && !control.push(SendAncillaryMessage::ScmRights(sockets)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&self.0, &[IoSlice::new(&octets)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// The next message; none if the other process is gone. Blocks.
    pub(super) fn receive(&self) -> io::Result<Option<Message>> {
        Ok(self.receive_with()?.map(|(message, _)| message))
    }

    /// All sockets that are handed over. Blocks.
    pub(super) fn receive_sockets(&self) -> io::Result<Vec<(Role, OwnedFd)>> {
        let mut all = Vec::new();
        loop {
            let received = self.receive_with()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let (Message::Sockets { roles, more }, sockets) = received else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            if roles.len() != sockets.len() {
                return Err(io::Error::other("sockets were lost: too many are open"));
            }
            all.extend(roles.into_iter().zip(sockets));
            if !more {
                return Ok(all);
            }
        }
    }

    fn receive_with(&self) -> io::Result<Option<(Message, Vec<OwnedFd>)>> {
        let mut octets = vec![0; MESSAGE_OCTETS];
        let mut space = space();
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut octets)];
        let received = loop {
            match recvmsg(&self.0, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                // It ended before it had read what it was told. That is said once, and before its last
                // words, which are still to come.
                Err(Errno::CONNRESET) => {}
                received => break received?,
            }
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        let sockets = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        });
        let sockets = sockets.flatten().collect();
        let message = serde_json::from_slice(&octets[..received.bytes])?;
        Ok(Some((message, sockets)))
    }
}

fn space() -> Vec<MaybeUninit<u8>> {
    vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))]
}

/// Sockets in one message: the system takes 253, and their names have to find room, too.
const AT_ONCE: usize = 100;

/// The longest message.
const MESSAGE_OCTETS: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn sockets_keep_their_names_and_their_queues_on_the_way() {
        let (own, other) = Channel::pair().unwrap();
        let other = Channel(other);
        let listeners: Vec<_> =
            (0..250).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = listeners[7].local_addr().unwrap();
        let mut waits = TcpStream::connect(address).unwrap();
        let role = |n: usize| Role::Listener { name: n.to_string(), address: "x".repeat(100) };
        let handed: Vec<_> =
            listeners.iter().enumerate().map(|(n, socket)| (role(n), socket.as_fd())).collect();
        let sending = std::thread::scope(|scope| {
            let sent = scope.spawn(|| own.send_sockets(&handed));
            let received = other.receive_sockets().unwrap();
            sent.join().unwrap().unwrap();
            received
        });
        drop(listeners);
        assert_eq!(sending.len(), 250);
        assert!(sending.iter().enumerate().all(|(n, (it, _))| *it == role(n)));
        let socket = sending.into_iter().nth(7).unwrap().1;
        waits.write_all(b"x").unwrap();
        assert!(TcpListener::from(socket).accept().is_ok());
    }

    #[test]
    fn last_words_are_heard_of_one_who_did_not_listen() {
        let (own, other) = Channel::pair().unwrap();
        let other = Channel(other);
        own.send(&Message::Begin).unwrap();
        let failed = Message::Failed { text: "no".to_owned() };
        other.send(&failed).unwrap();
        drop(other);
        assert!(own.send(&Message::Reign).is_err());
        assert_eq!(own.receive().unwrap(), Some(failed));
        assert_eq!(own.receive().unwrap(), None);
    }

    #[test]
    fn messages_come_as_they_were_sent_and_then_the_end() {
        let (own, other) = Channel::pair().unwrap();
        let other = Channel(other);
        let failed = Message::Failed { text: "error: no\n".repeat(1000) };
        for message in [Message::Prepared, failed, Message::Reign] {
            own.send(&message).unwrap();
            assert_eq!(other.receive().unwrap(), Some(message));
        }
        own.send(&Message::Begin).unwrap();
        assert!(other.receive_sockets().is_err(), "that is no socket");
        drop(own);
        assert_eq!(other.receive().unwrap(), None);
    }
}
