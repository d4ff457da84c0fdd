//! SASL as SMTP uses it (RFC 4422, RFC 4954): who somebody says to be, and with what proof.

use std::fmt;

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
    /// Whose secret it is: the authentication identity. UTF-8, no control characters.
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

impl fmt::Debug for Verifier {
    /// Never the secret itself: what is debugged ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password(..)",
            Self::Scram { .. } => "Scram(..)",
        })
    }
}
