//! What an upstream's reply means for a recipient that waits.

use jiff::Timestamp;
use portcullis_smtp::{EnhancedStatus, Reply};

use super::schedule::{Schedule, after};
use crate::spool::State;
use crate::upstream::is_unreachable;

/// What became of one recipient by one attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Delivered,
    Failed,
    /// The upstream wants it later.
    Deferred,
    /// The upstream takes no more recipients in one transaction (RFC 5321 section 4.5.3.1.10).
    Crowded,
    /// The upstream was not there to be asked.
    Unreached,
    /// There has been no time left for another attempt.
    Expired,
}

impl Fate {
    pub(super) fn of(reply: &Reply, upstream: &str) -> Self {
        let crowded = EnhancedStatus::new(4, 5, 3).ok();
        match reply {
            reply if reply.is_positive() => Self::Delivered,
            reply if reply.is_permanent() => Self::Failed,
            reply if is_unreachable(reply, upstream) => Self::Unreached,
            reply if reply.code() == 452 && reply.status() == crowded => Self::Crowded,
            _ => Self::Deferred,
        }
    }
}

/// The state of a recipient after an attempt, and when it is tried again.
pub(super) fn proceed(
    state: &State,
    fate: &Fate,
    said: &str,
    schedule: &Schedule,
    (now, expiry, chance): (Timestamp, Timestamp, f64),
) -> (State, Fate) {
    let (attempts, due) = match state {
        State::Waiting { attempts, next, .. } => (attempts.saturating_add(1), *next),
        // The operator or the clock was faster.
        State::Delivered | State::Failed { .. } | State::Dropped => {
            return (state.clone(), fate.clone());
        }
    };
    let waiting = |attempts, next| State::Waiting { attempts, next, said: Some(said.to_owned()) };
    let failed = |said| State::Failed { said, reported: false };
    match fate {
        Fate::Delivered => (State::Delivered, Fate::Delivered),
        Fate::Failed => (failed(said.to_owned()), Fate::Failed),
        _ if now >= expiry => (failed(expired(Some(said))), Fate::Expired),
        Fate::Crowded => (waiting(attempts, now), Fate::Crowded),
        // A look whether the upstream is there is no attempt before it was due.
        Fate::Unreached if due > now && attempts > 1 => (waiting(attempts - 1, due), fate.clone()),
        Fate::Deferred | Fate::Unreached | Fate::Expired => {
            let next = after(now, schedule.pause(attempts, chance)).min(expiry);
            (waiting(attempts, next), fate.clone())
        }
    }
}

/// What is said of a message whose time is over.
pub(super) fn expired(last: Option<&str>) -> String {
    match last {
        Some(last) => format!("{EXPIRED}{LAST}{last}"),
        None => EXPIRED.to_owned(),
    }
}

/// The upstream's own words in what is said of a recipient.
pub(super) fn answer(said: &str) -> Option<&str> {
    match said.strip_prefix(EXPIRED) {
        Some(rest) => rest.strip_prefix(LAST),
        None => Some(said),
    }
}

/// RFC 3463 section 3.5.
const EXPIRED: &str = "550 5.4.7 the time for delivery is over";
const LAST: &str = "; the last answer was: ";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Redelivery;

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn waiting(attempts: u32, next: i64) -> State {
        State::Waiting { attempts, next: moment(next), said: None }
    }

    fn after_reply(state: &State, reply: &Reply, now: i64) -> (State, Fate) {
        let schedule = Schedule::new(&Redelivery::default());
        let fate = Fate::of(reply, "store");
        let times = (moment(now), moment(100_000), 0.5);
        proceed(state, &fate, &reply.to_string(), &schedule, times)
    }

    #[test]
    fn a_yes_delivers_a_no_fails_and_a_later_waits() {
        let (state, _) = after_reply(&waiting(0, 0), &Reply::fixed(250, (2, 0, 0), "ok"), 10);
        assert_eq!(state, State::Delivered);
        let (state, _) = after_reply(&waiting(0, 0), &Reply::fixed(550, (5, 1, 1), "who"), 10);
        let said = "550 5.1.1 who".to_owned();
        assert_eq!(state, State::Failed { said, reported: false });
        let (state, _) = after_reply(&waiting(1, 0), &Reply::fixed(450, (4, 2, 0), "grey"), 10);
        let said = Some("450 4.2.0 grey".to_owned());
        assert_eq!(state, State::Waiting { attempts: 2, next: moment(130), said });
    }

    #[test]
    fn what_waits_beyond_its_time_fails_with_the_last_answer() {
        let reply = Reply::fixed(450, (4, 2, 0), "grey");
        let (state, fate) = after_reply(&waiting(7, 0), &reply, 100_000);
        let State::Failed { said, .. } = state else { panic!("{state:?}") };
        assert_eq!(fate, Fate::Expired);
        assert_eq!(answer(&said), Some("450 4.2.0 grey"));
        assert_eq!(answer(&expired(None)), None);
        assert_eq!(answer("550 5.1.1 who"), Some("550 5.1.1 who"));
    }

    #[test]
    fn nothing_waits_beyond_its_time_for_another_attempt() {
        let reply = Reply::fixed(450, (4, 2, 0), "grey");
        let (state, _) = after_reply(&waiting(7, 0), &reply, 99_999);
        assert!(matches!(state, State::Waiting { next, .. } if next == moment(100_000)));
    }

    #[test]
    fn too_many_recipients_are_no_reason_to_wait() {
        let reply = Reply::fixed(452, (4, 5, 3), "too many recipients");
        let (state, fate) = after_reply(&waiting(0, 0), &reply, 10);
        assert_eq!(fate, Fate::Crowded);
        assert!(matches!(state, State::Waiting { next, .. } if next == moment(10)));
    }

    #[test]
    fn who_looks_for_an_upstream_too_early_has_not_tried() {
        let reply = Reply::fixed(451, (4, 4, 1), "upstream store cannot be reached");
        let (state, fate) = after_reply(&waiting(3, 500), &reply, 10);
        assert_eq!(fate, Fate::Unreached);
        assert!(matches!(state, State::Waiting { attempts: 3, next, .. } if next == moment(500)));
        let (state, _) = after_reply(&waiting(3, 10), &reply, 10);
        assert!(matches!(state, State::Waiting { attempts: 4, .. }));
    }

    #[test]
    fn what_the_operator_dropped_stays_dropped() {
        let reply = Reply::fixed(450, (4, 2, 0), "grey");
        assert_eq!(after_reply(&State::Dropped, &reply, 10).0, State::Dropped);
    }
}
