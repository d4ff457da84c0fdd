//! What systemd is told of the gateway's life (sd_notify(3)); nobody, if nobody asks.

use sd_notify::NotifyState;
use tracing::debug;

/// Connections are accepted.
pub(super) fn ready() {
    tell(NotifyState::Ready);
}

/// The shutdown has begun.
pub(super) fn stopping() {
    tell(NotifyState::Stopping);
}

fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        debug!(%error, "NOTIFY_SOCKET");
    }
}
