//! A client that speaks aloud: what it sends and what it hears goes to the terminal.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::telemetry::{Colour, Paint};

/// A conversation with the gateway.
#[derive(Debug)]
pub(super) struct Talk {
    stream: BufStream<TcpStream>,
    paint: Paint,
}

impl Talk {
    /// Connects and hears the banner.
    pub(super) async fn open(address: SocketAddr, paint: Paint) -> io::Result<(Self, String)> {
        let stream = BufStream::new(TcpStream::connect(address).await?);
        let mut talk = Self { stream, paint };
        let banner = talk.hear().await?;
        Ok((talk, banner))
    }

    /// Says a line and hears the reply: its last line.
    pub(super) async fn say(&mut self, line: &str) -> io::Result<String> {
        self.write(line).await?;
        self.hear().await
    }

    /// Sends a whole message after the 354 and hears what becomes of it.
    pub(super) async fn send(&mut self, message: &str) -> io::Result<String> {
        for line in message.lines() {
            self.write(line).await?;
        }
        self.say(".").await
    }

    async fn write(&mut self, line: &str) -> io::Result<()> {
        println!("    {} {}", self.paint.in_colour(Colour::Blue, "C:"), line);
        self.stream.write_all(line.as_bytes()).await?;
        self.stream.write_all(b"\r\n").await?;
        self.stream.flush().await
    }

    async fn hear(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.stream.read_line(&mut line)).await;
            if read.map_err(|_| io::ErrorKind::TimedOut)?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_owned();
            let colour = match line.as_bytes().first() {
                Some(b'2' | b'3') => Colour::Green,
                Some(b'4') => Colour::Yellow,
                _ => Colour::Red,
            };
            println!("    {} {}", self.paint.in_colour(colour, "S:"), line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }
}

/// More than any plugin's time limit.
const PATIENCE: Duration = Duration::from_secs(30);
