//! rspamd's normal worker, with a rule of the tests and nothing else.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{need, wait_for_listener};
use crate::Process;

/// A rspamd that refuses GTUBE, and does what the field `X-Test` of a message says: see `rules.lua`.
#[derive(Debug)]
pub struct Rspamd {
    /// Where its normal worker listens.
    pub address: SocketAddr,
    program: PathBuf,
    folder: TempDir,
    process: Option<Process>,
}

impl Rspamd {
    /// A running one; none if it is not installed.
    ///
    /// # Panics
    /// If it does not start, with its log.
    #[must_use]
    #[track_caller]
    pub fn start() -> Option<Self> {
        let [program] = need(["rspamd"])?;
        let folder = tempfile::tempdir().expect("a folder can be made");
        let address = crate::free_address();
        let mut this = Self { address, program, folder, process: None };
        // Its own list has 9,628 suffixes, which take it half a minute.
        for (name, text) in [
            ("rspamd.conf", CONFIGURATION.replace("@ADDRESS@", &address.to_string())),
            ("rules.lua", RULES.to_owned()),
            ("suffixes", "com\norg\nexample\n".to_owned()),
        ] {
            fs::write(this.folder.path().join(name), text).expect("a new folder takes a file");
        }
        this.resume();
        Some(this)
    }

    /// Its origin.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Starts it again.
    ///
    /// # Panics
    /// If it does not start, with its log.
    #[track_caller]
    pub fn resume(&mut self) {
        let folder = self.folder.path().display();
        let mut command = Command::new(&self.program);
        // As root it wants to be told that it may stay so.
        command
            .args(["-f", "-i", "-c", &format!("{folder}/rspamd.conf")])
            .arg(format!("--var=DIR={folder}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Process::start(&mut command);
        let log = self.folder.path().join("log");
        crate::wait_for("rspamd to be ready", || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            assert!(process.ended().is_none(), "rspamd ended:\n{log}");
            std::net::TcpStream::connect(self.address).ok()
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
}

const CONFIGURATION: &str = r#"lua = "$DIR/rules.lua";
options {
    pidfile = "$DIR/pid"; tempdir = "$DIR"; hs_cache_dir = "$DIR"; cache_file = "$DIR/symbols.cache";
    history_file = "$DIR/history"; dynamic_conf = "$DIR/dynamic"; stats_file = "$DIR/stats"; rrd = "";
    control_socket = "$DIR/control mode=0600"; url_tld = "$DIR/suffixes";
    filters = ""; local_addrs = []; task_timeout = 5s;
    dns { nameserver = ["127.0.0.1:1"]; timeout = 100ms; retransmits = 1; }
}
logging { type = "file"; filename = "$DIR/log"; level = "notice"; }
worker "normal" { bind_socket = "@ADDRESS@"; count = 1; }
actions { reject = 15; add_header = 6; rewrite_subject = 8; greylist = 4; subject = "*** SPAM *** %s"; }
"#;

const RULES: &str = r"
local edits = {
  add_headers = { ['X-Added'] = 'by rspamd', ['X-First'] = { value = 'top', order = 0 } },
  remove_headers = { ['X-Test'] = 0 },
}
rspamd_config:register_symbol({
  name = 'WANTED', score = 1.0,
  callback = function(task)
    local wanted = task:get_header('X-Test')
    if not wanted then return false end
    if wanted == 'edits' then
      task:set_milter_reply(edits)
      return true, 1.0
    end
    if wanted == 'later' then
      task:set_pre_result('soft reject', 'come again')
      return true, 1.0
    end
    if wanted == 'envelope' then
      local from, to = task:get_from('smtp')[1].addr, task:get_recipients('smtp')
      local ip, helo = tostring(task:get_ip()), task:get_helo()
      local seen = string.format('%s %s %s %d', ip, helo, from, #to)
      task:set_milter_reply({ add_headers = { ['X-Seen'] = seen } })
      return true, 1.0
    end
    return true, tonumber(wanted) or 1.0
  end })
";
