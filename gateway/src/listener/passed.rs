//! Sockets that systemd opened and passes (sd_listen_fds(3)).

use std::env;
use std::io;

use listenfd::ListenFd;
use socket2::SockRef;

use super::socket::Bound;

/// The sockets that were passed to this process, by name.
#[derive(Debug, Default)]
pub struct Passed {
    /// None for what cannot be listened at, and for what is taken.
    sockets: Vec<(String, Option<Bound>)>,
    /// Why there are none.
    missing: Option<String>,
}

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
        Self { sockets: Vec::new(), missing: Some(missing) }
    }

    fn take_all(names: Option<String>) -> Self {
        let mut passed = ListenFd::from_env();
        let count = passed.len();
        let names = names.unwrap_or_default();
        let mut names = names.split(':');
        let socket = |index: usize| {
            // What sd_listen_fds_with_names(3) calls those without a name.
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown");
            (name.to_owned(), listening(&mut passed, index))
        };
        let sockets = (0..count).map(socket).collect();
        Self { sockets, missing: None }
    }

    /// Takes the sockets of a name: a unit may open several under one.
    pub(super) fn take(&mut self, name: &str) -> io::Result<Vec<Bound>> {
        let not_found = |text| io::Error::new(io::ErrorKind::NotFound, text);
        if let Some(missing) = &self.missing {
            return Err(not_found(format!("no sockets were passed: {missing}")));
        }
        let mut taken = Vec::new();
        for (_, socket) in self.sockets.iter_mut().filter(|(known, _)| known == name) {
            let text = "what was passed is not a stream socket that listens";
            let unfit = || io::Error::new(io::ErrorKind::InvalidInput, text);
            taken.push(socket.take().ok_or_else(unfit)?);
        }
        if taken.is_empty() {
            let names: Vec<String> =
                self.sockets.iter().map(|(name, _)| format!("{name:?}")).collect();
            return Err(not_found(format!("no such socket was passed, but {}", names.join(", "))));
        }
        Ok(taken)
    }

    /// The names of those that nobody has taken.
    #[must_use]
    pub fn left(&self) -> Vec<&str> {
        let left = self.sockets.iter().filter(|(_, socket)| socket.is_some());
        left.map(|(name, _)| name.as_str()).collect()
    }
}

fn listening(passed: &mut ListenFd, index: usize) -> Option<Bound> {
    let bound = match passed.take_tcp_listener(index) {
        Ok(socket) => Bound::Tcp(socket?),
        Err(_) => Bound::Unix(passed.take_unix_listener(index).ok()??),
    };
    let ready = match &bound {
        Bound::Tcp(socket) => {
            socket.set_nonblocking(true).and_then(|()| SockRef::from(socket).is_listener())
        }
        Bound::Unix(socket) => {
            socket.set_nonblocking(true).and_then(|()| SockRef::from(socket).is_listener())
        }
    };
    ready.unwrap_or(false).then_some(bound)
}
