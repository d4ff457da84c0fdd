//! The text of a message as it lies in a mailbox.

use std::io::{self, Write};

use memchr::memchr;
use portcullis_smtp::{Mailbox, ReversePath};

use super::mailbox::Failure;
use crate::message::{Content, HeaderEdit, Outbound};

/// Writes a message with the fields of its final delivery. Lines end in LF, as those of all files on
/// Unix do, and all readers of Maildirs take them; some do not take CRLF.
pub(super) fn write(
    to: &mut dyn Write,
    sender: &ReversePath,
    recipient: &Mailbox,
    message: &Outbound,
) -> Result<(), Failure> {
    let mut lines = Lines { to, carriage: false };
    let trace = format!("Return-Path: <{sender}>\r\nDelivered-To: {recipient}\r\n");
    lines.add(trace.as_bytes()).map_err(Failure::Disk)?;
    lines.add(&message.prefix).map_err(Failure::Disk)?;
    let header = &message.message.header;
    // There is one, and it is that of the final delivery (RFC 5321 section 4.4).
    let drop = |nth| HeaderEdit::Drop { name: RETURN_PATH.to_owned(), nth };
    let foreign: Vec<_> = (0..).take(header.count(RETURN_PATH)).map(drop).collect();
    if foreign.is_empty() {
        lines.add(header.as_bytes()).map_err(Failure::Disk)?;
    } else {
        let own = header.edited(&foreign.iter().collect::<Vec<_>>());
        lines.add(own.as_bytes()).map_err(Failure::Disk)?;
    }
    body(&mut lines, &message.message.body)?;
    lines.finish().map_err(Failure::Disk)
}

fn body(lines: &mut Lines<'_>, content: &Content) -> Result<(), Failure> {
    if let Some(mut segments) = content.segments() {
        return segments.try_for_each(|octets| lines.add(octets)).map_err(Failure::Disk);
    }
    let (mut at, mut block) = (0, vec![0; BLOCK_OCTETS]);
    while at < content.octets() {
        match content.read_at(at, &mut block).map_err(Failure::Content)? {
            0 => return Err(Failure::Content(io::ErrorKind::UnexpectedEof.into())),
            count => {
                lines.add(&block[..count]).map_err(Failure::Disk)?;
                at += count as u64;
            }
        }
    }
    Ok(())
}

/// Makes LF of CRLF.
struct Lines<'a> {
    to: &'a mut dyn Write,
    /// Whether a CR came last.
    carriage: bool,
}

impl Lines<'_> {
    fn add(&mut self, mut octets: &[u8]) -> io::Result<()> {
        let Some(first) = octets.first() else { return Ok(()) };
        if std::mem::take(&mut self.carriage) && *first != b'\n' {
            self.to.write_all(b"\r")?;
        }
        while let Some(at) = memchr(b'\r', octets) {
            self.to.write_all(&octets[..at])?;
            octets = &octets[at + 1..];
            match octets.first() {
                None => self.carriage = true,
                Some(b'\n') => {}
                Some(_) => self.to.write_all(b"\r")?,
            }
        }
        self.to.write_all(octets)
    }

    fn finish(mut self) -> io::Result<()> {
        if std::mem::take(&mut self.carriage) {
            self.to.write_all(b"\r")?;
        }
        Ok(())
    }
}

const RETURN_PATH: &str = "Return-Path";
const BLOCK_OCTETS: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_lf_however_they_come() {
        let text = b"a\r\nb\rc\r\r\n\r\n\nd\r";
        for size in 1..=text.len() {
            let mut written = Vec::new();
            let mut lines = Lines { to: &mut written, carriage: false };
            for piece in text.chunks(size) {
                lines.add(piece).expect("memory takes all");
            }
            lines.finish().expect("memory takes all");
            assert_eq!(written, b"a\nb\rc\r\n\n\nd\r", "in pieces of {size}");
        }
    }
}
