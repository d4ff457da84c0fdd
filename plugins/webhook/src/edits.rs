//! What the service wants to be changed, under the grants that are there.

use portcullis_plugin::{EditError, Message, Transaction, log, metrics};
use serde::Deserialize;
use serde_json::Value;
use terms::field_value;

use crate::answer::{Answer, Modification};
use crate::request::Known;

/// Makes those that can be made.
pub(crate) fn make(answer: &Answer, known: &Known<'_>) {
    for wanted in answer.modifications.iter().take(MOST) {
        let result = match Modification::deserialize(wanted) {
            Ok(modification) => edit(&modification, known),
            Err(_) => Err(EditError::Malformed),
        };
        let (label, why) = match result {
            Ok(()) => ("done", None),
            Err(EditError::Denied) => ("denied", Some("not granted")),
            Err(EditError::Malformed) => ("refused", Some("malformed")),
            Err(EditError::OutOfRange) => ("refused", Some("out of range")),
            Err(EditError::TooLate) => ("refused", Some("not at this stage")),
        };
        metrics::add("modifications", 1, Some(("result", label)));
        if let Some(why) = why {
            let kind = wanted.get("type").and_then(Value::as_str).unwrap_or_default();
            let kind: String = kind.chars().filter(char::is_ascii_alphabetic).take(32).collect();
            log::debug("modification is not made", &[("type", &kind), ("why", why)]);
        }
    }
}

fn edit(modification: &Modification, known: &Known<'_>) -> Result<(), EditError> {
    let transaction = || known.transaction.ok_or(EditError::TooLate);
    let message = || known.message.ok_or(EditError::TooLate);
    match modification {
        Modification::ChangeFrom { value } => {
            let address = bare(value);
            transaction()?.set_sender((!address.is_empty()).then_some(address))
        }
        Modification::AddRecipient { value } => transaction()?.add_recipient(bare(value)).map(drop),
        Modification::DeleteRecipient { value } => delete_recipient(transaction()?, bare(value)),
        Modification::ReplaceContents { value } => {
            let writer = message()?.replace_body()?;
            for chunk in value.as_bytes().chunks(CHUNK) {
                writer.write(chunk)?;
            }
            writer.finish()
        }
        Modification::AddHeader { name, value } => add(message()?, None, name, value),
        Modification::InsertHeader { index, name, value } => {
            let message = message()?;
            let at = (*index).min(count(&message.header_section()));
            add(message, Some(at), name, value)
        }
        Modification::ChangeHeader { index, name, value } => {
            let (message, value) = (message()?, field_value(value));
            let nth = index.saturating_sub(1);
            // As in milters.
            if value.is_empty() {
                return message.drop_header(name, nth);
            }
            message.set_header(name, nth, value.as_bytes())
        }
        Modification::DeleteHeader { index, name } => {
            message()?.drop_header(name, index.saturating_sub(1))
        }
    }
}

fn add(message: &Message, at: Option<u32>, name: &str, value: &str) -> Result<(), EditError> {
    message.add_header(at, name, field_value(value).as_bytes())
}

fn delete_recipient(transaction: &Transaction, address: &str) -> Result<(), EditError> {
    let recipients = transaction.recipients();
    let found = recipients.iter().find(|one| one.address.eq_ignore_ascii_case(address));
    transaction.drop_recipient(found.ok_or(EditError::OutOfRange)?.index)
}

fn bare(address: &str) -> &str {
    let text = address.trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// Field lines that do not continue another.
fn count(section: &[u8]) -> u32 {
    let lines = section.split(|octet| *octet == b'\n');
    let starts = |line: &&[u8]| line.first().is_some_and(|first| !b" \t\r".contains(first));
    u32::try_from(lines.filter(starts).count()).unwrap_or(u32::MAX)
}

/// The gateway has its own bounds.
const MOST: usize = 500;
const CHUNK: usize = 64 * 1024;
