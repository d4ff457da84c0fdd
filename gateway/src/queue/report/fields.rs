//! The part of a report that programs read.

use std::fmt::Write;

use portcullis_smtp::EnhancedStatus;
use portcullis_smtp::parameter::value_of;

use super::super::fate;
use super::{Action, Report, Told, date};

impl Report<'_> {
    /// RFC 3464 section 2: fields about the message, and a group for each recipient.
    pub(super) fn fields(&self, international: bool) -> String {
        let mut fields = Fields { text: String::new(), international };
        fields.put("Reporting-MTA", &format!("dns; {}", self.hostname));
        if let Some(id) = value_of(&self.entry.parameters, "ENVID") {
            fields.put("Original-Envelope-Id", id);
        }
        fields.put("Arrival-Date", &date(self.entry.accepted));
        for told in self.told {
            fields.text.push_str("\r\n");
            self.recipient(told, &mut fields);
        }
        fields.text
    }

    fn recipient(&self, told: &Told<'_>, fields: &mut Fields) {
        let addressee = told.addressee;
        if let Some(original) = value_of(&addressee.parameters, "ORCPT") {
            let (kind, address) = original.split_once(';').unwrap_or(("unknown", original));
            fields.put("Original-Recipient", &format!("{kind}; {address}"));
        }
        // RFC 6533 section 3.
        let kind = if addressee.address.is_ascii() { "rfc822" } else { "utf-8" };
        fields.put("Final-Recipient", &format!("{kind}; {}", addressee.address));
        fields.put("Action", told.action.word());
        fields.put("Status", &status(told));
        if let Some(answer) = fate::answer(told.said) {
            fields.put("Remote-MTA", &format!("x-upstream; {}", addressee.upstream));
            fields.put("Diagnostic-Code", &format!("smtp; {answer}"));
        }
        fields.put("Last-Attempt-Date", &date(self.now));
        if let Some(until) = told.until {
            fields.put("Will-Retry-Until", &date(until));
        }
    }
}

/// RFC 3464 section 2.3.4: the class is that of the action, whatever the upstream says.
fn status(told: &Told<'_>) -> String {
    let said = told.said.split_once(' ').and_then(|(_, text)| EnhancedStatus::strip(text));
    let class = match told.action {
        Action::Delayed => 4,
        Action::Delivered | Action::Relayed => 2,
        Action::Failed => 5,
    };
    let (_, subject, detail) = said.map_or((class, 0, 0), |(status, _)| status.parts());
    format!("{class}.{subject}.{detail}")
}

struct Fields {
    text: String,
    international: bool,
}

impl Fields {
    /// A field whose value came from elsewhere: nothing in it ends a line, and it is folded.
    fn put(&mut self, name: &str, value: &str) {
        let plain = |c: char| match c {
            _ if c.is_control() => ' ',
            _ if !c.is_ascii() && !self.international => '?',
            _ => c,
        };
        let value: String = value.chars().take(MOST_CHARACTERS).map(plain).collect();
        let _ = write!(self.text, "{name}:");
        let mut column = name.len() + 1;
        for word in value.split(' ').filter(|word| !word.is_empty()) {
            if column + word.len() >= LINE_OCTETS && column > name.len() + 1 {
                self.text.push_str("\r\n");
                column = 0;
            }
            self.text.push(' ');
            self.text.push_str(word);
            column += word.len() + 1;
        }
        self.text.push_str("\r\n");
    }
}

/// RFC 5322 section 2.1.1: what a line should have at most.
const LINE_OCTETS: usize = 78;
/// Of a value: no word of it comes near the 998 octets that a line may have.
const MOST_CHARACTERS: usize = 900;
