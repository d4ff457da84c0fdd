//! An upstream that says and expects what a script tells it, one script a connection.
//!
//! `S:` is said, `C:` is expected; `content` reads to the final dot, `no end` to
//! the end of the connection where there must be none, `some content` its first line,
//! `some octets` one octet, `octets 5` five of them as content,
//! `tls` does a handshake, `gone` waits until the gateway has closed, `silence` for ever. At its
//! end a script closes the connection.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::certificate::Certificate;

pub(super) struct Script {
    pub(super) address: SocketAddr,
    task: JoinHandle<Vec<Vec<u8>>>,
}

impl Script {
    /// Listens, and plays the scripts to one connection after the other.
    pub(super) async fn start(scripts: Vec<String>) -> Self {
        Self::with_certificate(scripts, None).await
    }

    pub(super) async fn with_certificate(
        scripts: Vec<String>,
        certificate: Option<&Certificate>,
    ) -> Self {
        Self::over_tcp(scripts, certificate.map(Certificate::acceptor)).await
    }

    pub(super) async fn with_acceptor(scripts: Vec<String>, acceptor: TlsAcceptor) -> Self {
        Self::over_tcp(scripts, Some(acceptor)).await
    }

    async fn over_tcp(scripts: Vec<String>, acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        Self::listen(Listener::Tcp(listener), address, scripts, acceptor)
    }

    /// The same at an address where something has listened before.
    pub(super) async fn again(address: SocketAddr, scripts: Vec<String>) -> Self {
        let listener = TcpListener::bind(address).await.expect("it is free again");
        Self::listen(Listener::Tcp(listener), address, scripts, None)
    }

    /// The same at a Unix socket.
    pub(super) fn at(path: &Path, scripts: Vec<String>) -> Self {
        let listener = UnixListener::bind(path).expect("a free path");
        Self::listen(Listener::Unix(listener), ([0; 4], 0).into(), scripts, None)
    }

    fn listen(
        listener: Listener,
        address: SocketAddr,
        scripts: Vec<String>,
        acceptor: Option<TlsAcceptor>,
    ) -> Self {
        let task = tokio::spawn(async move {
            let mut contents = Vec::new();
            for (number, script) in scripts.into_iter().enumerate() {
                let stream = listener.accept().await.expect("a connection");
                let mut player = Player {
                    stream: Some(stream),
                    input: Vec::new(),
                    contents: Vec::new(),
                    acceptor: acceptor.clone(),
                };
                for line in script.lines().map(str::trim) {
                    player.play(line, number).await;
                }
                contents.append(&mut player.contents);
            }
            contents
        });
        Self { address, task }
    }

    /// The contents of all messages, when all scripts have been played.
    pub(super) async fn contents(self) -> Vec<String> {
        let contents = self.octets().await;
        contents.into_iter().map(|octets| String::from_utf8_lossy(&octets).into_owned()).collect()
    }
}

impl Script {
    /// The same, octet for octet.
    pub(super) async fn octets(self) -> Vec<Vec<u8>> {
        self.task.await.expect("the conversation went as the script says")
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Player {
    stream: Option<Box<dyn Stream>>,
    input: Vec<u8>,
    contents: Vec<Vec<u8>>,
    acceptor: Option<TlsAcceptor>,
}

impl Player {
    async fn play(&mut self, line: &str, number: usize) {
        let context = format!("connection {number}, {line:?}");
        if let Some(text) = line.strip_prefix("S: ") {
            let text = text.replace("\\r", "\r").replace("\\n", "\n");
            // The gateway may be gone already; the next line shows whether that is right.
            let _ = self.stream().write_all(format!("{text}\r\n").as_bytes()).await;
            return;
        }
        if let Some(expected) = line.strip_prefix("C: ") {
            let read = self.read_until(b"\r\n").await.unwrap_or_else(|e| panic!("{context}: {e}"));
            assert_eq!(String::from_utf8_lossy(&read), format!("{expected}\r\n"), "{context}");
            return;
        }
        match line {
            "" => {}
            "content" => {
                // The CRLF of DATA counts: an empty message is a dot.
                self.input.splice(..0, *b"\r\n");
                let read = self.read_until(b"\r\n.\r\n").await.expect("a message");
                self.contents.push(read[2..].to_vec());
            }
            "no end" => {
                let mut rest = std::mem::take(&mut self.input);
                let _ = self.stream().read_to_end(&mut rest).await;
                assert!(!rest.windows(5).any(|octets| octets == b"\r\n.\r\n"), "{context}");
            }
            "some content" => {
                let read = self.read_until(b"\r\n").await.expect("some content");
                assert!(!read.is_empty());
            }
            "some octets" => {
                let count = self.stream().read(&mut [0]).await.expect("octets");
                assert_eq!(count, 1, "{context}");
            }
            "tls" => {
                assert!(self.input.is_empty(), "{context}: clear text behind STARTTLS");
                let acceptor = self.acceptor.clone().expect("a certificate");
                let stream = self.stream.take().expect("one stream");
                let stream = acceptor.accept(stream).await.expect("a handshake");
                self.stream = Some(Box::new(stream));
            }
            "gone" => {
                let mut rest = std::mem::take(&mut self.input);
                let _ = self.stream().read_to_end(&mut rest).await;
                let rest = String::from_utf8_lossy(&rest);
                assert!(rest.is_empty() || rest == "QUIT\r\n", "{context}: {rest}");
            }
            counted if counted.starts_with("octets ") => {
                let count = counted["octets ".len()..].parse().expect("a number");
                while self.input.len() < count {
                    let mut input = std::mem::take(&mut self.input);
                    let read = self.stream().read_buf(&mut input).await.expect("octets");
                    self.input = input;
                    assert!(read > 0, "{context}: only {} octets", self.input.len());
                }
                self.contents.push(self.input.drain(..count).collect());
            }
            "silence" => std::future::pending().await,
            _ => panic!("{context}: no such line in a script"),
        }
    }

    async fn read_until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.input, end) {
                return Ok(self.input.drain(..at + end.len()).collect());
            }
            let mut input = std::mem::take(&mut self.input);
            let count = self.stream().read_buf(&mut input).await?;
            self.input = input;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn stream(&mut self) -> &mut dyn Stream {
        self.stream.as_mut().expect("one stream")
    }
}
