//! What rspamd wants to be changed, under the grants that are there.

use std::cell::Cell;

use portcullis_plugin::{EditError, Message, Transaction, log, metrics};
use serde_json::Value;
use terms::field_value;

use crate::answer::{Action, Answer};
use crate::settings::Settings;

/// What all edits of one answer need to know.
pub(crate) struct Edits<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) transaction: &'a Transaction,
    pub(crate) message: &'a Message,
    /// There are more fields to be taken away than a call has edits (1,000): who sends as many wants some
    /// to stay.
    pub(crate) overfull: Cell<bool>,
}

impl Edits<'_> {
    /// Makes those that rspamd asks for itself. False if no recipient is left.
    pub(crate) fn make(&self, answer: &Answer, action: Action) -> bool {
        let milter = &answer.milter;
        self.remove_headers(&milter["remove_headers"]);
        self.add_headers(&milter["add_headers"]);
        for signature in one_or_more(&answer.dkim_signature).filter_map(Value::as_str) {
            self.add(Some(0), "DKIM-Signature", signature);
        }
        if action == Action::AddHeader
            && let Some(headers) = milter["spam_header"].as_object()
        {
            for (name, value) in headers.iter().take(MOST) {
                self.replace(name, &text(value));
            }
        }
        if let Some(sender) = milter["change_from"].as_str() {
            let sender = address(sender);
            let sender = (!sender.is_empty()).then_some(sender);
            self.tell("change_from", self.transaction.set_sender(sender));
        }
        self.recipients(milter)
    }

    /// Marks it as spam.
    pub(crate) fn tag(&self, answer: &Answer) {
        match &answer.milter["spam_header"] {
            // Done already.
            Value::Object(_) if self.settings.edits => {}
            value => self.replace(&self.settings.spam_header, value.as_str().unwrap_or("Yes")),
        }
    }

    pub(crate) fn subject(&self, answer: &Answer) {
        match answer.subject.as_deref().map(field_value) {
            Some(subject) if !subject.is_empty() => {
                let result = if self.message.header("Subject").is_empty() {
                    self.message.add_header(None, "Subject", subject.as_bytes())
                } else {
                    self.message.set_header("Subject", 0, subject.as_bytes())
                };
                self.tell("subject", result);
            }
            _ => self.tag(answer),
        }
    }

    /// By name: 0 are all, 1 is the first, -1 the last.
    fn remove_headers(&self, wanted: &Value) {
        for (name, which) in wanted.as_object().into_iter().flatten().take(MOST) {
            let count = self.message.header(name).len();
            for which in one_or_more(which).take(MOST) {
                let Some(which) = which.as_i64() else { continue };
                let at = usize::try_from(which.unsigned_abs()).unwrap_or(usize::MAX);
                let chosen = match which {
                    0 => 0..count,
                    1.. => at - 1..count.min(at),
                    _ if at <= count => count - at..count - at + 1,
                    _ => 0..0,
                };
                for nth in chosen {
                    let nth = u32::try_from(nth).unwrap_or(u32::MAX);
                    self.drop(name, nth);
                }
            }
        }
    }

    /// By name: a value, `{value, order}`, or several of them.
    fn add_headers(&self, wanted: &Value) {
        let mut fields = None;
        for (name, values) in wanted.as_object().into_iter().flatten().take(MOST) {
            for value in one_or_more(values).take(MOST) {
                let (value, order) = match value {
                    Value::Object(both) => (both.get("value"), both.get("order")),
                    value => (Some(value), None),
                };
                let Some(value) = value.map(text) else { continue };
                let at = order.and_then(Value::as_i64).and_then(|order| {
                    let fields =
                        *fields.get_or_insert_with(|| count(&self.message.header_section()));
                    let at = if order < 0 { fields + order + 1 } else { order };
                    u32::try_from(at.clamp(0, fields)).ok()
                });
                self.add(at, name, &value);
            }
        }
    }

    fn add(&self, at: Option<u32>, name: &str, value: &str) {
        let value = field_value(value);
        self.tell("add_header", self.message.add_header(at, name, value.as_bytes()));
    }

    /// Nobody else's field of this name stays.
    fn replace(&self, name: &str, value: &str) {
        for nth in 0..self.message.header(name).len() {
            self.drop(name, u32::try_from(nth).unwrap_or(u32::MAX));
        }
        self.add(None, name, value);
    }

    fn drop(&self, name: &str, nth: u32) {
        if self.overfull.get() {
            return;
        }
        let result = self.message.drop_header(name, nth);
        self.overfull.set(result == Err(EditError::OutOfRange));
        self.tell("remove_header", result);
    }

    fn recipients(&self, milter: &Value) -> bool {
        let addresses = |key: &str| {
            let all = one_or_more(&milter[key]).filter_map(Value::as_str).map(address);
            all.take(MOST).map(str::to_owned).collect::<Vec<_>>()
        };
        let (add, delete) = (addresses("add_rcpt"), addresses("del_rcpt"));
        let mut added = 0;
        for address in add {
            let result = self.transaction.add_recipient(&address).map(drop);
            added += usize::from(result.is_ok());
            self.tell("add_recipient", result);
        }
        if delete.is_empty() {
            return true;
        }
        let known = self.transaction.recipients();
        let mut left = known.len() + added;
        for recipient in known {
            if delete.iter().any(|one| one.eq_ignore_ascii_case(&recipient.address)) {
                let result = self.transaction.drop_recipient(recipient.index);
                left -= usize::from(result.is_ok());
                self.tell("delete_recipient", result);
            }
        }
        left > 0
    }

    /// What is not granted is not done, and no failure: rspamd need not know what we may do.
    fn tell(&self, edit: &str, result: Result<(), EditError>) {
        let (label, error) = match result {
            Ok(()) => ("done", None),
            Err(EditError::Denied) => ("denied", Some("not granted")),
            Err(EditError::Malformed) => ("refused", Some("malformed")),
            Err(EditError::OutOfRange | EditError::TooLate) => ("refused", Some("out of range")),
        };
        metrics::add("edits", 1, Some(("result", label)));
        if let Some(error) = error {
            log::debug("rspamd's edit is not made", &[("edit", edit), ("why", error)]);
        }
    }
}

/// Field lines that do not continue another.
fn count(section: &[u8]) -> i64 {
    let lines = section.split(|octet| *octet == b'\n');
    let starts = |line: &&[u8]| line.first().is_some_and(|first| !b" \t\r".contains(first));
    i64::try_from(lines.filter(starts).count()).unwrap_or(i64::MAX - 1)
}

fn one_or_more(value: &Value) -> impl Iterator<Item = &Value> {
    let (many, one) = match value {
        Value::Array(many) => (&many[..], None),
        Value::Null => (&[][..], None),
        one => (&[][..], Some(one)),
    };
    many.iter().chain(one)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn address(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// Of each kind. The gateway has its own bounds.
const MOST: usize = 200;
