//! One connection to a faulty next hop.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};
use socket2::SockRef;

use super::{Fault, Shared, Stage};
use crate::Letter;
use crate::sink::path;

/// Holds a conversation to its end.
pub(super) fn hold(shared: &Arc<Shared>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = stream.try_clone()?;
    let mut talk = Talk {
        shared: Arc::clone(shared),
        stream: Stream::Plain(stream),
        socket,
        input: Vec::new(),
        letter: None,
        said_early: None,
    };
    let ended = talk.converse();
    // What a struck connection leaves unread must not turn its end into a reset.
    match ended {
        Err(Ended::Reset) => SockRef::from(&talk.socket).set_linger(Some(Duration::ZERO)),
        Err(Ended::Lost(error)) => Err(error),
        Ok(()) | Err(Ended::Closed) => talk.socket.shutdown(Shutdown::Write).map(|()| talk.drain()),
    }
}

struct Talk {
    shared: Arc<Shared>,
    stream: Stream,
    socket: TcpStream,
    input: Vec<u8>,
    letter: Option<Letter>,
    /// A stage that has been answered before it was reached.
    said_early: Option<Stage>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// Why a conversation goes no further.
enum Ended {
    Closed,
    Lost(io::Error),
    Reset,
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

impl Talk {
    fn converse(&mut self) -> Result<(), Ended> {
        if self.shared.strikes(Stage::Connect) {
            return Err(Ended::Reset);
        }
        self.answer(Stage::Banner)?;
        while let Some(line) = self.line()? {
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" | "LHLO" => {
                    let text = self.greeting();
                    self.say(Stage::Hello, &text)?;
                }
                "STARTTLS" => self.start_tls()?,
                "AUTH" => drop(self.answer(Stage::Auth)?),
                "XCLIENT" => drop(self.answer(Stage::Xclient)?),
                "XFORWARD" => drop(self.answer(Stage::Xforward)?),
                "MAIL" => {
                    self.letter = Some(Letter::begun(&line));
                    self.answer(Stage::Mail)?;
                }
                "RCPT" => self.recipient(&line)?,
                "DATA" => self.data()?,
                "RSET" => {
                    self.letter = None;
                    self.answer(Stage::Rset)?;
                }
                "QUIT" => {
                    self.answer(Stage::Quit)?;
                    return Ok(());
                }
                "HELO" | "NOOP" => self.write(b"250 2.0.0 ok\r\n")?,
                _ => self.write(b"500 5.5.1 what\r\n")?,
            }
        }
        Ok(())
    }

    fn greeting(&self) -> String {
        let mut offered = self.shared.character.extensions.clone();
        let plain = matches!(self.stream, Stream::Plain(_));
        if plain && self.shared.tls.is_some() {
            offered.push("STARTTLS".to_owned());
        }
        let lines: String = offered.iter().map(|line| format!("250-{line}\r\n")).collect();
        format!("250-up.example\r\n250-PIPELINING\r\n{lines}250 8BITMIME")
    }

    fn start_tls(&mut self) -> Result<(), Ended> {
        if !self.answer(Stage::StartTls)? {
            return Ok(());
        }
        if self.shared.strikes(Stage::Handshake) {
            // Not before the other side has begun.
            self.read(1)?;
            self.strike(Stage::Handshake, "")?;
            return Err(Ended::Closed);
        }
        let Some(tls) = self.shared.tls.clone() else { return Err(Ended::Closed) };
        let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
        let socket = self.socket.try_clone()?;
        self.stream = Stream::Tls(Box::new(StreamOwned::new(connection, socket)));
        self.input.clear();
        Ok(())
    }

    fn recipient(&mut self, line: &str) -> Result<(), Ended> {
        if self.letter.is_none() {
            return Ok(self.write(b"503 5.5.1 not now\r\n")?);
        }
        if !path(line).starts_with("second") {
            self.say_and(Stage::Rcpt, Stage::Rcpt.good_reply())?;
        } else if !self.answer(Stage::Rcpt)? {
            return Ok(());
        }
        if let Some(letter) = &mut self.letter {
            letter.recipients.push(path(line));
            letter.commands.push(line.to_owned());
        }
        Ok(())
    }

    fn data(&mut self) -> Result<(), Ended> {
        if self.letter.as_ref().is_none_or(|letter| letter.recipients.is_empty()) {
            return Ok(self.write(b"503 5.5.1 not now\r\n")?);
        }
        if !self.answer(Stage::Data)? {
            return Ok(());
        }
        if self.shared.strikes(Stage::Text) {
            self.read(FIRST_OF_TEXT)?;
            self.strike(Stage::Text, Stage::Text.good_reply())?;
        }
        let octets = self.content()?;
        let Some(mut letter) = self.letter.take() else { return Ok(()) };
        letter.octets = octets;
        self.verdicts(letter)
    }

    /// Says what becomes of a message. Who fails here in any other way than by a refusal has it.
    fn verdicts(&mut self, letter: Letter) -> Result<(), Ended> {
        let stages: &[Stage] = match self.shared.character.lmtp && letter.recipients.len() > 1 {
            true => &[Stage::Dot, Stage::SecondDot],
            false => &[Stage::Dot],
        };
        let mut state = self.shared.state();
        let failing = stages.iter().position(|stage| *stage == self.shared.character.stage);
        let refused = failing
            .filter(|_| state.strikes > 0 && self.shared.character.fault.is_refusal())
            .map(|index| letter.recipients[index].clone());
        let mut kept = letter;
        if self.shared.character.lmtp {
            kept.recipients.retain(|recipient| Some(recipient) != refused.as_ref());
        } else if refused.is_some() {
            kept.recipients.clear();
        }
        if !kept.recipients.is_empty() {
            state.letters.push(kept);
        }
        drop(state);
        for stage in stages {
            self.answer(*stage)?;
        }
        Ok(())
    }

    /// Content up to the final dot, dots unstuffed.
    fn content(&mut self) -> Result<Vec<u8>, Ended> {
        let slow = self.shared.character.stage == Stage::Text;
        loop {
            // The CRLF of DATA counts.
            let ends = self.input.ends_with(b"\r\n.\r\n") || self.input == b".\r\n";
            if ends {
                let text = std::mem::take(&mut self.input);
                return Ok(text[..text.len() - 3].to_vec());
            }
            if slow && self.shared.state().strikes > 0 {
                thread::sleep(Duration::from_millis(1));
            }
            self.read(0)?;
        }
    }

    /// Answers as it should, or fails; whether it was a yes.
    fn answer(&mut self, stage: Stage) -> Result<bool, Ended> {
        self.say(stage, stage.good_reply())
    }

    fn say(&mut self, stage: Stage, good: &str) -> Result<bool, Ended> {
        if self.said_early.take_if(|early| *early == stage).is_some() {
            return Ok(true);
        }
        let next = self.shared.character.stage;
        if self.shared.character.fault != Fault::Early && self.shared.strikes(stage) {
            return self.strike(stage, good);
        }
        if next.predecessor() == Some(stage) {
            return self.say_and(next, good).map(|()| true);
        }
        self.write(format!("{good}\r\n").as_bytes())?;
        Ok(true)
    }

    /// Says this, and with it the answer of the next stage, if that comes too early.
    fn say_and(&mut self, next: Stage, good: &str) -> Result<(), Ended> {
        let mut text = format!("{good}\r\n");
        if self.shared.character.fault == Fault::Early && self.shared.strikes(next) {
            self.said_early = Some(next);
            text.push_str(&format!("{}\r\n", next.good_reply()));
        }
        Ok(self.write(text.as_bytes())?)
    }

    /// Fails; whether it was a yes after all.
    fn strike(&mut self, stage: Stage, good: &str) -> Result<bool, Ended> {
        let good = format!("{good}\r\n");
        match self.shared.character.fault {
            Fault::Slow if stage == Stage::Text => return Ok(true),
            Fault::Slow => return self.dribble(&good, PAUSE),
            Fault::Split => return self.dribble(&good, Duration::ZERO),
            Fault::Refused | Fault::Silent => {
                self.shared.wait_until_mended(self.shared.round());
                return Err(Ended::Closed);
            }
            Fault::Closes => return Err(Ended::Closed),
            Fault::Resets => return Err(Ended::Reset),
            Fault::Closing => {
                self.write(b"421 4.3.2 scripted\r\n")?;
                return Err(Ended::Closed);
            }
            Fault::Tempfail => self.write(b"450 4.7.9 scripted\r\n")?,
            Fault::Reject => self.write(b"550 5.7.9 scripted\r\n")?,
            Fault::Garbage => self.write(b"HTTP/1.1 400 Bad Request\r\n\xff\0\r\n")?,
            Fault::LongLine => {
                self.write(format!("250 {}\r\n", "x".repeat(LONG)).as_bytes())?;
            }
            Fault::Endless => loop {
                self.write(b"250-and more\r\n")?;
            },
            Fault::Early => self.write(good.as_bytes())?,
        }
        // Whoever breaks off in the middle of a text has nothing else to say.
        if stage == Stage::Text { Err(Ended::Closed) } else { Ok(false) }
    }

    fn dribble(&mut self, text: &str, pause: Duration) -> Result<bool, Ended> {
        for octet in text.as_bytes() {
            self.write(std::slice::from_ref(octet))?;
            thread::sleep(pause);
        }
        Ok(true)
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(octets),
            Stream::Tls(stream) => stream.write_all(octets).and_then(|()| stream.flush()),
        }
    }

    fn line(&mut self) -> Result<Option<String>, Ended> {
        loop {
            if let Some(at) = self.input.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.input.drain(..=at).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            match self.read(0) {
                Err(Ended::Lost(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                other => other?,
            }
        }
    }

    /// Reads something, or at least so much.
    fn read(&mut self, least: usize) -> Result<(), Ended> {
        let mut block = vec![0; BLOCK];
        loop {
            let count = match &mut self.stream {
                Stream::Plain(stream) => stream.read(&mut block)?,
                Stream::Tls(stream) => stream.read(&mut block)?,
            };
            if count == 0 {
                return Err(Ended::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            self.input.extend_from_slice(&block[..count]);
            if self.input.len() >= least {
                return Ok(());
            }
        }
    }

    /// Reads what still comes, so that the other side finds an end and no reset.
    fn drain(&mut self) {
        let mut block = vec![0; BLOCK];
        drop(self.socket.set_read_timeout(Some(LAST)));
        while self.socket.read(&mut block).is_ok_and(|count| count > 0) {}
    }
}

/// How much of a text is read before the fault.
const FIRST_OF_TEXT: usize = 1000;

/// Longer than anybody's line.
const LONG: usize = 100_000;

/// Between two octets of a slow answer.
const PAUSE: Duration = Duration::from_millis(10);

/// How much is read at once.
const BLOCK: usize = 64 * 1024;

/// For what is still on its way when a connection is closed.
const LAST: Duration = Duration::from_secs(2);
