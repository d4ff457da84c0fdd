//! The hooks, and what `#[plugin]` makes of an `impl` block.

use std::fmt;

/// A step of the conversation at which plugins are asked.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Hook {
    /// A client has connected.
    Connect,
    /// HELO, EHLO or LHLO.
    Helo,
    /// MAIL FROM.
    Mail,
    /// RCPT TO, once for each recipient.
    Rcpt,
    /// DATA, before the 354.
    Data,
    /// The header section is complete.
    Headers,
    /// The message is complete.
    Message,
}

impl fmt::Display for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::Headers => "headers",
            Self::Message => "message",
        })
    }
}

/// A plugin as the gateway sees it. `#[plugin]` implements it; tests use it through
/// [`testing`](crate::testing).
pub trait Plugin: Sized {
    /// The hooks that are written.
    const HOOKS: &'static [Hook];

    /// Makes the plugin of its settings, which are JSON; the error is for the operator.
    fn configure(settings: &str) -> Result<Self, String>;

    /// The hooks that these settings do not need.
    fn skip(&self) -> Vec<Hook>;
}
