//! One rule, and the window in which it counts.

use portcullis_plugin::Refusal;

use crate::settings::{Count, Limit, Part, RuleSettings};

/// A rule, ready to be used.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    pub(crate) count: Count,
    pub(crate) key: Vec<Part>,
    pub(crate) limit: u32,
    pub(crate) action: Action,
    window: u32,
}

/// What comes of too much.
#[derive(Debug)]
pub(crate) enum Action {
    Refuse(Refusal),
    Score {
        symbol: String,
        points: f64,
    },
    /// In milliseconds.
    Delay(u32),
}

impl Rule {
    pub(crate) fn new(settings: RuleSettings) -> Result<Self, String> {
        let RuleSettings { name, count, key, limit: Limit(limit), window, refuse, score, delay } =
            settings;
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 32 || !name.bytes().all(named) {
            return Err(format!(
                "name: `{name}` is not made of 1 to 32 letters, digits, `-` and `_`"
            ));
        }
        if let Some(part) = key.iter().find(|part| !count.knows(**part)) {
            return Err(format!("key: {count} are not counted by {part}"));
        }
        if window.as_seconds() == 0 {
            return Err("window: at least 1s".to_owned());
        }
        let action = match (refuse, score, delay) {
            (Some(refusal), None, None) => Action::Refuse(refusal),
            (None, Some(_), None) if count == Count::Connections => {
                return Err("score: there is no message yet; refuse it".to_owned());
            }
            (None, Some(points), None) => {
                Action::Score { symbol: format!("RATE_{}", name.to_ascii_uppercase()), points }
            }
            (None, None, Some(delay)) if !(1..=60).contains(&delay.as_seconds()) => {
                return Err(format!("delay: {delay} is not from 1s to 60s"));
            }
            (None, None, Some(delay)) => Action::Delay(delay.as_seconds() * 1000),
            (None, None, None) => Action::Refuse(count.refusal().parse()?),
            _ => return Err("one of `refuse`, `score` and `delay`".to_owned()),
        };
        Ok(Self { name, count, key, limit, action, window: window.as_seconds() })
    }

    /// Where it counts now, and where it counted in the window before.
    pub(crate) fn keys(&self, of: &str, now: u64) -> [String; 2] {
        let window = now / u64::from(self.window);
        [window, window.saturating_sub(1)].map(|window| format!("{} {window} {of}", self.name))
    }

    /// A counter has to last until it is no longer the one before.
    pub(crate) fn time_to_live(&self) -> Option<u32> {
        Some(self.window.saturating_mul(2))
    }

    /// What has come within a window that ends now, if what came in the window before came evenly.
    pub(crate) fn rate(&self, current: i64, before: i64, now: u64) -> u64 {
        let window = u64::from(self.window);
        let left = window - now % window;
        // Less than 2^32 times less than 2^32: the limit is never far below what is counted.
        let before = u64::try_from(before).unwrap_or_default().min(u64::from(u32::MAX));
        u64::try_from(current).unwrap_or_default().saturating_add(before * left / window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        let settings =
            r#"{"name": "r", "count": "messages", "key": [], "limit": 10, "window": "100s"}"#;
        Rule::new(serde_json::from_str(settings).unwrap()).unwrap()
    }

    #[test]
    fn the_window_slides() {
        let rule = rule();
        for (current, before, now, rate) in [
            (0, 0, 1000, 0),
            (3, 10, 1000, 13),
            (3, 10, 1050, 8),
            (3, 10, 1099, 3),
            (3, 10, 1100, 13),
            (-5, -7, 1000, 0),
            (i64::MAX, i64::MAX, 1000, i64::MAX as u64 + u64::from(u32::MAX)),
        ] {
            assert_eq!(rule.rate(current, before, now), rate, "{current} {before} {now}");
        }
    }

    #[test]
    fn each_window_has_its_counter() {
        let rule = rule();
        assert_eq!(rule.keys("a b", 1099), ["r 10 a b", "r 9 a b"]);
        assert_eq!(rule.keys("a b", 1100), ["r 11 a b", "r 10 a b"]);
        assert_eq!(rule.keys("", 5), ["r 0 ", "r 0 "]);
    }
}
