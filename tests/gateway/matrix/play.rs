//! A cell is played: the fault, then mail as if nothing had been.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::faulty::{Fault, Stage};
use portcullis_tests::gateway::Running;
use portcullis_tests::{Client, Faulty, Letter, Sink, wait_for};

use super::cell::{self, Cell, Delivery, Situation};
use super::expected::{Fate, REPORTED, is_ambiguous};

/// What came of a cell.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) fate: Fate,
    /// The codes for both recipients.
    pub(super) codes: [u16; 2],
    /// What came of the mail after the fault was mended.
    after: Fate,
    longest: Duration,
    trouble: Option<String>,
}

impl Seen {
    /// What is wrong with it.
    pub(super) fn complaint(&self, cell: &Cell) -> Option<String> {
        let expected = cell.expected().expect("only cells that exist are played");
        let what = if let Some(trouble) = &self.trouble {
            trouble.clone()
        } else if let Some(promise) = self.broken_promise(cell) {
            promise.to_owned()
        } else if self.fate != expected {
            format!("{} instead of {}", self.fate, expected)
        } else if self.after != GOOD {
            format!("{} once mended", self.after)
        } else if self.longest > LONGEST {
            format!("the client waited for {:?}", self.longest)
        } else {
            return None;
        };
        let (place, from) = (cell.place.name(), cell.listener());
        Some(format!("{place} from {from}: {what} {:?}", self.codes))
    }

    /// What holds whatever the table says.
    fn broken_promise(&self, cell: &Cell) -> Option<&'static str> {
        let Fate { heard, copies } = self.fate;
        for (heard, copies) in heard.into_iter().zip(copies) {
            match (heard, copies) {
                (2, 0) => return Some("lost: a yes for what nobody has"),
                (_, 2..REPORTED) if !is_ambiguous(&cell.place) => return Some("delivered twice"),
                // LMTP's answers may be mixed, and one reply for all is the worst of them.
                (4 | 5, 1) if !cell.place.lmtp && !is_ambiguous(&cell.place) => {
                    return Some("a no for what the next hop has");
                }
                _ => {}
            }
        }
        None
    }
}

/// Plays a cell, and leaves the next hop mended.
pub(super) fn play(gateway: &Running, hop: &Faulty, reports: &Sink, cell: &Cell) -> Seen {
    let mut client = Client::connect(gateway.address(cell.listener()));
    client.expect(220);
    let hello = if cell.client == cell::Client::Smtp { "EHLO" } else { "LHLO" };
    client.command(&format!("{hello} client.example")).expect_code(250);
    let mut player = Player { client, hop, reports, cell, longest: Duration::ZERO };
    let played = match cell.delivery {
        Delivery::Relay => player.play(),
        Delivery::Spool => player.play_spooled(),
    };
    let longest = player.longest;
    match played {
        Ok((codes, fate, after)) => Seen { fate, codes, after, longest, trouble: None },
        Err(error) => {
            let trouble = Some(format!("no reply: {error}"));
            Seen { fate: NOTHING, codes: [0, 0], after: NOTHING, longest, trouble }
        }
    }
}

struct Player<'a> {
    client: Client,
    hop: &'a Faulty,
    reports: &'a Sink,
    cell: &'a Cell,
    longest: Duration,
}

impl Player<'_> {
    fn play(&mut self) -> io::Result<([u16; 2], Fate, Fate)> {
        let place = &self.cell.place;
        if place.situation == Situation::Kept {
            // A connection that the gateway keeps.
            self.transaction(SMALL)?;
            self.hop.fail_once();
        } else {
            self.hop.fail();
        }
        if place.situation == Situation::Always && place.stage == Stage::Rset {
            for command in self.envelope(0) {
                self.say(&command)?;
            }
            self.say("RSET")?;
        }
        let (number, codes) = self.transaction(self.measured())?;
        let fate = self.fate(number, codes);
        self.hop.mend();
        let (number, after) = self.transaction(SMALL)?;
        Ok((codes, fate, self.fate(number, after)))
    }

    /// The same from the spool: the fault strikes once, the message is tried again.
    fn play_spooled(&mut self) -> io::Result<([u16; 2], Fate, Fate)> {
        let place = &self.cell.place;
        if place.stage == Stage::Connect && place.fault != Fault::Resets {
            self.hop.fail();
        } else {
            self.hop.fail_once();
        }
        let (number, codes) = self.transaction(self.measured())?;
        if place.stage == Stage::Connect && place.fault != Fault::Resets {
            // An attempt at which nothing comes about leaves no trace.
            thread::sleep(ATTEMPT);
        } else {
            wait_for("a fault that strikes", || self.hop.has_failed().then_some(()));
        }
        // Who waits in silence is not to hear anything after all.
        if place.fault != Fault::Silent || place.stage == Stage::Connect {
            self.hop.mend();
        }
        let expected = self.cell.expected().map_or(NOTHING, |fate| fate);
        self.settle(number, codes, expected);
        self.hop.mend();
        let (next, after) = self.transaction(SMALL)?;
        let after = self.settle(next, after, GOOD);
        Ok((codes, self.fate(number, codes), after))
    }

    /// Waits until what is expected has come; what has come, in any case.
    fn settle(&self, number: usize, codes: [u16; 2], expected: Fate) -> Fate {
        let start = Instant::now();
        loop {
            let fate = self.fate(number, codes);
            if fate == expected || start.elapsed() > LONGEST {
                return fate;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// One message to both recipients; its number, and the codes for each.
    fn transaction(&mut self, octets: usize) -> io::Result<(usize, [u16; 2])> {
        static NUMBERS: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let mut codes = [0, 0];
        let [mail, first, second] = self.envelope(number);
        let said = self.say(&mail)?;
        if said >= 400 {
            return Ok((number, [said, said]));
        }
        codes[0] = self.say(&first)?;
        codes[1] = self.say(&second)?;
        if self.cell.place.situation == Situation::Pause {
            thread::sleep(PAUSE);
        }
        if codes.iter().all(|code| *code >= 400) {
            self.say("RSET")?;
            return Ok((number, codes));
        }
        let data = self.say("DATA")?;
        if data >= 400 {
            return Ok((number, codes.map(|code| code.max(data))));
        }
        let asked = Instant::now();
        let line = format!("{}\r\n", "x".repeat(998));
        let text = line.repeat(octets / line.len());
        self.client.send(format!("Subject: {number}\r\n\r\n{text}.\r\n").as_bytes())?;
        let mut verdict = None;
        for code in codes.iter_mut().filter(|code| **code < 400) {
            let said = match verdict {
                Some(said) if self.cell.client == cell::Client::Smtp => said,
                _ => self.client.reply()?.code,
            };
            *code = said;
            verdict = Some(said);
        }
        self.longest = self.longest.max(asked.elapsed());
        Ok((number, codes))
    }

    /// A text must not fit into the buffers on its way where it matters that it is not complete yet.
    fn measured(&self) -> usize {
        let place = &self.cell.place;
        let matters = matches!(place.fault, Fault::Silent | Fault::Reject | Fault::Early);
        if place.stage == Stage::Text && matters { LARGE } else { SMALL }
    }

    fn envelope(&self, number: usize) -> [String; 3] {
        let domain = self.cell.place.domain();
        [
            format!("MAIL FROM:<sender-{number}@client.example>"),
            format!("RCPT TO:<first@{domain}>"),
            format!("RCPT TO:<second@{domain}>"),
        ]
    }

    fn say(&mut self, command: &str) -> io::Result<u16> {
        let asked = Instant::now();
        self.client.send(format!("{command}\r\n").as_bytes())?;
        let reply = self.client.reply()?;
        self.longest = self.longest.max(asked.elapsed());
        Ok(reply.code)
    }

    fn fate(&self, number: usize, codes: [u16; 2]) -> Fate {
        let subject = format!("\r\nSubject: {number}\r\n");
        let mut letters = self.hop.letters();
        letters.retain(|letter| letter.text().contains(&subject));
        let sender = format!("sender-{number}@client.example");
        let mut reports = self.reports.letters();
        reports.retain(|letter| letter.recipients.contains(&sender));
        let copies = ["first@", "second@"].map(|start| {
            let has = |letter: &&Letter| letter.recipients.iter().any(|to| to.starts_with(start));
            match letters.iter().filter(has).count() {
                0 if reports.iter().any(|report| names(report, start)) => REPORTED,
                count => u32::try_from(count).expect("a few"),
            }
        });
        Fate { heard: codes.map(|code| u32::from(code / 100)), copies }
    }
}

/// Whether a report is about this recipient.
fn names(report: &Letter, start: &str) -> bool {
    report.text().lines().any(|line| {
        line.strip_prefix("Final-Recipient:").is_some_and(|recipient| recipient.contains(start))
    })
}

/// As it is where nothing fails.
const GOOD: Fate = Fate { heard: [2, 2], copies: [1, 1] };

const NOTHING: Fate = Fate { heard: [0, 0], copies: [0, 0] };

/// Connecting, a command, a second connection and the end of the message, each with the gateway's
/// patience, on a machine that is busy with all the others.
const LONGEST: Duration = Duration::from_secs(40);

/// After which the gateway gives the connection back: a second, and some more.
const PAUSE: Duration = Duration::from_millis(1500);

/// Within which a message in the spool is tried for the first time.
const ATTEMPT: Duration = Duration::from_millis(500);

const SMALL: usize = 4_000;

/// More than two sockets hold.
const LARGE: usize = 6 << 20;
