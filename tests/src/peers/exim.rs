//! Exim, as a sender.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::{need_root, script};
use crate::process::{Finished, run, run_with_input};

/// An Exim that sends everything on to one server. It runs only while it sends.
#[derive(Debug)]
pub struct Exim {
    program: PathBuf,
    folder: TempDir,
}

impl Exim {
    /// One that is set up to send to this server; none if it is not installed. `transport` is
    /// what is to be said of its SMTP transport beside that, `authenticators` what it knows.
    #[must_use]
    #[track_caller]
    pub fn sender(relay: SocketAddr, transport: &str, authenticators: &str) -> Option<Self> {
        need_root()?;
        let program = script("tests/peers/exim.sh", &[])?;
        let folder = tempfile::Builder::new().prefix("exim").tempdir().expect("a folder");
        let dir = folder.path();
        for name in ["spool", "log"] {
            fs::create_dir(dir.join(name)).expect("a new folder takes folders");
        }
        run(Command::new("chown").args(["-R", "Debian-exim"]).arg(dir)).expect_success();
        let (host, port, shown) = (relay.ip(), relay.port(), dir.display());
        let config = format!(
            "primary_hostname = exim.example\n\
             exim_path = {}\n\
             spool_directory = {shown}/spool\n\
             log_file_path = {shown}/log/%s\n\
             keep_environment =\n\
             disable_ipv6\n\
             never_users =\n\
             begin routers\n\
             gateway:\n driver = manualroute\n route_list = * {host}\n self = send\n transport = gateway\n\
             begin transports\n\
             gateway:\n driver = smtp\n port = {port}\n {}\n\
             begin authenticators\n{authenticators}\n",
            program.display(),
            transport.replace('\n', "\n ")
        );
        fs::write(dir.join("exim.conf"), config).expect("a new folder takes a file");
        Some(Self { program, folder })
    }

    /// Sends a message, and says what it did.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn send(&self, from: &str, to: &[&str], message: &str) -> Finished {
        let mut command = Command::new(&self.program);
        command.arg("-C").arg(self.folder.path().join("exim.conf"));
        run_with_input(command.args(["-odf", "-oi", "-f", from]).args(to), message)
    }

    /// Its main log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log/main")).unwrap_or_default()
    }
}
