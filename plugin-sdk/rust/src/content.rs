//! Messages as text, and readers and writers as Rust knows them.

use std::io;

use crate::{Message, Reader, Writer};

impl Message {
    /// Every value of this header, unfolded, in order; what is not UTF-8 is replaced by U+FFFD.
    pub fn header_text(&self, name: &str) -> Vec<String> {
        self.header(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value).trim().to_owned())
            .collect()
    }
}

impl io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let max = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        let chunk = Self::read(self, max);
        buffer[..chunk.len()].copy_from_slice(&chunk);
        Ok(chunk.len())
    }
}

impl io::Write for Writer {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        Self::write(self, chunk).map_err(io::Error::other)?;
        Ok(chunk.len())
    }

    /// Nothing is kept back. [`Writer::finish`] is what makes the new body count.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
