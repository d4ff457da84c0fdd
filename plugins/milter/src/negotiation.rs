//! What gateway and filter agree upon (SMFIC_OPTNEG).

use crate::packet::{Failure, Wire};
use crate::settings::Edits;

/// What a filter wants to be told, and may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    version: u32,
    actions: u32,
    steps: u32,
}

impl Terms {
    pub(crate) fn agree(wire: &mut Wire, edits: &[Edits]) -> Result<Self, Failure> {
        let offered = offered(edits);
        let words = [VERSION, offered, STEPS];
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        wire.put(b'O', &data)?;
        let (command, data) = wire.take()?;
        let word = |at: usize| {
            let octets = data.get(at * 4..at * 4 + 4)?;
            Some(u32::from_be_bytes(octets.try_into().ok()?))
        };
        let (b'O', Some(version), Some(actions), Some(steps)) =
            (command, word(0), word(1), word(2))
        else {
            return Err(Failure::Protocol);
        };
        // What follows are the macros that it wishes for; it gets all that there are.
        if !(2..=VERSION).contains(&version) || actions & !offered != 0 || steps & !STEPS != 0 {
            return Err(Failure::Protocol);
        }
        Ok(Self { version, actions, steps })
    }

    /// Whether it wants to hear of this.
    pub(crate) fn wants(self, step: Step) -> bool {
        self.steps & step.unwanted() == 0 && (step != Step::Data || self.version >= 4)
    }

    /// Whether it answers that.
    pub(crate) fn answers(self, step: Step) -> bool {
        self.steps & step.unanswered() == 0
    }

    pub(crate) fn may(self, action: u32) -> bool {
        self.actions & action != 0
    }

    /// Whether values of headers keep the blank behind the colon.
    pub(crate) fn keeps_blanks(self) -> bool {
        self.steps & LEADING_BLANKS != 0
    }
}

/// The steps of a transaction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Connect,
    Helo,
    Mail,
    Rcpt,
    Data,
    Header,
    EndOfHeaders,
    Body,
}

impl Step {
    /// The bit that says not to tell of it (SMFIP_NO...).
    fn unwanted(self) -> u32 {
        match self {
            Self::Connect => 0x01,
            Self::Helo => 0x02,
            Self::Mail => 0x04,
            Self::Rcpt => 0x08,
            Self::Body => 0x10,
            Self::Header => 0x20,
            Self::EndOfHeaders => 0x40,
            Self::Data => 0x200,
        }
    }

    /// The bit that says not to wait for an answer (SMFIP_NR_...).
    fn unanswered(self) -> u32 {
        match self {
            Self::Header => 0x80,
            Self::Connect => 0x1000,
            Self::Helo => 0x2000,
            Self::Mail => 0x4000,
            Self::Rcpt => 0x8000,
            Self::Data => 0x1_0000,
            Self::EndOfHeaders => 0x4_0000,
            Self::Body => 0x8_0000,
        }
    }
}

/// What the operator lets it change, and what every filter may say.
fn offered(edits: &[Edits]) -> u32 {
    edits.iter().fold(QUARANTINE, |offered, edit| {
        offered
            | match edit {
                Edits::Headers => ADD_HEADERS | CHANGE_HEADERS,
                Edits::Body => CHANGE_BODY,
                Edits::Envelope => ADD_RECIPIENTS | DROP_RECIPIENTS | CHANGE_SENDER,
            }
    })
}

/// SMFIF_..., what a filter may ask for at the end of a message.
pub(crate) const ADD_HEADERS: u32 = 0x01;
pub(crate) const CHANGE_BODY: u32 = 0x02;
pub(crate) const ADD_RECIPIENTS: u32 = 0x04;
pub(crate) const DROP_RECIPIENTS: u32 = 0x08;
pub(crate) const CHANGE_HEADERS: u32 = 0x10;
pub(crate) const QUARANTINE: u32 = 0x20;
pub(crate) const CHANGE_SENDER: u32 = 0x40;

/// SMFI_PROT_VERSION.
const VERSION: u32 = 6;

/// SMFIP_HDR_LEADSPC.
const LEADING_BLANKS: u32 = 0x10_0000;

/// All of SMFI_CURR_PROT but refused recipients (SMFIP_RCPT_REJ), of whom the gateway tells no plugin.
const STEPS: u32 = 0x1F_FFFF & !0x800;
