//! SASL as SMTP uses it (RFC 4422, RFC 4954): who somebody says to be, and with what proof.

mod armored;
mod decoy;
pub(crate) mod keys;

use std::fmt;

use zeroize::Zeroize;

pub use self::armored::Armored;
pub(crate) use self::armored::{close, open};
pub use self::decoy::Decoy;

/// The mechanisms, in the order in which they are announced: the best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Mechanism {
    /// RFC 7677, bound to the TLS channel.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 2195. Needs the password itself on the server's side.
    CramMd5,
    /// RFC 7628.
    OauthBearer,
    /// What Google and Microsoft spoke before RFC 7628.
    Xoauth2,
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login.
    Login,
}

impl Mechanism {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::CramMd5,
        Self::OauthBearer,
        Self::Xoauth2,
        Self::Plain,
        Self::Login,
    ];

    /// The mechanism of this name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CramMd5 => "CRAM-MD5",
            Self::Login => "LOGIN",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::Xoauth2 => "XOAUTH2",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a client has said or proved about itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Credentials {
    /// How.
    pub mechanism: Mechanism,
    /// Whose secret it is: the authentication identity. At most 255 octets, none that would spoil a
    /// line of a log; empty where OAUTHBEARER names nobody, so that only the token tells.
    pub user: String,
    /// As whom the client wants to act, if that is somebody else (RFC 4422 section 3.4.1).
    pub authorization: Option<String>,
    /// The proof.
    pub secret: Secret,
}

/// What a mechanism brings to light.
#[derive(Clone, Eq, PartialEq)]
pub enum Secret {
    /// A password, to be checked.
    Password(String),
    /// Nothing: the client has proved by the [`Verifier`] that it knows the password.
    Proved,
    /// A bearer token, to be checked.
    Token(String),
}

impl Drop for Secret {
    fn drop(&mut self) {
        match self {
            Self::Password(text) | Self::Token(text) => text.zeroize(),
            Self::Proved => {}
        }
    }
}

impl fmt::Debug for Secret {
    /// Never the secret itself: what is debugged ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Proved => "Proved",
            Self::Token(_) => "Token(..)",
        })
    }
}

/// What the server knows of a user, for mechanisms that do not reveal the password.
#[derive(Clone, Eq, PartialEq)]
pub enum Verifier {
    /// The password itself, for CRAM-MD5.
    Password(String),
    /// RFC 5802 section 3; SHA-256.
    Scram {
        /// Any octets.
        salt: Vec<u8>,
        /// At least 4096 (RFC 7677 section 4).
        iterations: u32,
        /// `H(ClientKey)`.
        stored_key: [u8; 32],
        /// `HMAC(SaltedPassword, "Server Key")`.
        server_key: [u8; 32],
    },
}

impl Verifier {
    /// The SCRAM verifier of a password. Takes as long as `iterations` makes it.
    ///
    /// The password is taken as it is, without SASLprep (RFC 4013): for ASCII that is the same.
    #[must_use]
    pub fn scram(password: &str, salt: Vec<u8>, iterations: u32) -> Self {
        let keys = keys::Scram::new(password, &salt, iterations);
        Self::Scram {
            salt,
            iterations,
            stored_key: keys.stored_key(),
            server_key: keys.server_key(),
        }
    }
}

impl Verifier {
    /// Whether this mechanism can use it.
    pub(crate) fn suits(&self, mechanism: Mechanism) -> bool {
        match self {
            Self::Password(_) => mechanism == Mechanism::CramMd5,
            Self::Scram { .. } => {
                matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus)
            }
        }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        match self {
            Self::Password(text) => text.zeroize(),
            Self::Scram { stored_key, server_key, .. } => {
                stored_key.zeroize();
                server_key.zeroize();
            }
        }
    }
}

impl fmt::Debug for Verifier {
    /// Never the secret itself: what is debugged ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Scram { .. } => "Scram(..)",
        })
    }
}

/// What ties an exchange to the TLS connection under it (RFC 5056).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ChannelBindings {
    /// `tls-exporter` (RFC 9266). Not under TLS 1.2, where it needs more than everybody has.
    pub exporter: Option<[u8; 32]>,
    /// `tls-server-end-point` (RFC 5929): the hash of the server's certificate.
    pub end_point: Option<Vec<u8>>,
}

impl ChannelBindings {
    /// Whether there is nothing to be bound to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exporter.is_none() && self.end_point.is_none()
    }
}
