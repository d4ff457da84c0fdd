//! Dovecot's LMTP server, with a Maildir for each user.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::{need, need_root, wait_for_listener};
use crate::Process;
use crate::process::run;

/// A running Dovecot.
#[derive(Debug)]
pub struct Dovecot {
    /// Where its LMTP server listens.
    pub address: SocketAddr,
    _process: Process,
    folder: TempDir,
}

impl Dovecot {
    /// One that knows these users; none if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn start(users: &[&str]) -> Option<Self> {
        Self::start_with(users, "")
    }

    /// The same, where nothing fits into one user's mailbox: for good, or `for_now`.
    #[must_use]
    #[track_caller]
    pub fn with_a_full_mailbox(users: &[&str], full: &str, for_now: bool) -> Option<Self> {
        let tempfail = if for_now { "yes" } else { "no" };
        let config = format!(
            "protocol lmtp {{\n mail_plugins = quota\n}}\n\
             plugin {{\n quota = maildir:User quota\n}}\nquota_full_tempfail = {tempfail}\n"
        );
        let dovecot = Self::start_with(users, &config)?;
        dovecot.set_users(users, Some(full));
        Some(dovecot)
    }

    /// Who has a mailbox, and into whose nothing fits.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn set_users(&self, users: &[&str], full: Option<&str>) {
        let quota = |user: &str| match full == Some(user) {
            true => "userdb_quota_rule=*:bytes=10",
            // Without one, that of before would stand in the mailbox.
            false => "userdb_quota_rule=*:bytes=100M",
        };
        let line = |user: &&str| format!("{user}:::::::{}\n", quota(user));
        let list: String = users.iter().map(line).collect();
        // Put there whole. Dovecot reads it whenever its time has changed, in seconds.
        let new = self.folder.path().join("users.new");
        fs::write(&new, list).expect("the folder takes a file");
        let ahead = Duration::from_secs(if full.is_some() { 2 } else { 4 });
        let file = File::options().write(true).open(&new).expect("it is there");
        file.set_modified(SystemTime::now() + ahead).expect("a file has a time");
        fs::rename(new, self.folder.path().join("users")).expect("the folder takes a file");
    }

    fn start_with(users: &[&str], more: &str) -> Option<Self> {
        let [dovecot] = need(["dovecot"])?;
        need_root()?;
        let folder = tempfile::Builder::new().prefix("dovecot").tempdir().expect("a folder");
        let dir = folder.path().display();
        let address = crate::free_address();
        let list: String = users.iter().map(|user| format!("{user}:::::::\n")).collect();
        fs::write(folder.path().join("users"), list).expect("a new folder takes a file");
        fs::create_dir(folder.path().join("mail")).expect("a new folder takes a folder");
        run(Command::new("chown").arg("mail:mail").arg(folder.path().join("mail")));
        run(Command::new("chmod").arg("755").arg(folder.path()));
        let (host, port) = (address.ip(), address.port());
        let config = format!(
            "protocols = lmtp\nlisten = {host}\nbase_dir = {dir}/run\nstate_dir = {dir}/state\n\
             log_path = {dir}/log\nssl = no\nhostname = dovecot.example\n\
             mail_location = maildir:{dir}/mail/%u\nmail_uid = mail\nmail_gid = mail\n\
             first_valid_uid = 1\nfirst_valid_gid = 1\n\
             passdb {{\n driver = static\n args = nopassword=y\n}}\n\
             userdb {{\n driver = passwd-file\n args = {dir}/users\n\
             override_fields = uid=mail gid=mail home={dir}/mail/%u\n}}\n\
             service lmtp {{\n inet_listener lmtp {{\n  address = {host}\n  port = {port}\n }}\n}}\n{more}"
        );
        let file = folder.path().join("dovecot.conf");
        fs::write(&file, config).expect("a new folder takes a file");
        let process = Process::start(
            Command::new(dovecot)
                .arg("-F")
                .arg("-c")
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        wait_for_listener(address);
        Some(Self { address, _process: process, folder })
    }

    /// The messages of a user.
    #[must_use]
    pub fn mailbox(&self, user: &str) -> Vec<Vec<u8>> {
        let folder = self.folder.path().join("mail").join(user).join("new");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        entries.flatten().filter_map(|entry| fs::read(entry.path()).ok()).collect()
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Dovecot as what checks logins for Postfix.
#[derive(Debug)]
pub struct DovecotAuth {
    _process: Process,
    folder: TempDir,
}

impl DovecotAuth {
    /// One that knows this user; none if it is not installed.
    #[must_use]
    #[track_caller]
    pub fn start(user: &str, password: &str) -> Option<Self> {
        let [dovecot] = need(["dovecot"])?;
        need_root()?;
        let folder = tempfile::Builder::new().prefix("dovecot").tempdir().expect("a folder");
        let dir = folder.path().display();
        fs::write(folder.path().join("users"), format!("{user}:{{PLAIN}}{password}\n"))
            .expect("a new folder takes a file");
        run(Command::new("chmod").arg("755").arg(folder.path()));
        let config = format!(
            "protocols =\nbase_dir = {dir}/run\nstate_dir = {dir}/state\nlog_path = {dir}/log\n\
             ssl = no\nauth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256\n\
             passdb {{\n driver = passwd-file\n args = {dir}/users\n}}\n\
             userdb {{\n driver = static\n args = uid=mail gid=mail home={dir}\n}}\n\
             service auth {{\n unix_listener {dir}/login {{\n  mode = 0666\n }}\n}}\n"
        );
        let file = folder.path().join("dovecot.conf");
        fs::write(&file, config).expect("a new folder takes a file");
        let process = Process::start(
            Command::new(dovecot)
                .arg("-F")
                .arg("-c")
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let made = Self { _process: process, folder };
        crate::wait_for("Dovecot's socket", || made.socket().exists().then_some(()));
        Some(made)
    }

    /// Where Postfix asks it.
    #[must_use]
    pub fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("login")
    }
}
