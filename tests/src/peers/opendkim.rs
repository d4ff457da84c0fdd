//! `OpenDKIM`, a milter, that signs for `example.org`.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{need, wait_for_listener};
use crate::Process;
use crate::process::run;

/// A running one.
#[derive(Debug)]
pub struct OpenDkim {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl OpenDkim {
    /// One that takes mail from loopback for its own; none if it is not installed.
    ///
    /// # Panics
    /// If it does not listen.
    #[must_use]
    #[track_caller]
    pub fn start() -> Option<Self> {
        let [program, openssl] = need(["opendkim", "openssl"])?;
        let folder = tempfile::Builder::new().prefix("opendkim").tempdir().expect("a folder");
        let address = crate::free_address();
        let key = folder.path().join("key.pem");
        run(Command::new(openssl).args(["genrsa", "-out"]).arg(&key).arg("2048")).expect_success();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("a key is private");
        let settings = format!(
            "Syslog no\nDomain example.org\nSelector test\nKeyFile {}\nMode s\nBackground no\n\
             Socket inet:{}@127.0.0.1\nRequireSafeKeys no\nCanonicalization relaxed/simple\n",
            key.display(),
            address.port()
        );
        let file = folder.path().join("opendkim.conf");
        fs::write(&file, settings).expect("the settings are written");
        let mut command = Command::new(program);
        command.arg("-f").arg("-x").arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::start(&mut command);
        wait_for_listener(address);
        Some(Self { address, _process: process, _folder: folder })
    }
}
