//! NSD, an authoritative name server with what a test says in its zone.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{fs, iter};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{need, wait_for_listener};
use crate::Process;
use crate::process::run;

/// A name server that knows the root zone of a test: what is not there does not exist. For one that
/// lies, or does not answer some questions, see [`crate::Dns`].
#[derive(Debug)]
pub struct Nsd {
    /// Where it listens, by UDP and TCP.
    pub address: SocketAddr,
    program: PathBuf,
    control: PathBuf,
    folder: TempDir,
    process: Option<Process>,
}

impl Nsd {
    /// A running one with these lines of a zone file, as in `2.0.0.127.list.example A 127.0.0.2`;
    /// none if it is not installed. Names are complete with and without the dot at the end, and
    /// records live for five minutes unless a line says otherwise.
    #[must_use]
    #[track_caller]
    pub fn start(records: &str) -> Option<Self> {
        let [program, control] = need(["nsd", "nsd-control"])?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let mut this =
            Self { address: crate::free_address(), program, control, folder, process: None };
        this.write("nsd.conf", &this.configuration());
        this.write("root.zone", &zone(records));
        this.resume();
        Some(this)
    }

    /// The section `dns` of a configuration that asks nobody else.
    #[must_use]
    pub fn settings(&self) -> Value {
        json!({ "servers": [self.address.to_string()], "timeout": "1s" })
    }

    /// How many questions it has answered since it was started.
    ///
    /// # Panics
    /// If it does not tell.
    #[must_use]
    #[track_caller]
    pub fn asked(&self) -> usize {
        self.statistic("num.queries=")
    }

    /// The same of one kind, as in `TXT`.
    #[must_use]
    #[track_caller]
    pub fn asked_for(&self, kind: &str) -> usize {
        self.statistic(&format!("num.type.{kind}="))
    }

    /// Starts it again, with the same zone.
    ///
    /// # Panics
    /// If it does not listen, with what it said.
    #[track_caller]
    pub fn resume(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("-d").arg("-c").arg(self.folder.path().join("nsd.conf"));
        let mut process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        crate::wait_for("nsd to answer", || {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(process.ended().is_none(), "nsd ended:\n{}", log());
            self.tell("status").then_some(())
        });
        self.process = Some(process);
        wait_for_listener(self.address);
    }

    /// Ends it: who asks hears that nobody is there.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("TERM");
            process.wait();
        }
    }

    #[track_caller]
    fn statistic(&self, name: &str) -> usize {
        let said = run(self.command().arg("stats_noreset")).expect_success().stdout;
        let value = said.lines().find_map(|line| line.strip_prefix(name)?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {said}"))
    }

    fn tell(&self, order: &str) -> bool {
        run(self.command().arg(order)).status.success()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.control);
        command.arg("-c").arg(self.folder.path().join("nsd.conf"));
        command
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a new folder takes a file");
    }

    /// Nothing of it lies outside of its folder, and it changes to nobody else's identity.
    fn configuration(&self) -> String {
        let folder = self.folder.path().display();
        let (ip, port) = (self.address.ip(), self.address.port());
        format!(
            "server:
  server-count: 1
  ip-address: {ip}@{port}
  do-ip6: no
  username: \"\"
  database: \"\"
  pidfile: \"\"
  zonesdir: \"{folder}\"
  xfrdir: \"{folder}\"
  xfrdfile: \"{folder}/xfrd.state\"
  zonelistfile: \"{folder}/zone.list\"
  logfile: \"{folder}/log\"
  rrl-ratelimit: 0
remote-control:
  control-enable: yes
  control-interface: \"{folder}/control\"
zone:
  name: \".\"
  zonefile: \"root.zone\"
"
        )
    }
}

/// The root zone, which says itself how long it lasts that something is not there.
fn zone(records: &str) -> String {
    const HEAD: &str = "$ORIGIN .
$TTL 300
. SOA ns.invalid. hostmaster.invalid. 1 3600 3600 3600 300
. NS ns.invalid.";
    iter::once(HEAD).chain(records.lines().map(str::trim)).fold(String::new(), |mut zone, line| {
        writeln!(zone, "{line}").expect("a string takes all");
        zone
    })
}
