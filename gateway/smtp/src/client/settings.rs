//! What a session is told at its beginning.

use crate::sasl::ChannelBindings;
use crate::server::Protocol;

use super::Login;

/// How to speak to one server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// The client's own name, for EHLO.
    pub hostname: String,
    /// Whether to ask for TLS.
    pub starttls: StartTls,
    /// As whom to log in. Without a login there is no mail then.
    pub login: Option<Login>,
    /// Whether nobody can listen: the server is on this machine, or TLS is there already. Only then
    /// a mechanism that reveals the password may be used.
    pub private: bool,
    /// What SASL can bind to, where TLS is there already.
    pub bindings: ChannelBindings,
}

impl Settings {
    /// SMTP or LMTP in clear text, and nothing more.
    #[must_use]
    pub fn new(protocol: Protocol, hostname: &str) -> Self {
        Self {
            protocol,
            hostname: hostname.to_owned(),
            starttls: StartTls::Never,
            login: None,
            private: false,
            bindings: ChannelBindings::default(),
        }
    }
}

/// Whether to ask for TLS.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartTls {
    /// Where it is offered and granted; else clear text.
    IfOffered,
    /// No: TLS is there already, or not wanted.
    Never,
    /// Yes; without it, no mail.
    Required,
}
