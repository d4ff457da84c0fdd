//! What a sender is told about the fate of mail that was accepted (RFC 3461, RFC 3464, RFC 6533).
//!
//! A report has three parts: words for people, fields for programs, and what came of the message itself.
//! It goes from nobody (`<>`), so that it is never answered by another one.

mod fields;
mod words;

use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::mime::{BodyPart, MimePart};
use portcullis_smtp::parameter::{has, value_of};
use portcullis_smtp::{Mailbox, Parameter};

use crate::message::{Content, HeaderSection, Message, Outbound};
use crate::metrics::ReportKind;
use crate::spool::{Addressee, Entry};

/// What one report says.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// The gateway's own name.
    pub(super) hostname: &'a str,
    /// Whom it goes to.
    pub(super) to: &'a Mailbox,
    /// The message that it is about.
    pub(super) entry: &'a Entry,
    pub(super) original: &'a Outbound,
    pub(super) kind: ReportKind,
    pub(super) told: &'a [Told<'a>],
    /// A larger message is not returned whole.
    pub(super) returned_octets: u64,
    pub(super) now: Timestamp,
}

/// What became of the message for one recipient.
#[derive(Debug)]
pub(super) struct Told<'a> {
    pub(super) addressee: &'a Addressee,
    /// What the upstream said, or the gateway.
    pub(super) said: &'a str,
    pub(super) action: Action,
    /// Until when it is tried.
    pub(super) until: Option<Timestamp>,
}

/// RFC 3464 section 2.3.3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    Delayed,
    Delivered,
    Failed,
    /// To a system that knows no reports.
    Relayed,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Relayed => "relayed",
        }
    }
}

/// Whether a sender wants to hear of this (RFC 3461 section 4.1). Who says nothing hears of failures, and of
/// delays if the operator wants that.
pub(super) fn is_wanted(addressee: &Addressee, kind: ReportKind) -> bool {
    let word = match kind {
        ReportKind::Delayed => "DELAY",
        ReportKind::Delivered => "SUCCESS",
        ReportKind::Failed => "FAILURE",
    };
    match value_of(&addressee.parameters, "NOTIFY") {
        Some(wanted) => wanted.split(',').any(|one| one == word),
        None => kind != ReportKind::Delivered,
    }
}

impl Report<'_> {
    /// The report as a message, and what is said behind MAIL for it.
    ///
    /// # Errors
    ///
    /// If the original cannot be read.
    pub(super) fn compose(&self) -> io::Result<(Vec<Parameter>, Outbound)> {
        let returned = self.returned()?;
        let international = self.is_international();
        let eight_bit = !returned.is_ascii() || international;
        let octets = self.message(returned, international, eight_bit);
        let end = HeaderSection::find_end(&octets, 0).unwrap_or(octets.len());
        let (header, body) = octets.split_at(end);
        let header = Arc::new(HeaderSection::parse(header.to_vec()));
        let message = Message::new(header, Content::from_bytes(body.to_vec()));
        let mut parameters = Vec::new();
        if eight_bit {
            let value = Some("8BITMIME".to_owned());
            parameters.push(Parameter { keyword: "BODY".to_owned(), value });
        }
        if international {
            parameters.push(Parameter { keyword: "SMTPUTF8".to_owned(), value: None });
        }
        Ok((parameters, Outbound { prefix: Vec::new(), message }))
    }

    fn message(&self, returned: Vec<u8>, international: bool, eight_bit: bool) -> Vec<u8> {
        let status = match international {
            true => "message/global-delivery-status",
            false => "message/delivery-status",
        };
        let bits = |eight| if eight { "8bit" } else { "7bit" };
        let words = MimePart::new("text/plain", BodyPart::Text(self.words().into()));
        let fields = self.fields(international).into_bytes();
        let fields_bits = bits(!fields.is_ascii());
        let fields = MimePart::new(status, BodyPart::Binary(fields.into()));
        let returned_bits = bits(!returned.is_ascii());
        let returned =
            MimePart::new(self.returned_type(international), BodyPart::Binary(returned.into()));
        let parts = vec![
            words,
            fields.transfer_encoding(fields_bits),
            returned.transfer_encoding(returned_bits),
        ];
        let kind = ContentType::new("multipart/report").attribute(
            "report-type",
            if international { "global-delivery-status" } else { "delivery-status" },
        );
        let mut body = MimePart::new(kind, BodyPart::Multipart(parts));
        if eight_bit {
            body = body.transfer_encoding("8bit");
        }
        let hostname = self.hostname;
        let mut message = MessageBuilder::new()
            .header("From", Raw::new(format!("Mail Delivery System <MAILER-DAEMON@{hostname}>")))
            .header("To", Raw::new(format!("<{}>", self.to)))
            .header("Subject", Raw::new(self.subject()))
            .header("Date", Raw::new(date(self.now)))
            .header("Message-ID", Raw::new(format!("<{}@{hostname}>", crate::spool::Id::fresh())))
            .header("Auto-Submitted", Raw::new("auto-replied"));
        if let Some(id) = self.message_id() {
            message = message
                .header("In-Reply-To", Raw::new(id.clone()))
                .header("References", Raw::new(id));
        }
        let mut octets = Vec::new();
        message.body(body).serialize(&mut octets);
        octets
    }

    /// The id of the original, if it is one that may be repeated.
    fn message_id(&self) -> Option<String> {
        let id = self.original.message.header.value("Message-ID", 0)?;
        let id = String::from_utf8(id).ok()?;
        let id = id.trim();
        let plain = id.bytes().all(|octet| matches!(octet, b'!'..=b'~'));
        (plain && id.len() <= 250 && id.starts_with('<') && id.ends_with('>'))
            .then(|| id.to_owned())
    }

    /// Whether the report cannot be told in ASCII (RFC 6533 section 3).
    fn is_international(&self) -> bool {
        let utf8 = has(&self.entry.parameters, "SMTPUTF8");
        !self.to.is_ascii()
            || self.told.iter().any(|told| !told.addressee.address.is_ascii())
            || utf8 && !self.original.message.header.as_bytes().is_ascii()
    }

    /// Whether the message itself goes back, or its header section alone. RFC 3461 section 4.3: only what
    /// failed goes back whole; RFC 8689 section 5: nothing whole that needed TLS all the way.
    fn is_whole(&self) -> bool {
        let wanted = value_of(&self.entry.parameters, "RET") != Some("HDRS");
        let binary = value_of(&self.entry.parameters, "BODY") == Some("BINARYMIME");
        wanted
            && !binary
            && self.kind == ReportKind::Failed
            && !has(&self.entry.parameters, "REQUIRETLS")
            && self.original.octets() <= self.returned_octets
    }

    fn returned_type(&self, international: bool) -> &'static str {
        match (self.is_whole(), international) {
            (true, false) => "message/rfc822",
            (true, true) => "message/global",
            (false, false) => "text/rfc822-headers",
            (false, true) => "message/global-headers",
        }
    }

    fn returned(&self) -> io::Result<Vec<u8>> {
        let header = &self.original.message.header;
        let mut octets = self.original.prefix.clone();
        if !self.is_whole() {
            let fields = header.fields_as_bytes();
            octets.extend_from_slice(&fields[..fields.len().min(HEADER_OCTETS)]);
            if !octets.ends_with(b"\r\n") {
                octets.extend_from_slice(b"\r\n");
            }
            return Ok(octets);
        }
        octets.extend_from_slice(header.as_bytes());
        let body = &self.original.message.body;
        let mut at = 0;
        let mut chunk = vec![0; CHUNK_OCTETS];
        loop {
            let count = body.read_at(at, &mut chunk)?;
            if count == 0 {
                return Ok(octets);
            }
            octets.extend_from_slice(&chunk[..count]);
            at += count as u64;
        }
    }
}

/// As `Date` and the fields of a report have it.
fn date(moment: Timestamp) -> String {
    rfc2822::to_string(&moment.to_zoned(TimeZone::UTC)).unwrap_or_default()
}

/// Of a header section that is returned alone.
const HEADER_OCTETS: usize = 64 << 10;
const CHUNK_OCTETS: usize = 64 << 10;

#[cfg(test)]
mod tests;
