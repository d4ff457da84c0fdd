//! The time before the banner, in which a client has nothing to say (RFC 5321 section 4.3.1).

use portcullis_smtp::Reply;
use portcullis_smtp::server::Session;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{ConnectionError, Socket, Terms};
use crate::config::EarlyTalkers;
use crate::metrics::Bound;
use crate::shutdown::Watcher;

/// Holds the banner back for a while; who talks meanwhile speaks no SMTP, but only sends it.
///
/// False if the client has left.
pub(super) async fn hold_back(
    socket: &mut Socket,
    session: &mut Session,
    terms: &Terms,
    shutdown: &mut Watcher,
) -> Result<bool, ConnectionError> {
    if terms.greeting_delay.is_zero() {
        return Ok(true);
    }
    let until = Instant::now() + terms.greeting_delay;
    let waited = async {
        let Ok(read) = timeout_at(until, socket.receive(session)).await else { return Ok(true) };
        if read? == 0 {
            return Ok(false);
        }
        terms.metrics.bound_reached(Bound::EarlyTalkers);
        tracing::info!(target: "session", early_talkers = ?terms.early_talkers, "talked before the banner");
        match terms.early_talkers {
            EarlyTalkers::Refuse => {
                session.end(&Reply::fixed(554, (5, 5, 1), "you talked before the banner"));
            }
            EarlyTalkers::Note => sleep_until(until).await,
        }
        Ok(true)
    };
    tokio::select! {
        waited = waited => waited,
        () = shutdown.begun() => Ok(true),
    }
}
