//! When a message is tried again, and when it is given up.
//!
//! RFC 5321 section 4.5.4.1: a few attempts soon, for most troubles are short; then one in half an hour
//! or more; given up after four or five days.

use std::time::Duration;

use jiff::Timestamp;
use portcullis_smtp::Parameter;
use portcullis_smtp::parameter::value_of;

use crate::config::Redelivery;

/// The pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    first: Duration,
    factor: f64,
    longest: Duration,
    lifetime: Duration,
    delay_notice: Option<Duration>,
}

/// What comes to pass with a message without any attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Milestones {
    /// It is not to be delivered before (RFC 4865).
    pub(super) release: Timestamp,
    /// It is given up.
    pub(super) expiry: Timestamp,
    /// The sender is told that it waits.
    pub(super) notice: Option<Timestamp>,
}

impl Schedule {
    pub(super) fn new(redelivery: &Redelivery) -> Self {
        let Redelivery { first, factor, longest, lifetime, delay_notice, .. } = *redelivery;
        Self { first, factor, longest, lifetime, delay_notice }
    }

    /// The pause after so many attempts. `chance`, from 0 to 1, keeps those apart that came together.
    pub(super) fn pause(&self, attempts: u32, chance: f64) -> Duration {
        let power = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first.as_secs_f64() * self.factor.powi(power);
        let pause = grown.min(self.longest.as_secs_f64());
        let spread = 1.0 - SPREAD + 2.0 * SPREAD * chance.clamp(0.0, 1.0);
        Duration::from_secs_f64(pause * spread)
    }

    /// What comes to pass with a message that was accepted then, with these parameters of MAIL.
    pub(super) fn milestones(&self, accepted: Timestamp, parameters: &[Parameter]) -> Milestones {
        let release = release(accepted, parameters);
        let mut expiry = after(release, self.lifetime);
        let mut notice = self.delay_notice.map(|notice| after(release, notice));
        if let Some((seconds, returned)) = deliver_by(parameters) {
            let deadline = after(accepted, Duration::from_secs(seconds));
            // RFC 2852 section 4.1: late mail goes back, or its sender is told and it goes on.
            match returned {
                true => expiry = expiry.min(deadline),
                false => notice = Some(notice.map_or(deadline, |notice| notice.min(deadline))),
            }
        }
        let notice = notice.filter(|notice| *notice < expiry);
        Milestones { release, expiry, notice }
    }
}

/// The parameters of MAIL as an upstream is to get them now: what waiting has fulfilled is left out,
/// and what waiting has used up is taken off.
pub(super) fn carried(
    parameters: &[Parameter],
    accepted: Timestamp,
    now: Timestamp,
) -> Vec<Parameter> {
    let waited = now.duration_since(accepted).as_secs().max(0);
    let carry = |parameter: &Parameter| match parameter.keyword.as_str() {
        "HOLDFOR" | "HOLDUNTIL" => None,
        "BY" => {
            let (seconds, mode) = parameter.value.as_deref()?.split_once(';')?;
            let left = seconds.parse::<i64>().ok()?.saturating_sub(waited).max(-MOST_SECONDS);
            Some(Parameter { keyword: "BY".to_owned(), value: Some(format!("{left};{mode}")) })
        }
        _ => Some(parameter.clone()),
    };
    parameters.iter().filter_map(carry).collect()
}

/// RFC 4865 section 4.2.
fn release(accepted: Timestamp, parameters: &[Parameter]) -> Timestamp {
    let interval = value_of(parameters, "HOLDFOR").and_then(|seconds| seconds.parse().ok());
    let until = value_of(parameters, "HOLDUNTIL").and_then(|until| until.parse().ok());
    match (interval, until) {
        (Some(seconds), _) => after(accepted, Duration::from_secs(seconds)),
        (None, Some(until)) => accepted.max(until),
        (None, None) => accepted,
    }
}

/// The seconds for delivery, and whether the message goes back when they are over. A time that is over
/// already asks for nothing but the notice.
fn deliver_by(parameters: &[Parameter]) -> Option<(u64, bool)> {
    let (seconds, mode) = value_of(parameters, "BY")?.split_once(';')?;
    let seconds = seconds.parse::<i64>().ok()?;
    Some((u64::try_from(seconds).unwrap_or(0), mode.starts_with('R')))
}

/// So long after a moment; the end of time, if there is no such moment.
pub(super) fn after(moment: Timestamp, pause: Duration) -> Timestamp {
    let pause = jiff::SignedDuration::try_from(pause).unwrap_or(jiff::SignedDuration::MAX);
    moment.saturating_add(pause).unwrap_or(Timestamp::MAX)
}

/// From 0 to 1.
pub(super) fn chance() -> f64 {
    let mut octets = [0; 4];
    // Without random numbers those that came together stay together, and nothing else.
    let _ = getrandom::fill(&mut octets);
    f64::from(u32::from_ne_bytes(octets)) / f64::from(u32::MAX)
}

/// How far a pause may be from what it should be: a fifth.
const SPREAD: f64 = 0.2;
/// Nine digits (RFC 2852 section 4).
const MOST_SECONDS: i64 = 999_999_999;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn schedule() -> Schedule {
        Schedule::new(&Redelivery::default())
    }

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn parameters(all: &[(&str, &str)]) -> Vec<Parameter> {
        let parameter = |(keyword, value): &(&str, &str)| Parameter {
            keyword: (*keyword).to_owned(),
            value: Some((*value).to_owned()),
        };
        all.iter().map(parameter).collect()
    }

    #[test]
    fn the_first_attempts_come_soon_and_later_ones_once_an_hour() {
        let pauses = (1..9).map(|attempts| schedule().pause(attempts, 0.5).as_secs());
        assert_eq!(pauses.collect::<Vec<_>>(), [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    proptest! {
        #[test]
        fn a_pause_is_never_far_from_what_it_should_be(attempts: u32, chance in 0.0..=1.0) {
            let pause = schedule().pause(attempts, chance).as_secs_f64();
            prop_assert!((0.8 * 60.0 - 1e-3..=1.2 * 3600.0 + 1e-3).contains(&pause), "{}", pause);
        }

        #[test]
        fn pauses_do_not_shrink(attempts in 0_u32..100, chance in 0.0..=1.0) {
            let schedule = schedule();
            prop_assert!(schedule.pause(attempts + 1, chance) >= schedule.pause(attempts, chance));
        }

        #[test]
        fn no_message_is_tried_more_than_two_hundred_times(chances in prop::collection::vec(0.0..=1.0, 200)) {
            let schedule = schedule();
            let pauses = (1..).zip(chances).map(|(attempts, chance)| schedule.pause(attempts, chance));
            prop_assert!(pauses.sum::<Duration>() > Redelivery::default().lifetime);
        }

        #[test]
        fn whatever_was_asked_for_milestones_are_in_order(
            second in 0_i64..4_000_000_000,
            seconds in -999_999_999_i64..=999_999_999,
            hold in 0_u32..=999_999_999,
            returned: bool,
        ) {
            let by = format!("{seconds};{}", if returned { 'R' } else { 'N' });
            let hold = hold.to_string();
            let parameters = parameters(&[("BY", &by), ("HOLDFOR", &hold)]);
            let milestones = schedule().milestones(moment(second), &parameters);
            prop_assert!(milestones.release >= moment(second));
            prop_assert!(milestones.expiry >= moment(second));
            prop_assert!(milestones.notice.is_none_or(|notice| notice < milestones.expiry));
        }
    }

    #[test]
    fn a_message_is_given_up_after_five_days() {
        let milestones = schedule().milestones(moment(1000), &[]);
        let want =
            Milestones { release: moment(1000), expiry: moment(1000 + 5 * 86_400), notice: None };
        assert_eq!(milestones, want);
    }

    #[test]
    fn what_is_held_for_a_time_lives_as_long_after_it() {
        for held in [("HOLDFOR", "600"), ("HOLDUNTIL", "1970-01-01T00:26:40Z")] {
            let milestones = schedule().milestones(moment(1000), &parameters(&[held]));
            assert_eq!(milestones.release, moment(1600), "{held:?}");
            assert_eq!(milestones.expiry, moment(1600 + 5 * 86_400), "{held:?}");
        }
        let past = parameters(&[("HOLDUNTIL", "1970-01-01T00:00:01Z")]);
        assert_eq!(schedule().milestones(moment(1000), &past).release, moment(1000));
    }

    #[test]
    fn mail_with_a_deadline_goes_back_then_or_its_sender_is_told() {
        let returned = schedule().milestones(moment(1000), &parameters(&[("BY", "600;R")]));
        assert_eq!((returned.expiry, returned.notice), (moment(1600), None));
        let told = schedule().milestones(moment(1000), &parameters(&[("BY", "600;NT")]));
        assert_eq!((told.notice, told.expiry), (Some(moment(1600)), moment(1000 + 5 * 86_400)));
        let late = schedule().milestones(moment(1000), &parameters(&[("BY", "-5;N")]));
        assert_eq!(late.notice, Some(moment(1000)));
    }

    #[test]
    fn an_upstream_gets_what_is_left_of_the_time() {
        let given = parameters(&[("HOLDFOR", "60"), ("BY", "100;R"), ("BODY", "8BITMIME")]);
        let carried = carried(&given, moment(1000), moment(1070));
        assert_eq!(carried, parameters(&[("BY", "30;R"), ("BODY", "8BITMIME")]));
    }
}
