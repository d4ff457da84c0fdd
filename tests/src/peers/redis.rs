//! Redis, in memory only, at an address that stays the same over restarts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{need, wait_for_listener};
use crate::Process;

/// A Redis that can be stopped and started.
#[derive(Debug)]
pub struct Redis {
    /// Where it listens.
    pub address: SocketAddr,
    program: PathBuf,
    process: Option<Process>,
}

impl Redis {
    /// A running one; none if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn start() -> Option<Self> {
        let [program] = need(["redis-server"])?;
        let mut this = Self { address: crate::free_address(), program, process: None };
        this.resume();
        Some(this)
    }

    /// Its URL, with the password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@{}/0", self.address)
    }

    /// Starts it again, empty.
    ///
    /// # Panics
    /// If it does not listen.
    #[track_caller]
    pub fn resume(&mut self) {
        let mut command = Command::new(&self.program);
        command
            .args(["--bind", "127.0.0.1", "--port", &self.address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--requirepass", PASSWORD])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(Process::start(&mut command));
        wait_for_listener(self.address);
    }

    /// Kills it.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Sends its process a signal, for example `STOP`: it still takes connections, and says nothing.
    pub fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }
}

/// Of every Redis of the tests; the log is searched for it.
pub const PASSWORD: &str = "s3cr3t-of-redis";
