//! A name server on loopback, over UDP and TCP, with zones and faults made for the test.

mod zone;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::RecordType;
use serde_json::{Value, json};

pub use zone::{Fault, Zone};

use zone::Found;

/// A name server. Dropped, it ends.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    zone: Mutex<Zone>,
    asked: Mutex<Vec<Asked>>,
    stopped: AtomicBool,
}

/// A query that came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// In small letters, without the dot at the end.
    pub name: String,
    /// For example `MX`.
    pub kind: String,
    /// Whether it came over TCP.
    pub tcp: bool,
}

impl Dns {
    /// Starts one that knows this zone and nothing else.
    ///
    /// # Panics
    /// If loopback has no room for it.
    #[must_use]
    pub fn start(zone: Zone) -> Self {
        let (address, udp, tcp) = bind();
        let shared = Arc::new(Shared { zone: Mutex::new(zone), ..Shared::default() });
        let (here, there) = (shared.clone(), shared.clone());
        thread::spawn(move || here.serve_datagrams(&udp));
        thread::spawn(move || there.serve_connections(&tcp));
        Self { address, shared }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The section `dns` of a configuration that asks nobody else.
    #[must_use]
    pub fn settings(&self) -> Value {
        json!({ "servers": [self.address.to_string()], "timeout": "1s" })
    }

    /// What it knows from now on. What resolvers have cached stays.
    pub fn know(&self, zone: Zone) {
        *self.shared.zone.lock().unwrap_or_else(PoisonError::into_inner) = zone;
    }

    /// All queries so far, in the order in which they came.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many queries were for this name.
    #[must_use]
    pub fn asked_for(&self, name: &str) -> usize {
        self.asked().iter().filter(|asked| asked.name == name).count()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Whoever waits for the next one gets this one.
        let _ = TcpStream::connect(self.address);
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[0], self.address);
        }
    }
}

fn bind() -> (SocketAddr, UdpSocket, TcpListener) {
    for _ in 0..ATTEMPTS {
        let address = crate::free_address();
        if let (Ok(udp), Ok(tcp)) = (UdpSocket::bind(address), TcpListener::bind(address)) {
            return (address, udp, tcp);
        }
    }
    panic!("loopback has no port that is free for UDP and TCP");
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    fn serve_datagrams(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            if self.stopped() {
                return;
            }
            if let Some(answer) = self.answer(&buffer[..count], false) {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn serve_connections(self: Arc<Self>, listener: &TcpListener) {
        for connection in listener.incoming().flatten() {
            if self.stopped() {
                return;
            }
            let shared = self.clone();
            thread::spawn(move || shared.serve_connection(connection));
        }
    }

    /// RFC 1035 section 4.2.2: two octets of length before each message.
    fn serve_connection(&self, mut connection: TcpStream) -> io::Result<()> {
        loop {
            let mut length = [0; 2];
            connection.read_exact(&mut length)?;
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            connection.read_exact(&mut query)?;
            if let Some(answer) = self.answer(&query, true) {
                let length = u16::try_from(answer.len()).unwrap_or(u16::MAX);
                connection.write_all(&[&length.to_be_bytes(), &*answer].concat())?;
            }
        }
    }

    fn answer(&self, query: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let query = Message::from_vec(query).ok()?;
        let question = query.queries.first()?;
        let (name, kind) = (question.name(), question.query_type());
        let text = name.to_ascii().to_lowercase();
        let asked = Asked {
            name: text.strip_suffix('.').unwrap_or(&text).to_owned(),
            kind: kind.to_string(),
            tcp,
        };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = blank(&query);
        match zone.fault(name, kind) {
            Some(Fault::Silence) => return None,
            Some(Fault::Garbage) => return Some(b"\0garbage\xff".repeat(10)),
            Some(Fault::WrongId) => answer.metadata.id = query.metadata.id.wrapping_add(1),
            Some(Fault::Code(code)) => {
                answer.metadata.response_code = ResponseCode::from(0, code);
                return answer.to_vec().ok();
            }
            Some(Fault::Truncated) if !tcp => {
                answer.metadata.truncation = true;
                return answer.to_vec().ok();
            }
            Some(Fault::Truncated) | None => {}
        }
        fill(&mut answer, &zone, kind);
        let octets = answer.to_vec().ok()?;
        let most = query.edns.as_ref().map_or(512, |edns| edns.max_payload().max(512));
        if tcp || octets.len() <= most.into() {
            return Some(octets);
        }
        let mut short = blank(&query);
        short.metadata.truncation = true;
        short.to_vec().ok()
    }
}

/// An answer without anything in it.
fn blank(query: &Message) -> Message {
    let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.authoritative = true;
    answer.add_queries(query.queries.iter().cloned());
    answer
}

fn fill(answer: &mut Message, zone: &Zone, kind: RecordType) {
    let Some(question) = answer.queries.first() else { return };
    let Found { records, exists } = zone.find(question.name(), kind);
    if records.iter().all(|record| record.record_type() == RecordType::CNAME)
        && kind != RecordType::CNAME
    {
        answer.add_authority(zone.start_of_authority());
        if !exists {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
    }
    answer.add_answers(records);
}

const ATTEMPTS: usize = 100;
