//! TLS to upstreams.

use std::path::PathBuf;

use crate::config::section::Section;

/// TLS to an upstream.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum UpstreamTls {
    /// From the first octet, certificate verified.
    Implicit {
        /// PEM of the authorities; the name that the certificate must have.
        authority: PathBuf,
    },
    /// Clear text.
    #[default]
    None,
    /// STARTTLS, certificate verified; without it no mail.
    Starttls {
        /// PEM of the authorities.
        authority: PathBuf,
    },
    /// STARTTLS where it is offered, certificate not verified: better than clear text, no more.
    Opportunistic,
}

impl UpstreamTls {
    pub(super) const KEYS: &'static [&'static str] = &["authority", "mode"];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let tls = section.section("tls", Self::KEYS);
        if tls.entry("mode").is_none() && !tls.is_empty() {
            tls.missing("mode", "none, opportunistic, starttls or implicit");
        }
        let authority = || {
            let help = "the PEM file of the authorities whose certificates are trusted; Debian keeps \
                        the world's in /etc/ssl/certs/ca-certificates.crt";
            tls.pem("authority", "CERTIFICATE", help)
        };
        let mode = tls.choice("mode", TLS_MODES);
        let verified = match mode {
            Some(Mode::Implicit) => authority().map(|authority| Self::Implicit { authority }),
            Some(Mode::Starttls) => authority().map(|authority| Self::Starttls { authority }),
            Some(Mode::None | Mode::Opportunistic) => {
                if tls.entry("authority").is_some() {
                    let text = "\"authority\" is for verified TLS only";
                    let help = "\"starttls\" and \"implicit\" verify the upstream's certificate";
                    section.reader.error(tls.mark_of("authority"), text, Some(help));
                }
                None
            }
            None => None,
        };
        match (verified, mode) {
            (Some(verified), _) => verified,
            (None, Some(Mode::Opportunistic)) => Self::Opportunistic,
            (None, _) => Self::None,
        }
    }
}

#[derive(Clone, Copy)]
enum Mode {
    Implicit,
    None,
    Opportunistic,
    Starttls,
}

const TLS_MODES: &[(&str, Mode)] = &[
    ("implicit", Mode::Implicit),
    ("none", Mode::None),
    ("opportunistic", Mode::Opportunistic),
    ("starttls", Mode::Starttls),
];
