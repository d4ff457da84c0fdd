//! What is known of a triplet, in a dozen octets.

use portcullis_plugin::kv::Entry;

use crate::settings::Settings;

/// What a triplet's entry says is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// Never seen: it begins to wait, in place of the entry of this version.
    Begin { version: u64 },
    /// It came back too soon, so many seconds.
    Wait { seconds: u64 },
    /// It has waited.
    Pass { waited: u64, version: u64 },
    /// It has passed before. `renew` if that is to be written again, so that it lasts.
    Known { renew: bool, version: u64 },
}

/// Waits since then.
pub(crate) fn waiting(now: u64) -> Vec<u8> {
    format!("w{now}").into_bytes()
}

/// Known, as of then.
pub(crate) fn known(now: u64) -> Vec<u8> {
    format!("k{now}").into_bytes()
}

impl Step {
    /// What to do about an entry, at a time in seconds.
    ///
    /// Clocks of several gateways differ, and a store may hand out anything: whatever it says,
    /// nobody waits longer than twice the delay.
    pub(crate) fn of(entry: Option<&Entry>, now: u64, settings: &Settings) -> Self {
        let Some(entry) = entry else { return Self::Begin { version: 0 } };
        let version = entry.version;
        let delay = u64::from(settings.delay.as_seconds());
        let begin = Self::Begin { version };
        let Some((kind, since)) = parse(&entry.value) else { return begin };
        if since > now + delay {
            return begin;
        }
        let age = now.saturating_sub(since);
        match kind {
            b'k' if age <= u64::from(settings.known_for.as_seconds()) => {
                // Once in a while is enough: a write for each mail is what stores suffer from.
                let renew = age >= u64::from(settings.known_for.as_seconds()) / 32;
                Self::Known { renew, version }
            }
            b'w' if age < delay => Self::Wait { seconds: delay - age },
            b'w' if age <= u64::from(settings.retry_window.as_seconds()) => {
                Self::Pass { waited: age, version }
            }
            _ => begin,
        }
    }
}

fn parse(value: &[u8]) -> Option<(u8, u64)> {
    let (kind, digits) = value.split_first()?;
    if digits.len() > 12 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((*kind, std::str::from_utf8(digits).ok()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_entry_means() {
        let settings = Settings::default();
        let now = 1_700_000_000;
        let step = |value: &str| {
            let entry = Entry { value: value.as_bytes().to_vec(), version: 7 };
            Step::of(Some(&entry), now, &settings)
        };
        let begin = Step::Begin { version: 7 };
        assert_eq!(Step::of(None, now, &settings), Step::Begin { version: 0 });
        for (value, expected) in [
            ("w1700000000", Step::Wait { seconds: 300 }),
            ("w1699999701", Step::Wait { seconds: 1 }),
            ("w1699999700", Step::Pass { waited: 300, version: 7 }),
            ("w1699913600", Step::Pass { waited: 86_400, version: 7 }),
            ("w1699913599", begin),
            ("w1700000300", Step::Wait { seconds: 300 }),
            ("w1700000301", begin),
            ("k1700000000", Step::Known { renew: false, version: 7 }),
            ("k1699900000", Step::Known { renew: true, version: 7 }),
            ("k1600000000", begin),
            ("x1700000000", begin),
            ("w", begin),
            ("", begin),
            ("w-5", begin),
            ("w99999999999999999999999999", begin),
            ("k\u{661}", begin),
        ] {
            assert_eq!(step(value), expected, "{value}");
        }
    }
}
