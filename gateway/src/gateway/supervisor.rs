//! What systemd is told of the gateway's life (sd_notify(3)); nobody, if nobody asks.

use sd_notify::NotifyState;
use tracing::debug;

/// Connections are accepted.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read anew; [`ready`] says that this is over, however it ended.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "no monotonic clock"),
    }
}

/// The shutdown has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Another process is the gateway from now on, and says itself that it is ready.
pub(super) fn succeeded_by(process: u32) {
    tell(&[NotifyState::MainPid(process)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "NOTIFY_SOCKET");
    }
}
