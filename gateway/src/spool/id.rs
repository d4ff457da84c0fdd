//! The names of messages that wait.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The name of a message that waits, also of its file. Later ones sort behind earlier ones.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String")]
pub struct Id(String);

impl Id {
    /// One that no message has, and none had before: the time, and a number that nobody knows
    /// beforehand, should the clock have been set back.
    #[must_use]
    pub fn fresh() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX >> 1);
        let last = LAST.fetch_max(now, Ordering::Relaxed);
        let time = if now > last { now } else { LAST.fetch_add(1, Ordering::Relaxed) + 1 };
        let mut octets = [0; 4];
        // Without random numbers the time is still this process's own.
        let _ = getrandom::fill(&mut octets);
        Self(format!("{time:013x}{:08x}", u32::from_ne_bytes(octets)))
    }

    /// All of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that its file lies in: one for some nineteen hours, so that messages of one moment
    /// share it and no folder has all of them.
    pub(super) fn shard(&self) -> &str {
        &self.0[..SHARD_DIGITS]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something that is no id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no id of a message: {DIGITS} hexadecimal digits")]
pub struct NoId;

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Id {
    type Error = NoId;

    fn try_from(text: String) -> Result<Self, NoId> {
        let digit = |octet: u8| matches!(octet, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == DIGITS && text.bytes().all(digit) { Ok(Self(text)) } else { Err(NoId) }
    }
}

/// Microseconds since 1970 until the year 2112, and 32 random bits.
const DIGITS: usize = 21;

const SHARD_DIGITS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_new_and_in_order() {
        let ids: Vec<_> = (0..1000).map(|_| Id::fresh()).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(ids.iter().all(|id| id.as_str().parse().as_ref() == Ok(id)));
    }

    #[test]
    fn what_could_lead_to_another_file_is_no_id() {
        for text in ["", "..", "../../../etc/passwd", "0123456789ABCDEF01234", "012345678"] {
            assert_eq!(text.parse::<Id>(), Err(NoId), "{text}");
        }
    }
}
