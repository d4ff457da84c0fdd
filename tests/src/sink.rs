//! An upstream that keeps what it gets, and answers as the test wants.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A message that arrived, whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Letter {
    /// The path of MAIL, without brackets.
    pub sender: String,
    /// The paths of RCPT that were accepted, without brackets.
    pub recipients: Vec<String>,
    /// The content, dots unstuffed.
    pub octets: Vec<u8>,
    /// MAIL and RCPT as they came, with their parameters.
    pub commands: Vec<String>,
}

impl Letter {
    pub(crate) fn begun(line: &str) -> Self {
        let (recipients, octets) = (Vec::new(), Vec::new());
        Self { sender: path(line), recipients, octets, commands: vec![line.to_owned()] }
    }

    /// The content without the `Received` field that the gateway has put on top.
    ///
    /// # Panics
    /// If it begins with something else.
    #[must_use]
    #[track_caller]
    pub fn without_received(&self) -> &[u8] {
        &self.octets[self.received().len()..]
    }

    /// The `Received` field that the gateway has put on top. Its last line is a date: what comes
    /// after it is not the field's, even if it begins with white space.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    #[track_caller]
    pub fn received(&self) -> String {
        let start = String::from_utf8_lossy(&self.octets[..self.octets.len().min(1000)]);
        let end = start.find(" +0000\r\n").map(|at| at + " +0000\r\n".len());
        match end.filter(|_| start.starts_with("Received: from ")) {
            Some(end) => start[..end].to_owned(),
            None => panic!("no Received field on top: {start:?}"),
        }
    }

    /// The content as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.octets).into_owned()
    }
}

/// How the sink behaves.
#[derive(Clone, Debug, Default)]
pub struct Manners {
    /// Whether it speaks LMTP.
    pub lmtp: bool,
    /// What it offers beside PIPELINING and 8BITMIME, as it stands in the answer to EHLO.
    pub extensions: Vec<String>,
    /// A command that begins with the first text is answered with the second, without its CRLF.
    pub answers: Vec<(String, String)>,
    /// Replies after the message, instead of 250; for LMTP in the order of the recipients.
    pub verdicts: Vec<String>,
    /// Whether it takes for the end of the content what any server ever did: it tells whether
    /// such a thing comes through.
    pub gullible: bool,
    /// How long it thinks about a message.
    pub delay: Duration,
    /// Whether it writes the subject of each message that it keeps to standard output, before it
    /// says so.
    pub announces: bool,
}

/// A running sink. It ends with the process of the test.
#[derive(Clone, Debug)]
pub struct Sink {
    address: Option<SocketAddr>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    manners: Manners,
    letters: Mutex<Vec<Letter>>,
    arrived: Condvar,
}

impl Shared {
    fn letters(&self) -> MutexGuard<'_, Vec<Letter>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// A sink that speaks SMTP and takes everything.
    #[must_use]
    pub fn smtp() -> Self {
        Self::with(Manners::default())
    }

    /// A sink that speaks LMTP and takes everything.
    #[must_use]
    pub fn lmtp() -> Self {
        Self::with(Manners { lmtp: true, ..Manners::default() })
    }

    /// A sink of one's own, on a port of its own.
    ///
    /// # Panics
    /// If loopback has no port.
    #[must_use]
    pub fn with(manners: Manners) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), manners)
    }

    /// A sink of one's own at an address.
    ///
    /// # Panics
    /// If it is taken.
    #[must_use]
    pub fn at(address: SocketAddr, manners: Manners) -> Self {
        let listener = TcpListener::bind(address).expect("a port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared { manners, ..Shared::default() });
        let inside = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                drop(stream.set_nodelay(true));
                let Ok(reader) = stream.try_clone() else { continue };
                serve(Arc::clone(&inside), reader, stream);
            }
        });
        Self { address: Some(address), shared }
    }

    /// A sink on a Unix socket.
    ///
    /// # Panics
    /// If the socket cannot be made.
    #[must_use]
    pub fn unix(manners: Manners, path: &Path) -> Self {
        let listener = UnixListener::bind(path).expect("a socket in a folder of the test");
        let shared = Arc::new(Shared { manners, ..Shared::default() });
        let inside = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Ok(reader) = stream.try_clone() else { continue };
                serve(Arc::clone(&inside), reader, stream);
            }
        });
        Self { address: None, shared }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// If that is a Unix socket.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("a sink on TCP")
    }

    /// What has arrived so far.
    #[must_use]
    pub fn letters(&self) -> Vec<Letter> {
        self.shared.letters().clone()
    }

    /// Waits for this many messages.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Letter> {
        let letters = self.shared.letters();
        let (letters, timeout) = self
            .shared
            .arrived
            .wait_timeout_while(letters, crate::PATIENCE, |letters| letters.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{} of {count} messages arrived", letters.len());
        letters.clone()
    }

    /// The one message that has arrived.
    ///
    /// # Panics
    /// If it is not exactly one.
    #[track_caller]
    #[must_use]
    pub fn only_letter(&self) -> Letter {
        let letters = self.wait_for(1);
        assert_eq!(letters.len(), 1, "more than one message arrived");
        letters.into_iter().next().expect("there is one")
    }
}

fn serve(
    shared: Arc<Shared>,
    reader: impl Read + Send + 'static,
    writer: impl Write + Send + 'static,
) {
    thread::spawn(move || {
        let talk = Talk { shared, reader: BufReader::new(reader), writer, letter: None };
        // A gateway that is killed leaves in the middle; that is what it is tested for.
        drop(talk.hold());
    });
}

struct Talk<R, W> {
    shared: Arc<Shared>,
    reader: BufReader<R>,
    writer: W,
    letter: Option<Letter>,
}

impl<R: Read, W: Write> Talk<R, W> {
    fn hold(mut self) -> io::Result<()> {
        self.say("220 sink.example ready")?;
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let manners = &self.shared.manners;
            let rule = manners.answers.iter().find(|(start, _)| line.starts_with(start.as_str()));
            match rule.map(|(_, answer)| answer.clone()) {
                Some(answer) => self.say(&answer)?,
                None if self.command(&line)? => {}
                None => return Ok(()),
            }
        }
    }

    /// Whether the conversation goes on.
    fn command(&mut self, line: &str) -> io::Result<bool> {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let greeting = self.greeting();
        let reply = match (verb.as_str(), &mut self.letter) {
            ("EHLO" | "LHLO", _) => &greeting,
            ("MAIL", Some(_)) => "503 5.5.1 nested MAIL",
            ("MAIL", letter) => {
                *letter = Some(Letter::begun(line));
                "250 2.1.0 ok"
            }
            ("RCPT", Some(letter)) => {
                letter.recipients.push(path(line));
                letter.commands.push(line.to_owned());
                "250 2.1.5 ok"
            }
            ("DATA", Some(letter)) if !letter.recipients.is_empty() => return self.content(),
            ("BDAT", Some(letter)) if !letter.recipients.is_empty() => return self.chunk(line),
            ("RSET", letter) => {
                *letter = None;
                "250 2.0.0 ok"
            }
            ("HELO" | "NOOP", _) => "250 ok",
            ("QUIT", _) => {
                self.say("221 2.0.0 bye")?;
                return Ok(false);
            }
            _ => "503 5.5.1 not now",
        };
        self.say(reply)?;
        Ok(true)
    }

    fn greeting(&self) -> String {
        let extensions = self.shared.manners.extensions.iter();
        let lines = extensions.map(|extension| format!("250-{extension}\r\n"));
        format!("250-sink.example\r\n250-PIPELINING\r\n{}250 8BITMIME", lines.collect::<String>())
    }

    fn content(&mut self) -> io::Result<bool> {
        self.say("354 go on")?;
        let mut letter = self.letter.take().expect("DATA comes in a transaction");
        let ended = match self.shared.manners.gullible {
            true => self.read_gullibly(&mut letter.octets)?,
            false => self.read(&mut letter.octets)?,
        };
        if !ended {
            return Ok(false);
        }
        self.answer(letter)
    }

    /// Reads so many octets as content.
    fn chunk(&mut self, line: &str) -> io::Result<bool> {
        let mut letter = self.letter.take().expect("BDAT comes in a transaction");
        let mut words = line.split(' ').skip(1);
        let octets = words.next().and_then(|octets| octets.parse().ok());
        let octets = octets.ok_or_else(|| io::Error::other(format!("no size: {line:?}")))?;
        let read = self.reader.by_ref().take(octets).read_to_end(&mut letter.octets)?;
        if (read as u64) < octets {
            return Ok(false);
        }
        if words.next().is_some() {
            return self.answer(letter);
        }
        self.letter = Some(letter);
        self.say("250 2.0.0 go on")?;
        Ok(true)
    }

    /// Says what becomes of a message.
    fn answer(&mut self, letter: Letter) -> io::Result<bool> {
        thread::sleep(self.shared.manners.delay);
        let answers = if self.shared.manners.lmtp { letter.recipients.len() } else { 1 };
        let verdicts: Vec<String> = (0..answers)
            .map(|index| self.shared.manners.verdicts.get(index).cloned())
            .map(|verdict| verdict.unwrap_or_else(|| "250 2.0.0 kept".to_owned()))
            .collect();
        if verdicts.iter().any(|verdict| verdict.starts_with('2')) {
            if self.shared.manners.announces {
                let text = letter.text();
                let subject = text.lines().find_map(|line| line.strip_prefix("Subject: "));
                let mut output = io::stdout().lock();
                writeln!(output, "kept {}", subject.unwrap_or_default())?;
                output.flush()?;
            }
            self.shared.letters().push(letter);
            self.shared.arrived.notify_all();
        }
        for verdict in verdicts {
            self.say(&verdict)?;
        }
        Ok(true)
    }

    /// Reads content up to CRLF.CRLF; whether that came.
    fn read(&mut self, octets: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let mut line = Vec::new();
            if self.reader.read_until(b'\n', &mut line)? == 0 {
                return Ok(false);
            }
            let at_start = octets.is_empty() || octets.ends_with(b"\r\n");
            match line.strip_prefix(b".") {
                Some(b"\r\n") if at_start => return Ok(true),
                Some(rest) if at_start => octets.extend_from_slice(rest),
                _ => octets.extend_from_slice(&line),
            }
        }
    }

    /// Reads content up to anything that looks like its end, dots and all.
    fn read_gullibly(&mut self, octets: &mut Vec<u8>) -> io::Result<bool> {
        let mut octet = [0];
        loop {
            if self.reader.read(&mut octet)? == 0 {
                return Ok(false);
            }
            octets.push(octet[0]);
            // The CRLF of DATA counts.
            let ends = |end: &[u8]| octets.ends_with(end) || *octets == end[1..];
            if LOOKALIKES.iter().any(|end| ends(end)) {
                return Ok(true);
            }
        }
    }

    fn say(&mut self, reply: &str) -> io::Result<()> {
        self.writer.write_all(format!("{reply}\r\n").as_bytes())
    }
}

/// Ends of content to one server or another (CVE-2023-51764, -51765, -51766, and their kin).
const LOOKALIKES: &[&[u8]] =
    &[b"\n.\n", b"\n.\r\n", b"\r.\n", b"\r.\r", b"\n\0.\r\n", b"\n.\0\r\n", b"\n.\r\r\n"];

pub(crate) fn path(line: &str) -> String {
    let start = line.find('<').map_or(0, |at| at + 1);
    // Parameters may have brackets, too.
    let end = line.find("> ").or_else(|| line.rfind('>')).unwrap_or(line.len()).max(start);
    line[start..end].to_owned()
}
