//! How another process takes the place of this one, and no connection is refused meanwhile.
//!
//! ```text
//!   the old process                          the new process
//!   starts it, its standard input a socket
//!   Sockets: all that it listens at -------> reads its configuration, loads plugins
//!                                 <--------- Prepared, or Failed
//!   (lets go of what only one can have)
//!   Begin ---------------------------------> opens the spool
//!                                 <--------- Serving
//!   Reign ---------------------------------> accepts, and delivers from the spool
//!   ends as at a shutdown
//! ```
//!
//! Both have the same sockets, so that whoever connects waits in their queues and is refused by
//! nobody. Up to `Reign` the old process can go on as if nothing had been, and does so whenever the new
//! one says no, says nothing for too long, or ends.
//!
//! The spool and the files of stores are for one process alone. Where there are any, the old one ends its
//! transactions and attempts before `Begin`, and connections wait for so long.

mod channel;
mod predecessor;

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::info;

use crate::listener::Handed;
use channel::{Channel, Message};

pub use predecessor::Predecessor;

/// How a process is started that takes the place of this one.
#[derive(Clone, Debug)]
pub(super) struct Succession {
    program: PathBuf,
    configuration: PathBuf,
}

/// Why nobody has taken the place of this process, which goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum SuccessionError {
    /// The new process ended.
    #[error("{} ended with {status}; its log tells more", program.display())]
    Ended {
        /// What was started.
        program: PathBuf,
        /// How it ended.
        status: String,
    },
    /// What is embedded in this process cannot go to another one.
    #[error("the embedded upstream (--sink) would end with this process")]
    Embedded,
    /// The end of this process would be the end of the new one.
    #[error(
        "this is process 1, with which everything in its container ends: start another container"
    )]
    First,
    /// Something between the two went wrong.
    #[error("the new process cannot be reached: {0}")]
    Io(#[from] io::Error),
    /// The new process says why not.
    #[error("{0}")]
    Refused(String),
    /// Nothing came of it.
    #[error("the new process has said nothing for {} seconds", .0.as_secs())]
    Silent(Duration),
    /// It cannot be started.
    #[error("{} cannot be started: {source}", program.display())]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl Succession {
    /// By the program at the path that this process was started by, which may be another one by now.
    pub(super) fn of(configuration: &Path) -> io::Result<Self> {
        Ok(Self { program: own_path()?, configuration: std::path::absolute(configuration)? })
    }

    /// Starts a process and hands it what this one listens at; it says when it is prepared.
    pub(super) async fn begin(
        &self,
        handed: Vec<Handed<'_>>,
    ) -> Result<Successor, SuccessionError> {
        if std::process::id() == 1 {
            return Err(SuccessionError::First);
        }
        let mut successor = self.start()?;
        info!(program = %self.program.display(), process = successor.process(), "successor started");
        let sent = successor.channel.send_sockets(&handed);
        successor.heard(sent)?;
        match successor.hear().await? {
            Message::Prepared => Ok(successor),
            other => Err(unexpected(&other)),
        }
    }

    fn start(&self) -> Result<Successor, SuccessionError> {
        let (channel, other) = Channel::pair()?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--config").arg(&self.configuration).arg("--take-over");
        // They are about this process.
        for name in ["LISTEN_FDNAMES", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        let started = command.stdin(Stdio::from(other)).spawn();
        let program = self.program.clone();
        let start = |source| SuccessionError::Start { program: program.clone(), source };
        let child = Some(started.map_err(start)?);
        Ok(Successor { child, channel, program })
    }
}

/// The process that is to take the place of this one. Dropped before it has, it is killed.
#[derive(Debug)]
pub(super) struct Successor {
    child: Option<Child>,
    channel: Channel,
    program: PathBuf,
}

impl Successor {
    /// Its process id.
    pub(super) fn process(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Has it serve; from then on nothing is left that only this process can do.
    pub(super) async fn serve(&mut self) -> Result<(), SuccessionError> {
        let sent = self.channel.send(&Message::Begin);
        self.heard(sent)?;
        match self.hear().await? {
            Message::Serving => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Leaves everything to it.
    pub(super) fn reign(mut self) {
        // If it does not hear it, it finds that this process is gone, which means the same.
        let _ = self.channel.send(&Message::Reign);
        self.child = None;
    }

    async fn hear(&mut self) -> Result<Message, SuccessionError> {
        let channel = self.channel.another()?;
        let heard = spawn_blocking(move || channel.receive());
        let heard =
            timeout(PATIENCE, heard).await.map_err(|_| SuccessionError::Silent(PATIENCE))?;
        match heard.map_err(io::Error::other)?? {
            Some(Message::Failed { text }) => Err(SuccessionError::Refused(text)),
            Some(message) => Ok(message),
            None => Err(self.ended()),
        }
    }

    /// What came of telling it something.
    fn heard(&mut self, sent: io::Result<()>) -> Result<(), SuccessionError> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match sent {
            Err(error) if matches!(error.kind(), BrokenPipe | ConnectionReset) => {
                // It is gone, so that nothing is waited for; but it may have said why.
                match self.channel.receive() {
                    Ok(Some(Message::Failed { text })) => Err(SuccessionError::Refused(text)),
                    _ => Err(self.ended()),
                }
            }
            sent => Ok(sent?),
        }
    }

    fn ended(&mut self) -> SuccessionError {
        let status = self.child.take().map(|mut child| child.wait());
        let status = match status {
            Some(Ok(status)) => status.to_string(),
            Some(Err(error)) => error.to_string(),
            None => "nothing said".to_owned(),
        };
        SuccessionError::Ended { program: self.program.clone(), status }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then only its rest is taken away.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn unexpected(message: &Message) -> SuccessionError {
    SuccessionError::Refused(format!("the new process says {message:?} at the wrong time"))
}

/// Where the program was found that this process runs; another version may lie there now. The link
/// that the system keeps (/proc/self/exe) goes on to mean what is here.
fn own_path() -> io::Result<PathBuf> {
    let Some(called) = env::args_os().next().map(PathBuf::from) else { return env::current_exe() };
    if called.components().count() > 1 {
        return std::path::absolute(called);
    }
    let folders = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&folders).map(|folder| folder.join(&called));
    found.into_iter().find(|file| file.is_file()).map_or_else(env::current_exe, Ok)
}

/// As long as a unit may take to start: the first start compiles plugins.
const PATIENCE: Duration = Duration::from_mins(5);
