//! The settings as they are written.

use portcullis_plugin::Refusal;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use terms::{Addresses, Clients, Exempt, Secret, Span};

/// The settings of `bounces`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) domains: Addresses,
    #[serde(default)]
    pub(crate) ours: Clients,
    pub(crate) batv: Option<Batv>,
    #[serde(default)]
    pub(crate) forged: Forged,
    #[serde(default)]
    pub(crate) null_sender: NullSender,
    pub(crate) unreachable: Option<Unreachable>,
    #[serde(default)]
    pub(crate) exempt: Exempt,
}

/// Tags.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batv {
    pub(crate) keys: Vec<KeySettings>,
    #[serde(default = "week")]
    pub(crate) lifetime: Span,
    #[serde(default)]
    pub(crate) refuse_from: Option<Day>,
    pub(crate) refuse: Option<Refusal>,
    #[serde(default = "one")]
    pub(crate) missing: f64,
    #[serde(default = "half_a_good_sign")]
    pub(crate) valid: f64,
}

/// A queue gives up after five days (RFC 5321 4.5.4.1).
fn week() -> Span {
    Span::days(7)
}

fn one() -> f64 {
    1.0
}

fn half_a_good_sign() -> f64 {
    -0.5
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySettings {
    pub(crate) number: u8,
    pub(crate) secret: Secret<16>,
}

/// A day as in `2026-12-31`, since 1970.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Day(pub(crate) u64);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        day(&text)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("`{text}` is not a day as in `2026-12-31`")))
    }
}

fn day(text: &str) -> Option<u64> {
    let mut parts = text.splitn(3, '-');
    let mut number = |digits: usize| {
        let part = parts.next()?;
        let fits = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        if fits { part.parse::<u64>().ok() } else { None }
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // A year begins with March, so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

/// What comes of mail that only says to be ours.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Forged {
    pub(crate) reverse_path: Answer,
    pub(crate) from: Answer,
    pub(crate) unless_authentic: bool,
}

impl Default for Forged {
    fn default() -> Self {
        Self {
            reverse_path: Answer { score: 4.0, refuse: None },
            // Mailing lists send what our users have written.
            from: Answer { score: 2.0, refuse: None },
            unless_authentic: true,
        }
    }
}

impl Forged {
    pub(crate) fn check(&self) -> Result<(), String> {
        self.reverse_path.check("forged.reverse_path")?;
        self.from.check("forged.from")
    }
}

/// What comes of mail to whose sender nothing can be returned.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Unreachable {
    pub(crate) unknown: Answer,
    pub(crate) no_mail: Answer,
    pub(crate) on_error: OnError,
}

impl Default for Unreachable {
    fn default() -> Self {
        Self {
            unknown: Answer { score: 3.0, refuse: None },
            // Some who want no answers say so and write all the same (RFC 7505 4.2 advises against it).
            no_mail: Answer { score: 2.0, refuse: None },
            on_error: OnError::Pass,
        }
    }
}

impl Unreachable {
    pub(crate) fn check(&self) -> Result<(), String> {
        self.unknown.check("unreachable.unknown")?;
        self.no_mail.check("unreachable.no_mail")
    }

    pub(crate) fn is_off(&self) -> bool {
        self.unknown.is_off() && self.no_mail.is_off()
    }
}

/// What becomes of mail while the DNS does not say.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OnError {
    Pass,
    Defer,
}

/// A refusal, or points; 0 is neither.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Answer {
    pub(crate) score: f64,
    pub(crate) refuse: Option<Refusal>,
}

impl Answer {
    pub(crate) fn is_off(&self) -> bool {
        self.refuse.is_none() && self.score == 0.0
    }

    fn check(&self, path: &str) -> Result<(), String> {
        if self.refuse.is_some() && self.score != 0.0 {
            return Err(format!("{path}: either `refuse` or `score`"));
        }
        Ok(())
    }
}

/// What mail without a sender may do.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NullSender {
    pub(crate) recipients: usize,
    pub(crate) refuse: Refusal,
}

impl Default for NullSender {
    fn default() -> Self {
        Self {
            // RFC 5321 4.5.5: a report goes to who sent the message.
            recipients: 1,
            refuse: "550 5.5.3 mail without a sender is for one recipient"
                .parse()
                .expect("this is a refusal"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1970-12-31", Some(364)),
            ("2000-02-29", Some(11_016)),
            ("2026-11-22", Some(20_779)),
            ("1969-12-31", None),
            ("2026-13-01", None),
            ("2026-1-1", None),
            ("2026-11-22T00:00", None),
            ("", None),
        ] {
            assert_eq!(day(text), expected, "{text}");
        }
    }
}
