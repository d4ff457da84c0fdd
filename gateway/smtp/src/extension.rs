//! Service extensions that the server announces (RFC 5321 section 2.2).
//!
//! A new one joins as a variant with a row in `Extension::announce`; its parameters are rows in
//! `parameter.rs`, its commands variants of [`Command`](crate::command::Command) and rows in the
//! session's table of phases.

use crate::sasl::Mechanism;
use crate::server::{Channel, Protocol, Settings};
use crate::xclient::{Xclient, Xforward};

/// What can stand in the answer to EHLO or LHLO.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Extension {
    /// RFC 2920. Always offered.
    Pipelining,
    /// RFC 1870. Always offered.
    Size,
    /// RFC 3207. Offered where there is a certificate, in clear text.
    Starttls,
    /// RFC 4954. Offered where there are mechanisms, in clear text only if that is wanted.
    Auth,
    /// RFC 2034. Always offered.
    EnhancedStatusCodes,
    /// RFC 6152. Always offered.
    EightBitMime,
    /// RFC 3030.
    Chunking,
    /// RFC 3030; needs [`Chunking`](Self::Chunking).
    BinaryMime,
    /// RFC 6531.
    SmtpUtf8,
    /// RFC 3461.
    Dsn,
    /// RFC 8689. Offered under TLS only.
    RequireTls,
    /// RFC 9422.
    Limits,
    /// RFC 6710.
    MtPriority,
    /// RFC 2852.
    DeliverBy,
    /// RFC 7293.
    Rrvs,
    /// draft-hall-prdr: a reply for each recipient after the message, in SMTP.
    Prdr,
    /// RFC 4865.
    FutureRelease,
    /// Postfix's XCLIENT_README. Offered to peers that are trusted with it.
    Xclient,
    /// Postfix's XFORWARD_README. Offered to peers that are trusted with it.
    Xforward,
}

impl Extension {
    /// All of them, in the order of the answer.
    pub const ALL: [Self; 19] = [
        Self::Pipelining,
        Self::Size,
        Self::Starttls,
        Self::Auth,
        Self::EnhancedStatusCodes,
        Self::EightBitMime,
        Self::Chunking,
        Self::BinaryMime,
        Self::SmtpUtf8,
        Self::Dsn,
        Self::RequireTls,
        Self::Limits,
        Self::MtPriority,
        Self::DeliverBy,
        Self::Rrvs,
        Self::Prdr,
        Self::FutureRelease,
        Self::Xclient,
        Self::Xforward,
    ];

    /// The keyword of the EHLO answer.
    #[must_use]
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Auth => "AUTH",
            Self::BinaryMime => "BINARYMIME",
            Self::Chunking => "CHUNKING",
            Self::DeliverBy => "DELIVERBY",
            Self::Dsn => "DSN",
            Self::EightBitMime => "8BITMIME",
            Self::EnhancedStatusCodes => "ENHANCEDSTATUSCODES",
            Self::FutureRelease => "FUTURERELEASE",
            Self::Limits => "LIMITS",
            Self::MtPriority => "MT-PRIORITY",
            Self::Pipelining => "PIPELINING",
            Self::Prdr => "PRDR",
            Self::RequireTls => "REQUIRETLS",
            Self::Rrvs => "RRVS",
            Self::Size => "SIZE",
            Self::SmtpUtf8 => "SMTPUTF8",
            Self::Starttls => "STARTTLS",
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
        }
    }

    /// What follows the keyword; nothing at all if the extension is not offered (now).
    fn announce(self, settings: &Settings, channel: &Channel) -> Option<String> {
        let is_offered = match self {
            Self::EightBitMime | Self::EnhancedStatusCodes | Self::Pipelining | Self::Size => true,
            Self::Auth => return mechanisms(settings, channel),
            Self::Starttls => settings.starttls && !channel.tls,
            Self::Xclient => channel.may_xclient,
            Self::Xforward => channel.may_xforward,
            _ => offered(settings, channel).has(self),
        };
        let limits = &settings.limits;
        is_offered.then(|| match self {
            Self::FutureRelease => {
                settings.future_release.as_ref().map_or_else(String::new, |most| {
                    format!(" {} {}", most.seconds, most.until.as_str())
                })
            }
            Self::Limits => format!(
                " MAILMAX={} RCPTMAX={}",
                limits.transactions.min(LARGEST_LIMIT),
                limits.recipients.min(LARGEST_LIMIT as usize)
            ),
            Self::Size => format!(" {}", limits.message_octets),
            Self::Xclient => format!(" {}", Xclient::ATTRIBUTES),
            Self::Xforward => format!(" {}", Xforward::ATTRIBUTES),
            _ => String::new(),
        })
    }
}

/// All in one line, the best first: clients take the first that they know.
fn mechanisms(settings: &Settings, channel: &Channel) -> Option<String> {
    let offered = Mechanism::ALL.into_iter().filter(|&one| settings.auth.offers(one, channel));
    let names: String = offered.map(|mechanism| format!(" {mechanism}")).collect();
    (!names.is_empty()).then_some(names)
}

/// A set of extensions: those that a listener offers beyond those that are always there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Offers(u32);

impl Offers {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// Whether this one is offered.
    #[must_use]
    pub fn has(self, extension: Extension) -> bool {
        self.0 & 1 << extension as u32 != 0
    }
}

/// What of the settings' offers is offered on this channel.
pub(crate) fn offered(settings: &Settings, channel: &Channel) -> Offers {
    let mut offers = settings.offers;
    let mut only_if = |condition: bool, extension: Extension| {
        offers.0 &= !(u32::from(!condition) << extension as u32);
    };
    // RFC 8689 section 2: not in clear text.
    only_if(channel.tls, Extension::RequireTls);
    // RFC 3030 section 3.
    only_if(settings.offers.has(Extension::Chunking), Extension::BinaryMime);
    // LMTP does that anyway.
    only_if(settings.protocol == Protocol::Smtp, Extension::Prdr);
    // RFC 4865 section 4.1: not without bounds.
    only_if(settings.future_release.is_some(), Extension::FutureRelease);
    offers
}

impl FromIterator<Extension> for Offers {
    fn from_iter<I: IntoIterator<Item = Extension>>(extensions: I) -> Self {
        Self(extensions.into_iter().fold(0, |set, extension| set | 1 << extension as u32))
    }
}

/// The lines of the answer to EHLO or LHLO.
pub(crate) fn hello(settings: &Settings, channel: &Channel) -> impl Iterator<Item = String> {
    let extensions = Extension::ALL.into_iter();
    std::iter::once(settings.hostname.clone()).chain(extensions.filter_map(|extension| {
        let arguments = extension.announce(settings, channel)?;
        Some(format!("{}{arguments}", extension.keyword()))
    }))
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

/// RFC 9422 section 4: six digits.
const LARGEST_LIMIT: u32 = 999_999;
