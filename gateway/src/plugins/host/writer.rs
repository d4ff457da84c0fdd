//! The `writer` resource: a new body.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::Resource;

use super::reader::CHUNK_OCTETS;
use super::{Reader, Staged};
use crate::message::{Budget, ContentError, ContentWriter, Edit};
use crate::plugins::bindings::EditError;
use crate::plugins::bindings::types::HostWriter;
use crate::plugins::state::State;

/// A body that is being written.
pub struct Writer {
    /// None when it was finished.
    content: Option<ContentWriter>,
    /// The hook call that it belongs to.
    call: u64,
    /// Octets that may still come.
    room: u64,
    /// Not made of lines (BODY=BINARYMIME): kept octet for octet.
    binary: bool,
    line_ends: LineEnds,
}

impl Writer {
    pub(super) fn new(budget: Arc<Budget>, call: u64, room: u64, binary: bool) -> Self {
        let content = Some(ContentWriter::new(budget));
        Self { content, call, room, binary, line_ends: LineEnds::default() }
    }

    async fn write(&mut self, chunk: &[u8]) -> Result<(), EditError> {
        let octets = if self.binary { chunk.to_vec() } else { self.line_ends.convert(chunk) };
        self.append(octets).await
    }

    async fn append(&mut self, lines: Vec<u8>) -> Result<(), EditError> {
        let content = self.content.as_mut().ok_or(EditError::TooLate)?;
        self.room = self.room.checked_sub(lines.len() as u64).ok_or(EditError::OutOfRange)?;
        content.write(lines).await.map_err(|error| not_kept(&error))
    }
}

/// Makes every line end CRLF. A CR or LF that stands alone would be one to some servers and none
/// to others: smuggling.
#[derive(Debug, Default)]
pub(super) struct LineEnds {
    /// Whether the last octet was a CR that is not written yet.
    carriage_return: bool,
}

impl LineEnds {
    /// A text that comes in one piece.
    pub(super) fn of(text: &[u8]) -> Vec<u8> {
        let mut line_ends = Self::default();
        let mut lines = line_ends.convert(text);
        lines.extend_from_slice(line_ends.end());
        lines
    }

    fn convert(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut lines = Vec::with_capacity(chunk.len() + chunk.len() / 32);
        let mut rest = chunk;
        if self.carriage_return && !rest.is_empty() {
            self.carriage_return = false;
            lines.extend_from_slice(b"\r\n");
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
            lines.extend_from_slice(&rest[..at]);
            let carriage_return = rest[at] == b'\r';
            rest = &rest[at + 1..];
            if carriage_return && rest.is_empty() {
                self.carriage_return = true;
                return lines;
            }
            lines.extend_from_slice(b"\r\n");
            if carriage_return {
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
        }
        lines.extend_from_slice(rest);
        lines
    }

    /// What is still to come when the text is over.
    fn end(&mut self) -> &'static [u8] {
        if std::mem::take(&mut self.carriage_return) { b"\r\n" } else { b"" }
    }
}

/// What a plugin is told when its content could not be kept.
pub(super) fn not_kept(error: &ContentError) -> EditError {
    if let ContentError::Io(error) = error {
        tracing::error!(%error, "a body that a plugin writes cannot be kept");
    }
    EditError::OutOfRange
}

impl HostWriter for State {
    async fn write(&mut self, writer: Resource<Writer>, chunk: Vec<u8>) -> Staged<()> {
        let calls = self.calls;
        let writer = self.table.get_mut(&writer)?;
        if writer.call != calls {
            return Ok(Err(EditError::TooLate));
        }
        Ok(writer.write(&chunk).await)
    }

    async fn copy(
        &mut self,
        writer: Resource<Writer>,
        source: Resource<Reader>,
        count: u64,
    ) -> Staged<u64> {
        let mut copied = 0;
        while copied < count {
            let left = usize::try_from(count - copied).unwrap_or(usize::MAX);
            let chunk = self.table.get_mut(&source)?.read(left.min(CHUNK_OCTETS))?;
            if chunk.is_empty() {
                break;
            }
            copied += chunk.len() as u64;
            let written =
                HostWriter::write(self, Resource::new_borrow(writer.rep()), chunk).await?;
            if let Err(error) = written {
                return Ok(Err(error));
            }
            tokio::task::consume_budget().await;
        }
        Ok(Ok(copied))
    }

    async fn finish(&mut self, writer: Resource<Writer>) -> Staged<()> {
        let calls = self.calls;
        let writer = self.table.get_mut(&writer)?;
        if writer.call != calls {
            return Ok(Err(EditError::TooLate));
        }
        let end = writer.line_ends.end();
        if !end.is_empty()
            && let Err(error) = writer.append(end.to_vec()).await
        {
            return Ok(Err(error));
        }
        let Some(content) = writer.content.take() else { return Ok(Err(EditError::TooLate)) };
        if self.call()?.splices().next().is_some() {
            return Ok(Err(EditError::OutOfRange));
        }
        let body = match content.finish().await {
            Ok(body) => body,
            Err(error) => return Ok(Err(not_kept(&error))),
        };
        self.stage(None, |_| Ok((Edit::ReplaceBody(body), ())))
    }

    fn drop(&mut self, writer: Resource<Writer>) -> Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_is_not_made_of_lines_is_kept() {
        let budget = Budget::new(1 << 20, 0, 1 << 20, std::env::temp_dir());
        let mut writer = Writer::new(budget, 0, 1 << 20, true);
        for chunk in [&b"a\n\r"[..], b"\0\r", b"\nb\r"] {
            assert_eq!(writer.write(chunk).await, Ok(()));
        }
        assert_eq!(writer.line_ends.end(), b"");
        let content = writer.content.take().expect("not finished").finish().await.expect("room");
        assert_eq!(content.as_bytes(), Some(&b"a\n\r\0\r\nb\r"[..]));
    }

    #[tokio::test]
    async fn every_line_end_becomes_crlf_wherever_chunks_are_cut() {
        let text = b"a\r\nb\nc\rd\r\r\n\n\re\r";
        let expected = b"a\r\nb\r\nc\r\nd\r\n\r\n\r\n\r\ne\r\n";
        for size in 1..=text.len() {
            let mut line_ends = LineEnds::default();
            let mut all = Vec::new();
            for chunk in text.chunks(size) {
                all.extend(line_ends.convert(chunk));
            }
            all.extend_from_slice(line_ends.end());
            assert_eq!(all, expected, "chunks of {size}");
        }
        assert_eq!(LineEnds::of(text), expected);
    }
}
