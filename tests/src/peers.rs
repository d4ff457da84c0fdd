//! Real peers, each in a folder of its own on loopback. They touch nothing of the system.
//!
//! A peer that is not installed is skipped, loudly; with `CI` set it fails the test, because there
//! all of them have to be (`.ci/run` installs them).

mod dovecot;
mod postfix;
mod prometheus;

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

pub use dovecot::Dovecot;
pub use postfix::Postfix;
pub use prometheus::Prometheus;

use crate::process::find;

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
