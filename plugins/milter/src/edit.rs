//! What a filter asks for at the end of a message. It is kept until the filter has said its last word:
//! of a filter that breaks off nothing is done.

use portcullis_plugin::{EditError, Message, Transaction, Writer};

use crate::negotiation::{
    ADD_HEADERS, ADD_RECIPIENTS, CHANGE_BODY, CHANGE_HEADERS, CHANGE_SENDER, DROP_RECIPIENTS,
    QUARANTINE, Terms,
};
use crate::packet::Failure;

/// All of it.
#[derive(Default)]
pub(crate) struct Edits {
    headers: Vec<HeaderEdit>,
    sender: Option<Option<String>>,
    added: Vec<String>,
    dropped: Vec<String>,
    body: Option<Writer>,
    pub(crate) quarantine: Option<String>,
    octets: usize,
}

enum HeaderEdit {
    Add(Option<u32>, String, Vec<u8>),
    /// The header of this name and number, from 0; an empty value drops it.
    Change(String, u32, Vec<u8>),
}

/// Why an edit is not kept.
pub(crate) enum Refused {
    By(EditError),
    Failure(Failure),
}

impl From<EditError> for Refused {
    fn from(error: EditError) -> Self {
        Self::By(error)
    }
}

impl Edits {
    /// Takes one, if it is one that was agreed upon.
    pub(crate) fn take(
        &mut self,
        terms: Terms,
        command: u8,
        data: &[u8],
        message: &Message,
    ) -> Result<(), Refused> {
        let needed = needed(command).filter(|action| terms.may(*action));
        self.octets += data.len();
        if needed.is_none() || (command != b'b' && self.octets > EDIT_OCTETS) {
            return Err(Refused::Failure(Failure::Protocol));
        }
        let taken = match command {
            b'b' => return Ok(self.body(message)?.write(data)?),
            b'h' => self.header(terms, None, data),
            b'i' => number(data).and_then(|(at, rest)| self.header(terms, Some(at), rest)),
            b'm' => number(data).and_then(|(nth, rest)| self.change(terms, nth, rest)),
            b'e' => address(data).map(|sender| {
                self.sender = Some((!sender.is_empty()).then_some(sender));
            }),
            b'+' => address(data).map(|recipient| self.added.push(recipient)),
            b'-' => address(data).map(|recipient| self.dropped.push(recipient)),
            _ => words(data).next().map(|reason| self.quarantine = Some(reason)),
        };
        taken.ok_or(Refused::Failure(Failure::Protocol))
    }

    /// A body is written as it comes; it counts once it is finished.
    fn body(&mut self, message: &Message) -> Result<&Writer, EditError> {
        if self.body.is_none() {
            self.body = Some(message.replace_body()?);
        }
        self.body.as_ref().ok_or(EditError::OutOfRange)
    }

    fn header(&mut self, terms: Terms, at: Option<u32>, data: &[u8]) -> Option<()> {
        let (name, value) = field(terms, data)?;
        // Number 1 comes after the MTA's own Received, which the gateway adds later, and so on top.
        self.headers.push(HeaderEdit::Add(at.map(|at| at.saturating_sub(1)), name, value));
        Some(())
    }

    fn change(&mut self, terms: Terms, nth: u32, data: &[u8]) -> Option<()> {
        let (name, value) = field(terms, data)?;
        let nth = nth.saturating_sub(1);
        // Of two changes of one field the later one counts.
        self.headers.retain(|edit| match edit {
            HeaderEdit::Change(known, at, _) => *at != nth || !known.eq_ignore_ascii_case(&name),
            HeaderEdit::Add(..) => true,
        });
        self.headers.push(HeaderEdit::Change(name, nth, value));
        Some(())
    }

    /// Stages all of it.
    pub(crate) fn apply(
        self,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<(), EditError> {
        for edit in self.headers {
            apply_header(&edit, message)?;
        }
        if let Some(body) = self.body {
            body.finish()?;
        }
        if let Some(sender) = self.sender {
            transaction.set_sender(sender.as_deref())?;
        }
        let recipients = transaction.recipients();
        for gone in &self.dropped {
            let known = recipients.iter().find(|known| known.address.eq_ignore_ascii_case(gone));
            if let Some(known) = known {
                transaction.drop_recipient(known.index)?;
            }
        }
        for new in &self.added {
            transaction.add_recipient(new)?;
        }
        Ok(())
    }
}

fn apply_header(edit: &HeaderEdit, message: &Message) -> Result<(), EditError> {
    let staged = match edit {
        HeaderEdit::Add(at, name, value) => match message.add_header(*at, name, value) {
            // Beyond the last one is behind it.
            Err(EditError::OutOfRange) => message.add_header(None, name, value),
            staged => staged,
        },
        HeaderEdit::Change(name, nth, value) if value.is_empty() => message.drop_header(name, *nth),
        HeaderEdit::Change(name, nth, value) => match message.set_header(name, *nth, value) {
            // What is changed and is not there is added.
            Err(EditError::OutOfRange) => message.add_header(None, name, value),
            staged => staged,
        },
    };
    match staged {
        // What is dropped and is not there is gone.
        Err(EditError::OutOfRange) => Ok(()),
        staged => staged,
    }
}

/// The action that a request needs; none is what is no request.
fn needed(command: u8) -> Option<u32> {
    Some(match command {
        b'b' => CHANGE_BODY,
        b'h' | b'i' => ADD_HEADERS,
        b'm' => CHANGE_HEADERS,
        b'e' => CHANGE_SENDER,
        b'+' => ADD_RECIPIENTS,
        b'-' => DROP_RECIPIENTS,
        b'q' => QUARANTINE,
        _ => return None,
    })
}

fn number(data: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = data.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*number), rest))
}

/// Texts that end in zeros.
fn words(data: &[u8]) -> impl Iterator<Item = String> {
    data.split(|octet| *octet == 0).map(|word| String::from_utf8_lossy(word).into_owned())
}

fn address(data: &[u8]) -> Option<String> {
    let text = words(data).next()?;
    let bare = text.trim().trim_start_matches('<').trim_end_matches('>');
    Some(bare.to_owned())
}

/// Name and value, folded as the gateway has it.
fn field(terms: Terms, data: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut parts = data.splitn(3, |octet| *octet == 0);
    let name = String::from_utf8(parts.next()?.to_vec()).ok()?;
    let value = parts.next()?;
    let value = match value.strip_prefix(b" ") {
        Some(rest) if terms.keeps_blanks() => rest,
        _ => value,
    };
    let mut folded: Vec<u8> = Vec::with_capacity(value.len() + 8);
    for line in value.split(|octet| *octet == b'\n') {
        let line: Vec<u8> = line.iter().copied().filter(|octet| *octet != b'\r').collect();
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if !folded.is_empty() {
            folded.extend(if line[0].is_ascii_whitespace() { &b"\r\n"[..] } else { b"\r\n\t" });
        }
        folded.extend(line);
    }
    Some((name, folded))
}

/// Of all edits but the body, whose bound is the gateway's.
const EDIT_OCTETS: usize = 1 << 20;
