//! What a client has done against the manners of the protocol, whether a bound follows from it or not.

use super::Session;

/// A lapse of manners. Honest programs have some of them; policy is to weigh them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Lapse {
    /// An attempt to authenticate that was refused.
    AuthFailure,
    /// A message with a CR, LF or NUL that stands alone (RFC 5321 section 2.3.8): a look-alike of the
    /// end of a line.
    BareNewline,
    /// It talked before the banner (RFC 5321 section 4.3.1).
    EarlyTalker,
    /// A command that has no place where it came (503).
    OutOfSequence,
    /// More came behind a command whose answer it had to wait for (RFC 2920 section 3.1).
    Pipelined,
    /// A recipient that was refused for good.
    RefusedRecipient,
    /// A further EHLO or HELO, without a STARTTLS before it.
    RepeatedHello,
    /// A command that cannot be read, or is too long.
    SyntaxError,
    /// A command that does not exist.
    UnknownCommand,
}

impl Lapse {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AuthFailure,
        Self::BareNewline,
        Self::EarlyTalker,
        Self::OutOfSequence,
        Self::Pipelined,
        Self::RefusedRecipient,
        Self::RepeatedHello,
        Self::SyntaxError,
        Self::UnknownCommand,
    ];

    /// Its name for those who judge.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::AuthFailure => "auth-failures",
            Self::BareNewline => "bare-newlines",
            Self::EarlyTalker => "early-talker",
            Self::OutOfSequence => "out-of-sequence",
            Self::Pipelined => "pipelined-out-of-turn",
            Self::RefusedRecipient => "refused-recipients",
            Self::RepeatedHello => "repeated-helo",
            Self::SyntaxError => "syntax-errors",
            Self::UnknownCommand => "unknown-commands",
        }
    }
}

/// How often a client did what. Costs a pointer as long as it did nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conduct(Option<Box<[u32; Lapse::ALL.len()]>>);

impl Conduct {
    /// So many times that.
    pub fn set(&mut self, lapse: Lapse, count: u32) {
        if count > 0 || self.0.is_some() {
            self.0.get_or_insert_default()[lapse as usize] = count;
        }
    }

    /// How often.
    #[must_use]
    pub fn count(&self, lapse: Lapse) -> u32 {
        self.0.as_ref().map_or(0, |counts| counts[lapse as usize])
    }

    /// What it did, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Lapse, u32)> {
        Lapse::ALL
            .map(|lapse| (lapse, self.count(lapse)))
            .into_iter()
            .filter(|(_, count)| *count > 0)
    }
}

impl Session {
    /// What the client has done so far. XCLIENT is where another client begins.
    #[must_use]
    pub fn conduct(&self) -> &Conduct {
        &self.conduct
    }

    pub(super) fn lapse(&mut self, lapse: Lapse) {
        self.conduct.set(lapse, self.conduct.count(lapse).saturating_add(1));
    }

    /// However many octets come before the banner, and in however many pieces: it is one lapse.
    pub(super) fn talks_early(&mut self) {
        self.conduct.set(Lapse::EarlyTalker, 1);
    }
}
