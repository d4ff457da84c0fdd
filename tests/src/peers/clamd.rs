//! ClamAV's daemon, with a few signatures of the tests' own.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::need;
use crate::{Process, wait_for};

/// A running clamd at a Unix socket.
#[derive(Debug)]
pub struct Clamd {
    process: Process,
    folder: TempDir,
}

impl Clamd {
    /// A running one, which takes messages up to 1 MiB; none if it is not installed.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    #[track_caller]
    pub fn start() -> Option<Self> {
        let [program] = need(["clamd"])?;
        let folder = tempfile::Builder::new().prefix("clamd").tempdir().expect("a folder");
        let path = folder.path();
        let signature = |name: &str, text: &str| {
            let hex: String = text.bytes().map(|octet| format!("{octet:02x}")).collect();
            format!("{name}:0:*:{hex}\n")
        };
        let signatures = signature("Eicar-Test-Signature", EICAR) + &signature("PUA.Test", PUA);
        fs::create_dir(path.join("db")).expect("a folder");
        fs::write(path.join("db/test.ndb"), signatures).expect("the signatures are written");
        let shown = path.display();
        let settings = format!(
            "DatabaseDirectory {shown}/db\nLocalSocket {shown}/clamd.sock\nForeground yes\n\
             TemporaryDirectory {shown}\nStreamMaxLength 1M\nDetectPUA yes\nMaxThreads 2\n"
        );
        fs::write(path.join("clamd.conf"), settings).expect("the settings are written");
        let mut command = Command::new(program);
        command.arg(format!("--config-file={shown}/clamd.conf"));
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        let socket = path.join("clamd.sock");
        wait_for("clamd", || std::os::unix::net::UnixStream::connect(&socket).ok());
        Some(Self { process, folder })
    }

    /// As a plugin is granted it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:{}", self.folder.path().join("clamd.sock").display())
    }

    /// Sends it a signal, for example `STOP`: it still takes connections, and says nothing.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }
}

/// What every scanner has to find, and what is harmless.
pub const EICAR: &str = r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*";

/// What the tests' clamd thinks to be unwanted.
pub const PUA: &str = "THIS-IS-A-PROGRAM-THAT-NOBODY-WANTS";
