//! Packets of the milter protocol: a length of four octets, a command, and what belongs to it.

use portcullis_plugin::Reader;
use portcullis_plugin::streams::{Connection, StreamError};
use terms::Away;

/// Why a filter cannot be asked any further.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    Away(Away),
    /// It says what the protocol does not let it say.
    Protocol,
}

impl Failure {
    /// For metrics and the log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Away(away) => away.label(),
            Self::Protocol => "protocol",
        }
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        Self::Away(error.into())
    }
}

/// A connection to a filter. What needs no answer is kept back until something does.
pub(crate) struct Wire {
    connection: Connection,
    waiting: Vec<u8>,
    received: Vec<u8>,
    packets: usize,
}

impl Wire {
    pub(crate) fn open(address: &str, timeout_ms: u32) -> Result<Self, Failure> {
        let connection = Connection::open(address, Some(timeout_ms))?;
        Ok(Self { connection, waiting: Vec::new(), received: Vec::new(), packets: 0 })
    }

    pub(crate) fn put(&mut self, command: u8, data: &[u8]) -> Result<(), Failure> {
        self.head(command, data.len())?;
        self.waiting.extend(data);
        if self.waiting.len() > KEPT_OCTETS { self.flush() } else { Ok(()) }
    }

    /// A packet whose data are the next octets of the reader, as many as it says.
    pub(crate) fn put_content(
        &mut self,
        command: u8,
        content: &Reader,
        octets: usize,
    ) -> Result<(), Failure> {
        self.head(command, octets)?;
        self.flush()?;
        let sent = self.connection.write_content(content, octets as u64)?;
        if sent == octets as u64 { Ok(()) } else { Err(Failure::Protocol) }
    }

    fn head(&mut self, command: u8, octets: usize) -> Result<(), Failure> {
        let length = u32::try_from(octets + 1).map_err(|_| Failure::Protocol)?;
        self.waiting.extend(length.to_be_bytes());
        self.waiting.push(command);
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        for piece in self.waiting.chunks(WRITE_OCTETS) {
            self.connection.write(piece)?;
        }
        self.waiting.clear();
        Ok(())
    }

    /// The next packet from the filter.
    pub(crate) fn take(&mut self) -> Result<(u8, Vec<u8>), Failure> {
        self.flush()?;
        self.packets += 1;
        if self.packets > PACKETS {
            return Err(Failure::Protocol);
        }
        self.fill(4)?;
        let mut length = [0; 4];
        length.copy_from_slice(&self.received[..4]);
        let length = u32::from_be_bytes(length) as usize;
        if !(1..=PACKET_OCTETS).contains(&length) {
            return Err(Failure::Protocol);
        }
        self.fill(4 + length)?;
        let command = self.received[4];
        let data = self.received[5..4 + length].to_vec();
        self.received.drain(..4 + length);
        Ok((command, data))
    }

    fn fill(&mut self, octets: usize) -> Result<(), Failure> {
        while self.received.len() < octets {
            let piece = self.connection.read(READ_OCTETS)?;
            if piece.is_empty() {
                return Err(Failure::Away(Away::Unavailable));
            }
            self.received.extend(piece);
        }
        Ok(())
    }
}

/// libmilter sends no more (`MILTER_CHUNK_SIZE`), unless more was agreed upon.
const PACKET_OCTETS: usize = 1 << 17;

/// A message of 64 MiB whose body is replaced has a thousand.
const PACKETS: usize = 5_000;

const READ_OCTETS: u32 = 16 << 10;
const WRITE_OCTETS: usize = 1 << 20;
const KEPT_OCTETS: usize = 32 << 10;
