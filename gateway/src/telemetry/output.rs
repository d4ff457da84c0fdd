//! Where lines go.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::fstat;
use tracing::Level;

use super::Format;
use super::journal::Journal;
use super::line::{Line, Value};

/// Where lines go. One thread writes there.
#[derive(Debug)]
pub(super) struct Output {
    format: Format,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Journal(Journal),
    /// Standard error is closed, or there are no descriptors left.
    Nowhere,
    Stream(Mutex<File>),
}

/// What `log.output` says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Destination {
    /// The journal, if standard error leads there, else standard error.
    #[default]
    Automatic,
    /// The journal of systemd, with fields.
    Journald,
    /// Standard error.
    Stderr,
}

impl Output {
    /// What was asked for, and what is in the way of it: lines go to standard error then.
    pub(super) fn open(destination: Destination, format: Format) -> (Self, Option<io::Error>) {
        let journal = match destination {
            Destination::Journald => true,
            Destination::Stderr => false,
            Destination::Automatic => is_journal(),
        };
        let (place, trouble) = match journal.then(Journal::open) {
            Some(Ok(journal)) => (Place::Journal(journal), None),
            Some(Err(error)) => (stderr(), Some(error)),
            None => (stderr(), None),
        };
        (Self { format, place }, trouble)
    }

    /// Whether it takes fields, and not lines.
    pub(super) fn is_journal(&self) -> bool {
        matches!(self.place, Place::Journal(_))
    }

    /// Writes lines; how many could not be.
    pub(super) fn write(&self, octets: &[u8], ends: &[usize]) -> u64 {
        match &self.place {
            Place::Journal(journal) => {
                let starts = std::iter::once(0).chain(ends.iter().copied());
                let lines = starts.zip(ends).map(|(start, end)| &octets[start..*end]);
                lines.filter(|line| journal.send(line).is_err()).count() as u64
            }
            Place::Nowhere => ends.len() as u64,
            Place::Stream(stream) => {
                let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
                let (written, result) = write_all(&mut *stream, octets);
                match result {
                    Ok(()) => 0,
                    Err(_) => ends.iter().filter(|end| **end > written).count() as u64,
                }
            }
        }
    }

    /// The line that says that there were more.
    pub(super) fn dropped(&self, lines: u64) -> Vec<u8> {
        let message =
            format!("{lines} lines of the log were dropped: whoever reads it was too slow");
        let fields =
            [("message", Value::Text(message)), ("dropped", Value::Other(lines.to_string()))];
        let line = Line {
            time: Timestamp::now(),
            level: Level::WARN,
            target: "portcullis::telemetry",
            fields: &fields,
        };
        match (&self.place, self.format) {
            (Place::Journal(_), format) => line.journal(format),
            (_, Format::Json) => line.json().into_bytes(),
            (_, Format::Text) => line.text(false).into_bytes(),
        }
    }
}

#[cfg(test)]
impl Output {
    /// Text to a stream.
    pub(super) fn stream(stream: impl Into<std::os::fd::OwnedFd>) -> Self {
        let stream = File::from(stream.into());
        Self { format: Format::Text, place: Place::Stream(Mutex::new(stream)) }
    }
}

/// Standard error, without the lock that the rest of the process may want.
fn stderr() -> Place {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(duplicate) => Place::Stream(Mutex::new(duplicate.into())),
        Err(_) => Place::Nowhere,
    }
}

/// Whether standard error leads to the journal: `JOURNAL_STREAM` has its device and inode then
/// (systemd.exec(5)).
fn is_journal() -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(here) = fstat(io::stderr().as_fd()) else { return false };
    named == format!("{}:{}", here.st_dev, here.st_ino)
}

/// Like the method of `Write`, and how far it got. One who shares the stream may have made it one that
/// does not wait.
fn write_all(stream: &mut impl Write, octets: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < octets.len() {
        match stream.write(&octets[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL),
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// How long to wait where a full pipe does not say when there is room.
const FULL: Duration = Duration::from_millis(10);
