//! `HAProxy`, as a load balancer that says who the client is.

use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::need;
use crate::{Certificate, Process};

/// A running `HAProxy`.
#[derive(Debug)]
pub struct HaProxy {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Process,
    folder: TempDir,
}

impl HaProxy {
    /// Where its connections come from: it and its clients are all on loopback.
    pub const SOURCE: &'static str = "127.0.0.9";

    /// One that passes connections on to a server as they are; none if it is not installed.
    /// `server` is what is to be said of that server beside its address.
    #[must_use]
    #[track_caller]
    pub fn before(address: SocketAddr, server: &str) -> Option<Self> {
        Self::start(&format!("{address} source {}", Self::SOURCE), server, None)
    }

    /// The same for a server at a Unix socket.
    #[must_use]
    #[track_caller]
    pub fn before_socket(socket: &std::path::Path, server: &str) -> Option<Self> {
        Self::start(&format!("unix@{}", socket.display()), server, None)
    }

    /// One that ends the clients' TLS and passes on clear text.
    #[must_use]
    #[track_caller]
    pub fn ending_tls(
        address: SocketAddr,
        server: &str,
        certificate: &Certificate,
    ) -> Option<Self> {
        Self::start(&format!("{address} source {}", Self::SOURCE), server, Some(certificate))
    }

    #[track_caller]
    fn start(place: &str, server: &str, certificate: Option<&Certificate>) -> Option<Self> {
        let folder = new_folder();
        let dir = folder.path().display();
        let address = crate::free_address();
        let mut tls = String::new();
        if let Some(certificate) = certificate {
            let [chain, key] = [certificate.certificate(), certificate.key()]
                .map(|file| fs::read_to_string(file).expect("a certificate is two files"));
            let both = folder.path().join("both.pem");
            fs::write(&both, chain + &key).expect("a new folder takes a file");
            tls = format!(" ssl crt {}", both.display());
        }
        let config = format!(
            "global\n stats socket {dir}/stats\n\
             defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
             frontend clients\n bind {address}{tls}\n default_backend gateway\n\
             backend gateway\n server gateway {place} {server}\n"
        );
        Self::run(folder, address, &config)
    }

    /// One with a configuration from elsewhere, in which `bind` stands for a port that a test cannot
    /// have.
    ///
    /// # Panics
    /// If `bind` is not in there.
    #[must_use]
    #[track_caller]
    pub fn documented(config: &str, bind: &str) -> Option<Self> {
        let folder = new_folder();
        let address = crate::free_address();
        assert!(config.contains(bind), "{bind:?} is not in the configuration");
        let stats = format!("global\n    stats socket {}/stats\n", folder.path().display());
        let config = config.replace(bind, &format!("bind {address}\n"));
        Self::run(folder, address, &config.replacen("global\n", &stats, 1))
    }

    #[track_caller]
    fn run(folder: TempDir, address: SocketAddr, config: &str) -> Option<Self> {
        let [haproxy] = need(["haproxy"])?;
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, config).expect("a new folder takes a file");
        let process = Process::start(
            Command::new(haproxy)
                .arg("-db")
                .arg("-f")
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let this = Self { address, _process: process, folder };
        // Not by a connection to its port: that would be one to the gateway.
        crate::wait_for("HAProxy", || this.ask("show info"));
        Some(this)
    }

    /// What its last check of the server's health has found, for example `L4OK` or `L7OK`.
    #[must_use]
    pub fn health(&self) -> Option<String> {
        let table = self.ask("show stat")?;
        let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let column = rows.next()?.iter().position(|name| *name == "check_status")?;
        let server = rows.find(|row| row.starts_with(&["gateway", "gateway"]))?;
        server.get(column).map(ToString::to_string)
    }

    fn ask(&self, command: &str) -> Option<String> {
        let mut socket = UnixStream::connect(self.folder.path().join("stats")).ok()?;
        socket.write_all(format!("{command}\n").as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        (!answer.is_empty()).then_some(answer)
    }
}

#[track_caller]
fn new_folder() -> TempDir {
    tempfile::Builder::new().prefix("haproxy").tempdir().expect("a folder")
}
