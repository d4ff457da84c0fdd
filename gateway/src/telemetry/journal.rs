//! The journal of systemd, by its own protocol: a datagram an entry, `NAME=value` a field. A value that
//! is more than one line has its length in front, so that nothing in it can be taken for a field.
//!
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr,
};
use tracing::Level;

use super::Format;
use super::line::{Line, Value};
use super::record::TransactionRecord;

/// Where the journal listens.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// That of this machine.
    pub(super) fn open() -> io::Result<Self> {
        Self::at(Path::new(SOCKET))
    }

    /// One that listens elsewhere.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path)?;
        Ok(Self { socket: UnixDatagram::unbound()?, path: path.to_owned() })
    }

    /// Sends an entry. Waits as long as the journal is busy, and a little where it is being restarted.
    pub(super) fn send(&self, entry: &[u8]) -> io::Result<()> {
        let mut tries = 0;
        loop {
            // By its path, since a journal that was restarted is another socket.
            match self.socket.send_to(entry, &self.path) {
                Ok(_) => return Ok(()),
                Err(error) if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {
                    return self.send_file(entry);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_restart(&error) && tries < RESTART_TRIES => {
                    tries += 1;
                    thread::sleep(RESTART_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What is too large for a datagram goes in a file in memory that nobody can change any more.
    fn send_file(&self, entry: &[u8]) -> io::Result<()> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("portcullis-log", flags)?);
        file.write_all(entry)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        let files = [file.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&files));
        let address = SocketAddrUnix::new(&self.path)?;
        let empty = [IoSlice::new(&[])];
        sendmsg_addr(&self.socket, &address, &empty, &mut ancillary, SendFlags::empty())?;
        Ok(())
    }
}

fn is_restart(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound)
}

impl Line<'_> {
    /// An entry of the journal: the line as its message, and all that is known in fields.
    pub(super) fn journal(&self, format: Format) -> Vec<u8> {
        let mut entry = Vec::with_capacity(512);
        let message = match format {
            Format::Json => self.json().trim_end().to_owned(),
            Format::Text => self.message_for_people(),
        };
        push(&mut entry, "MESSAGE", &message);
        push(&mut entry, "PRIORITY", priority(self.level));
        push(&mut entry, "SYSLOG_IDENTIFIER", "portcullis");
        push(&mut entry, "PORTCULLIS_TARGET", self.target);
        for (name, value) in self.others() {
            match value {
                Value::Other(text) | Value::Text(text) => push_own(&mut entry, name, text),
                Value::Record(record) => push_record(&mut entry, record),
            }
        }
        entry
    }
}

/// What is looked for by name, and all of it.
fn push_record(entry: &mut Vec<u8>, record: &TransactionRecord) {
    push_own(entry, "id", &record.id);
    push_own(entry, "session", &record.session);
    push_own(entry, "listener", &record.listener);
    push_own(entry, "outcome", record.outcome);
    push_own(entry, "client", &record.client.address);
    push_own(entry, "sender", &record.sender);
    for recipient in &record.recipients {
        push_own(entry, "recipient", &recipient.address);
    }
    if let Some(user) = &record.user {
        push_own(entry, "user", user);
    }
    if let Some(decision) = &record.decided_by {
        push_own(entry, "plugin", &decision.plugin);
        push_own(entry, "hook", decision.hook);
    }
    push_own(entry, "record", &record.json());
}

/// A field of ours. Names of fields are literals of this program: letters, digits, `_` and `.`.
fn push_own(entry: &mut Vec<u8>, name: &str, value: &str) {
    let name = name.replace('.', "_").to_ascii_uppercase();
    push(entry, &format!("PORTCULLIS_{name}"), value);
}

fn push(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// That of syslog.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// That of the machine, or of the namespace that the unit has (`LogNamespace=`).
const SOCKET: &str = "/run/systemd/journal/socket";

/// A journal that is restarted is back within a second or two.
const RESTART_TRIES: u32 = 50;
const RESTART_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
    use std::mem::MaybeUninit;

    use jiff::Timestamp;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use crate::telemetry::record::tests::record;

    use super::*;

    const HOSTILE: &str = "a\nPRIORITY=0\nMESSAGE=forged\n";

    fn entry(fields: &[(&'static str, Value)]) -> Vec<u8> {
        let line = Line {
            time: Timestamp::UNIX_EPOCH,
            level: Level::WARN,
            target: "portcullis::x",
            fields,
        };
        line.journal(Format::Text)
    }

    /// Reads an entry as the journal does.
    fn fields(mut entry: &[u8]) -> Vec<(String, String)> {
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        let mut fields = Vec::new();
        while !entry.is_empty() {
            let end = entry.iter().position(|octet| *octet == b'\n').unwrap();
            let line = &entry[..end];
            if let Some(equals) = line.iter().position(|octet| *octet == b'=') {
                fields.push((text(&line[..equals]), text(&line[equals + 1..])));
                entry = &entry[end + 1..];
            } else {
                let length = u64::from_le_bytes(entry[end + 1..end + 9].try_into().unwrap());
                let (start, length) = (end + 9, usize::try_from(length).unwrap());
                fields.push((text(line), text(&entry[start..start + length])));
                entry = &entry[start + length + 1..];
            }
        }
        fields
    }

    #[test]
    fn a_peer_cannot_add_a_field() {
        let said = || Value::Text(HOSTILE.to_owned());
        let read = fields(&entry(&[("message", said()), ("helo", said())]));
        let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "PORTCULLIS_TARGET", "PORTCULLIS_HELO"]
        );
        assert_eq!((read[1].1.as_str(), read[4].1.as_str()), ("4", HOSTILE));
        assert!(!read[0].1.contains('\n'), "{:?}", read[0]);
    }

    #[test]
    fn a_transaction_is_found_by_its_fields() {
        let read = fields(&entry(&[("record", Value::Record(record("a@example.org")))]));
        let value = |name: &str| read.iter().find(|(known, _)| known == name).unwrap().1.clone();
        assert_eq!(value("PORTCULLIS_ID"), "s1.1");
        assert_eq!(value("PORTCULLIS_RECIPIENT"), "a@example.org");
        assert!(value("MESSAGE").starts_with("rejected s1.1 "), "{}", value("MESSAGE"));
        let json: serde_json::Value = serde_json::from_str(&value("PORTCULLIS_RECORD")).unwrap();
        assert_eq!(json["octets"], 1234);
    }

    #[test]
    fn large_entries_arrive_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let there = UnixDatagram::bind(&path).unwrap();
        let journal = Journal::at(&path).unwrap();
        journal.send(b"MESSAGE=small\n").unwrap();
        let mut small = [0; 100];
        let octets = there.recv(&mut small).unwrap();
        assert_eq!(&small[..octets], b"MESSAGE=small\n");
        let large = [b"MESSAGE=", &[b'x'; 4_000_000][..], b"\n"].concat();
        journal.send(&large).unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&there, &mut [], &mut ancillary, RecvFlags::empty()).unwrap();
        let Some(RecvAncillaryMessage::ScmRights(mut files)) = ancillary.drain().next() else {
            panic!("no file came");
        };
        let mut file = File::from(files.next().unwrap());
        let mut heard = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut heard).unwrap();
        assert!(heard == large);
        assert!(file.write_all(b"more").is_err(), "it is sealed");
    }

    #[test]
    fn where_there_is_no_journal_that_is_said() {
        assert!(Journal::at(Path::new("/nowhere/socket")).is_err());
    }
}
