//! Tells the parts of messages, cuts some out and gives points, for the tests of the gateway.

use std::collections::BTreeMap;

use portcullis_plugin::{EditError, Hook, Message, Part, Recipient, Transaction, Verdict, plugin};
use serde::Deserialize;
use serde_json::json;

/// The plugin is its settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Carver {
    /// Whether to write each part and each symbol so far into a header; grant `rewrite-headers`.
    tell: bool,
    /// Names of files that are cut out; grant `rewrite-body`.
    cut: Vec<String>,
    /// What the last part of a message is replaced by; the same grant.
    last: Option<String>,
    /// Points for recipients, by their local part, under the symbol `RCPT`.
    recipients: BTreeMap<String, f64>,
    /// Whether to give what the fields `X-Points: SYMBOL 7.5` say.
    points: bool,
}

#[plugin]
impl Carver {
    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    fn skip(&self) -> Vec<Hook> {
        if self.recipients.is_empty() { vec![Hook::Rcpt] } else { Vec::new() }
    }

    fn rcpt(&self, transaction: &Transaction, recipient: &Recipient) -> Result<Verdict, EditError> {
        let local = recipient.address.split('@').next().unwrap_or_default();
        if let Some(points) = self.recipients.get(local) {
            transaction.score("RCPT", *points)?;
        }
        Ok(Verdict::Next)
    }

    fn message(&self, transaction: &Transaction, message: &Message) -> Result<Verdict, EditError> {
        if self.tell {
            tell(transaction, message)?;
        }
        self.carve(message)?;
        for field in message.header_text("X-Points").iter().filter(|_| self.points) {
            let (symbol, points) = field.split_once(' ').unwrap_or((field, "nothing"));
            transaction.score(symbol, points.parse().unwrap_or(f64::NAN))?;
        }
        Ok(Verdict::Next)
    }
}

impl Carver {
    /// A part goes as a whole: from the end of the one before it to its own.
    fn carve(&self, message: &Message) -> Result<(), EditError> {
        let parts = message.parts();
        for part in &parts {
            let name = part.file_name.as_deref().unwrap_or_default();
            if self.cut.iter().any(|cut| cut == name)
                && let Some((at, length)) = part.encoded
            {
                let before =
                    |other: &&Part| other.parent == part.parent && other.index < part.index;
                let from = match parts.iter().rfind(before).and_then(|one| one.encoded) {
                    Some((at, length)) => at + length,
                    None => at,
                };
                message.splice_body(from, at + length - from, b"")?;
            }
        }
        if let (Some(text), Some((at, length))) =
            (&self.last, parts.last().and_then(|part| part.encoded))
        {
            message.splice_body(at, length, text.as_bytes())?;
        }
        Ok(())
    }
}

fn tell(transaction: &Transaction, message: &Message) -> Result<(), EditError> {
    for part in message.parts() {
        let content = message.read_part(part.index).map(|content| content.read(64));
        let told = json!({
            "parent": part.parent,
            "type": part.content_type,
            "name": part.file_name,
            "size": part.size,
            "content": content.map(|content| String::from_utf8_lossy(&content).into_owned()),
        });
        message.add_header(None, "X-Part", told.to_string().as_bytes())?;
    }
    for (symbol, points) in transaction.scores() {
        message.add_header(None, "X-Symbol", format!("{symbol} {points}").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use portcullis_plugin::testing::{self, Grant};

    use super::*;

    #[test]
    fn parts_and_symbols_are_told() {
        let carver: Carver = testing::configure(&json!({ "tell": true })).unwrap();
        let message = Message::fake("Subject: a\n\nb\n").with_grant(Grant::RewriteHeaders);
        let message = message.with_part("text/plain", Some("a.txt"), b"text");
        carver.message(&Transaction::fake(), &message).unwrap();
        let part =
            r#"{"content":"text","name":"a.txt","parent":null,"size":4,"type":"text/plain"}"#;
        assert_eq!(message.edited_text(), format!("Subject: a\r\nX-Part: {part}\r\n\r\nb\r\n"));
    }
}
