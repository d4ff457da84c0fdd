//! Service extensions that the server announces (RFC 5321 section 2.2).
//!
//! A new one joins as a variant and a row in [`Extension::announce`]; its parameters are rows in
//! `parameter.rs`, its commands variants of [`Command`](crate::command::Command) and rows in the
//! session's table of phases.

use crate::server::{Protocol, Settings};

/// What can stand in the answer to EHLO or LHLO.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extension {
    /// RFC 6152.
    EightBitMime,
    /// RFC 2034.
    EnhancedStatusCodes,
    /// RFC 2920.
    Pipelining,
    /// RFC 1870.
    Size,
    /// RFC 3207.
    Starttls,
}

impl Extension {
    /// All of them, in the order of the answer.
    const ALL: [Self; 5] = [
        Self::Pipelining,
        Self::Size,
        Self::Starttls,
        Self::EnhancedStatusCodes,
        Self::EightBitMime,
    ];

    /// The line that announces the extension; nothing if it is not offered (now).
    fn announce(self, settings: &Settings, tls: bool) -> Option<String> {
        match self {
            Self::EightBitMime => Some("8BITMIME".to_owned()),
            Self::EnhancedStatusCodes => Some("ENHANCEDSTATUSCODES".to_owned()),
            Self::Pipelining => Some("PIPELINING".to_owned()),
            Self::Size => Some(format!("SIZE {}", settings.limits.message_octets)),
            Self::Starttls => (settings.starttls && !tls).then(|| "STARTTLS".to_owned()),
        }
    }
}

/// The lines of the answer to EHLO or LHLO.
pub(crate) fn hello(settings: &Settings, tls: bool) -> impl Iterator<Item = String> {
    let extensions = Extension::ALL.into_iter();
    std::iter::once(settings.hostname.clone())
        .chain(extensions.filter_map(move |extension| extension.announce(settings, tls)))
}

/// The text of the banner.
pub(crate) fn banner(settings: &Settings) -> String {
    let protocol = match settings.protocol {
        Protocol::Lmtp => "LMTP",
        // RFC 5321 section 3.1: old clients look for the word before they say EHLO.
        Protocol::Smtp => "ESMTP",
    };
    format!("{} {protocol} Portcullis", settings.hostname)
}
