//! What a filter answers at a step.

use portcullis_plugin::{Refusal, Reply, Verdict};

/// An answer that ends a step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Accept,
    Continue,
    Discard,
    Refuse(Verdict),
    /// No more of the body is wanted.
    Skip,
}

impl Answer {
    /// None is what ends no step.
    pub(crate) fn read(command: u8, data: &[u8]) -> Option<Self> {
        Some(match command {
            b'a' => Self::Accept,
            b'c' => Self::Continue,
            b'd' => Self::Discard,
            b'r' => Self::Refuse(Verdict::reject(550, "5.7.1", "command rejected")),
            b's' => Self::Skip,
            b't' | b'f' => Self::Refuse(Verdict::defer(451, "4.7.1", TRY_AGAIN)),
            b'y' => Self::Refuse(reply(data)),
            b'4' => Self::Refuse(Verdict::disconnect(421, "4.7.0", TRY_AGAIN)),
            _ => return None,
        })
    }

    /// For metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Continue | Self::Skip => "continue",
            Self::Discard => "discard",
            Self::Refuse(Verdict::Reject(_)) => "reject",
            Self::Refuse(_) => "defer",
        }
    }
}

/// `550 5.7.1 text`, or several lines of that with `-` behind the code; what cannot stand in a reply is
/// left out, and what is none becomes a deferral: a filter that wants to refuse may not be overheard.
fn reply(data: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(data.split(|octet| *octet == 0).next().unwrap_or_default());
    let mut refusal: Option<Reply> = None;
    for line in text.lines().take(LINES) {
        let (code, rest) = line.split_at_checked(3).unwrap_or((line, ""));
        let rest: String = rest.chars().skip(1).filter(|c| matches!(c, ' '..='~')).collect();
        // libmilter has taken it for a format.
        let rest = rest.replace("%%", "%");
        let Ok(read) = format!("{code} {}", rest.trim()).parse::<Refusal>() else { continue };
        match &mut refusal {
            None => refusal = Some(read.reply().clone()),
            Some(all) => {
                all.text.push('\n');
                all.text.push_str(&read.reply().text);
            }
        }
    }
    refusal.map_or_else(|| Verdict::defer(451, "4.7.1", TRY_AGAIN), Verdict::from)
}

const TRY_AGAIN: &str = "try again later";
const LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read() {
        for (data, verdict) in [
            (&b"550 5.7.1 no\0"[..], Verdict::reject(550, "5.7.1", "no")),
            (
                b"451 4.7.1 Greylisting in action\0",
                Verdict::defer(451, "4.7.1", "Greylisting in action"),
            ),
            (
                b"550-5.7.1 one\r\n550 5.7.1 two 100%%\0",
                Verdict::reject(550, "5.7.1", "one\ntwo 100%"),
            ),
            (b"554 no\x1b[1m\0", Verdict::reject(554, "", "no[1m")),
            (b"421 4.7.0 go\0", Verdict::disconnect(421, "4.7.0", "go")),
            (b"250 2.0.0 ok\0", Verdict::defer(451, "4.7.1", TRY_AGAIN)),
            (b"5\xff", Verdict::defer(451, "4.7.1", TRY_AGAIN)),
            (b"", Verdict::defer(451, "4.7.1", TRY_AGAIN)),
        ] {
            assert_eq!(reply(data), verdict, "{:?}", String::from_utf8_lossy(data));
        }
    }
}
