//! What has to come of each cell.
//!
//! `24:10` means that the client heard 2xx for its first recipient and 4xx for the second, and that
//! the next hop has the message once for the first and not for the second; `r` that its sender got a
//! report instead. `-` means that there is no such case.

use portcullis_tests::faulty::{Fault, Stage};

use super::cell::{Client, Delivery, Place};

/// What the client hears of its two recipients, and how often the next hop has the message for each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Fate {
    pub(super) heard: [u32; 2],
    pub(super) copies: [u32; 2],
}

impl Place {
    /// What has to come of it, if there is such a case.
    pub(super) fn expected(&self, client: Client, delivery: Delivery) -> Option<Fate> {
        let grids: &[&str] = match (delivery, self.lmtp, client) {
            (Delivery::Relay, false, _) => &[RELAY],
            (Delivery::Relay, true, Client::Smtp) => &[LMTP_FOR_SMTP, RELAY],
            (Delivery::Relay, true, Client::Lmtp) => &[LMTP_FOR_LMTP, RELAY],
            (Delivery::Spool, false, _) => &[SPOOL],
            (Delivery::Spool, true, _) => &[SPOOL_TO_LMTP, SPOOL],
        };
        let row = self.row();
        let line = grids.iter().find_map(|grid| grid.lines().find_map(|line| of(line, &row)))?;
        let column = Fault::ALL.iter().position(|fault| *fault == self.fault)?;
        let text = line.split_whitespace().nth(column).expect("a row has all columns");
        (text != "-").then(|| Fate::parse(text))
    }
}

/// The rest of the line, if it is that row's.
fn of<'a>(line: &'a str, row: &str) -> Option<&'a str> {
    let (name, rest) = line.split_once('|')?;
    (name.trim() == row).then_some(rest)
}

impl Fate {
    fn parse(text: &str) -> Self {
        let digit = |c: char| if c == 'r' { Some(REPORTED) } else { c.to_digit(10) };
        let digits: Vec<_> = text.chars().filter_map(digit).collect();
        let [a, b, c, d] = digits[..] else { panic!("four digits, not {text}") };
        Self { heard: [a, b], copies: [c, d] }
    }
}

/// In place of copies: none has come, and the sender was told.
pub(super) const REPORTED: u32 = 9;

/// Whether a message may be there though the client was told that it is not: the final dot was sent,
/// and nothing usable came back.
pub(super) fn is_ambiguous(place: &Place) -> bool {
    matches!(place.stage, Stage::Dot | Stage::SecondDot)
        && !matches!(place.fault, Fault::Tempfail | Fault::Reject)
}

const RELAY: &str = "
                               | refused silent slow  split closes resets 4xx   5xx   421   garbage long  endless early
connect                        | 44:00   44:00  -     -     -      44:00  -     -     -     -       -     -       -
banner                         | -       44:00  22:11 22:11 44:00  44:00  44:00 44:00 44:00 44:00   44:00 44:00   -
EHLO                           | -       44:00  22:11 22:11 44:00  44:00  44:00 44:00 44:00 44:00   44:00 44:00   44:00
STARTTLS                       | -       44:00  22:11 22:11 44:00  44:00  44:00 44:00 44:00 44:00   44:00 44:00   44:00
handshake                      | -       44:00  -     -     44:00  44:00  -     -     -     44:00   -     -       44:00
STARTTLS, opportunistic        | -       44:00  22:11 22:11 44:00  44:00  22:11 22:11 44:00 44:00   44:00 44:00   44:00
handshake, opportunistic       | -       44:00  -     -     22:11  22:11  -     -     -     22:11   -     -       44:00
AUTH                           | -       44:00  22:11 22:11 44:00  44:00  44:00 44:00 44:00 44:00   44:00 44:00   44:00
XCLIENT                        | -       44:00  22:11 22:11 44:00  44:00  44:00 44:00 44:00 44:00   44:00 44:00   44:00
XFORWARD                       | -       44:00  22:11 22:11 44:00  44:00  22:11 22:11 44:00 44:00   44:00 44:00   44:00
MAIL                           | -       44:00  22:11 22:11 44:00  44:00  44:00 55:00 44:00 44:00   44:00 44:00   44:00
RCPT                           | -       24:10  22:11 22:11 24:10  24:10  24:10 25:10 24:10 24:10   24:10 24:10   44:00
DATA                           | -       44:00  22:11 22:11 44:00  44:00  44:00 55:00 44:00 44:00   44:00 44:00   44:00
text                           | -       44:00  22:11 -     44:00  44:00  44:00 55:00 44:00 44:00   44:00 44:00   44:00
final dot                      | -       44:11  22:11 22:11 44:11  44:11  44:00 55:00 44:00 44:11   44:11 44:11   44:00
RSET                           | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   44:00
RSET while the client pauses   | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   44:00
QUIT                           | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   22:11
MAIL, kept connection          | -       42:01  22:11 22:11 22:11  22:11  42:01 52:01 22:11 42:01   42:01 42:01   -
RCPT, kept connection          | -       24:10  22:11 22:11 22:11  22:11  24:10 25:10 22:11 24:10   24:10 24:10   24:10
DATA, kept connection          | -       44:00  22:11 22:11 22:11  22:11  44:00 55:00 22:11 44:00   44:00 44:00   44:00
text, kept connection          | -       -      -     -     44:00  44:00  -     -     44:00 44:00   44:00 44:00   44:00
final dot, kept connection     | -       44:11  22:11 22:11 44:11  44:11  44:00 55:00 44:00 44:11   44:11 44:11   44:00
";

/// LMTP upstream, and one reply for all: the worst.
const LMTP_FOR_SMTP: &str = "
final dot                      | -       44:11  22:11 22:11 44:11  44:11  44:01 55:01 44:01 44:11   44:11 44:11   44:00
second reply to the dot        | -       44:11  22:11 22:11 44:11  44:11  44:10 55:10 44:10 44:11   44:11 44:11   -
final dot, kept connection     | -       44:11  22:11 22:11 44:11  44:11  44:01 55:01 44:01 44:11   44:11 44:11   44:00
second reply to the dot, kept connection | - 44:11 22:11 22:11 44:11 44:11 44:10 55:10 44:10 44:11  44:11 44:11   -
";

/// LMTP on both sides: each recipient has its own answer.
const LMTP_FOR_LMTP: &str = "
final dot                      | -       44:11  22:11 22:11 44:11  44:11  42:01 52:01 44:01 44:11   44:11 44:11   44:00
second reply to the dot        | -       24:11  22:11 22:11 24:11  24:11  24:10 25:10 24:10 24:11   24:11 24:11   -
final dot, kept connection     | -       44:11  22:11 22:11 44:11  44:11  42:01 52:01 44:01 44:11   44:11 44:11   44:00
second reply to the dot, kept connection | - 24:11 22:11 22:11 24:11 24:11 24:10 25:10 24:10 24:11  24:11 24:11   -
";

/// From the spool, where the fault strikes once: it is tried again, and nobody hears of it but of what is
/// refused for good. Two copies where nobody can know whether the first had arrived.
const SPOOL: &str = "
                               | refused silent slow  split closes resets 4xx   5xx   421   garbage long  endless early
connect                        | 22:11   22:11  -     -     -      22:11  -     -     -     -       -     -       -
banner                         | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   -
EHLO                           | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   22:11
STARTTLS                       | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   22:11
handshake                      | -       22:11  -     -     22:11  22:11  -     -     -     22:11   -     -       22:11
STARTTLS, opportunistic        | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   22:11
handshake, opportunistic       | -       22:11  -     -     22:11  22:11  -     -     -     22:11   -     -       22:11
AUTH                           | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   22:11
XCLIENT                        | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   22:11
XFORWARD                       | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   22:11
MAIL                           | -       22:11  22:11 22:11 22:11  22:11  22:11 22:rr 22:11 22:11   22:11 22:11   22:11
RCPT                           | -       22:11  22:11 22:11 22:11  22:11  22:11 22:1r 22:11 22:11   22:11 22:11   22:11
DATA                           | -       22:11  22:11 22:11 22:11  22:11  22:11 22:rr 22:11 22:11   22:11 22:11   22:11
text                           | -       22:11  22:11 -     22:11  22:11  22:11 22:rr 22:11 22:11   22:11 22:11   22:11
final dot                      | -       22:22  22:11 22:11 22:22  22:22  22:11 22:rr 22:11 22:22   22:22 22:22   22:11
QUIT                           | -       22:11  22:11 22:11 22:11  22:11  22:11 22:11 22:11 22:11   22:11 22:11   22:11
";

/// Where each recipient has its own answer.
const SPOOL_TO_LMTP: &str = "
final dot                      | -       22:22  22:11 22:11 22:22  22:22  22:11 22:r1 22:12 22:22   22:22 22:22   22:11
second reply to the dot        | -       22:12  22:11 22:11 22:12  22:12  22:11 22:1r 22:11 22:12   22:12 22:12   -
";
