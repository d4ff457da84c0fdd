//! A web server that answers by the path, well or badly.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::Certificate;

/// A running server. Its threads end with the test.
#[derive(Debug)]
pub struct Web {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What came in.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How many connections.
    pub connections: usize,
    /// Each request: its head, and its body.
    pub requests: Vec<(String, Vec<u8>)>,
}

impl Web {
    /// One in clear text, on loopback.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn start() -> Self {
        Self::with(None)
    }

    /// One with TLS.
    ///
    /// # Panics
    /// If it cannot listen.
    #[must_use]
    pub fn with_tls(certificate: &Certificate) -> Self {
        let chain = CertificateDer::from_pem_file(certificate.certificate());
        let key = PrivateKeyDer::from_pem_file(certificate.key());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the library knows its versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![chain.expect("a certificate in PEM")],
                key.expect("a key in PEM"),
            )
            .expect("a certificate and its key");
        Self::with(Some(Arc::new(config)))
    }

    fn with(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
        let address = listener.local_addr().expect("a listener has an address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let known = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, tls) = (Arc::clone(&known), tls.clone());
                lock(&seen).connections += 1;
                // Whoever gives up ends the connection, which is no error here.
                thread::spawn(move || match tls {
                    None => serve(stream, &seen),
                    Some(config) => {
                        let session = ServerConnection::new(config).map_err(io::Error::other)?;
                        serve(StreamOwned::new(session, stream), &seen)
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// A URL there, by address.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came in so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: impl Read + Write, seen: &Mutex<Seen>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let body = body(&head, &mut stream)?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let length = body.len();
        lock(seen).requests.push((head, body));
        let out = stream.get_mut();
        match path.split('?').next().unwrap_or_default() {
            "/garbage" => return out.write_all(b"220 mx.example.org ESMTP, not HTTP\r\n"),
            "/hang" => drop(stream.read(&mut [0])?),
            "/half" => return out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour"),
            "/huge" => answer(out, "200 OK", "", &vec![b'x'; (1 << 20) + 1])?,
            "/huge-headers" => {
                answer(out, "200 OK", &format!("X-Long: {}\r\n", "x".repeat(100_000)), b"")?;
            }
            "/endless" => {
                out.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
                loop {
                    out.write_all(&[b'x'; 4096])?;
                }
            }
            "/largest" => answer(out, "200 OK", "", &vec![b'x'; 1 << 20])?,
            "/redirect" => answer(out, "302 Found", "Location: /hello\r\n", b"")?,
            "/trickle" => {
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")?;
                loop {
                    out.write_all(b"x")?;
                    out.flush()?;
                    thread::sleep(std::time::Duration::from_millis(50));
                }
            }
            _ => answer(out, "200 OK", "", format!("{path} {length}").as_bytes())?,
        }
    }
}

/// The body of a request, by its length or in chunks.
fn body(head: &str, stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let lower = head.to_ascii_lowercase();
    let named = |name: &str| {
        let line = lower.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let mut body = Vec::new();
    if let Some(length) = named("content-length").and_then(|length| length.parse().ok()) {
        stream.take(length).read_to_end(&mut body)?;
    } else if named("transfer-encoding") == Some("chunked") {
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            stream.take(size).read_to_end(&mut body)?;
            stream.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    }
    Ok(body)
}

fn answer(out: &mut impl Write, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    let length = body.len();
    out.write_all(
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n").as_bytes(),
    )?;
    out.write_all(body)?;
    out.flush()
}
