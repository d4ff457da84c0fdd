//! Programs that run beside a test and end with it.

use std::ffi::OsStr;
use std::io::{Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running program. Dropped, it is asked to end, and killed if it does not.
#[derive(Debug)]
pub struct Process {
    /// None if another process has started it.
    child: Option<Child>,
    id: u32,
    name: String,
}

impl Process {
    /// Starts a program.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = match command.stdin(Stdio::null()).spawn() {
            Ok(child) => child,
            Err(error) => panic!("{name} does not start: {error}"),
        };
        Self { id: child.id(), child: Some(child), name }
    }

    /// One that another process has started, and nobody waits for.
    #[must_use]
    pub fn of(id: u32, name: &str) -> Self {
        Self { child: None, id, name: name.to_owned() }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends it a signal, for example `TERM`.
    ///
    /// # Panics
    /// If there is no `kill`.
    pub fn signal(&self, signal: &str) {
        Command::new("kill")
            .args(["-s", signal, &self.id.to_string()])
            .stderr(Stdio::null())
            .status()
            .expect("every system has kill");
    }

    /// How it ended, if it has; of one that somebody else has started, that it has.
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        match &mut self.child {
            Some(child) => child.try_wait().expect("a child can be waited for"),
            None => {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id));
                // One that ended and that nobody has taken away is a zombie.
                let lives = stat.is_ok_and(|stat| !stat.contains(") Z "));
                (!lives).then(|| ExitStatus::from_raw(0))
            }
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it goes on.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let name = self.name.clone();
        crate::wait_for(&format!("the end of {name}"), || self.ended())
    }

    /// Kills it without warning, and waits for its end.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// What it writes, where that was made a pipe; once.
    pub fn take_output(&mut self) -> Vec<Box<dyn Read + Send>> {
        let mut outputs: Vec<Box<dyn Read + Send>> = Vec::new();
        let Some(child) = &mut self.child else { return outputs };
        outputs.extend(child.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        outputs.extend(child.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
        outputs
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_some() {
            return;
        }
        self.signal("TERM");
        let start = Instant::now();
        while start.elapsed() < GRACE {
            if self.ended().is_some() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        // Nothing more can be done if that fails; the test has its result.
        self.signal("KILL");
        if let Some(child) = &mut self.child {
            drop(child.wait());
        }
    }
}

/// What a program that ran to its end has said.
#[derive(Clone, Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Finished {
    /// Fails the test unless the program ended well.
    ///
    /// # Panics
    /// With all that it said.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        self
    }
}

/// Runs a program to its end.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn run(command: &mut Command) -> Finished {
    finish(command.stdin(Stdio::null()))
}

/// Runs a program to its end, with this as its standard input.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &str) -> Finished {
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    file.write_all(input.as_bytes()).and_then(|()| file.rewind()).expect("a new file is written");
    finish(command.stdin(file))
}

#[track_caller]
fn finish(command: &mut Command) -> Finished {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{} does not start: {error}", command.get_program().display()),
    };
    Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Where a program lies, if it is installed. Looks where daemons lie, too.
#[must_use]
pub fn find(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(Path::new(program.as_ref())))
        .find(|file| file.is_file())
}

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);
