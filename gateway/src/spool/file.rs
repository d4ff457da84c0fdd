//! The files of messages, and what becomes of what is none.
//!
//! ```text
//! portcullis-spool 1 0000000812 <SHA-256> 00000000000000004382 <SHA-256>
//! {"prefix":120,"header":400,"entry":{...}}
//! Received: ...
//! ```
//!
//! The first line has the version, and length and digest of the second line and of the rest. From
//! the third line on it is the message as it is sent: `tail -n +3` shows it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Entry;
use super::disk::Disk;
use crate::message::{Content, HeaderSection, Message, Outbound};

/// Why a file is no message, or no state of one.
#[derive(Debug, thiserror::Error)]
pub enum Torn {
    /// The checksum.
    #[error("the digest of its {0} is another one")]
    Digest(&'static str),
    /// The first line.
    #[error("its first line is none of ours")]
    Head,
    /// The second line.
    #[error("its {what} cannot be read: {reason}")]
    Json {
        /// Envelope or state.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// It ends too early, or too late.
    #[error("it has {found} octets instead of {expected}")]
    Length {
        /// What the first line says.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// Its name.
    #[error("its name is no id of a message, or that of another one")]
    Name,
    /// The disk.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A later version wrote it.
    #[error("it is of version {0}, which this gateway does not know")]
    Version(u32),
}

impl Torn {
    /// An error, if it is not the file's fault that it could not be read: for want of descriptors or
    /// memory. Then it stays where it is.
    pub(super) fn of_the_file(self) -> io::Result<Self> {
        match self {
            Self::Read(error) if error.raw_os_error().is_some_and(|it| WANTS.contains(&it)) => {
                Err(error)
            }
            torn => Ok(torn),
        }
    }
}

/// The second line of a message's file.
#[derive(Debug, Deserialize, Serialize)]
struct Envelope<E> {
    /// Octets above the message's own header section.
    prefix: u64,
    /// Octets of that.
    header: u64,
    entry: E,
}

/// Writes a message to its file, and says how large that is. Nothing of it is on the disk for sure.
pub(super) fn write(
    disk: &Disk,
    file: &File,
    entry: &Entry,
    message: &Outbound,
) -> io::Result<u64> {
    let Outbound { prefix, message } = message;
    let (header, body) = (message.header.as_bytes(), &message.body);
    let envelope = Envelope { prefix: prefix.len() as u64, header: header.len() as u64, entry };
    let mut envelope = serde_json::to_vec(&envelope).map_err(io::Error::other)?;
    envelope.push(b'\n');
    let mut block = Vec::with_capacity(
        BLOCK_OCTETS
            .min(HEAD_OCTETS + envelope.len() + prefix.len() + header.len() + body_in_block(body)),
    );
    block.resize(HEAD_OCTETS, b' ');
    block.extend_from_slice(&envelope);
    let mut writer = Writer { disk, file, block, written: 0, digest: Sha256::new(), octets: 0 };
    writer.add(prefix)?;
    writer.add(header)?;
    match body.segments() {
        Some(mut segments) => segments.try_for_each(|octets| writer.add(octets))?,
        None => writer.copy(body)?,
    }
    writer.finish(&envelope)
}

fn body_in_block(body: &Content) -> usize {
    usize::try_from(body.octets()).unwrap_or(BLOCK_OCTETS).min(BLOCK_OCTETS)
}

struct Writer<'a> {
    disk: &'a Disk,
    file: &'a File,
    block: Vec<u8>,
    written: u64,
    /// Of the content.
    digest: Sha256,
    /// Of the content.
    octets: u64,
}

impl Writer<'_> {
    fn add(&mut self, content: &[u8]) -> io::Result<()> {
        self.digest.update(content);
        self.octets += content.len() as u64;
        if self.block.len() + content.len() > BLOCK_OCTETS {
            self.flush()?;
        }
        match content.len() > BLOCK_OCTETS {
            true => self.write(content),
            false => {
                self.block.extend_from_slice(content);
                Ok(())
            }
        }
    }

    fn copy(&mut self, body: &Content) -> io::Result<()> {
        let (mut at, mut block) = (0, vec![0; body_in_block(body)]);
        while at < body.octets() {
            // A file that ends before its time is an error: what was there is not the message.
            let count = match body.read_at(at, &mut block)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            };
            self.add(&block[..count])?;
            at += count as u64;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        self.write(&block)?;
        self.block = block;
        self.block.clear();
        Ok(())
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        self.disk.write(self.file, octets)?;
        self.written += octets.len() as u64;
        Ok(())
    }

    fn finish(mut self, envelope: &[u8]) -> io::Result<u64> {
        let digest = std::mem::take(&mut self.digest).finalize();
        let head = format!(
            "{MESSAGE} {VERSION} {:010} {:x} {:020} {digest:x}\n",
            envelope.len(),
            Sha256::digest(envelope),
            self.octets
        );
        debug_assert_eq!(head.len(), HEAD_OCTETS);
        if self.written == 0 {
            self.block[..HEAD_OCTETS].copy_from_slice(head.as_bytes());
            self.flush()?;
        } else {
            self.flush()?;
            self.disk.write_at_start(self.file, head.as_bytes())?;
        }
        Ok(self.written)
    }
}

/// A message's file whose envelope is whole.
#[derive(Debug)]
pub(super) struct MessageFile {
    file: File,
    pub(super) entry: Entry,
    prefix: u64,
    header: u64,
    content_at: u64,
    content_octets: u64,
    content_digest: String,
}

impl MessageFile {
    /// Reads what stands before the content, and sees to it that the rest has its length.
    pub(super) fn read(mut file: File) -> Result<Self, Torn> {
        let found = file.metadata()?.len();
        let mut head = [0; HEAD_OCTETS];
        read_all(&mut file, &mut head)?;
        let mut words = words(&head, MESSAGE)?;
        let (envelope_octets, envelope_digest) = (number(words.next())?, digest(words.next())?);
        let (content_octets, content_digest) = (number(words.next())?, digest(words.next())?);
        let content_at = (HEAD_OCTETS as u64).saturating_add(envelope_octets);
        let expected = content_at.saturating_add(content_octets);
        if found != expected {
            return Err(Torn::Length { expected, found });
        }
        let octets = usize::try_from(envelope_octets).map_err(|_| Torn::Head)?;
        let mut envelope = vec![0; octets];
        read_all(&mut file, &mut envelope)?;
        if format!("{:x}", Sha256::digest(&envelope)) != envelope_digest {
            return Err(Torn::Digest("envelope"));
        }
        let read = serde_json::from_slice(&envelope);
        let Envelope { prefix, header, entry } =
            read.map_err(|error| Torn::Json { what: "envelope", reason: error.to_string() })?;
        let content_digest = content_digest.to_owned();
        let within = prefix.checked_add(header).is_some_and(|sum| sum <= content_octets);
        if !within || header > HEADER_OCTETS || prefix > HEADER_OCTETS {
            let reason = "it does not fit its content".to_owned();
            return Err(Torn::Json { what: "envelope", reason });
        }
        Ok(Self { file, entry, prefix, header, content_at, content_octets, content_digest })
    }

    /// How large the file is.
    pub(super) fn octets(&self) -> u64 {
        self.content_at + self.content_octets
    }

    /// The message, if it is still what was written. Its body stays in the file.
    pub(super) fn message(self) -> Result<(Entry, Outbound), Torn> {
        let mut digest = Sha256::new();
        let (mut at, end) = (self.content_at, self.octets());
        let mut block = vec![0; BLOCK_OCTETS];
        while at < end {
            let room = usize::try_from(end - at).unwrap_or(BLOCK_OCTETS).min(BLOCK_OCTETS);
            let count = match self.file.read_at(&mut block[..room], at)? {
                0 => return Err(Torn::Length { expected: end, found: at }),
                count => count,
            };
            digest.update(&block[..count]);
            at += count as u64;
        }
        if format!("{:x}", digest.finalize()) != self.content_digest {
            return Err(Torn::Digest("content"));
        }
        let header_at = self.content_at + self.prefix;
        let part = |at: u64, octets: u64| -> Result<Vec<u8>, Torn> {
            let mut part = vec![0; usize::try_from(octets).map_err(|_| Torn::Head)?];
            self.file.read_exact_at(&mut part, at)?;
            Ok(part)
        };
        let prefix = part(self.content_at, self.prefix)?;
        let header = HeaderSection::parse(part(header_at, self.header)?);
        let body = Content::in_file(self.file, header_at + self.header..end);
        Ok((self.entry, Outbound { prefix, message: Message::new(Arc::new(header), body) }))
    }
}

/// A file of one line after the first: a state.
pub(super) fn encode_state(state: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut json = serde_json::to_vec(state).map_err(io::Error::other)?;
    json.push(b'\n');
    let head = format!("{STATE} {VERSION} {:010} {:x}\n", json.len(), Sha256::digest(&json));
    Ok([head.into_bytes(), json].concat())
}

/// Reads what [`encode_state`] wrote.
pub(super) fn decode_state<S: for<'a> Deserialize<'a>>(octets: &[u8]) -> Result<S, Torn> {
    let end = octets.iter().position(|octet| *octet == b'\n').ok_or(Torn::Head)?;
    let (head, json) = octets.split_at(end + 1);
    let mut words = words(head, STATE)?;
    let (expected, known) = (number(words.next())?, digest(words.next())?);
    if json.len() as u64 != expected {
        return Err(Torn::Length { expected, found: json.len() as u64 });
    }
    if format!("{:x}", Sha256::digest(json)) != known {
        return Err(Torn::Digest("state"));
    }
    serde_json::from_slice(json)
        .map_err(|error| Torn::Json { what: "state", reason: error.to_string() })
}

/// What follows the version in a first line.
fn words<'a>(head: &'a [u8], kind: &str) -> Result<impl Iterator<Item = &'a str>, Torn> {
    let line = head.strip_suffix(b"\n").and_then(|line| str::from_utf8(line).ok());
    let mut words = line.ok_or(Torn::Head)?.split(' ');
    if words.next() != Some(kind) {
        return Err(Torn::Head);
    }
    match words.next().and_then(|version| version.parse().ok()) {
        Some(VERSION) => Ok(words),
        Some(other) => Err(Torn::Version(other)),
        None => Err(Torn::Head),
    }
}

fn number(word: Option<&str>) -> Result<u64, Torn> {
    word.and_then(|word| word.parse().ok()).ok_or(Torn::Head)
}

fn digest(word: Option<&str>) -> Result<&str, Torn> {
    word.filter(|word| word.len() == 64).ok_or(Torn::Head)
}

fn read_all(file: &mut File, into: &mut [u8]) -> Result<(), Torn> {
    file.read_exact(into).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Torn::Head,
        _ => error.into(),
    })
}

/// EINTR, ENOMEM, ENFILE, EMFILE.
const WANTS: [i32; 4] = [4, 12, 23, 24];

/// What the format is; a later one is not read by this gateway.
const VERSION: u32 = 1;

const MESSAGE: &str = "portcullis-spool";

const STATE: &str = "portcullis-state";

/// The first line of a message's file, which is written last where the content does not fit a block.
const HEAD_OCTETS: usize = MESSAGE.len() + " 1 ".len() + 10 + 1 + 64 + 1 + 20 + 1 + 64 + 1;

/// Most messages are one write.
const BLOCK_OCTETS: usize = 256 << 10;

/// More than any listener takes as a header section.
const HEADER_OCTETS: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::entry::tests::entry;
    use super::*;
    use crate::metrics::{Metrics, Names};

    fn disk() -> Disk {
        Disk::new(Metrics::new(&Names::default()).spool())
    }

    fn outbound(body: Content) -> Outbound {
        let header = Arc::new(HeaderSection::parse(b"Subject: x\r\n\r\n".to_vec()));
        Outbound { prefix: b"Received: y\r\n".to_vec(), message: Message::new(header, body) }
    }

    fn all(content: &Content) -> Vec<u8> {
        let mut all = vec![0; usize::try_from(content.octets()).expect("small")];
        let mut at = 0;
        while at < all.len() {
            at += content.read_at(at as u64, &mut all[at..]).expect("readable");
        }
        all
    }

    #[test]
    fn a_message_is_read_as_it_was_written_however_large_it_is() {
        for size in [0, 1, 4096, BLOCK_OCTETS - 10, BLOCK_OCTETS, 3 * BLOCK_OCTETS + 7] {
            let body: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            let file = tempfile::tempfile().expect("a file");
            file.write_all_at(&body, 5).expect("writable");
            let kept = Content::in_file(file, 5..5 + size as u64);
            for content in [Content::from_bytes(body.clone()), kept] {
                let file = tempfile::NamedTempFile::new().expect("a file");
                let (entry, message) = (entry(&["bob@example.com"]), outbound(content));
                let octets = write(&disk(), file.as_file(), &entry, &message).expect("written");
                let file = File::open(file.path()).expect("there");
                assert_eq!(file.metadata().expect("there").len(), octets);
                let read = MessageFile::read(file).expect("whole");
                assert_eq!(read.octets(), octets);
                let (known, read) = read.message().expect("whole");
                assert_eq!(known, entry);
                assert_eq!(read.prefix, message.prefix);
                assert_eq!(read.message.header, message.message.header);
                assert_eq!(all(&read.message.body), body);
            }
        }
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_none() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let message = outbound(Content::from_bytes(b"text\r\n".to_vec()));
        let entry = entry(&["bob@example.com"]);
        let octets = write(&disk(), file.as_file(), &entry, &message).expect("written");
        for length in (0..octets).rev() {
            file.as_file().set_len(length).expect("writable");
            let read = File::open(file.path()).expect("there");
            assert!(MessageFile::read(read).is_err(), "{length} of {octets}");
        }
    }

    #[test]
    fn a_message_of_which_an_octet_changed_is_none() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let message = outbound(Content::from_bytes(b"text\r\n".to_vec()));
        let entry = entry(&["bob@example.com"]);
        let octets = write(&disk(), file.as_file(), &entry, &message).expect("written");
        let whole = std::fs::read(file.path()).expect("there");
        for at in 0..usize::try_from(octets).expect("small") {
            let changed = [whole[at] ^ 1];
            file.as_file().write_all_at(&changed, at as u64).expect("writable");
            let read = File::open(file.path()).expect("there");
            assert!(MessageFile::read(read).and_then(MessageFile::message).is_err(), "{at}");
            file.as_file().write_all_at(&whole[at..=at], at as u64).expect("writable");
        }
    }

    #[test]
    fn a_state_that_is_cut_or_changed_is_none() {
        let octets = encode_state(&vec!["a", "b"]).expect("encoded");
        assert_eq!(decode_state::<Vec<String>>(&octets).expect("whole"), ["a", "b"]);
        for at in 0..octets.len() {
            assert!(decode_state::<Vec<String>>(&octets[..at]).is_err(), "{at}");
            let mut changed = octets.clone();
            changed[at] ^= 1;
            assert!(decode_state::<Vec<String>>(&changed).is_err(), "{at}");
        }
        let later = String::from_utf8(octets).expect("text").replace("state 1", "state 2");
        assert!(matches!(decode_state::<Vec<String>>(later.as_bytes()), Err(Torn::Version(2))));
    }
}
