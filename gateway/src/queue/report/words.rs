//! The part of a report that people read.

use std::fmt::Write;

use super::Report;
use crate::metrics::ReportKind;

impl Report<'_> {
    pub(super) fn subject(&self) -> &'static str {
        match self.kind {
            ReportKind::Delayed => "Delayed mail: it has not been delivered yet",
            ReportKind::Delivered => "Your mail has been delivered",
            ReportKind::Failed => "Undelivered mail returned to its sender",
        }
    }

    /// What happened, to whose mail, why, and what is to be done.
    pub(super) fn words(&self) -> String {
        let mut text = format!("This is the mail gateway {}.\r\n\r\n", self.hostname);
        text.push_str(match self.kind {
            ReportKind::Delayed => DELAYED,
            ReportKind::Delivered => DELIVERED,
            ReportKind::Failed => FAILED,
        });
        text.push_str("\r\n\r\n");
        for told in self.told {
            let _ = write!(text, "<{}>\r\n    {}\r\n", told.addressee.address, wrapped(told.said));
        }
        if let Some(until) = self.told.iter().find_map(|told| told.until) {
            let until = super::date(until);
            let _ = write!(text, "\r\nDelivery will be tried until {until}.\r\n");
        }
        text.push_str(match self.is_whole() {
            true => "\r\nYour message is attached.\r\n",
            false => "\r\nThe header of your message is attached.\r\n",
        });
        text
    }
}

/// An answer in lines that a person reads with ease. Control characters are blanks.
fn wrapped(said: &str) -> String {
    let said: String =
        said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST_CHARACTERS).collect();
    let (mut text, mut column) = (String::new(), 0);
    for word in said.split(' ').filter(|word| !word.is_empty()) {
        if column > 0 && column + word.len() > COLUMNS {
            text.push_str("\r\n    ");
            column = 0;
        } else if column > 0 {
            text.push(' ');
        }
        text.push_str(word);
        column += word.len() + 1;
    }
    text
}

const DELAYED: &str = "\
Your message has not been delivered yet to the recipients below. This is only\r\n\
a warning: you need not send it again, delivery is still being tried. The last\r\n\
answer stands below each address.";
const DELIVERED: &str = "\
Your message has been delivered to the recipients below, as you asked to be\r\n\
told. Where it was passed on to a system that sends no such reports, nothing\r\n\
more will be heard of it.";
const FAILED: &str = "\
Your message could not be delivered to the recipients below, and it will not\r\n\
be tried again. The reason stands below each address. If it does not help you,\r\n\
please send it to your postmaster.";
const COLUMNS: usize = 72;
const MOST_CHARACTERS: usize = 2000;
