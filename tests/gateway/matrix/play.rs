//! A cell is played: the fault, then mail as if nothing had been.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_tests::faulty::{Fault, Stage};
use portcullis_tests::gateway::Running;
use portcullis_tests::{Client, Faulty};

use super::cell::{self, Cell, Situation};
use super::expected::{Fate, is_ambiguous};

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
        let expected = cell.place.expected(cell.client).expect("only cells that exist are played");
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
        let client = cell.client;
        Some(format!("{} from {client:?}: {what} {:?}", cell.place.name(), self.codes))
    }

    /// What holds whatever the table says.
    fn broken_promise(&self, cell: &Cell) -> Option<&'static str> {
        let Fate { heard, copies } = self.fate;
        for (heard, copies) in heard.into_iter().zip(copies) {
            match (heard, copies) {
                (2, 0) => return Some("lost: a yes for what nobody has"),
                (_, 2..) => return Some("delivered twice"),
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
pub(super) fn play(gateway: &Running, hop: &Faulty, cell: &Cell) -> Seen {
    let mut player = Player {
        client: match cell.client {
            cell::Client::Smtp => gateway.client(),
            cell::Client::Lmtp => {
                let mut client = Client::connect(gateway.address("lmtp"));
                client.expect(220);
                client.command("LHLO client.example").expect_code(250);
                client
            }
        },
        hop,
        cell,
        longest: Duration::ZERO,
    };
    let played = player.play();
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
            for command in self.envelope() {
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

    /// One message to both recipients; its number, and the codes for each.
    fn transaction(&mut self, octets: usize) -> io::Result<(usize, [u16; 2])> {
        static NUMBERS: AtomicUsize = AtomicUsize::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let mut codes = [0, 0];
        let [mail, first, second] = self.envelope();
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

    fn envelope(&self) -> [String; 3] {
        let domain = self.cell.place.domain();
        [
            "MAIL FROM:<sender@client.example>".to_owned(),
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
        let letters = self.hop.letters();
        let copies = ["first@", "second@"].map(|start| {
            let letters = letters.iter().filter(|letter| letter.text().contains(&subject));
            letters
                .filter(|letter| letter.recipients.iter().any(|to| to.starts_with(start)))
                .count()
        });
        Fate { heard: codes.map(|code| code / 100), copies }
    }
}

/// As it is where nothing fails.
const GOOD: Fate = Fate { heard: [2, 2], copies: [1, 1] };

const NOTHING: Fate = Fate { heard: [0, 0], copies: [0, 0] };

/// Connecting, a command, a second connection and the end of the message, each with the gateway's
/// patience, on a machine that is busy with all the others.
const LONGEST: Duration = Duration::from_secs(40);

/// After which the gateway gives the connection back: a second, and some more.
const PAUSE: Duration = Duration::from_millis(1500);

const SMALL: usize = 4_000;

/// More than two sockets hold.
const LARGE: usize = 6 << 20;
