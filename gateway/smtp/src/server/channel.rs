//! What a session knows of the connection under it.

use crate::sasl::ChannelBindings;

/// What a session knows of the connection under it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Channel {
    /// Whether it is under TLS.
    pub tls: bool,
    /// Whether the peer has authenticated before anything is said, so far as the listener lets peers
    /// authenticate.
    pub authenticated: bool,
    /// What SASL can be bound to, if there is anything.
    pub bindings: Option<Box<ChannelBindings>>,
    /// Whether the peer may say who the client is (XCLIENT).
    pub may_xclient: bool,
    /// Whether the peer may say on whose behalf it forwards (XFORWARD).
    pub may_xforward: bool,
}
