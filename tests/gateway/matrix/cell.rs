//! What is combined with what.

use portcullis_tests::faulty::{Character, Fault, Stage};

use super::expected::Fate;

/// One case: a client in front of a next hop that fails at one place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) place: Place,
    pub(super) client: Client,
    pub(super) delivery: Delivery,
}

/// Who sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Client {
    Smtp,
    Lmtp,
}

/// When the next hop is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Delivery {
    /// While the client waits.
    Relay,
    /// After the client was told that the message is accepted.
    Spool,
}

/// All ways for mail to come.
pub(super) const WAYS: [(Client, Delivery); 4] = [
    (Client::Smtp, Delivery::Relay),
    (Client::Lmtp, Delivery::Relay),
    (Client::Smtp, Delivery::Spool),
    (Client::Lmtp, Delivery::Spool),
];

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
                    if place.expected(Client::Smtp, Delivery::Relay).is_some() {
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
        let offered = match stage {
            Stage::Auth => Some("AUTH PLAIN"),
            Stage::Xclient => Some("XCLIENT NAME ADDR PORT PROTO HELO LOGIN"),
            Stage::Xforward => Some("XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"),
            _ => None,
        };
        let extensions = offered.into_iter().map(str::to_owned).collect();
        Character { lmtp, stage, fault, extensions }
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
    /// What has to come of it, if there is such a case.
    pub(super) fn expected(&self) -> Option<Fate> {
        self.place.expected(self.client, self.delivery)
    }

    /// Where its client connects.
    pub(super) fn listener(&self) -> &'static str {
        match (self.client, self.delivery) {
            (Client::Smtp, Delivery::Relay) => "mx",
            (Client::Lmtp, Delivery::Relay) => "lmtp",
            (Client::Smtp, Delivery::Spool) => "mx-spool",
            (Client::Lmtp, Delivery::Spool) => "lmtp-spool",
        }
    }

    /// As in the table.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let Place { lmtp, security, situation, stage, fault } = self.place;
        let row = ROWS.iter().position(|row| *row == (security, situation, stage));
        let fault = Fault::ALL.iter().position(|known| *known == fault);
        (row, fault, lmtp, self.client == Client::Lmtp, self.delivery == Delivery::Spool)
    }
}

const ROWS: [(Security, Situation, Stage); 25] = [
    (Security::None, Situation::Always, Stage::Connect),
    (Security::None, Situation::Always, Stage::Banner),
    (Security::None, Situation::Always, Stage::Hello),
    (Security::Verified, Situation::Always, Stage::StartTls),
    (Security::Verified, Situation::Always, Stage::Handshake),
    (Security::Opportunistic, Situation::Always, Stage::StartTls),
    (Security::Opportunistic, Situation::Always, Stage::Handshake),
    (Security::None, Situation::Always, Stage::Auth),
    (Security::None, Situation::Always, Stage::Xclient),
    (Security::None, Situation::Always, Stage::Xforward),
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
