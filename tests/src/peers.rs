//! Real peers, each in a folder of its own on loopback. They touch nothing of the system.
//!
//! A peer that is not installed is skipped, loudly; with `CI` set it fails the test, because there
//! all of them have to be (`.ci/run` installs them).

mod clamd;
mod dovecot;
mod exim;
mod haproxy;
mod nsd;
mod opendkim;
mod postfix;
mod prometheus;
mod redis;
mod rspamd;

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

pub use clamd::{Clamd, EICAR, PUA};
pub use dovecot::{Dovecot, DovecotAuth};
pub use exim::Exim;
pub use haproxy::HaProxy;
pub use nsd::Nsd;
pub use opendkim::OpenDkim;
pub use postfix::Postfix;
pub use prometheus::Prometheus;
pub use redis::{PASSWORD as REDIS_PASSWORD, Redis};
pub use rspamd::Rspamd;

use crate::process::{find, run};
use crate::repository;

/// Finds programs, or says that the test is skipped.
///
/// # Panics
/// If one is missing and `CI` is set.
#[must_use]
#[track_caller]
pub fn need<const N: usize>(programs: [&str; N]) -> Option<[PathBuf; N]> {
    let missing: Vec<_> = programs.iter().filter(|program| find(program).is_none()).collect();
    if missing.is_empty() {
        return Some(programs.map(|program| find(program).expect("found a moment ago")));
    }
    assert!(std::env::var_os("CI").is_none(), "not installed: {missing:?}");
    eprintln!("SKIPPED: not installed: {missing:?}");
    None
}

/// What a script of the repository prints: where a peer is that it may have to make first.
///
/// # Panics
/// If it makes none and `CI` is set.
#[track_caller]
fn script(script: &str, arguments: &[&str]) -> Option<PathBuf> {
    let said = run(Command::new(repository().join(script)).args(arguments));
    if said.status.success() {
        return said.stdout.lines().last().map(PathBuf::from);
    }
    assert!(std::env::var_os("CI").is_none(), "{script} {arguments:?}: {}", said.stderr);
    eprintln!("SKIPPED: {script} {arguments:?}: {}", said.stderr);
    None
}

/// What makes Debian packages of what cargo has built.
///
/// # Panics
/// If it is not installed and `CI` is set.
#[must_use]
#[track_caller]
pub fn cargo_deb() -> Option<PathBuf> {
    need(["dpkg-deb", "dpkg-shlibdeps", "strip"])?;
    script("config/debian/build.sh", &["--tool"])
}

/// A Python that has this module.
///
/// # Panics
/// If there is none and `CI` is set.
#[must_use]
#[track_caller]
pub fn python_with(module: &str) -> Option<PathBuf> {
    // One at a time: the first may have to make it.
    static MADE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    need(["python3"])?;
    script("tests/python.sh", &[module])
}

/// axe-core, which looks for what keeps people from using a page: a script that a browser runs.
///
/// # Panics
/// If it is not there and cannot be fetched, and `CI` is set.
#[must_use]
#[track_caller]
pub fn axe() -> Option<PathBuf> {
    need(["npm"])?;
    script("tests/peers/axe.sh", &[])
}

/// The clients in Go of `tests/peers/go`, built by Go itself.
///
/// # Panics
/// If they cannot be built and `CI` is set.
#[must_use]
#[track_caller]
pub fn go_clients() -> Option<PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let [go] = need(["go"])?;
    let built = BUILT.get_or_init(|| {
        let program = repository().join("target/go-clients");
        let mut build = Command::new(go);
        build.arg("build").arg("-o").arg(&program).arg(".");
        let said = run(build.current_dir(repository().join("tests/peers/go")));
        if !said.status.success() {
            eprintln!("SKIPPED: go build: {}", said.stderr);
        }
        said.status.success().then_some(program)
    });
    assert!(built.is_some() || std::env::var_os("CI").is_none(), "the Go clients were not built");
    built.clone()
}

/// Waits until somebody listens at an address.
#[track_caller]
fn wait_for_listener(address: SocketAddr) {
    crate::wait_for(&format!("a listener at {address}"), || TcpStream::connect(address).ok());
}

/// Goes on only as root, as which Postfix and Dovecot want to be started.
///
/// # Panics
/// If it does not, and `CI` is set.
#[track_caller]
fn need_root() -> Option<()> {
    if is_root() {
        return Some(());
    }
    assert!(std::env::var_os("CI").is_none(), "needs root");
    eprintln!("SKIPPED: needs root");
    None
}

/// Whether the test runs as root.
#[must_use]
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
