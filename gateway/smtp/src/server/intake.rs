//! Content on its way in, after DATA or in chunks: decoded, counted, and refused where a limit says
//! so.
//!
//! What is refused is swallowed to its end, because its rest would be run as commands otherwise.

use super::limit::Limit;
use super::replies;
use super::settings::{BareNewlines, Settings};
use crate::Reply;
use crate::body::Decoder;
use crate::header::HeaderScan;

/// The content of one message, so far.
#[derive(Debug, Default)]
pub(super) struct Intake {
    decoder: Decoder,
    header: HeaderScan,
    octets: u64,
    /// BODY=BINARYMIME: kept octet for octet (RFC 3030 section 3).
    binary: bool,
    /// A CR, LF or NUL stood alone in it.
    bare: bool,
    refusal: Option<Refusal>,
}

/// Why the session itself refuses a message; the last of those that apply is told.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Refusal {
    BareNewline,
    HeaderFields,
    HeaderTooLarge,
    Loop,
    TooLarge,
}

impl Refusal {
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::BareNewline => replies::bare_newline(),
            Self::HeaderFields => replies::too_many_fields(),
            Self::HeaderTooLarge => replies::header_too_large(),
            Self::Loop => replies::too_many_hops(),
            Self::TooLarge => replies::too_large(),
        }
    }

    /// The bound that was reached, if it is one.
    pub(super) fn limit(self) -> Option<Limit> {
        Some(match self {
            Self::BareNewline => return None,
            Self::HeaderFields => Limit::HeaderFields,
            Self::HeaderTooLarge => Limit::Header,
            Self::Loop => Limit::ReceivedHops,
            Self::TooLarge => Limit::Message,
        })
    }
}

/// What one piece of input was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Taken {
    /// Octets of it that belong to the content.
    pub(super) used: usize,
    /// Whether the content is complete.
    pub(super) ended: bool,
}

impl Intake {
    pub(super) fn new(binary: bool) -> Self {
        Self { binary, ..Self::default() }
    }

    /// Takes a piece of input behind DATA; what passes is appended to `content`.
    pub(super) fn take(
        &mut self,
        octets: &[u8],
        settings: &Settings,
        content: &mut Vec<u8>,
    ) -> Taken {
        let before = content.len();
        let decoded = self.decoder.decode(octets, content);
        self.admit(before, decoded.bare, settings, content);
        Taken { used: decoded.used, ended: decoded.ended }
    }

    /// Takes a piece of a chunk; what passes is appended to `content`.
    pub(super) fn take_chunk(&mut self, octets: &[u8], settings: &Settings, content: &mut Vec<u8>) {
        let before = content.len();
        let bare = if self.binary {
            content.extend_from_slice(octets);
            false
        } else {
            self.decoder.decode_chunk(octets, content)
        };
        self.admit(before, bare, settings, content);
    }

    /// The last chunk is complete. A CRLF that the client left out is not held against it.
    pub(super) fn finish_chunks(&mut self, settings: &Settings, content: &mut Vec<u8>) {
        if !self.binary && self.decoder.finish_chunks(content) {
            self.admit(content.len(), true, settings, content);
        }
        if self.refusal.is_some() {
            content.clear();
        }
    }

    /// Refuses content that would become too large with a chunk of this size, before any of it
    /// has come.
    pub(super) fn expect_chunk(&mut self, octets: u64, settings: &Settings) {
        if self.octets.saturating_add(octets) > settings.limits.message_octets {
            self.refusal = Some(Refusal::TooLarge);
        }
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    pub(super) fn is_bare(&self) -> bool {
        self.bare
    }

    /// Counts what was decoded since `before`, and drops all of it if the message is refused.
    fn admit(&mut self, before: usize, bare: bool, settings: &Settings, content: &mut Vec<u8>) {
        self.bare |= bare;
        // Goes on after a refusal, so that what is told does not depend on segments.
        self.refusal = self.refusal.max(self.judge(&content[before..], bare, settings));
        if self.refusal.is_some() {
            content.clear();
        }
    }

    fn judge(&mut self, piece: &[u8], bare: bool, settings: &Settings) -> Option<Refusal> {
        self.octets = self.octets.saturating_add(piece.len() as u64);
        self.header.read(piece);
        let limits = &settings.limits;
        if self.octets > limits.message_octets {
            Some(Refusal::TooLarge)
        } else if self.header.received > limits.received_hops {
            Some(Refusal::Loop)
        } else if self.header.octets > limits.header_octets {
            Some(Refusal::HeaderTooLarge)
        } else if self.header.fields > limits.header_fields {
            Some(Refusal::HeaderFields)
        } else if bare && settings.bare_newlines == BareNewlines::Refuse {
            Some(Refusal::BareNewline)
        } else {
            None
        }
    }
}
