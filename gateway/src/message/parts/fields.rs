//! What the header section of a part says about its body.

use std::panic::{AssertUnwindSafe, catch_unwind};

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, X_USER_DEFINED};
use mail_parser::ContentType;
use mail_parser::parsers::MessageStream;

use crate::message::HeaderSection;

/// What stands in the fields whose names begin with `Content-`.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) content_type: String,
    pub(super) charset: Option<String>,
    pub(super) disposition: Option<String>,
    pub(super) file_name: Option<String>,
    /// What parts are set apart by, for a multipart.
    pub(super) boundary: Option<Vec<u8>>,
    transfer: Transfer,
}

/// How octets became lines that any server takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transfer {
    Base64,
    /// 7bit, 8bit, binary, and what nobody knows.
    Identity,
    QuotedPrintable,
}

/// How a body became octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) transfer: Transfer,
    /// The charset of text, which leaves as UTF-8; none is left as it is.
    pub(super) text: Option<&'static Encoding>,
}

impl Fields {
    /// Reads what a part says. A part of a digest that says nothing is a message (RFC 2046
    /// section 5.1.5).
    pub(super) fn of(header: &HeaderSection, parent: Option<&Self>) -> Self {
        let told = |name: &str| header.value(name, 0).and_then(parsed);
        let content_type = told("Content-Type");
        let disposition = told("Content-Disposition");
        let attribute = |of: &Option<ContentType<'_>>, name| {
            of.as_ref().and_then(|of| of.attribute(name)).map(str::to_owned)
        };
        let named =
            attribute(&disposition, "filename").or_else(|| attribute(&content_type, "name"));
        let boundary = attribute(&content_type, "boundary");
        let boundary = boundary.map(|boundary| boundary.trim_end().as_bytes().to_vec());
        Self {
            charset: attribute(&content_type, "charset").and_then(|name| word(&name)),
            disposition: disposition.and_then(|said| word(said.ctype())),
            file_name: named.map(|name| shown(&name)).filter(|name| !name.is_empty()),
            boundary: boundary.filter(|boundary| !boundary.is_empty()),
            transfer: transfer(header),
            content_type: media_type(content_type.as_ref(), parent),
        }
    }

    pub(super) fn is_multipart(&self) -> bool {
        self.content_type.starts_with("multipart/")
    }

    /// Whether this is a message whose parts stand there to be read.
    pub(super) fn is_plain_message(&self) -> bool {
        self.is_message() && self.transfer == Transfer::Identity
    }

    pub(super) fn is_encoded_message(&self) -> bool {
        self.is_message() && self.transfer != Transfer::Identity
    }

    fn is_message(&self) -> bool {
        matches!(&*self.content_type, "message/rfc822" | "message/global")
    }

    pub(super) fn form(&self) -> Form {
        let charset = || match self.charset.as_deref() {
            // Who says that it is ASCII and has other octets means UTF-8 most of the time.
            None | Some("us-ascii" | "ascii") => UTF_8,
            Some(name) => match Encoding::for_label(name.as_bytes()) {
                // In these everything would be lost.
                Some(known) if known != REPLACEMENT && known != X_USER_DEFINED => known,
                Some(_) | None => UTF_8,
            },
        };
        let text = self.content_type.starts_with("text/").then(charset);
        Form { transfer: self.transfer, text }
    }
}

/// The media type and its parameters. The parser is not ours and what it reads is anybody's, so that
/// a defect of its must not be more than a part without a type.
fn parsed(mut value: Vec<u8>) -> Option<ContentType<'static>> {
    value.truncate(VALUE_OCTETS);
    value.push(b'\n');
    let parse = || MessageStream::new(&value).parse_content_type().into_owned();
    catch_unwind(AssertUnwindSafe(parse)).ok()?.into_content_type()
}

/// In small letters; what is no type is what RFC 2045 section 5.2 says.
fn media_type(said: Option<&ContentType<'_>>, parent: Option<&Fields>) -> String {
    // Some forget the semicolon behind it.
    let first = |text: &str| text.split_ascii_whitespace().next().and_then(word);
    let named = said.and_then(|said| Some((first(said.ctype())?, first(said.subtype()?)?)));
    let named = named.map(|(kind, subtype)| format!("{kind}/{subtype}"));
    let digest = parent.is_some_and(|parent| parent.content_type == "multipart/digest");
    let default = if digest && said.is_none() { "message/rfc822" } else { "text/plain" };
    named.unwrap_or_else(|| default.to_owned())
}

fn transfer(header: &HeaderSection) -> Transfer {
    let value = header.value("Content-Transfer-Encoding", 0).unwrap_or_default();
    let end = value.iter().position(|octet| !octet.is_ascii_alphanumeric() && *octet != b'-');
    match &*value[..end.unwrap_or(value.len())].to_ascii_lowercase() {
        b"base64" => Transfer::Base64,
        b"quoted-printable" => Transfer::QuotedPrintable,
        _ => Transfer::Identity,
    }
}

/// One word of graphic ASCII, in small letters.
fn word(text: &str) -> Option<String> {
    let text = text.trim();
    let good =
        (1..=WORD_OCTETS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| text.to_ascii_lowercase())
}

fn shown(name: &str) -> String {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    name[..name.floor_char_boundary(NAME_OCTETS)].trim().to_owned()
}

/// Of the value of a field. The longest file names that are no attack have some hundreds.
const VALUE_OCTETS: usize = 4 << 10;

/// Of a type, a charset, a disposition.
const WORD_OCTETS: usize = 128;

/// Of a file name: four times what file systems take.
const NAME_OCTETS: usize = 1 << 10;
