//! Whether an address is up, by what became of the mail that went there.
//!
//! ```text
//!          failures in a row            the pause is over: one trial
//!   up ----------------------> down --------------------------------.
//!    ^                          ^   <---------- failed: a longer pause
//!    '------ it worked ---------'---------------- worked: up
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::UpstreamHealth;

/// What is known of one address. As long as it works, to ask is to read two flags.
#[derive(Debug)]
pub(super) struct Health {
    up: AtomicBool,
    /// Whether there is nothing to forgive.
    clean: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    /// In a row.
    failures: u32,
    /// Trials that failed since it is down.
    trials: u32,
    /// While it is down: whether a trial is out, and when the next one may be.
    trial: bool,
    due: Option<Instant>,
}

impl Default for Health {
    fn default() -> Self {
        Self { up: AtomicBool::new(true), clean: AtomicBool::new(true), record: Mutex::default() }
    }
}

impl Health {
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// It worked. Says whether that is news: it was down.
    pub(super) fn worked(&self) -> bool {
        if self.clean.load(Ordering::Relaxed) {
            return false;
        }
        let mut record = self.record();
        *record = Record::default();
        self.clean.store(true, Ordering::Relaxed);
        !self.up.swap(true, Ordering::Relaxed)
    }

    /// It failed. Says whether that is news: it is down from now on.
    ///
    /// `dice` from 0 to 255 spread the pauses, so that gateways do not come back all at once.
    pub(super) fn failed(&self, policy: &UpstreamHealth, now: Instant, dice: u8) -> bool {
        let Some(limit) = policy.failures else { return false };
        let mut record = self.record();
        record.failures = record.failures.saturating_add(1);
        self.clean.store(false, Ordering::Relaxed);
        if !self.is_up() {
            // Those that began before say nothing new.
            if std::mem::take(&mut record.trial) {
                record.trials = record.trials.saturating_add(1);
                record.due = Some(now + pause(policy, record.trials, dice));
            }
            return false;
        }
        if record.failures < limit {
            return false;
        }
        record.due = Some(now + pause(policy, 0, dice));
        self.up.store(false, Ordering::Relaxed);
        true
    }

    /// Whether somebody may try an address that is down: one at a time. A trial of which nothing is
    /// heard is over after `patience`.
    pub(super) fn may_try(&self, now: Instant, patience: Duration) -> bool {
        let mut record = self.record();
        let due = !self.is_up() && record.due.is_some_and(|due| due <= now);
        if due {
            record.trial = true;
            record.due = Some(now + patience);
        }
        due
    }

    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        // A panic elsewhere leaves a record, which is as good as before.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Doubled with each trial, up to the longest, and then up to a quarter less.
fn pause(policy: &UpstreamHealth, trials: u32, dice: u8) -> Duration {
    let doubled = policy.cool_down.saturating_mul(1 << trials.min(20));
    let whole = doubled.min(policy.longest_cool_down);
    whole - whole.mul_f64(f64::from(dice) / 255.0 / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn policy() -> UpstreamHealth {
        let longest_cool_down = 5 * SECOND;
        UpstreamHealth { longest_cool_down, ..UpstreamHealth::default() }
    }

    fn down(policy: &UpstreamHealth, now: Instant) -> Health {
        let health = Health::default();
        let told = [(); 3].map(|()| health.failed(policy, now, 0));
        assert_eq!(told, [false, false, true], "told once");
        assert!(!health.is_up() && !health.failed(policy, now, 0));
        health
    }

    #[test]
    fn only_failures_in_a_row_count() {
        let (health, now) = (Health::default(), Instant::now());
        for _ in 0..10 {
            assert!(!health.failed(&policy(), now, 0) && !health.failed(&policy(), now, 0));
            assert!(!health.worked() && health.is_up());
        }
    }

    #[test]
    fn one_at_a_time_may_try_and_the_pause_grows() {
        let now = Instant::now();
        let health = down(&policy(), now);
        let mut now = now;
        for pause in [1, 2, 4, 5, 5].map(|seconds| seconds * SECOND) {
            assert!(!health.may_try(now + pause - SECOND / 100, SECOND));
            now += pause;
            assert!(health.may_try(now, 30 * SECOND) && !health.may_try(now, 30 * SECOND));
            assert!(!health.failed(&policy(), now, 0));
            assert!(!health.failed(&policy(), now, 0), "of one that began before");
        }
        assert!(health.worked() && health.is_up() && !health.worked());
        assert!(!health.may_try(now + 100 * SECOND, SECOND), "it is up");
        assert!(!health.failed(&policy(), now, 0) && health.is_up(), "all is forgiven");
    }

    #[test]
    fn a_trial_of_which_nothing_is_heard_is_over_some_time() {
        let now = Instant::now() + SECOND;
        let health = down(&policy(), now - SECOND);
        assert!(health.may_try(now, 30 * SECOND));
        assert!(
            !health.may_try(now + 29 * SECOND, SECOND) && health.may_try(now + 30 * SECOND, SECOND)
        );
    }

    #[test]
    fn who_is_to_remember_nothing_remembers_nothing() {
        let (policy, now) = (UpstreamHealth { failures: None, ..policy() }, Instant::now());
        let health = Health::default();
        assert!((0..100).all(|_| !health.failed(&policy, now, 0)) && health.is_up());
    }

    #[test]
    fn pauses_are_spread_and_never_longer() {
        assert_eq!(pause(&policy(), 0, 255), SECOND * 3 / 4);
        assert_eq!(pause(&policy(), u32::MAX, 0), 5 * SECOND);
    }
}
