//! What is combined with what.

use portcullis_tests::faulty::{Character, Fault, Stage};

/// One case: a client in front of a next hop that fails at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) place: Place,
    pub(super) client: Client,
}

/// Who sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Client {
    Smtp,
    Lmtp,
}

/// Both of them.
pub(super) const CLIENTS: [Client; 2] = [Client::Smtp, Client::Lmtp];

/// Where and how one next hop fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) lmtp: bool,
    pub(super) security: Security,
    pub(super) situation: Situation,
    pub(super) stage: Stage,
    pub(super) fault: Fault,
}

/// TLS between the gateway and the next hop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Security {
    None,
    Opportunistic,
    Verified,
}

/// When the fault strikes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Situation {
    /// Each time, until it is mended.
    Always,
    /// Once, on a connection that has carried a message before.
    Kept,
    /// Each time that the gateway takes a transaction back because its client pauses.
    Pause,
}

impl Place {
    /// All of them, those first that take longest.
    pub(super) fn all() -> Vec<Self> {
        let mut places = Vec::new();
        for (security, situation, stage) in ROWS {
            for fault in Fault::ALL {
                for lmtp in [false, true] {
                    let place = Self { lmtp, security, situation, stage, fault };
                    if place.expected(Client::Smtp).is_some() {
                        places.push(place);
                    }
                }
            }
        }
        places.sort_by_key(|place| place.fault != Fault::Silent);
        places
    }

    pub(super) fn character(&self) -> Character {
        let Self { lmtp, stage, fault, .. } = *self;
        Character { lmtp, stage, fault, extensions: Vec::new() }
    }

    /// Of the row in the table.
    pub(super) fn row(&self) -> String {
        let detail = match (self.security, self.situation) {
            (Security::Opportunistic, _) => ", opportunistic",
            (_, Situation::Kept) => ", kept connection",
            (_, Situation::Pause) => " while the client pauses",
            _ => "",
        };
        format!("{}{detail}", self.stage)
    }

    /// Of the upstream.
    pub(super) fn name(&self) -> String {
        let protocol = if self.lmtp { "lmtp" } else { "smtp" };
        format!("{}-{}-{protocol}", self.row(), self.fault).replace([' ', ','], "-").to_lowercase()
    }

    pub(super) fn domain(&self) -> String {
        format!("{}.example", self.name())
    }

    /// Elsewhere each transaction is to have a connection of its own.
    pub(super) fn keeps_connections(&self) -> bool {
        self.situation != Situation::Always || self.stage == Stage::Rset
    }
}

impl Cell {
    /// As in the table.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let Place { lmtp, security, situation, stage, fault } = self.place;
        let row = ROWS.iter().position(|row| *row == (security, situation, stage));
        let fault = Fault::ALL.iter().position(|known| *known == fault);
        (row, fault, lmtp, self.client == Client::Lmtp)
    }
}

const ROWS: [(Security, Situation, Stage); 22] = [
    (Security::None, Situation::Always, Stage::Connect),
    (Security::None, Situation::Always, Stage::Banner),
    (Security::None, Situation::Always, Stage::Hello),
    (Security::Verified, Situation::Always, Stage::StartTls),
    (Security::Verified, Situation::Always, Stage::Handshake),
    (Security::Opportunistic, Situation::Always, Stage::StartTls),
    (Security::Opportunistic, Situation::Always, Stage::Handshake),
    (Security::None, Situation::Always, Stage::Mail),
    (Security::None, Situation::Always, Stage::Rcpt),
    (Security::None, Situation::Always, Stage::Data),
    (Security::None, Situation::Always, Stage::Text),
    (Security::None, Situation::Always, Stage::Dot),
    (Security::None, Situation::Always, Stage::SecondDot),
    (Security::None, Situation::Always, Stage::Rset),
    (Security::None, Situation::Pause, Stage::Rset),
    (Security::None, Situation::Always, Stage::Quit),
    (Security::None, Situation::Kept, Stage::Mail),
    (Security::None, Situation::Kept, Stage::Rcpt),
    (Security::None, Situation::Kept, Stage::Data),
    (Security::None, Situation::Kept, Stage::Text),
    (Security::None, Situation::Kept, Stage::Dot),
    (Security::None, Situation::Kept, Stage::SecondDot),
];
