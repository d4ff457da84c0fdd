//! What was found out about who sent a message, in the words of RFC 8601.

use std::sync::Arc;

use portcullis_smtp::ReversePath;

use super::{Content, HeaderSection};

/// One thing that was found out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How: `iprev`, `spf`, `dkim`, `dmarc` or `arc`.
    pub method: &'static str,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, for people. May hold what peers said.
    pub reason: Option<String>,
    /// What it is about, for example `header.d`. May hold what peers said.
    pub properties: Vec<(&'static str, String)>,
}

/// What came of a method (RFC 8601 section 2.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It is not who it says to be, or the message was changed.
    Fail,
    /// Nobody says anything for or against.
    Neutral,
    /// There is nothing to look at.
    None,
    /// It is who it says to be.
    Pass,
    /// What was published or signed cannot be used; it will not become better.
    PermanentError,
    /// It could be right, but is not acceptable.
    Policy,
    /// It is probably not who it says to be.
    SoftFail,
    /// Nobody knows now.
    TemporaryError,
}

impl Outcome {
    /// The word of RFC 8601.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::Pass => "pass",
            Self::PermanentError => "permerror",
            Self::Policy => "policy",
            Self::SoftFail => "softfail",
            Self::TemporaryError => "temperror",
        }
    }
}

impl Finding {
    /// Something that was found out, without a reason.
    #[must_use]
    pub fn new(method: &'static str, outcome: Outcome) -> Self {
        Self { method, outcome, reason: None, properties: Vec::new() }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }

    /// The same with one more property.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.properties.push((name, value.into()));
        self
    }

    /// The value of a property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        let found = self.properties.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| &**value)
    }
}

/// What the client sent, as far as plugins have changed it since.
#[derive(Clone, Debug, Default)]
pub struct Originals {
    /// The sender.
    pub sender: Option<ReversePath>,
    /// The header section.
    pub header: Option<Arc<HeaderSection>>,
    /// The body.
    pub body: Option<Content>,
}
