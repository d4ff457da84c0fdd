//! Postfix, as a receiver that keeps messages and as a sender.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{need, need_root, wait_for_listener};
use crate::Process;
use crate::process::run;

/// A running Postfix.
#[derive(Debug)]
pub struct Postfix {
    /// Where its smtpd listens.
    pub address: SocketAddr,
    _process: Process,
    folder: TempDir,
}

impl Postfix {
    /// One that delivers everything for `example.com` to a file; none if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn receiver() -> Option<Self> {
        Self::receiver_with("")
    }

    /// The same, with more lines of its `main.cf`.
    #[must_use]
    #[track_caller]
    pub fn receiver_with(lines: &str) -> Option<Self> {
        Self::start(&(RECEIVER.to_owned() + lines))
    }

    /// One that sends everything on; none if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn sender(relay: SocketAddr) -> Option<Self> {
        Self::sender_with(relay, "")
    }

    /// The same, with more lines of its `main.cf`.
    #[must_use]
    #[track_caller]
    pub fn sender_with(relay: SocketAddr, lines: &str) -> Option<Self> {
        let (host, port) = (relay.ip(), relay.port());
        let relay = format!("relayhost = [{host}]:{port}\nsmtp_tls_security_level = none\n");
        Self::start(&(relay + lines))
    }

    /// One that sends everything on to an LMTP server at a Unix socket; none if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn lmtp_sender(socket: &Path) -> Option<Self> {
        Self::lmtp_sender_with(socket, "")
    }

    /// The same, with more lines of its `main.cf`.
    #[must_use]
    #[track_caller]
    pub fn lmtp_sender_with(socket: &Path, lines: &str) -> Option<Self> {
        Self::start(&format!("default_transport = lmtp:unix:{}\n{lines}", socket.display()))
    }

    #[track_caller]
    fn start(extra: &str) -> Option<Self> {
        let [postfix] = need(["postfix"])?;
        need_root()?;
        let folder = tempfile::Builder::new().prefix("postfix").tempdir().expect("a folder");
        let address = crate::free_address();
        configure(folder.path(), address, extra);
        let etc = folder.path().join("etc");
        run(Command::new(&postfix).arg("-c").arg(&etc).arg("check")).expect_success();
        let process = Process::start(
            Command::new(&postfix)
                .arg("-c")
                .arg(&etc)
                .arg("start-fg")
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        wait_for_listener(address);
        Some(Self { address, _process: process, folder })
    }

    /// The mailbox of a [`receiver`](Self::receiver), an mbox; empty before the first message.
    #[must_use]
    pub fn mailbox(&self) -> String {
        let file = self.folder.path().join("mail/inbox");
        String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Postfix {
    /// The program that was started waits for Postfix's master, and would leave it behind.
    fn drop(&mut self) {
        let etc = self.folder.path().join("etc");
        let mut abort = Command::new("postfix");
        abort.arg("-c").arg(etc).arg("abort").stdout(Stdio::null()).stderr(Stdio::null());
        // The test has its result, whatever becomes of this.
        drop(abort.status());
    }
}

fn configure(dir: &Path, address: SocketAddr, extra: &str) {
    for folder in ["etc", "queue", "data", "mail"] {
        fs::create_dir(dir.join(folder)).expect("a new folder takes folders");
    }
    let owner = |folder: &str, owner: &str| {
        run(Command::new("chown").arg(owner).arg(dir.join(folder))).expect_success();
    };
    run(Command::new("chmod").arg("755").arg(dir)).expect_success();
    owner("data", "postfix");
    owner("mail", "mail");
    let [uid, gid] = ["-u", "-g"].map(|which| run(Command::new("id").args([which, "mail"])).stdout);
    let shown = dir.display().to_string();
    let extra =
        extra.replace("{dir}", &shown).replace("{uid}", uid.trim()).replace("{gid}", gid.trim());
    let parent = dir.parent().expect("a temporary folder is not the root").display();
    let main = format!(
        "compatibility_level = 3.6\n\
         queue_directory = {shown}/queue\n\
         data_directory = {shown}/data\n\
         maillog_file = {shown}/log\n\
         maillog_file_prefixes = {parent}\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         myhostname = postfix.example\n\
         mynetworks = 127.0.0.0/8\n\
         mydestination =\n\
         local_recipient_maps =\n\
         alias_maps =\n\
         smtpd_relay_restrictions = permit_mynetworks, reject\n\
         smtpd_forbid_bare_newline = normalize\n\
         {extra}"
    );
    fs::write(dir.join("etc/main.cf"), main).expect("a new folder takes a file");
    let services = [
        "pickup unix n - n 60 1 pickup",
        "cleanup unix n - n - 0 cleanup",
        "qmgr unix n - n 300 1 qmgr",
        "rewrite unix - - n - - trivial-rewrite",
        "bounce unix - - n - 0 bounce",
        "defer unix - - n - 0 bounce",
        "trace unix - - n - 0 bounce",
        "flush unix n - n 1000? 0 flush",
        "proxymap unix - - n - - proxymap",
        "smtp unix - - n - - smtp",
        "relay unix - - n - - smtp",
        "lmtp unix - - n - - lmtp",
        "error unix - - n - - error",
        "retry unix - - n - - error",
        "discard unix - - n - - discard",
        "virtual unix - n n - - virtual",
        "anvil unix - - n - 1 anvil",
        "scache unix - - n - 1 scache",
        "postlog unix-dgram n - n - 1 postlogd",
    ];
    let master = format!("{address} inet n - n - - smtpd\n{}\n", services.join("\n"));
    fs::write(dir.join("etc/master.cf"), master).expect("a new folder takes a file");
}

/// What keeps messages needs.
const RECEIVER: &str = "virtual_mailbox_domains = example.com\n\
    virtual_mailbox_base = /\n\
    virtual_mailbox_maps = static:{dir}/mail/inbox\n\
    virtual_minimum_uid = 1\n\
    virtual_uid_maps = static:{uid}\n\
    virtual_gid_maps = static:{gid}\n";
