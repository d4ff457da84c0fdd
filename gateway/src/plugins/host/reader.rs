//! The `reader` resource. Most content never crosses into the plugin: the host skips and searches.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::message::{Content, HeaderSection, Message};
use crate::plugins::bindings::types::HostReader;
use crate::plugins::state::State;

/// A place in a message, or in its body.
pub struct Reader {
    /// Comes before the body; none if only the body is read.
    header: Option<Arc<HeaderSection>>,
    body: Content,
    at: u64,
}

impl Reader {
    pub(super) fn all(message: &Message) -> Self {
        Self { header: Some(message.header.clone()), body: message.body.clone(), at: 0 }
    }

    pub(super) fn body(message: &Message) -> Self {
        Self { header: None, body: message.body.clone(), at: 0 }
    }

    pub(super) fn content(content: Content) -> Self {
        Self { header: None, body: content, at: 0 }
    }

    /// Reads on; shorter than asked for only at the end.
    pub(super) fn read(&mut self, max: usize) -> Result<Vec<u8>> {
        let octets = self.peek(self.at, max)?;
        self.at += octets.len() as u64;
        Ok(octets)
    }

    /// All that is left, to be sent; this reader is at its end then.
    pub(super) fn take_rest(&mut self) -> Rest {
        let rest = Self { header: self.header.clone(), body: self.body.clone(), at: self.at };
        self.at += self.left();
        Rest(rest)
    }

    fn header(&self) -> &[u8] {
        self.header.as_ref().map_or(&[], |header| header.as_bytes())
    }

    fn left(&self) -> u64 {
        self.header().len() as u64 + self.body.octets() - self.at
    }

    // A file among them was written a moment ago and lies in the page cache, so that reading it
    // here costs less than a trip to another thread.
    fn peek(&self, from: u64, max: usize) -> Result<Vec<u8>> {
        let header = self.header();
        let start = usize::try_from(from).unwrap_or(usize::MAX).min(header.len());
        let taken = max.min(header.len() - start);
        let mut octets = header[start..start + taken].to_vec();
        let mut at = (from + taken as u64).saturating_sub(header.len() as u64);
        let rest = self.body.octets().saturating_sub(at).min((max - taken) as u64);
        octets.resize(taken + usize::try_from(rest)?, 0);
        let mut filled = taken;
        while filled < octets.len() {
            let count = self.body.read_at(at, &mut octets[filled..])?;
            if count == 0 {
                return Err(wasmtime::Error::msg("message content ends too early"));
            }
            filled += count;
            at += count as u64;
        }
        Ok(octets)
    }

    async fn find(&self, needle: &[u8], within: u64) -> Result<Option<u64>> {
        let end = self.at + within.min(self.left());
        let finder = memchr::memmem::Finder::new(needle);
        let mut from = self.at;
        while from < end {
            // Neighbouring windows overlap, or what lies across their border would be missed.
            let window = (CHUNK_OCTETS + needle.len()) as u64;
            let octets = self.peek(from, usize::try_from(window.min(end - from))?)?;
            if let Some(at) = finder.find(&octets) {
                return Ok(Some(from - self.at + at as u64));
            }
            from += CHUNK_OCTETS as u64;
            tokio::task::consume_budget().await;
        }
        Ok((needle.is_empty()).then_some(0))
    }
}

impl Reader {
    async fn sha256(&self) -> Result<Vec<u8>> {
        let mut digest = Sha256::new();
        let (mut from, end) = (self.at, self.at + self.left());
        while from < end {
            let octets = self.peek(from, CHUNK_OCTETS)?;
            from += octets.len() as u64;
            digest.update(octets);
            tokio::task::consume_budget().await;
        }
        Ok(digest.finalize().to_vec())
    }
}

/// The rest of a reader as the body of a request, a piece at a time.
pub(super) struct Rest(Reader);

impl Body for Rest {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(match self.0.read(CHUNK_OCTETS) {
            Ok(octets) if octets.is_empty() => None,
            Ok(octets) => Some(Ok(Frame::data(octets.into()))),
            Err(error) => Some(Err(error.to_string().into())),
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.left())
    }
}

impl HostReader for State {
    fn read(&mut self, reader: Resource<Reader>, max: u32) -> Result<Vec<u8>> {
        self.table.get_mut(&reader)?.read((max as usize).min(CHUNK_OCTETS))
    }

    fn skip(&mut self, reader: Resource<Reader>, count: u64) -> Result<u64> {
        let reader = self.table.get_mut(&reader)?;
        let count = count.min(reader.left());
        reader.at += count;
        Ok(count)
    }

    async fn find(
        &mut self,
        reader: Resource<Reader>,
        needle: Vec<u8>,
        within: u64,
    ) -> Result<Option<u64>> {
        if needle.len() > CHUNK_OCTETS {
            return Err(wasmtime::Error::msg("what is searched for is longer than 64 KiB"));
        }
        self.table.get(&reader)?.find(&needle, within).await
    }

    async fn sha256(&mut self, reader: Resource<Reader>) -> Result<Vec<u8>> {
        self.table.get(&reader)?.sha256().await
    }

    fn drop(&mut self, reader: Resource<Reader>) -> Result<()> {
        self.table.delete(reader)?;
        Ok(())
    }
}

/// What one read gives, as the contract says.
pub(super) const CHUNK_OCTETS: usize = 64 << 10;
