//! A client that says exactly what it is told to say.

mod tls;

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use tls::Tls;

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<Stream>,
}

#[derive(Debug)]
enum Stream {
    /// Between the two others, during a handshake.
    Gone,
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// A reply, of one line or several.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// Its code.
    pub code: u16,
    /// The text of each line, with the enhanced status.
    pub lines: Vec<String>,
}

impl Reply {
    /// Whether it says yes.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// All of its text on one line.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text())
    }
}

impl Client {
    /// Connects, and reads nothing yet.
    ///
    /// # Panics
    /// If nobody listens there.
    #[track_caller]
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = match TcpStream::connect(address) {
            Ok(stream) => stream,
            Err(error) => panic!("no connection to {address}: {error}"),
        };
        Self::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(crate::PATIENCE)).expect("a time that is not zero");
        stream.set_nodelay(true).expect("a socket takes TCP_NODELAY");
        Self { stream: BufReader::new(Stream::Plain(stream)) }
    }

    /// Connects under TLS and reads nothing yet. Any certificate will do.
    ///
    /// # Panics
    /// If there is no handshake.
    #[track_caller]
    #[must_use]
    pub fn connect_tls(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.start_tls();
        client
    }

    /// Does the handshake that STARTTLS was answered with. Any certificate will do.
    ///
    /// # Panics
    /// If it fails, or is done already.
    #[track_caller]
    pub fn start_tls(&mut self) {
        self.try_start_tls().expect("a handshake");
    }

    /// The same, where it may fail: then the connection is of no more use.
    ///
    /// # Errors
    /// If it fails.
    ///
    /// # Panics
    /// If it is done already.
    #[track_caller]
    pub fn try_start_tls(&mut self) -> io::Result<()> {
        let stream = std::mem::replace(self.stream.get_mut(), Stream::Gone);
        let Stream::Plain(stream) = stream else { panic!("under TLS already") };
        self.stream = BufReader::new(Stream::Tls(Box::new(tls::handshake(stream)?)));
        Ok(())
    }

    /// Connects, reads the banner and says EHLO.
    ///
    /// # Panics
    /// If the server does not want to talk.
    #[track_caller]
    #[must_use]
    pub fn ehlo(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.expect(220);
        client.command("EHLO client.example").expect_code(250);
        client
    }

    /// The same, where the server may be gone.
    ///
    /// # Errors
    /// If nobody listens there, or the connection ends before the greeting does.
    pub fn try_ehlo(address: SocketAddr) -> io::Result<Self> {
        let mut client = Self::over(TcpStream::connect(address)?);
        for (command, code) in [("", 220), ("EHLO client.example\r\n", 250)] {
            client.send(command.as_bytes())?;
            let reply = client.reply()?;
            if reply.code != code {
                return Err(io::Error::other(reply.to_string()));
            }
        }
        Ok(client)
    }

    /// Where its end of the connection is.
    ///
    /// # Panics
    /// If the connection is gone.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.stream.get_ref().socket().local_addr().expect("a connection has two ends")
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// If the connection is gone.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(octets)?;
        stream.flush()
    }

    /// Reads a reply.
    ///
    /// # Errors
    /// If the connection ends before it does, or it is none.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line)?;
            let line = String::from_utf8_lossy(&line).into_owned();
            if line.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let malformed = || io::Error::other(format!("not a reply: {line:?}"));
            let text = line.strip_suffix("\r\n").ok_or_else(malformed)?;
            let code = text.get(..3).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
            lines.push(text.get(4..).unwrap_or_default().to_owned());
            if text.as_bytes().get(3) != Some(&b'-') {
                return Ok(Reply { code, lines });
            }
        }
    }

    /// Reads a reply that must have this code.
    ///
    /// # Panics
    /// If it has another.
    #[track_caller]
    pub fn expect(&mut self, code: u16) -> Reply {
        self.must_reply().expect_code(code)
    }

    /// Says a command and reads the reply.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn command(&mut self, line: &str) -> Reply {
        self.send(format!("{line}\r\n").as_bytes()).expect("the connection is open");
        self.must_reply()
    }

    /// Plays a dialogue: `C:` lines are sent (`\r`, `\n` and such are escapes), an `S:` line is what
    /// the next reply must begin with.
    ///
    /// # Panics
    /// If the server says something else.
    #[track_caller]
    pub fn talk(&mut self, dialogue: &str) {
        for line in dialogue.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(said) = line.strip_prefix("C:") {
                let said = said.strip_prefix(' ').unwrap_or(said);
                self.send(format!("{}\r\n", unescape(said)).as_bytes())
                    .expect("an open connection");
            } else if let Some(wanted) = line.strip_prefix("S:") {
                let reply = self.must_reply();
                let heard = reply.to_string();
                assert!(heard.starts_with(wanted.trim()), "{line:?} was {heard:?} in\n{dialogue}");
            } else {
                panic!("a line of a dialogue begins with C: or S:, not {line:?}");
            }
        }
    }

    /// Sends a message in one transaction and gives the last reply: that of the first command that
    /// was refused, or that after the final dot.
    ///
    /// # Errors
    /// If the connection ends meanwhile.
    pub fn deliver(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Reply> {
        self.deliver_and(from, to, message, || {})
    }

    /// The same, and does something before the end of the message leaves.
    ///
    /// # Errors
    /// If the connection ends meanwhile.
    pub fn deliver_and(
        &mut self,
        from: &str,
        to: &[&str],
        message: &[u8],
        before_the_end: impl FnOnce(),
    ) -> io::Result<Reply> {
        let mut commands = vec![format!("MAIL FROM:<{from}>")];
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        commands.push("DATA".to_owned());
        for command in commands {
            self.send(format!("{command}\r\n").as_bytes())?;
            let reply = self.reply()?;
            if !reply.is_positive() {
                return Ok(reply);
            }
        }
        before_the_end();
        self.send(&stuff(message))?;
        self.reply()
    }

    /// Says no more, but listens.
    ///
    /// # Panics
    /// If the connection is gone already.
    pub fn shut_down(&self) {
        self.stream.get_ref().socket().shutdown(Shutdown::Write).expect("the connection is open");
    }

    /// Waits until the server closes; what it said until then.
    ///
    /// # Panics
    /// If it stays.
    #[track_caller]
    pub fn wait_for_end(&mut self) -> Vec<Reply> {
        let mut replies = Vec::new();
        loop {
            match self.reply() {
                Ok(reply) => replies.push(reply),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the server keeps the connection open after {replies:?}")
                }
                Err(_) => return replies,
            }
        }
    }

    #[track_caller]
    fn must_reply(&mut self) -> Reply {
        match self.reply() {
            Ok(reply) => reply,
            Err(error) => panic!("no reply: {error}"),
        }
    }
}

impl Reply {
    /// Fails the test unless the code is this one.
    ///
    /// # Panics
    /// If it is another.
    #[track_caller]
    pub fn expect_code(self, code: u16) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Gone => panic!("a handshake has failed"),
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gone => Ok(0),
            Self::Plain(stream) => stream.read(octets),
            Self::Tls(tls) => tls.read(octets),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
            Self::Plain(stream) => stream.write(octets),
            Self::Tls(tls) => tls.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gone => Ok(()),
            Self::Plain(stream) => stream.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Content as it goes over the wire, with dots stuffed and the end (RFC 5321 section 4.5.2).
#[must_use]
pub fn stuff(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 16);
    let mut at_start = true;
    for (index, &octet) in message.iter().enumerate() {
        if at_start && octet == b'.' {
            wire.push(b'.');
        }
        wire.push(octet);
        at_start = octet == b'\n' && index > 0 && message[index - 1] == b'\r';
    }
    if !at_start {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

fn unescape(text: &str) -> String {
    text.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t").replace("\\0", "\0")
}
