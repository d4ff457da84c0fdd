//! The content on its way to an upstream.

use std::io;
use std::time::Duration;

use portcullis_smtp::stuffing::Stuffer;

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
    let mut sender = Sender { connection, limit, stuffer, block };
    let header = message.message.header.as_bytes();
    if !sender.add(&message.prefix).await? || !sender.add(header).await? {
        return Ok(false);
    }
    let body = &message.message.body;
    match body.as_bytes() {
        Some(octets) => {
            if !sender.add(octets).await? {
                return Ok(false);
            }
        }
        None => {
            let mut at = 0;
            while let Some(block) = read_block(body, &mut at).await? {
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
    if let Some(octets) = body.as_bytes() {
        return Ok(octets.is_ascii());
    }
    let mut at = 0;
    while let Some(block) = read_block(body, &mut at).await? {
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
        *progress = Progress::End;
        self.connection.send_content(&self.block, self.limit).await
    }
}

/// The next block of content that lies in a file, off the threads that serve others.
///
/// A file that ends before its time is an error: what was there is not the message.
async fn read_block(content: &Content, at: &mut u64) -> Result<Option<Vec<u8>>, Failure> {
    let left = content.octets().saturating_sub(*at);
    if left == 0 {
        return Ok(None);
    }
    let (content, from) = (content.clone(), *at);
    let room = usize::try_from(left).unwrap_or(BLOCK_OCTETS).min(BLOCK_OCTETS);
    let read = tokio::task::spawn_blocking(move || {
        let mut block = vec![0; room];
        match content.read_at(from, &mut block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => block.truncate(count),
        }
        Ok(block)
    });
    let block = read.await.map_err(io::Error::other).flatten().map_err(Failure::Content)?;
    *at += block.len() as u64;
    Ok(Some(block))
}

/// Few messages are larger, and it fits a socket's buffer.
const BLOCK_OCTETS: usize = 64 * 1024;
