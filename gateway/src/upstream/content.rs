//! The content on its way to an upstream.

use std::io;
use std::time::Duration;

use portcullis_smtp::stuffing::Stuffer;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::message::{Content, Outbound};

use super::connection::Connection;
use super::failure::Failure;

/// How far a delivery has come: decides what may be done after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// Nothing that could make a message has left.
    Envelope,
    /// Content has left, but not its end: there is no message.
    Content,
    /// The end of it may have left: there may be a message.
    End,
}

/// How the end of the content is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Framing {
    /// BDAT: by its size, told before. The content goes out octet for octet.
    Counted,
    /// DATA: by the final dot.
    Dots,
}

/// Sends a message with its end. Says whether all of it was sent; if not, the upstream has answered
/// before.
///
/// The last of the content and the final dot leave in one write, as do BDAT and the first of it;
/// most messages are that one write.
pub(super) async fn send(
    connection: &mut Connection,
    message: &Outbound,
    framing: Framing,
    limit: Duration,
    progress: &mut Progress,
) -> Result<bool, Failure> {
    *progress = Progress::Content;
    let room = usize::try_from(message.octets()).unwrap_or(BLOCK_OCTETS).min(BLOCK_OCTETS);
    // Stuffing adds little to most messages.
    let mut block = Vec::with_capacity(room + room / 64 + 64);
    block.append(&mut connection.session.take_output());
    let stuffer = (framing == Framing::Dots).then(Stuffer::new);
    let mut sender = Sender { connection, limit, stuffer, block, has_sent: false };
    let header = message.message.header.as_bytes();
    if !sender.add(&message.prefix).await? || !sender.add(header).await? {
        return Ok(false);
    }
    let body = &message.message.body;
    match body.segments() {
        Some(segments) => {
            for octets in segments {
                if !sender.add(octets).await? {
                    return Ok(false);
                }
            }
        }
        None => {
            let mut blocks = Blocks::of(body);
            while let Some(block) = blocks.next().await? {
                if !sender.add(&block).await? {
                    return Ok(false);
                }
            }
        }
    }
    sender.finish(progress).await
}

/// Whether a message is 7-bit, whatever its sender said (RFC 6152 section 3).
pub(super) async fn is_seven_bit(message: &Outbound) -> Result<bool, Failure> {
    let body = &message.message.body;
    if !message.prefix.is_ascii() || !message.message.header.as_bytes().is_ascii() {
        return Ok(false);
    }
    if let Some(mut segments) = body.segments() {
        return Ok(segments.all(<[u8]>::is_ascii));
    }
    let mut blocks = Blocks::of(body);
    while let Some(block) = blocks.next().await? {
        if !block.is_ascii() {
            return Ok(false);
        }
    }
    Ok(true)
}

struct Sender<'a> {
    connection: &'a mut Connection,
    limit: Duration,
    /// For content that ends with a dot.
    stuffer: Option<Stuffer>,
    block: Vec<u8>,
    has_sent: bool,
}

impl Sender<'_> {
    async fn add(&mut self, octets: &[u8]) -> Result<bool, Failure> {
        for chunk in octets.chunks(BLOCK_OCTETS) {
            // What is not written yet may be the end of the message, which goes with the dot; as
            // long as it is not written, there is no message.
            if self.block.len() + chunk.len() > BLOCK_OCTETS && !self.block.is_empty() {
                if !self.connection.send_content(&self.block, self.limit).await? {
                    return Ok(false);
                }
                self.block.clear();
                self.has_sent = true;
            }
            match &mut self.stuffer {
                Some(stuffer) => stuffer.encode(chunk, &mut self.block),
                None => self.block.extend_from_slice(chunk),
            }
        }
        Ok(true)
    }

    async fn finish(mut self, progress: &mut Progress) -> Result<bool, Failure> {
        if let Some(stuffer) = self.stuffer {
            stuffer.finish(&mut self.block);
        }
        if self.has_sent {
            // As long as all of it goes into the socket nobody looks at what the upstream says
            // meanwhile, and what it has said by now is no answer to the end.
            tokio::task::yield_now().await;
        }
        *progress = Progress::End;
        self.connection.send_content(&self.block, self.limit).await
    }
}

/// Content that lies in a file, read off the threads that serve others: large blocks, each while the
/// one before is sent.
struct Blocks<'a> {
    content: &'a Content,
    /// Where the block after the one that is being read begins.
    at: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl<'a> Blocks<'a> {
    fn of(content: &'a Content) -> Self {
        let mut blocks = Self { content, at: 0, reading: None };
        blocks.read_ahead();
        blocks
    }

    /// The next block; none at the end. A file that ends before its time is an error: what was there
    /// is not the message.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let Some(reading) = self.reading.take() else { return Ok(None) };
        let block = reading.await.map_err(io::Error::other).flatten().map_err(Failure::Content)?;
        self.read_ahead();
        Ok(Some(block))
    }

    fn read_ahead(&mut self) {
        let left = self.content.octets().saturating_sub(self.at);
        if left == 0 {
            return;
        }
        let (content, from) = (self.content.clone(), self.at);
        let room = usize::try_from(left).unwrap_or(READ_OCTETS).min(READ_OCTETS);
        self.at += room as u64;
        self.reading = Some(spawn_blocking(move || read_exactly(&content, from, room)));
    }
}

fn read_exactly(content: &Content, from: u64, octets: usize) -> io::Result<Vec<u8>> {
    let (mut block, mut at) = (vec![0; octets], 0);
    while at < octets {
        match content.read_at(from + at as u64, &mut block[at..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => at += count,
        }
    }
    Ok(block)
}

/// Few messages are larger, and it fits a socket's buffer.
const BLOCK_OCTETS: usize = 64 * 1024;

/// To read less at once would cost more in waking threads than in reading.
const READ_OCTETS: usize = 64 * 1024;
