//! Sockets that somebody else opened and passes: systemd (sd_listen_fds(3)), or the process that this one
//! takes the place of.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use listenfd::ListenFd;
use serde::{Deserialize, Serialize};

use super::socket::{Bound, UNFIT};
use super::sockets::{Sockets, overlaps};
use crate::config::ListenerAddress;

/// The sockets that were passed to this process.
#[derive(Debug, Default)]
pub struct Passed {
    /// From systemd, by name. They stay, for whatever listener asks for them some day.
    sockets: Vec<Activated>,
    /// Why there are none.
    missing: Option<String>,
    /// From the process that was here before, until a listener takes them.
    estate: Vec<(Role, Bound)>,
}

#[derive(Debug)]
struct Activated {
    name: String,
    /// None for what cannot be listened at.
    socket: Option<Bound>,
    is_asked_for: bool,
}

/// What a socket was for, in the process that opened it or was passed it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Mail, or what operators ask for.
    Listener {
        /// The listener's name.
        name: String,
        /// As the configuration has it.
        address: String,
    },
    /// Whatever the configuration says of this name of systemd's.
    Systemd {
        /// `FileDescriptorName=`.
        name: String,
    },
}

/// A socket that is handed to another process.
pub type Handed<'a> = (Role, BorrowedFd<'a>);

impl Passed {
    /// What the environment says was passed. Changes the environment, so it is for the beginning of
    /// the program, before there are other threads.
    #[must_use]
    pub fn from_environment() -> Self {
        let variable = |name| env::var(name).ok();
        let count = variable("LISTEN_FDS");
        let process = std::process::id().to_string();
        let missing = match (&count, variable("LISTEN_PID")) {
            (None, _) => "LISTEN_FDS is not set".to_owned(),
            (Some(count), _) if count.parse::<u16>().is_err() => {
                format!("LISTEN_FDS is {count:?}, which is no number of sockets")
            }
            (Some(_), None) => "LISTEN_PID is not set".to_owned(),
            (Some(_), Some(other)) if other != process => {
                format!("LISTEN_PID is {other:?}, and this is process {process}")
            }
            (Some(_), Some(_)) => return Self::take_all(variable("LISTEN_FDNAMES")),
        };
        Self { missing: Some(missing), ..Self::default() }
    }

    fn take_all(names: Option<String>) -> Self {
        let mut passed = ListenFd::from_env();
        let count = passed.len();
        let names = names.unwrap_or_default();
        let mut names = names.split(':');
        let socket = |index: usize| {
            // What sd_listen_fds_with_names(3) calls those without a name.
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
            Activated::new(name.to_owned(), listening(&mut passed, index))
        };
        let sockets = (0..count).map(socket).collect();
        Self { sockets, ..Self::default() }
    }

    /// What the process that was here before has handed over.
    ///
    /// # Errors
    ///
    /// If that is no socket that listens.
    pub fn from_predecessor(handed: impl IntoIterator<Item = (Role, OwnedFd)>) -> io::Result<Self> {
        let mut passed = Self::default();
        for (role, descriptor) in handed {
            let socket = Bound::try_from(descriptor)?;
            match role {
                Role::Systemd { name } => {
                    passed.sockets.push(Activated::new(name, Some(socket)));
                }
                role @ Role::Listener { .. } => passed.estate.push((role, socket)),
            }
        }
        if passed.sockets.is_empty() {
            passed.missing = Some("the gateway that was here before had none".to_owned());
        }
        Ok(passed)
    }

    /// What systemd passed, to be handed to another process.
    pub fn hand_over(&self) -> impl Iterator<Item = Handed<'_>> {
        self.sockets.iter().filter_map(|Activated { name, socket, .. }| {
            let descriptor = match socket.as_ref()? {
                Bound::Tcp(socket) => socket.as_fd(),
                Bound::Unix(socket) => socket.as_fd(),
            };
            Some((Role::Systemd { name: name.clone() }, descriptor))
        })
    }

    /// Finds the sockets of a name: a unit may open several under one.
    pub(super) fn take(&mut self, name: &str) -> io::Result<Vec<Bound>> {
        let not_found = |text| io::Error::new(io::ErrorKind::NotFound, text);
        if let Some(missing) = &self.missing {
            return Err(not_found(format!("no sockets were passed: {missing}")));
        }
        let mut taken = Vec::new();
        for passed in self.sockets.iter_mut().filter(|known| known.name == name) {
            let unfit = || io::Error::new(io::ErrorKind::InvalidInput, UNFIT);
            taken.push(passed.socket.as_ref().ok_or_else(unfit)?.another()?);
            passed.is_asked_for = true;
        }
        if taken.is_empty() {
            let names: Vec<String> =
                self.sockets.iter().map(|passed| format!("{:?}", passed.name)).collect();
            return Err(not_found(format!("no such socket was passed, but {}", names.join(", "))));
        }
        Ok(taken)
    }

    /// Takes what the process before had at an address: what the listener of this name had, if it was
    /// there, or what another one had.
    pub(super) fn inherit(&mut self, listener: &str, address: &ListenerAddress) -> Vec<Bound> {
        let at = address.to_string();
        let own = Role::Listener { name: listener.to_owned(), address: at.clone() };
        let taken = self.bequeath(|role| *role == own);
        if !taken.is_empty() || address.port() == Some(0) {
            return taken;
        }
        self.bequeath(|role| matches!(role, Role::Listener { address, .. } if *address == at))
    }

    fn bequeath(&mut self, is_for: impl Fn(&Role) -> bool) -> Vec<Bound> {
        let taken = self.estate.extract_if(.., |(role, _)| is_for(role));
        taken.map(|(_, socket)| socket).collect()
    }

    /// Whether the process before shares a port with an address.
    pub(super) fn overlaps(&self, address: SocketAddr) -> bool {
        self.estate.iter().any(|(_, socket)| overlaps(socket, address))
    }

    /// Gives up what nobody has inherited.
    pub fn settle(&mut self) {
        self.estate.clear();
    }

    /// The names of those of systemd that nobody has asked for.
    #[must_use]
    pub fn left(&self) -> Vec<&str> {
        let left = self.sockets.iter().filter(|passed| passed.socket.is_some());
        left.filter(|passed| !passed.is_asked_for).map(|passed| passed.name.as_str()).collect()
    }
}

impl Sockets {
    /// These sockets, to be handed to another process.
    pub fn handed(&self, listener: &str) -> impl Iterator<Item = Handed<'_>> {
        let role = Role::Listener { name: listener.to_owned(), address: self.at().to_string() };
        self.descriptors().map(move |descriptor| (role.clone(), descriptor))
    }
}

impl Activated {
    fn new(name: String, socket: Option<Bound>) -> Self {
        Self { name, socket, is_asked_for: false }
    }
}

fn listening(passed: &mut ListenFd, index: usize) -> Option<Bound> {
    let descriptor: OwnedFd = match passed.take_tcp_listener(index) {
        Ok(socket) => socket?.into(),
        Err(_) => passed.take_unix_listener(index).ok()??.into(),
    };
    descriptor.try_into().ok()
}
