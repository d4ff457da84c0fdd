//! What systemd is told of the gateway's life (sd_notify(3)); nobody, if nobody asks.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, error, info};

use crate::worker::Pulse;

/// Connections are accepted.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// Tells again and again that all is well, if systemd wants to hear it (`WatchdogSec=`): a worker that is
/// stuck ends that, and systemd ends the process. So does a main thread that is, for this runs there.
pub(super) async fn watch(pulse: Pulse) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    info!(?patience, "systemd watches");
    let mut well = true;
    loop {
        let still = pulse.stillness();
        let is_well = still < bearable(patience);
        if is_well {
            tell(&[NotifyState::Watchdog]);
        } else if well {
            error!(?still, "a worker is stuck, and systemd is not told any more that all is well");
        }
        well = is_well;
        tokio::time::sleep(patience / 3).await;
    }
}

/// How long a worker may stand still: half of systemd's patience, but never so little that a busy machine
/// is taken for one that is stuck.
fn bearable(patience: Duration) -> Duration {
    (patience / 2).max(Duration::from_secs(1))
}

/// The configuration is read anew; [`ready`] says that this is over, however it ended.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading")]),
        Err(error) => debug!(%error, "no monotonic clock"),
    }
}

/// The shutdown has begun.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining: transactions in flight end")]);
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
