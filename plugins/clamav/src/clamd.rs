//! The protocol of clamd, as far as one message needs it (clamd(8), INSTREAM).

use portcullis_plugin::Message;
use portcullis_plugin::streams::{Connection, StreamError};
use terms::Away;

/// What came of a scan.
#[derive(Debug, PartialEq)]
pub(crate) enum Scan {
    Clean,
    /// By the name of the signature.
    Infected(String),
    /// Why nobody knows.
    Failed(Failure),
}

/// Why a message was not scanned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    Away(Away),
    /// Larger than its `StreamMaxLength`.
    TooLarge,
    /// It says that it cannot, or something that is no answer.
    Answer,
}

impl Failure {
    /// For metrics and the log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Away(away) => away.label(),
            Self::TooLarge => "too-large",
            Self::Answer => "no-answer",
        }
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        Self::Away(error.into())
    }
}

/// Has one clamd scan a message. `size` is the whole message's.
pub(crate) fn scan(address: &str, timeout_ms: u32, message: &Message, size: u32) -> Scan {
    let said = converse(address, timeout_ms, message, size);
    said.map_or_else(Scan::Failed, |answer| read(&answer))
}

fn converse(
    address: &str,
    timeout_ms: u32,
    message: &Message,
    size: u32,
) -> Result<Vec<u8>, Failure> {
    let clamd = Connection::open(address, Some(timeout_ms))?;
    // One that has enough says so and hangs up, perhaps before it has heard everything.
    let sent = send(&clamd, message, size);
    match (answer(&clamd), sent) {
        (Ok(answer), _) if !answer.is_empty() => Ok(answer),
        (_, Err(failure)) | (Err(failure), _) => Err(failure),
        (Ok(_), Ok(())) => Err(Failure::Away(Away::Unavailable)),
    }
}

/// The message is one chunk: clamd takes chunks of any length, a piece at a time.
fn send(clamd: &Connection, message: &Message, size: u32) -> Result<(), Failure> {
    let mut start = b"zINSTREAM\0".to_vec();
    start.extend(size.to_be_bytes());
    clamd.write(&start)?;
    let sent = clamd.write_content(&message.read_all(), size.into())?;
    if sent != u64::from(size) {
        return Err(Failure::Away(Away::Unavailable));
    }
    Ok(clamd.write(&0_u32.to_be_bytes())?)
}

/// Up to the zero at its end, or as much of it as there is.
fn answer(clamd: &Connection) -> Result<Vec<u8>, Failure> {
    let mut answer = Vec::new();
    while answer.len() < ANSWER_OCTETS && !answer.contains(&0) {
        let piece = clamd.read(ANSWER_OCTETS as u32)?;
        if piece.is_empty() {
            break;
        }
        answer.extend(piece);
    }
    Ok(answer)
}

/// Only what is an answer beyond doubt is one.
fn read(answer: &[u8]) -> Scan {
    let end = answer.iter().position(|octet| *octet == 0).unwrap_or(answer.len());
    let text = String::from_utf8_lossy(&answer[..end]);
    let text = text.trim_end_matches('\n');
    if text.starts_with("INSTREAM size limit exceeded") {
        return Scan::Failed(Failure::TooLarge);
    }
    let Some(found) = text.strip_prefix("stream: ") else { return Scan::Failed(Failure::Answer) };
    match found.strip_suffix(" FOUND") {
        Some(signature) => Scan::Infected(name(signature)),
        None if found == "OK" => Scan::Clean,
        None => Scan::Failed(Failure::Answer),
    }
}

/// A signature's name, for replies and logs.
fn name(signature: &str) -> String {
    let fits = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    signature.chars().take(NAME_OCTETS).map(fits).collect()
}

/// Longer than any name of a signature.
const ANSWER_OCTETS: usize = 1024;
const NAME_OCTETS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let infected = |name: &str| Scan::Infected(name.to_owned());
        for (answer, scan) in [
            (&b"stream: OK\0"[..], Scan::Clean),
            (b"stream: OK\n\0", Scan::Clean),
            (b"stream: Eicar-Test-Signature FOUND\0", infected("Eicar-Test-Signature")),
            (
                b"stream: Win.Test.EICAR_HDB-1(44d8:68) FOUND\0x",
                infected("Win.Test.EICAR_HDB-1(44d8:68)"),
            ),
            (b"stream: a\r\nb\xff FOUND\0", infected("a__b_")),
            (b"INSTREAM size limit exceeded. ERROR\0", Scan::Failed(Failure::TooLarge)),
            (b"stream: Can't allocate memory ERROR\0", Scan::Failed(Failure::Answer)),
            (b"stream: OKAY\0", Scan::Failed(Failure::Answer)),
            (b"stream: O", Scan::Failed(Failure::Answer)),
            (b"OK\0", Scan::Failed(Failure::Answer)),
            (b"220 mx.example.org ESMTP\r\n", Scan::Failed(Failure::Answer)),
            (b"\0", Scan::Failed(Failure::Answer)),
        ] {
            assert_eq!(read(answer), scan, "{:?}", String::from_utf8_lossy(answer));
        }
    }
}
