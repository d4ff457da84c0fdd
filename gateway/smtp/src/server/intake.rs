//! Content on its way in: decoded, counted, and refused where a limit says so.
//!
//! What is refused is swallowed to its end, because its rest would be run as commands otherwise.

use super::limit::Limit;
use super::replies;
use super::settings::{BareNewlines, Settings};
use crate::Reply;
use crate::body::{Decoded, Decoder};
use crate::header::HeaderScan;

/// The content of one message, so far.
#[derive(Debug, Default)]
pub(super) struct Intake {
    decoder: Decoder,
    header: HeaderScan,
    octets: u64,
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
    /// Takes a piece of input; what passes is appended to `content`.
    pub(super) fn take(
        &mut self,
        octets: &[u8],
        settings: &Settings,
        content: &mut Vec<u8>,
    ) -> Taken {
        let before = content.len();
        let decoded = self.decoder.decode(octets, content);
        // Goes on after a refusal, so that what is told does not depend on segments.
        self.refusal = self.refusal.max(self.judge(&content[before..], decoded, settings));
        if self.refusal.is_some() {
            content.clear();
        }
        Taken { used: decoded.used, ended: decoded.ended }
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    fn judge(&mut self, piece: &[u8], decoded: Decoded, settings: &Settings) -> Option<Refusal> {
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
        } else if decoded.bare && settings.bare_newlines == BareNewlines::Refuse {
            Some(Refusal::BareNewline)
        } else {
            None
        }
    }
}
