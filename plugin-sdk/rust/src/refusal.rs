//! A refusal as operators write it.

use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::{Reply, Verdict};

/// A refusal from the settings: `550 5.7.1 not welcome`, where the enhanced status may be left out.
///
/// The code says what it becomes: 5xx rejects, 4xx defers, and 421 also closes the connection
/// (RFC 5321 3.8).
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal(Reply);

impl Refusal {
    /// The answer of a hook.
    pub fn verdict(&self) -> Verdict {
        self.0.clone().into()
    }

    /// The reply itself, as `Transaction::refuse_recipient` takes it.
    pub fn reply(&self) -> &Reply {
        &self.0
    }
}

impl FromStr for Refusal {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (code, rest) = line.trim().split_once(' ').ok_or(FORM)?;
        let code = code.parse().ok().filter(|code| (400..600).contains(code)).ok_or(FORM)?;
        let (first, text) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = Reply::parse_status(first);
        let text = if status.is_some() { text } else { rest };
        if status.is_some_and(|(class, _, _)| u16::from(class) != code / 100) {
            return Err(format!("the first digits of code and status differ in `{line}`"));
        }
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("the text of a reply is one line of ASCII, and not empty".to_owned());
        }
        Ok(Self(Reply { code, status, text: text.to_owned() }))
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

const FORM: &str = "a refusal is a code from 400 to 599 and a text, as in `550 5.7.1 not welcome`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_says_what_a_refusal_becomes() {
        for (line, verdict) in [
            ("550 5.7.1 no", Verdict::reject(550, "5.7.1", "no")),
            ("550 no, never", Verdict::reject(550, "", "no, never")),
            ("450 4.7.1 not now", Verdict::defer(450, "4.7.1", "not now")),
            ("421 4.7.0 go away", Verdict::disconnect(421, "4.7.0", "go away")),
        ] {
            assert_eq!(line.parse::<Refusal>().unwrap().verdict(), verdict);
        }
    }

    #[test]
    fn lines_that_refuse_nothing() {
        for (line, why) in [
            ("", "nothing"),
            ("550", "no text"),
            ("550 5.7.1 ", "no text behind the status"),
            ("250 2.0.0 ok", "not a refusal"),
            ("550 4.7.1 no", "two classes"),
            ("550 n\u{f8}", "beyond ASCII"),
            ("550 a\r\n250 b", "two lines"),
        ] {
            assert!(line.parse::<Refusal>().is_err(), "{why}: {line:?}");
        }
    }
}
